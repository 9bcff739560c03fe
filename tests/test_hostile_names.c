/*
 * 10^5 names that somebody has thought up, through net/wire and into a real
 * inbox in a fake home, where links, FIFOs and hard links wait for them.
 * Whatever becomes of them, nothing outside the inbox changes: not even a time.
 */
#include "inbox_fixture.h"

#include <stdbool.h>
#include <sys/types.h>

#include "wire.h"

#define NAMES  100000
#define ROUND  2000 /* names, until the inbox is emptied */
#define IDS    64   /* that requests mean again */
#define HUGE_N 700  /* bytes, more than any name has */

static uint64_t seed = 4;

static uint64_t rnd(void)
{
	/* splitmix64 */
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* --- what must not change -------------------------------------------------
 */

static struct {
	const char *inbox;
	uint64_t hash;
} shot;

static void mix(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		shot.hash = (shot.hash ^ b[i]) * 0x100000001b3u;
}

static int mix_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	if (!strcmp(path, shot.inbox))
		return FTW_SKIP_SUBTREE;
	mix(path, strlen(path) + 1);
	mix(&st->st_ino, sizeof(st->st_ino));
	mix(&st->st_mode, sizeof(st->st_mode));
	mix(&st->st_nlink, sizeof(st->st_nlink));
	mix(&st->st_uid, sizeof(st->st_uid));
	mix(&st->st_size, sizeof(st->st_size));
	mix(&st->st_mtim, sizeof(st->st_mtim));
	mix(&st->st_ctim, sizeof(st->st_ctim));
	return FTW_CONTINUE;
}

/* Everything in the home but the inbox, as one number. */
static uint64_t home_now(const struct fixture *fx)
{
	shot.inbox = fx->inbox;
	shot.hash = 0xcbf29ce484222325u;
	assert_int_equal(
	    nftw(fx->home, mix_one, 16, FTW_PHYS | FTW_ACTIONRETVAL), 0);
	return shot.hash;
}

/* --- the inbox ------------------------------------------------------------
 */

static void link_at(const char *dir, const char *name, const char *to)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(to, path), 0);
}

/* What its user, or somebody with their help, may have put there. */
static void set_traps(const struct fixture *fx, const char *dir)
{
	char path[PATH_MAX], hard[300];

	link_at(dir, "out", fx->home);
	link_at(dir, "outside", "../outside");
	link_at(dir, "canary", "../canary");
	link_at(dir, "dangling", "../born");
	link_at(dir, "loop", "loop");
	snprintf(path, sizeof(path), "%s/pipe", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/hard", dir);
	snprintf(hard, sizeof(hard), "%s/hard", fx->home);
	assert_int_equal(link(hard, path), 0);
}

static void empty_inbox(const struct fixture *fx)
{
	const struct dirent *e;
	DIR *d = opendir(fx->inbox);
	char path[PATH_MAX];

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !strcmp(e->d_name, INBOX_SPOOL_NAME))
			continue;
		snprintf(path, sizeof(path), "%s/%s", fx->inbox, e->d_name);
		remove_tree(path);
	}
	closedir(d);
}

static int begin(void **state)
{
	char outside[300];
	struct fixture *fx;

	/* Where there is a file system in memory: so many files cost a disk
	 * minutes. */
	if (!access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 0);
	assert_int_equal(set_up(state), 0);
	fx = *state;
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0); /* no fsyncs: 10^5 */
	snprintf(outside, sizeof(outside), "%s/outside", fx->home);
	assert_int_equal(mkdir(outside, 0777), 0);
	put_file(outside, "file", "stays");
	put_file(fx->home, "hard", "linked");
	put_file(fx->home, "file", "stays too");
	return 0;
}

/* --- names ----------------------------------------------------------------
 */

struct text {
	char bytes[2 * HUGE_N];
	size_t len;
};

static void add(struct text *t, const char *bytes, size_t len)
{
	if (t->len + len > HUGE_N)
		return;
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void add_piece(struct text *t)
{
	static const struct {
		const char *bytes;
		size_t len;
	} pieces[] = {
#define PIECE(s) { s, sizeof(s) - 1 }
		PIECE("."),
		PIECE(".."),
		PIECE("..."),
		PIECE("/"),
		PIECE("../"),
		PIECE("/.."),
		PIECE("//"),
		PIECE("\\"),
		PIECE("\0"),
		PIECE("a"),
		PIECE("file"),
		PIECE("canary"),
		PIECE("out"),
		PIECE("outside"),
		PIECE("dangling"),
		PIECE("loop"),
		PIECE("pipe"),
		PIECE("hard"),
		PIECE("inbox"),
		PIECE(INBOX_SPOOL_NAME),
		PIECE(".gtfs"),
		PIECE("~"),
		PIECE(" (2)"),
		PIECE(" (2).txt"),
		PIECE(".damaged"),
		PIECE("-rf"),
		PIECE(" "),
		PIECE("\n"),
		PIECE("\033]52;c;x\a"),
		PIECE("\xe2\x80\xae"),
		PIECE("\xe2\x80\x8b"),
		PIECE("\xc0\xaf"),
		PIECE("\xff"),
		PIECE("%s%n"),
		PIECE("$(touch x)"),
		PIECE("*"),
#undef PIECE
	};
	char bytes[300];
	size_t n;

	switch (rnd() % 12) {
	case 0: /* random bytes */
		n = rnd() % 16;
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)rnd();
		add(t, bytes, n);
		break;
	case 1: /* up to the limit, and over it */
		n = 240 + rnd() % 30;
		memset(bytes, "n./\xe2"[rnd() % 4], n);
		add(t, bytes, n);
		break;
	default:
		n = rnd() % (sizeof(pieces) / sizeof(pieces[0]));
		add(t, pieces[n].bytes, pieces[n].len);
	}
}

static void make_name(struct text *t)
{
	static const unsigned counts[] = { 1, 1, 1, 1, 2, 2, 3, 5 };

	t->len = 0;
	if (rnd() % 50 == 0)
		return;
	for (unsigned n = counts[rnd() % 8]; n; n--)
		add_piece(t);
}

/* The page's rule, said once more. */
static bool is_name(const struct text *t)
{
	return t->len >= 1 && t->len <= 255 && !memchr(t->bytes, 0, t->len) &&
	       !memchr(t->bytes, '/', t->len) &&
	       !(t->bytes[0] == '.' &&
		   (t->len == 1 || (t->len == 2 && t->bytes[1] == '.')));
}

/* --- messages -------------------------------------------------------------
 */

static void put_number(struct text *m, uint64_t value, size_t bytes)
{
	while (bytes--) {
		char byte = (char)(value >> 8 * bytes);

		add(m, &byte, 1);
	}
}

static void put_id(struct text *m, unsigned n)
{
	uint8_t id[WIRE_ID_BYTES] = { 0 };

	if (n)
		make_id(n, id);
	add(m, (const char *)id, sizeof(id));
}

/* id, parent and base: 0, or one of this round. */
struct wanted {
	enum wire_type type;
	unsigned id, parent, base;
	struct text name, target;
};

static void encode(const struct wanted *w, struct text *m)
{
	m->len = 0;
	put_number(m, w->type, 1);
	put_number(m, 1, w->type == WIRE_OFFER ? 4 : 8);
	if (w->type != WIRE_MOVE)
		put_id(m, w->id);
	put_id(m, w->parent);
	if (w->type == WIRE_OFFER) {
		put_id(m, w->base);
		put_number(m, 0644, 4);
		put_number(m, WIRE_SIZE_UNKNOWN, 8);
	} else if (w->type == WIRE_MKDIR) {
		put_number(m, 0755, 4);
	} else if (w->type == WIRE_RENAME) {
		put_number(m, rnd() % 2, 1);
	}
	put_number(m, w->name.len, 2);
	/* What is too long for the buffer still says that it is. */
	add(m, w->name.bytes, w->name.len);
	if (w->type == WIRE_SYMLINK)
		add(m, w->target.bytes, w->target.len);
}

static void place_file(struct fixture *fx, const struct wire_msg *m,
    const struct wire_msg *move, const uint8_t *sender)
{
	struct sink_offer o = { .peer = "laptop", .offer = &m->offer };
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	int r;

	memcpy(o.sender, sender, sizeof(o.sender));
	if (fx->sink->ops->open(fx->sink, &o, &f))
		return;
	r = f->ops->write(f, "content", 7, 0);
	if (!r && move)
		r = f->ops->move(f, move->move.parent, move->move.name);
	if (r)
		f->ops->abort(f);
	else
		finish(f, rnd() % 8 == 0, name);
}

static unsigned an_id(unsigned from)
{
	return rnd() % 3 ? 0 : from + (unsigned)(rnd() % IDS);
}

/* One name, in one message. 1: it was placed; 0: it was refused. */
static unsigned try_one(struct fixture *fx, unsigned n, unsigned from)
{
	static const enum wire_type types[] = { WIRE_OFFER, WIRE_OFFER,
		WIRE_OFFER, WIRE_MKDIR, WIRE_RENAME, WIRE_SYMLINK, WIRE_MOVE };
	const uint8_t *sender = rnd() % 4 ? ALICE : BOB;
	struct wire_msg m, offer = { .type = WIRE_OFFER };
	struct wanted w = { .type = types[rnd() % 7] };
	struct text bytes;
	bool fine;

	w.id = w.type == WIRE_RENAME ? an_id(from) | 1 : from + n % ROUND;
	w.parent = an_id(from);
	w.base = rnd() % 8 ? 0 : an_id(from);
	make_name(&w.name);
	make_name(&w.target);
	fine = is_name(&w.name);
	encode(&w, &bytes);
	if (wire_decode((uint8_t *)bytes.bytes, bytes.len, &m)) {
		assert_true(!fine || w.type == WIRE_SYMLINK);
		return 0;
	}
	if (!fine)
		fail_msg("name %u (%zu bytes) was accepted", n, w.name.len);
	if (w.type == WIRE_OFFER) {
		place_file(fx, &m, NULL, sender);
	} else if (w.type == WIRE_MOVE) {
		make_id(w.id ? w.id : from + n % ROUND, offer.offer.id);
		offer.offer.mode = 0600;
		offer.offer.size = 7;
		strcpy(offer.offer.name, "before");
		place_file(fx, &offer, &m, sender);
	} else {
		struct wire_offer none = { .tag = 0 };
		struct sink_offer o = { .peer = "laptop", .offer = &none };

		memcpy(o.sender, sender, sizeof(o.sender));
		(void)fx->sink->ops->request(fx->sink, &o, &m);
	}
	return 1;
}

static void nothing_outside_the_inbox_changes(void **state)
{
	struct fixture *fx = *state;
	unsigned placed = 0, arrived = 0;
	char dir[400];

	for (unsigned n = 0; n < NAMES; n += ROUND) {
		unsigned from = 1 + 2 * n;
		uint64_t before;

		empty_inbox(fx);
		set_traps(fx, fx->inbox);
		/* An honest directory; its user has set traps there too. */
		assert_int_equal(make_dir(fx, ALICE, from, 0, "d"), 0);
		snprintf(dir, sizeof(dir), "%s/d", fx->inbox);
		set_traps(fx, dir);
		before = home_now(fx);
		for (unsigned i = 1; i < ROUND; i++)
			placed += try_one(fx, n + i, from);
		arrived += (unsigned)entries(fx->inbox);
		if (home_now(fx) != before)
			fail_msg("names %u to %u changed the home", n,
			    n + ROUND - 1);
	}
	/* Or else the names were too bad to say anything. */
	assert_true(placed > NAMES / 4 && placed < NAMES);
	assert_true(arrived > NAMES / 20);
	assert_content(fx->home, "canary", "sings");
	assert_content(fx->home, "hard", "linked");
	print_message(
	    "# %d names: %u placed, %u at the top\n", NAMES, placed, arrived);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    nothing_outside_the_inbox_changes, begin, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
