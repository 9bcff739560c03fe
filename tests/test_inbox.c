/*
 * Tests of fs/inbox.h as a sink of net/sink.h: what arrives, under which names,
 * with which mode and times, and what is refused. System calls that fail are
 * tests/test_inbox_faults.c's, the way in to the directory
 * tests/test_inbox_open.c's.
 */
#include "inbox_fixture.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "sync.h"

static struct stat stat_in(const char *dir, const char *name)
{
	struct stat st;
	char path[800];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (lstat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static void file_arrives_whole(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], spool_path[800], value[256];
	struct sink_file *f;
	struct stat st;
	uint64_t size;

	assert_int_equal(start(fx, ALICE, 7, 0, "a b.txt", &f), 0);
	assert_int_equal(f->ops->write(f, "world", 5, 100000), 0);
	assert_int_equal(f->ops->write(f, "hello", 5, 0), 0);
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_int_equal(size, 100005);
	/* Only the spool knows it. */
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(entries(fx->spool), 1);
	assert_int_equal(fx->arrived, 0);
	assert_int_equal(f->ops->checkpoint(f), 0);
	assert_int_equal(f->ops->commit(f, false, name), 0);
	f->ops->close(f);
	assert_string_equal(name, "a b.txt");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 1);
	assert_string_equal(fx->last_path, "a b.txt");
	assert_string_equal(fx->last_peer, "laptop");
	assert_int_equal(fx->last_size, 100005);

	st = stat_in(fx->inbox, name);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_size, 100005);
	assert_true(st.st_blocks * 512 < 100005); /* a hole in between */
	snprintf(spool_path, sizeof(spool_path), "%s/%s", fx->inbox, name);
	if (setxattr(spool_path, "user.test", "1", 1, 0)) {
		assert_int_equal(errno, ENOTSUP);
		return;
	}
	assert_int_equal(getxattr(spool_path, "user.gtfs.name", value, 256), 7);
	assert_memory_equal(value, "a b.txt", 7);
	assert_int_equal(getxattr(spool_path, "user.gtfs.id", value, 256), 32);
	assert_memory_equal(value, "070000005a5a", 12);
	assert_int_equal(getxattr(spool_path, "user.gtfs.from", value, 256),
	    FINGERPRINT_CHARS - 1);
	assert_int_equal(
	    getxattr(spool_path, "user.gtfs.received", value, 256), 20);
	assert_memory_equal(value, "20", 2);
}

static void spool_is_private_and_unpredictable(void **state)
{
	struct fixture *fx = *state;
	struct sink_file *f[2];
	const struct dirent *e;
	char names[2][256];
	struct stat st;
	DIR *d;
	int n = 0;

	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f[0]), 0);
	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f[1]), 0);
	st = stat_in(fx->inbox, INBOX_SPOOL_NAME);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	d = opendir(fx->spool);
	while ((e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		assert_true(n < 2);
		snprintf(names[n++], 256, "%s", e->d_name);
		st = stat_in(fx->spool, e->d_name);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
		assert_int_equal(st.st_nlink, 1);
	}
	closedir(d);
	assert_int_equal(n, 2);
	assert_memory_equal(names[0], names[1], 16 + 1 + 32 + 1);
	assert_string_not_equal(names[0], names[1]);
	f[0]->ops->abort(f[0]);
	f[1]->ops->abort(f[1]);
	fx->sink->ops->abort(NULL);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(entries(fx->inbox), 0);
}

static void truncate_and_reserve(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	uint64_t size;

	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f), 0);
	assert_int_equal(f->ops->write(f, "0123456789", 10, 0), 0);
	assert_int_equal(f->ops->truncate(f, 3), 0);
	assert_int_equal(f->ops->reserve(f, 0, 1 << 20, 1), 0);
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_int_equal(size, 3);
	assert_int_equal(f->ops->reserve(f, 2, 4, 0), 0);
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_int_equal(size, 6);
	assert_int_equal(f->ops->reserve(f, 0, 0, 0), -EINVAL);
	assert_int_equal(f->ops->reserve(f, INT64_MAX, 2, 0), -EFBIG);
	assert_int_equal(f->ops->truncate(f, 4), 0);
	assert_int_equal(f->ops->commit(f, false, name), 0);
	f->ops->close(f);
	assert_int_equal(stat_in(fx->inbox, "x").st_size, 4);

	assert_int_equal(start(fx, ALICE, 2, 0, "y", &f), 0);
	assert_int_equal(f->ops->write(f, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(f->ops->commit(f, false, name), -EIO);
	f->ops->abort(f);
}

static void meta_survives_later_writes(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct wire_meta m = { .mask = WIRE_META_MODE | WIRE_META_MTIME |
				       WIRE_META_ATIME,
		.mode = 07111,
		.atime = { 2000000000, 1 },
		.mtime = { 1000000000, 123456789 } };
	struct wire_meta bad = { .mask = WIRE_META_MTIME,
		.mtime = { 0, (1u << 30) - 1 } }; /* UTIME_NOW */
	struct sink_file *f;
	struct stat st;

	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f), 0);
	assert_int_equal(f->ops->set_meta(f, &bad), -EINVAL);
	assert_int_equal(f->ops->set_meta(f, &m), 0);
	m = (struct wire_meta){ .mask = WIRE_META_ATIME, .atime = { 5, 6 } };
	assert_int_equal(f->ops->set_meta(f, &m), 0);
	assert_int_equal(f->ops->write(f, "late", 4, 0), 0);
	assert_int_equal(f->ops->commit(f, false, name), 0);
	f->ops->close(f);
	st = stat_in(fx->inbox, "x");
	assert_int_equal(st.st_mode, S_IFREG | 0711);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(st.st_atim.tv_sec, 5);
}

static void nothing_that_stands_there_is_replaced(void **state)
{
	struct fixture *fx = *state;
	char path[800], name[WIRE_NAME_MAX + 1], canary[400];
	ino_t ino;

	snprintf(canary, sizeof(canary), "%s/canary", fx->home);
	put_file(fx->inbox, "file.txt", "mine");
	snprintf(path, sizeof(path), "%s/link.txt", fx->inbox);
	assert_int_equal(symlink(canary, path), 0);
	snprintf(path, sizeof(path), "%s/dangling.txt", fx->inbox);
	assert_int_equal(symlink("../new", path), 0);
	snprintf(path, sizeof(path), "%s/hard.txt", fx->inbox);
	assert_int_equal(link(canary, path), 0);
	snprintf(path, sizeof(path), "%s/fifo.txt", fx->inbox);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/dir.txt", fx->inbox);
	assert_int_equal(mkdir(path, 0700), 0);
	ino = stat_in(fx->inbox, "fifo.txt").st_ino;

	static const char *const names[] = { "file", "link", "dangling", "hard",
		"fifo", "dir" };
	for (unsigned i = 0; i < 6; i++) {
		char want[64], expected[64];

		snprintf(want, sizeof(want), "%s.txt", names[i]);
		snprintf(expected, sizeof(expected), "%s (2).txt", names[i]);
		assert_int_equal(
		    deliver(fx, ALICE, i + 1, 0, want, "new", name), 0);
		assert_string_equal(name, expected);
		assert_content(fx->inbox, expected, "new");
		snprintf(expected, sizeof(expected), "%s.txt (2)", names[i]);
		assert_int_equal(make_dir(fx, ALICE, i + 100, 0, want), 0);
		assert_true(S_ISDIR(stat_in(fx->inbox, expected).st_mode));
	}
	assert_content(fx->inbox, "file.txt", "mine");
	assert_content(fx->home, "canary", "sings");
	assert_int_equal(stat_in(fx->inbox, "fifo.txt").st_ino, ino);
	assert_true(S_ISLNK(stat_in(fx->inbox, "link.txt").st_mode));
	assert_int_equal(entries(fx->home), 2);

	assert_int_equal(deliver(fx, BOB, 50, 0, "file.txt", "third", name), 0);
	assert_string_equal(name, "file (3).txt");
	assert_int_equal(
	    deliver(fx, ALICE, 51, 0, INBOX_SPOOL_NAME, "s", name), 0);
	assert_string_equal(name, INBOX_SPOOL_NAME " (2)");
}

/* A listing of everything in the home but the inbox, with what can change. */
static char listing[16384];
static const char *listing_skip;

static int list_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t used = strlen(listing);

	(void)type;
	(void)ftw;
	if (strncmp(path, listing_skip, strlen(listing_skip)))
		snprintf(listing + used, sizeof(listing) - used,
		    "%s %o %ld %ld.%ld %ld.%ld\n", path, st->st_mode,
		    (long)st->st_size, (long)st->st_mtim.tv_sec,
		    st->st_mtim.tv_nsec, (long)st->st_ctim.tv_sec,
		    st->st_ctim.tv_nsec);
	return 0;
}

static void list_outside(struct fixture *fx, char *ret, size_t size)
{
	listing[0] = '\0';
	listing_skip = fx->inbox;
	assert_int_equal(nftw(fx->home, list_one, 16, FTW_PHYS), 0);
	snprintf(ret, size, "%s", listing);
}

/* A name made of the pieces that have broken other tools. */
static void hostile_name(unsigned *seed, char ret[WIRE_NAME_MAX + 1])
{
	static const char *const pieces[] = { "..", ".", "/", "../", "a", "b",
		"\xc3\xa9", "\xff", " ", "canary", "\n", "\033[2J", "~", "\\",
		INBOX_SPOOL_NAME, ".tar.gz", "-rf", "*", "$(id)", "%s", "\x01",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	unsigned count = (unsigned)rand_r(seed) % 8;
	size_t len = 0;

	ret[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		const char *p = pieces[(unsigned)rand_r(seed) %
				       (sizeof(pieces) / sizeof(*pieces))];

		if (len + strlen(p) > WIRE_NAME_MAX)
			return;
		len += (size_t)sprintf(ret + len, "%s", p);
	}
}

static void no_name_leaves_the_inbox(void **state)
{
	struct fixture *fx = *state;
	char before[16384], after[16384], got[WIRE_NAME_MAX + 1];
	char name[WIRE_NAME_MAX + 1], path[800];
	unsigned seed = 2;
	struct stat st;
	int r, delivered = 0, visible;

	snprintf(path, sizeof(path), "%s/a", fx->home);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file(path, "b", "b");
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0); /* quick: no fsyncs */
	list_outside(fx, before, sizeof(before));
	for (unsigned i = 1; i <= 10000; i++) {
		bool ok;

		hostile_name(&seed, name);
		ok = wire_name_ok(name, strlen(name));
		r = i % 4 ? deliver(fx, ALICE, i, 0, name, "x", got)
			  : make_dir(fx, ALICE, i, 0, name);
		assert_int_equal(r, ok ? (i % 4 ? SINK_RECEIVED : 0) : -EILSEQ);
		delivered += ok;
		if (ok && i % 4) {
			assert_null(strchr(got, '/'));
			snprintf(path, sizeof(path), "%s/%s", fx->inbox, got);
			assert_int_equal(lstat(path, &st), 0);
		}
	}
	list_outside(fx, after, sizeof(after));
	assert_string_equal(before, after);
	assert_true(delivered > 1000);
	/* A sender's same name again replaces what it has sent before. */
	visible = entries(fx->inbox);
	assert_in_range(visible, 500, delivered);
	assert_int_equal(entries(fx->spool), 0);

	memset(name, 'n', WIRE_NAME_MAX);
	name[WIRE_NAME_MAX] = '\0';
	assert_int_equal(
	    deliver(fx, ALICE, 20000, 0, name, "x", got), SINK_RECEIVED);
	assert_string_equal(got, name);
	assert_int_equal(
	    deliver(fx, BOB, 20001, 0, name, "x", got), SINK_RECEIVED);
	assert_int_equal(strlen(got), WIRE_NAME_MAX);
	assert_string_not_equal(got, name);
}

static void enough_space_is_told(void **state)
{
	struct fixture *fx = *state;
	struct sink_space s, again;
	struct statvfs vfs;

	assert_int_equal(fx->sink->ops->space(fx->sink, &s), 0);
	assert_int_equal(statvfs(fx->inbox, &vfs), 0);
	assert_int_equal(s.total_bytes, (uint64_t)vfs.f_blocks * vfs.f_frsize);
	assert_true(s.free_bytes <= s.total_bytes);
	assert_true(s.free_files <= s.total_files);
	assert_int_equal(fx->sink->ops->space(fx->sink, &again), 0);
}

struct many {
	struct fixture *fx;
	unsigned n;
	int result;
	char name[WIRE_NAME_MAX + 1];
	pthread_barrier_t *together;
};

static void *commit_same_name(void *arg)
{
	struct many *m = arg;
	uint8_t sender[IDENTITY_KEY_BYTES] = { 0xa1, 1 };
	char content[32];

	snprintf(content, sizeof(content), "from %u", m->n);
	pthread_barrier_wait(m->together);
	/* Half of them one sender's, who replaces its own, half nobody's. */
	if (m->n > 4)
		sender[2] = (uint8_t)m->n;
	m->result =
	    deliver(m->fx, sender, m->n, 0, "same.txt", content, m->name);
	return NULL;
}

static void *make_same_dir(void *arg)
{
	struct many *m = arg;
	char own[16];

	pthread_barrier_wait(m->together);
	snprintf(own, sizeof(own), "f%u", m->n);
	m->result = make_dir(m->fx, ALICE, 1000, 0, "same.d");
	if (!m->result) /* each can use it at once */
		m->result =
		    deliver(m->fx, ALICE, 100 + m->n, 1000, own, "x", m->name);
	return NULL;
}

static void eight_at_once(void **state)
{
	struct fixture *fx = *state;
	struct many m[8];
	pthread_t t[8];
	pthread_barrier_t together;
	char content[32], path[400];
	int visible = 0;

	for (unsigned round = 0; round < 2; round++) {
		pthread_barrier_init(&together, NULL, 8);
		for (unsigned i = 0; i < 8; i++) {
			m[i] = (struct many){
				.fx = fx, .n = i + 1, .together = &together
			};
			assert_int_equal(
			    thread_start(&t[i], "many",
				round ? make_same_dir : commit_same_name,
				&m[i]),
			    0);
		}
		for (unsigned i = 0; i < 8; i++) {
			pthread_join(t[i], NULL);
			assert_int_equal(m[i].result, 0);
		}
		pthread_barrier_destroy(&together);
		for (unsigned i = 4; i < 8 && !round; i++) {
			snprintf(content, sizeof(content), "from %u", i + 1);
			assert_content(fx->inbox, m[i].name, content);
		}
		if (!round)
			visible = entries(fx->inbox);
		assert_in_range(visible, 5, 8);
		assert_int_equal(entries(fx->inbox), visible + (int)round);
	}
	snprintf(path, sizeof(path), "%s/same.d", fx->inbox);
	assert_int_equal(entries(path), 8);
	assert_int_equal(fx->arrived, 16);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(file_arrives_whole),
		T(spool_is_private_and_unpredictable),
		T(truncate_and_reserve),
		T(meta_survives_later_writes),
		T(nothing_that_stands_there_is_replaced),
		T(no_name_leaves_the_inbox),
		T(enough_space_is_told),
		T(eight_at_once),
	};

	return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
