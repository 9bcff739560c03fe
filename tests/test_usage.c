/*
 * Tests fs/usage.h on a real file system: what counts for whom, until when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sync.h"
#include "usage.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

/* A file system that keeps no attributes. */
static bool poor;

ssize_t fgetxattr(int fd, const char *name, void *ret, size_t len)
{
	if (poor) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return syscall(SYS_fgetxattr, fd, name, ret, len);
}

ssize_t lgetxattr(const char *path, const char *name, void *ret, size_t len)
{
	if (poor) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return syscall(SYS_lgetxattr, path, name, ret, len);
}

struct place {
	char path[64];
	int fd;
	struct usage *u;
};

static const uint8_t alice[IDENTITY_KEY_BYTES] = { 1 };
static const uint8_t bob[IDENTITY_KEY_BYTES] = { 2 };
static const struct usage_limits tight = { .bytes = 64 * KIB, .files = 3 };

/* On the disk: a tmpfs has no user attributes before Linux 6.6. */
static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->path, "/var/tmp/gtfs-usage-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->u = usage_new(p->fd, ".spool");
	assert_non_null(p->u);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[100];

	usage_free(p->u);
	close(p->fd);
	snprintf(command, sizeof(command), "rm -rf %s", p->path);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* A file as it stands in the inbox; from NULL: its user's own. */
static void put(struct place *p, const char *name, size_t len,
    const uint8_t from[IDENTITY_KEY_BYTES])
{
	char fingerprint[FINGERPRINT_CHARS];
	char *bytes = calloc(1, len);
	int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && bytes);
	memset(bytes, 'x', len);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fsync(fd), 0); /* blocks are known now */
	if (from) {
		identity_fingerprint(from, fingerprint);
		assert_int_equal(fsetxattr(fd, "user.gtfs.from", fingerprint,
				     strlen(fingerprint), 0),
		    0);
	}
	free(bytes);
	close(fd);
}

static void assert_has(
    struct place *p, const uint8_t *peer, uint64_t bytes, uint64_t files)
{
	uint64_t has_bytes, has_files;

	usage_of(p->u, peer, &has_bytes, &has_files);
	assert_int_equal(has_bytes, bytes);
	assert_int_equal(has_files, files);
}

/* May the file have exactly so much? It has it then. */
static int grow(struct place *p, struct usage_claim *c, uint64_t bytes)
{
	int r = usage_grow(p->u, c, 0, bytes);

	return r ? r : usage_grow(p->u, c, bytes, 0);
}

static void what_is_there_counts(void **state)
{
	struct usage_claim c = { 0 };
	struct place *p = *state;

	put(p, "a", 16 * KIB, alice);
	put(p, "mine", 256 * KIB, NULL);
	assert_int_equal(mkdirat(p->fd, "d", 0700), 0);
	assert_int_equal(mkdirat(p->fd, ".spool", 0700), 0);
	put(p, "d/b", 16 * KIB, alice);
	put(p, "d/c", 16 * KIB, bob);
	put(p, ".spool/s", 64 * KIB, alice);
	assert_int_equal(symlinkat("/", p->fd, "d/root"), 0);

	assert_int_equal(usage_begin(p->u, alice, &tight, &c), 0);
	assert_has(p, alice, 32 * KIB, 3);
	assert_int_equal(grow(p, &c, 32 * KIB), 0);
	assert_int_equal(grow(p, &c, 32 * KIB + 1), -EDQUOT);
	assert_int_equal(c.bytes, 32 * KIB);
	usage_drop(p->u, &c);
	assert_has(p, alice, 32 * KIB, 2);
	assert_has(p, bob, 16 * KIB, 1);
}

static void mark(struct place *p, const char *name, const uint8_t *from)
{
	char fingerprint[FINGERPRINT_CHARS];
	int fd = openat(p->fd, name, O_RDONLY | O_CLOEXEC);

	identity_fingerprint(from, fingerprint);
	assert_int_equal(fsetxattr(fd, "user.gtfs.from", fingerprint,
			     strlen(fingerprint), 0),
	    0);
	close(fd);
}

/* A link is whose its directory is; in the spool only what is held counts. */
static void directories_links_and_held_files_count(void **state)
{
	struct usage_limits wide = { .bytes = 64 * MIB, .files = 6 };
	struct place *p = *state;
	uint64_t bytes, files;

	assert_int_equal(mkdirat(p->fd, "d", 0700), 0);
	mark(p, "d", alice);
	assert_int_equal(mkdirat(p->fd, "d/e", 0700), 0);
	mark(p, "d/e", bob);
	assert_int_equal(symlinkat("x", p->fd, "d/l"), 0);
	assert_int_equal(symlinkat("x", p->fd, "d/e/l"), 0);
	assert_int_equal(symlinkat("x", p->fd, "mine"), 0);
	assert_int_equal(mkdirat(p->fd, ".spool", 0700), 0);
	put(p, ".spool/s", 16 * KIB, alice);
	put(p, ".spool/s.held", 1, NULL);
	put(p, ".spool/t", 64 * KIB, alice);
	put(p, ".spool/gone.held", 1, NULL);

	assert_int_equal(usage_may(p->u, alice, &wide, 1, 3), 0);
	usage_of(p->u, alice, &bytes, &files);
	assert_int_equal(files, 3);
	assert_true(bytes >= 16 * KIB && bytes < 32 * KIB);
	usage_of(p->u, bob, &bytes, &files);
	assert_int_equal(files, 2);
	assert_int_equal(usage_may(p->u, alice, &wide, 1, 4), -EDQUOT);
}

static void files_are_counted(void **state)
{
	struct usage_claim c[4] = { { 0 } }, other = { 0 };
	struct place *p = *state;

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(usage_begin(p->u, alice, &tight, &c[i]), 0);
	assert_int_equal(usage_begin(p->u, alice, &tight, &c[3]), -EDQUOT);
	assert_int_equal(usage_may(p->u, alice, &tight, 0, 1), -EDQUOT);
	assert_int_equal(usage_may(p->u, alice, &tight, 1, 0), 0);
	/* Nobody pays for another one. */
	assert_int_equal(usage_begin(p->u, bob, &tight, &other), 0);
	usage_drop(p->u, &c[0]);
	usage_drop(p->u, &c[0]); /* once is enough */
	assert_int_equal(usage_begin(p->u, alice, &tight, &c[3]), 0);
	for (unsigned i = 1; i < 4; i++)
		usage_drop(p->u, &c[i]);
	usage_drop(p->u, &other);
}

static void what_was_published_counts_until_it_has_gone(void **state)
{
	struct usage_claim c = { 0 }, d = { 0 };
	struct place *p = *state;

	assert_int_equal(usage_begin(p->u, alice, &tight, &c), 0);
	assert_int_equal(grow(p, &c, 48 * KIB), 0);
	usage_publish(p->u, &c, 40 * KIB);
	usage_drop(p->u, &c);
	assert_has(p, alice, 40 * KIB, 1);
	usage_add(p->u, alice, 8 * KIB);
	assert_has(p, alice, 48 * KIB, 2);
	assert_int_equal(usage_begin(p->u, alice, &tight, &d), 0);
	assert_int_equal(grow(p, &d, 16 * KIB), 0);
	/* It replaces the first one, and then there is more room. */
	usage_publish(p->u, &d, 16 * KIB);
	usage_forget(p->u, alice, 40 * KIB);
	assert_has(p, alice, 24 * KIB, 2);
	usage_forget(p->u, alice, 100 * KIB);
	usage_forget(p->u, alice, 100 * KIB);
	usage_forget(p->u, alice, 100 * KIB);
	assert_has(p, alice, 0, 0);
}

/* What its user takes out is found where the peer would be refused. */
static void what_was_taken_out_counts_no_more(void **state)
{
	int64_t until = now_ms() + USAGE_WALK_MS;
	struct place *p = *state;
	int r;

	put(p, "a", 48 * KIB, alice);
	assert_int_equal(usage_may(p->u, alice, &tight, 16 * KIB, 1), 0);
	assert_int_equal(usage_may(p->u, alice, &tight, 17 * KIB, 1), -EDQUOT);
	assert_int_equal(unlinkat(p->fd, "a", 0), 0);
	do
		r = usage_may(p->u, alice, &tight, 17 * KIB, 1);
	while (r == -EDQUOT && now_ms() < until);
	assert_int_equal(r, 0);
	assert_has(p, alice, 0, 0);
}

/*
 * Nobody knows whose the files are: what it has sent counts, until there is
 * less than that in the inbox.
 */
static void without_attributes_what_was_sent_counts(void **state)
{
	int64_t until = now_ms() + USAGE_WALK_MS;
	struct usage_claim c = { 0 };
	struct place *p = *state;
	int r;

	poor = true;
	usage_free(p->u);
	p->u = usage_new(p->fd, ".spool");
	put(p, "before", 256 * KIB, NULL);
	assert_int_equal(usage_begin(p->u, alice, &tight, &c), 0);
	assert_int_equal(grow(p, &c, 48 * KIB), 0);
	put(p, "a", 48 * KIB, NULL);
	usage_publish(p->u, &c, 48 * KIB);
	assert_int_equal(usage_may(p->u, alice, &tight, 17 * KIB, 1), -EDQUOT);
	assert_has(p, alice, 48 * KIB, 1);
	assert_int_equal(usage_may(p->u, bob, &tight, 64 * KIB, 1), 0);
	assert_int_equal(unlinkat(p->fd, "before", 0), 0);
	assert_int_equal(unlinkat(p->fd, "a", 0), 0);
	do
		r = usage_may(p->u, alice, &tight, 17 * KIB, 1);
	while (r == -EDQUOT && now_ms() < until);
	poor = false;
	assert_int_equal(r, 0);
}

/* The same, where a thread walks: nobody waits for it who is not refused. */
static void a_thread_walks_for_all(void **state)
{
	int64_t until = now_ms() + USAGE_WALK_MS;
	struct place *p = *state;
	int r;

	put(p, "a", 48 * KIB, alice);
	assert_int_equal(usage_start(p->u), 0);
	do
		r = usage_may(p->u, alice, &tight, 17 * KIB, 1);
	while (!r && now_ms() < until);
	assert_int_equal(r, -EDQUOT);
	assert_int_equal(unlinkat(p->fd, "a", 0), 0);
	do
		r = usage_may(p->u, alice, &tight, 17 * KIB, 1);
	while (r == -EDQUOT && now_ms() < until);
	assert_int_equal(r, 0);
}

/* Ahead where there is room; what was claimed is not refused. */
static void claims_go_ahead(void **state)
{
	struct usage_limits some = { .bytes = 2 * MIB, .files = 3 };
	struct usage_claim c = { 0 };
	struct place *p = *state;

	assert_int_equal(usage_begin(p->u, alice, &some, &c), 0);
	assert_int_equal(usage_grow(p->u, &c, 0, 4 * KIB), 0);
	assert_int_equal(c.bytes, 4 * KIB + USAGE_AHEAD);
	assert_int_equal(usage_grow(p->u, &c, MIB, 4 * KIB), 0);
	assert_int_equal(c.bytes, 2 * MIB);
	usage_add(p->u, alice, 2 * MIB);
	assert_int_equal(usage_grow(p->u, &c, MIB, MIB), 0);
	assert_int_equal(usage_grow(p->u, &c, MIB, 0), 0);
	assert_int_equal(c.bytes, MIB);
	usage_drop(p->u, &c);
}

static void nobody_goes_below_the_floor(void **state)
{
	struct usage_limits wide = { .bytes = UINT64_MAX };
	struct usage_claim c = { 0 };
	struct place *p = *state;
	uint64_t total, room;
	struct statvfs st;

	assert_int_equal(fstatvfs(p->fd, &st), 0);
	total = (uint64_t)st.f_blocks * st.f_frsize;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	assert_int_equal(usage_begin(p->u, alice, &wide, &c), 0);
	assert_int_equal(usage_grow(p->u, &c, 0, room), -ENOSPC);
	assert_int_equal(usage_may(p->u, alice, &wide, room, 1), -ENOSPC);
	if (room > usage_floor(total) + 256 * MIB)
		assert_int_equal(usage_grow(p->u, &c, 0,
				     room - usage_floor(total) - 256 * MIB),
		    0);
	usage_drop(p->u, &c);
	assert_int_equal(usage_floor(0), 0);
	assert_int_equal(usage_floor(100 * MIB), 2 * MIB);
	assert_true(usage_floor(UINT64_MAX) == USAGE_FLOOR_MAX);
	assert_true(usage_default(0) == USAGE_BYTES_LEAST);
	assert_true(usage_default(UINT64_C(100) << 30) == USAGE_BYTES_LEAST);
	assert_true(usage_default(UINT64_C(1000) << 30) == UINT64_C(500) << 30);
}

static void what_goes_counts_no_more_than_what_came(void **state)
{
	struct place *p = *state;
	uint64_t bytes;
	char name[32];
	int fd;

	put(p, "a", 6 * KIB, alice); /* with a block of attributes */
	bytes = usage_bytes_at(p->fd, "a");
	assert_true(bytes >= 8 * KIB && bytes <= 12 * KIB);
	put(p, "empty", 0, alice);
	assert_true(usage_bytes_at(p->fd, "empty") <= 4 * KIB);
	fd = openat(p->fd, "empty", O_WRONLY | O_CLOEXEC);
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, MIB), 0);
	assert_int_equal(usage_bytes_at(fd, ""), 4 * KIB);
	close(fd);
	assert_int_equal(usage_bytes_at(p->fd, "none"), 0);
	assert_int_equal(mkdirat(p->fd, "d", 0700), 0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "d/%020u", i);
		assert_int_equal(mknodat(p->fd, name, S_IFREG | 0600, 0), 0);
	}
	assert_true(usage_bytes_at(p->fd, "d") <= 4 * KIB);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_counts),
		TEST(directories_links_and_held_files_count),
		TEST(files_are_counted),
		TEST(what_was_published_counts_until_it_has_gone),
		TEST(what_was_taken_out_counts_no_more),
		TEST(without_attributes_what_was_sent_counts),
		TEST(a_thread_walks_for_all),
		TEST(what_goes_counts_no_more_than_what_came),
		TEST(claims_go_ahead),
		TEST(nobody_goes_below_the_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
