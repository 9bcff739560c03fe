/*
 * fs/folders.h and fs/links.h with several threads at once: connections of one
 * sender and of another, and the user who moves, swaps and removes what is
 * there. Seeds are fixed; what the threads make of them is not.
 */
#include "folders_fixture.h"

enum { IDS = 24, FILES = 200 };

struct user;

struct worker {
	struct box *b;
	struct user *user; /* or NULL: this is a sender */
	const uint8_t *sender;
	unsigned seed;
	unsigned steps;
	unsigned n;     /* which worker */
	unsigned files; /* made so far */
	int unexpected;
};

static unsigned pick(struct worker *w, unsigned below)
{
	return (unsigned)rand_r(&w->seed) % below;
}

static void run(void *(*what)(void *), struct worker *w, unsigned count,
    struct worker *also, void *(*other)(void *))
{
	pthread_t t[8], u;

	assert_true(count <= 8);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(thread_start(&t[i], "worker", what, &w[i]), 0);
	if (also)
		assert_int_equal(thread_start(&u, "user", other, also), 0);
	for (unsigned i = 0; i < count; i++)
		pthread_join(t[i], NULL);
	if (also)
		pthread_join(u, NULL);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(w[i].unexpected, 0);
}

/* A file through the descriptor, as a commit makes it. */
static void arrive(struct worker *w, unsigned id)
{
	char path[PATH_MAX], name[32];
	int fd, dir = open_id(w->b, w->sender, id, path);

	if (dir < 0)
		return;
	snprintf(name, sizeof(name), "file %u %u", w->n, w->files);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd >= 0) {
		w->files++;
		close(fd);
	}
	close(dir);
}

static const char *const names[] = { "a", "b", "c", "d", "e" };
static const char *const targets[] = { "x", "../x", "../../x", "../../../x" };

static int step(struct worker *w)
{
	unsigned id = 1 + pick(w, IDS), parent = pick(w, IDS + 1);
	const char *name = names[pick(w, 5)];
	struct wire_meta m = { .mask = WIRE_META_MODE, .mode = 0700 };
	uint8_t bytes[WIRE_ID_BYTES];
	struct box *b = w->b;

	make_id(id, bytes);
	switch (pick(w, 10)) {
	case 0:
	case 1: return make(b, w->sender, id, parent, name);
	case 2:
	case 3: return move_dir(b, w->sender, id, parent, name);
	case 4: return withdraw_dir(b, w->sender, id);
	case 5: return folders_patch(b->fo, w->sender, bytes, &m, false);
	case 6:
		return make_link(
		    b, w->sender, 100 + id, parent, name, targets[pick(w, 4)]);
	case 7: return move_link(b, w->sender, 100 + id, parent, name);
	case 8: return withdraw_link(b, w->sender, 100 + id);
	default: arrive(w, id); return 0;
	}
}

static void *send_things(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->steps; i++) {
		int r = step(w);

		switch (-r) {
		case 0:
		case ENOENT:
		case ESTALE:
		case EINVAL:
		case EPERM:
		case EXDEV:
		case ENOTEMPTY: break;
		default: w->unexpected = r;
		}
	}
	return NULL;
}

/* What is below the inbox; links as their depth says. */
static unsigned found_files, bad_links, found_links;
static size_t inbox_len;

static int count_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char target[PATH_MAX];
	ssize_t len;

	(void)ftw;
	found_files += !strncmp(path + ftw->base, "file ", 5);
	if (type != FTW_SL)
		return 0;
	(void)st;
	len = readlink(path, target, sizeof(target));
	found_links++;
	/* inbox/top/link: depth 0 */
	bad_links += len < 0 || !wire_target_ok(target, (size_t)len,
				    folders_depth(path + inbox_len + 1) - 1);
	return 0;
}

static void count(struct box *b)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/inbox", b->home);
	inbox_len = strlen(path);
	found_files = bad_links = found_links = 0;
	assert_int_equal(nftw(path, count_one, 16, FTW_PHYS), 0);
}

static void connections_of_one_sender(void **state)
{
	struct box *b = *state;
	struct worker w[5];
	unsigned sent = 0, live = 0;
	char path[PATH_MAX], *before = list_outside(b), *after;

	for (unsigned i = 0; i < 5; i++)
		w[i] = (struct worker){ .b = b,
			.sender = i < 4 ? ALICE : BOB,
			.seed = i + 1,
			.steps = 2000,
			.n = i };
	run(send_things, w, 5, NULL, NULL);
	for (unsigned i = 0; i < 5; i++)
		sent += w[i].files;
	count(b);
	assert_true(sent > 100);
	/* All have arrived, wherever their directories are now. */
	assert_int_equal(found_files, sent);
	assert_true(found_links > 0);
	assert_int_equal(bad_links, 0);
	/* And the table knows where that is. */
	for (unsigned id = 1; id <= IDS; id++) {
		int fd = open_id(b, ALICE, id, path);

		if (fd < 0) {
			assert_int_equal(fd, -ENOENT);
			continue;
		}
		close(fd);
		assert_int_equal(where(b, ALICE, id, path), 0);
		live++;
	}
	assert_true(live > 2);
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
	after = list_outside(b);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

struct user {
	struct box *b;
	int files[FILES]; /* descriptors */
	unsigned count;
};

/* A random place in the inbox, down to three names. */
static void random_path(struct worker *w, char ret[64])
{
	static const char *const more[] = { "a", "b", "c", "a (2)", "u", "v" };
	unsigned depth = 1 + pick(w, 3);
	size_t len = 0;

	for (unsigned i = 0; i < depth; i++)
		len += (size_t)snprintf(ret + len, 64 - len, "%s%s",
		    i ? "/" : "", more[pick(w, 6)]);
}

/* Keeps it open, to see later that nobody has removed it. */
static void user_file(struct user *u, const char *path)
{
	int fd = openat(
	    u->b->top, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

	if (fd >= 0)
		u->files[u->count++] = fd;
}

/* Not through a link of our own. */
static void put_user_file(struct user *u, const char *path)
{
	if (u->count < FILES && !strchr(path, '/'))
		user_file(u, path);
}

static void *meddle(void *arg)
{
	struct worker *w = arg;
	struct user *u = w->user;
	int top = w->b->top;

	for (unsigned i = 0; i < w->steps; i++) {
		char path[64], other[64];
		struct stat st;

		random_path(w, path);
		random_path(w, other);
		switch (pick(w, 6)) {
		case 0:
			(void)renameat2(
			    top, path, top, other, RENAME_NOREPLACE);
			break;
		case 1:
			(void)renameat2(top, path, top, other, RENAME_EXCHANGE);
			break;
		case 2:
			/* A directory becomes a link to what is outside. */
			if (!renameat2(
				top, path, top, "aside", RENAME_NOREPLACE)) {
				(void)symlinkat("../private", top, path);
				if (pick(w, 2)) {
					(void)unlinkat(top, path, 0);
					(void)renameat2(top, "aside", top, path,
					    RENAME_NOREPLACE);
				}
				(void)renameat2(
				    top, "aside", top, other, RENAME_NOREPLACE);
			}
			break;
		case 3:
			/* In the place of a sender's link. */
			if (!fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW) &&
			    S_ISLNK(st.st_mode))
				(void)unlinkat(top, path, 0);
			put_user_file(u, path);
			break;
		case 4: put_user_file(u, path); break;
		default: (void)mkdirat(top, path, 0700); break;
		}
	}
	return NULL;
}

static void a_user_who_meddles(void **state)
{
	struct box *b = *state;
	struct worker w[3];
	struct user *u = calloc(1, sizeof(*u));
	struct worker user = { .b = b, .seed = 77, .steps = 6000 };
	char *before, *after;
	struct stat st;

	assert_non_null(u);
	u->b = b;
	user.user = u;
	before = list_outside(b);
	for (unsigned i = 0; i < 3; i++)
		w[i] = (struct worker){ .b = b,
			.sender = i < 2 ? ALICE : BOB,
			.seed = i + 11,
			.steps = 4000,
			.n = i };
	run(send_things, w, 3, &user, meddle);
	after = list_outside(b);
	assert_string_equal(before, after);
	assert_true(u->count > 10);
	for (unsigned i = 0; i < u->count; i++) {
		assert_int_equal(fstat(u->files[i], &st), 0);
		assert_int_equal(st.st_nlink, 1);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
		close(u->files[i]);
	}
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
	free(before);
	free(after);
	free(u);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(connections_of_one_sender),
		T(a_user_who_meddles),
	};

	return cmocka_run_group_tests_name("folders_races", tests, NULL, NULL);
}
