/*
 * What the tests of fs/folders.h and fs/links.h share: a directory as the
 * inbox, one as the spool, things beside them that must never change, and short
 * ways to ask.
 */
#ifndef FOLDERS_FIXTURE_H
#define FOLDERS_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folders.h"
#include "links.h"
#include "sync.h"

#define UNUSED __attribute__((unused))

struct box {
	char home[256];
	int outside; /* descriptors: home */
	int top;     /* home/inbox */
	int spool;   /* home/inbox/.gtfs-spool */
	struct folders *fo;
	struct links *links;
};

static const uint8_t ALICE[IDENTITY_KEY_BYTES] UNUSED = { 0xa1, 1 };
static const uint8_t BOB[IDENTITY_KEY_BYTES] UNUSED = { 0xb0, 2 };

static inline int remove_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void put_at(int dir, const char *path, const char *content)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static inline int open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static inline bool exists(int dir, const char *path)
{
	struct stat st;

	return !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
}

static inline struct stat stat_path(int dir, const char *path)
{
	struct stat st;

	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW))
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static inline void open_box(struct box *b, size_t max)
{
	assert_int_equal(folders_new(b->top, max, &b->fo), 0);
	assert_int_equal(links_new(b->fo, b->spool, 64, &b->links), 0);
}

static inline void close_box(struct box *b)
{
	links_free(b->links);
	folders_free(b->fo);
}

static inline int set_up(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(b);
	snprintf(b->home, sizeof(b->home), "%s/gtfs-folders-XXXXXX",
	    tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(b->home));
	b->outside = open_dir(AT_FDCWD, b->home);
	assert_int_equal(mkdirat(b->outside, "inbox", 0700), 0);
	b->top = open_dir(b->outside, "inbox");
	assert_int_equal(mkdirat(b->top, ".gtfs-spool", 0700), 0);
	b->spool = open_dir(b->top, ".gtfs-spool");
	assert_int_equal(mkdirat(b->outside, "private", 0700), 0);
	put_at(b->outside, "canary", "sings");
	put_at(b->outside, "private/canary", "sings");
	open_box(b, FOLDERS_MAX);
	*state = b;
	return 0;
}

static inline int tear_down(void **state)
{
	struct box *b = *state;

	close_box(b);
	close(b->spool);
	close(b->top);
	close(b->outside);
	nftw(b->home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(b);
	return 0;
}

/* An id that differs for every n; 0: zeros. */
static inline void make_id(unsigned n, uint8_t ret[WIRE_ID_BYTES])
{
	memset(ret, n ? 0x5a : 0, WIRE_ID_BYTES);
	memcpy(ret, &n, sizeof(n));
}

static inline int make(struct box *b, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name)
{
	struct wire_mkdir m = { .mode = 0755 };

	make_id(id, m.id);
	make_id(parent, m.parent);
	snprintf(m.name, sizeof(m.name), "%s", name);
	return folders_make(b->fo, sender, &m, false);
}

static inline struct wire_rename to(
    unsigned id, unsigned parent, const char *name)
{
	struct wire_rename m = { .req = 1 };

	make_id(id, m.id);
	make_id(parent, m.parent);
	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

static inline int move_dir(struct box *b, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name)
{
	struct wire_rename m = to(id, parent, name);

	return folders_rename(b->fo, sender, &m, false);
}

static inline int withdraw_dir(
    struct box *b, const uint8_t *sender, unsigned id)
{
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	return folders_withdraw(b->fo, sender, bytes, false);
}

/* The descriptor, or -errno. */
static inline int open_id(
    struct box *b, const uint8_t *sender, unsigned id, char ret_path[PATH_MAX])
{
	uint8_t bytes[WIRE_ID_BYTES];
	int fd, r;

	make_id(id, bytes);
	r = folders_open(b->fo, sender, bytes, &fd, ret_path);
	return r ? r : fd;
}

/* The result of opening id; 0 means that it is the directory at path. */
static inline int where(
    struct box *b, const uint8_t *sender, unsigned id, const char *path)
{
	char got[PATH_MAX];
	struct stat st, there;
	int fd = open_id(b, sender, id, got);

	if (fd < 0)
		return fd;
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_string_equal(got, path);
	there = stat_path(b->top, path);
	assert_int_equal(st.st_ino, there.st_ino);
	return 0;
}

static inline int make_link(struct box *b, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name, const char *target)
{
	struct wire_symlink m = { .bytes = (const uint8_t *)target,
		.len = strlen(target) };

	make_id(id, m.id);
	make_id(parent, m.parent);
	snprintf(m.name, sizeof(m.name), "%s", name);
	return links_make(b->links, sender, &m, false);
}

static inline int move_link(struct box *b, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name)
{
	struct wire_rename m = to(id, parent, name);

	return links_rename(b->links, sender, &m, false);
}

static inline int withdraw_link(
    struct box *b, const uint8_t *sender, unsigned id)
{
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	return links_withdraw(b->links, sender, bytes, false);
}

static inline void assert_link(int dir, const char *path, const char *target)
{
	char got[PATH_MAX];
	ssize_t len = readlinkat(dir, path, got, sizeof(got) - 1);

	if (len < 0)
		fail_msg("%s: %s", path, strerror(errno));
	got[len] = '\0';
	assert_string_equal(got, target);
}

/* The number of entries, the spool not counted. */
static inline int entries(int at, const char *path)
{
	const struct dirent *e;
	DIR *d = fdopendir(open_dir(at, path));
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		     strcmp(e->d_name, ".gtfs-spool");
	closedir(d);
	return n;
}

/* A listing of everything in the home but the inbox, with what can change. */
static char listing[16384];
static const char *listing_home;

static inline int list_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t used = strlen(listing), skip = strlen(listing_home);

	(void)type;
	(void)ftw;
	if (strncmp(path + skip, "/inbox", 6) != 0)
		snprintf(listing + used, sizeof(listing) - used,
		    "%s %o %ld %ld.%ld %ld.%ld\n", path, st->st_mode,
		    (long)st->st_size, (long)st->st_mtim.tv_sec,
		    st->st_mtim.tv_nsec, (long)st->st_ctim.tv_sec,
		    st->st_ctim.tv_nsec);
	return 0;
}

static inline char *list_outside(struct box *b)
{
	listing[0] = '\0';
	listing_home = b->home;
	assert_int_equal(nftw(b->home, list_one, 16, FTW_PHYS), 0);
	return strdup(listing);
}

#endif
