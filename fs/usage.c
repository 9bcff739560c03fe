/*
 * A table of peers behind one lock; the walk collects into a table of its own,
 * without the lock, which then takes the place of the old counts. It runs in
 * the thread "usage", so that who is refused need not wait for all of a large
 * inbox. What is published or replaced during a walk may be counted twice until
 * the next one: that refuses too early, and not for long.
 */
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "sync.h"
#include "usage_walk.h"

#define PAGE UINT64_C(4096)

/* A walk that takes a second is followed by none for twenty. */
#define REST 20

struct usage {
	int fd;
	const char *spool;
	bool has_attributes;
	bool started;
	pthread_t thread;
	atomic_bool stopping;
	struct mutex lock;
	struct cond changed;
	struct usage_table table GUARDED_BY(lock);
	unsigned walks GUARDED_BY(lock); /* that have ended */
	bool walking GUARDED_BY(lock);
	bool wanted GUARDED_BY(lock);
	int64_t rest_until_ms GUARDED_BY(lock);
};

struct usage *usage_new(int inbox_fd, const char *spool)
{
	struct usage *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->fd = inbox_fd;
	u->spool = spool;
	u->has_attributes = usage_walk_finds(inbox_fd);
	mutex_init(&u->lock);
	cond_init(&u->changed);
	return u;
}

static uint64_t sum(uint64_t a, int64_t b)
{
	return b < 0 && a < (uint64_t)-b ? 0 : a + (uint64_t)b;
}

/* What was found takes the place of what was known. */
static void adopt_locked(struct usage *u, const struct usage_table *found)
    REQUIRES(u->lock)
{
	struct usage_table *t = &u->table;

	for (unsigned i = 0; i < found->n; i++)
		(void)usage_find_or_add(t, found->counts[i].peer);
	for (unsigned i = 0; i < t->n; i++) {
		struct usage_count *c = &t->counts[i];
		const struct usage_count *f = usage_find(found, c->peer);

		if (u->has_attributes) {
			c->bytes = sum(f ? f->bytes : 0, c->since_bytes);
			c->files = sum(f ? f->files : 0, c->since_files);
		} else {
			if (c->bytes > found->bytes)
				c->bytes = found->bytes;
			if (c->files > found->files)
				c->files = found->files;
		}
	}
}

/* Nobody else walks. */
static void walk_and_adopt(struct usage *u)
{
	struct usage_table found = { 0 };
	int64_t began = now_ms(), rest;

	mutex_lock(&u->lock);
	for (unsigned i = 0; i < u->table.n; i++)
		u->table.counts[i].since_bytes =
		    u->table.counts[i].since_files = 0;
	mutex_unlock(&u->lock);
	usage_walk(u->fd, u->spool, &u->stopping, &found);
	rest = REST * (now_ms() - began);
	mutex_lock(&u->lock);
	adopt_locked(u, &found);
	u->rest_until_ms =
	    now_ms() + (rest < USAGE_WALK_MS ? rest : USAGE_WALK_MS);
	u->walks++;
	u->walking = false;
	cond_broadcast(&u->changed);
	mutex_unlock(&u->lock);
	free(found.counts);
}

/* The thread "usage". */
static void *run(void *arg)
{
	struct usage *u = arg;

	while (!atomic_load(&u->stopping)) {
		mutex_lock(&u->lock);
		while (!u->wanted && !atomic_load(&u->stopping))
			cond_wait(&u->changed, &u->lock);
		u->wanted = false;
		mutex_unlock(&u->lock);
		if (!atomic_load(&u->stopping))
			walk_and_adopt(u);
	}
	return NULL;
}

int usage_start(struct usage *u)
{
	int r;

	mutex_lock(&u->lock);
	u->wanted = u->walking = true;
	mutex_unlock(&u->lock);
	r = thread_start(&u->thread, "usage", run, u);
	u->started = !r;
	return r;
}

void usage_free(struct usage *u) NO_THREAD_ANALYSIS
{
	if (!u)
		return;
	if (u->started) {
		mutex_lock(&u->lock);
		atomic_store(&u->stopping, true);
		cond_broadcast(&u->changed);
		mutex_unlock(&u->lock);
		pthread_join(u->thread, NULL);
	}
	free(u->table.counts);
	cond_fini(&u->changed);
	mutex_fini(&u->lock);
	free(u);
}

/* Is it time for a walk? Then the thread begins one; true: the caller is to. */
static bool begin_walk_locked(struct usage *u) REQUIRES(u->lock)
{
	if (u->walking || (u->walks && now_ms() < u->rest_until_ms))
		return false;
	u->walking = true;
	u->wanted = u->started;
	cond_broadcast(&u->changed);
	return !u->started;
}

/*
 * Makes what is known as new as may be. What comes too late for this caller is
 * there for the next.
 */
static void refresh(struct usage *u)
{
	int64_t until = now_ms() + USAGE_WAIT_MS;
	unsigned before;
	bool walks;

	mutex_lock(&u->lock);
	before = u->walks;
	walks = begin_walk_locked(u);
	while (u->walking && !walks && u->walks == before)
		if (cond_wait_until(&u->changed, &u->lock, until))
			break;
	mutex_unlock(&u->lock);
	if (walks)
		walk_and_adopt(u);
}

/* --- what is allowed ------------------------------------------------------
 */

uint64_t usage_floor(uint64_t total_bytes)
{
	uint64_t part = total_bytes / 100 * USAGE_FLOOR_PERCENT;

	return part < USAGE_FLOOR_MAX ? part : USAGE_FLOOR_MAX;
}

uint64_t usage_default(uint64_t total_bytes)
{
	uint64_t part = total_bytes / 100 * USAGE_PERCENT;

	return part > USAGE_BYTES_LEAST ? part : USAGE_BYTES_LEAST;
}

/* What the disk has above its floor, and all of it. */
static int disk(const struct usage *u, struct statvfs *ret, uint64_t *ret_room)
{
	uint64_t room, least;

	if (fstatvfs(u->fd, ret) < 0)
		return -errno;
	room = (uint64_t)ret->f_bavail * ret->f_frsize;
	least = usage_floor((uint64_t)ret->f_blocks * ret->f_frsize);
	*ret_room = room > least ? room - least : 0;
	if (!ret->f_blocks) /* ramfs, and what is mounted over a network */
		*ret_room = INT64_MAX;
	return 0;
}

/* A file system that makes inodes as it needs them says 0 of them. */
static bool has_inodes(const struct statvfs *st)
{
	return !st->f_files ||
	       st->f_favail > st->f_files / 100 * USAGE_FLOOR_PERCENT;
}

static struct usage_limits fill_in(
    const struct usage_limits *limits, const struct statvfs *st)
{
	struct usage_limits all = *limits;

	if (!all.bytes && !st->f_blocks)
		all.bytes = UINT64_MAX;
	if (!all.bytes)
		all.bytes =
		    usage_default((uint64_t)st->f_blocks * st->f_frsize);
	if (!all.files)
		all.files = USAGE_FILES_DEFAULT;
	return all;
}

/* Bytes that the peer may have besides those that counted leaves out. */
static uint64_t left_locked(struct usage *u, const char *peer, uint64_t limit,
    uint64_t except) REQUIRES(u->lock)
{
	const struct usage_count *c = usage_find(&u->table, peer);
	uint64_t used = c ? c->bytes + c->open_bytes - except : 0;

	return used < limit ? limit - used : 0;
}

static bool fits(struct usage *u, const char *peer,
    const struct usage_limits *limits, uint64_t bytes, uint64_t files)
{
	const struct usage_count *c;
	uint64_t has;
	bool fits;

	mutex_lock(&u->lock);
	c = usage_find(&u->table, peer);
	has = c ? c->files + c->open_files : 0;
	fits =
	    bytes <= left_locked(u, peer, limits->bytes, 0) &&
	    (!files || (has < limits->files && files <= limits->files - has));
	/* Where nobody has counted yet, it is not known. */
	fits = fits && (u->started || u->walks);
	mutex_unlock(&u->lock);
	return fits;
}

static int may(struct usage *u, const char *peer,
    const struct usage_limits *wanted, uint64_t bytes, uint64_t files,
    struct usage_limits *ret)
{
	struct usage_limits limits;
	struct statvfs st;
	uint64_t room;
	int r = disk(u, &st, &room);

	if (r)
		return r;
	if (!room || bytes > room || (files && !has_inodes(&st)))
		return -ENOSPC;
	limits = fill_in(wanted, &st);
	if (!fits(u, peer, &limits, bytes, files)) {
		refresh(u);
		if (!fits(u, peer, &limits, bytes, files))
			return -EDQUOT;
	}
	*ret = limits;
	return 0;
}

int usage_may(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, uint64_t bytes, uint64_t files)
{
	char name[FINGERPRINT_CHARS];
	struct usage_limits all;

	identity_fingerprint(peer, name);
	return may(u, name, limits, bytes, files, &all);
}

/* --- what there is --------------------------------------------------------
 */

static void change_locked(struct usage *u, const char *peer, int64_t bytes,
    int64_t files) REQUIRES(u->lock)
{
	struct usage_count *c = usage_find_or_add(&u->table, peer);

	if (!c)
		return;
	c->bytes = sum(c->bytes, bytes);
	c->files = sum(c->files, files);
	c->since_bytes += bytes;
	c->since_files += files;
}

static void change(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    int64_t bytes, int64_t files)
{
	char name[FINGERPRINT_CHARS];

	identity_fingerprint(peer, name);
	mutex_lock(&u->lock);
	change_locked(u, name, bytes, files);
	mutex_unlock(&u->lock);
}

void usage_add(
    struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES], uint64_t bytes)
{
	change(u, peer, (int64_t)bytes, 1);
}

void usage_forget(
    struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES], uint64_t bytes)
{
	change(u, peer, -(int64_t)bytes, -1);
}

uint64_t usage_bytes_at(int dir, const char *name)
{
	uint64_t has, most = PAGE;
	struct stat st;

	if (fstatat(dir, name, &st,
		AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return 0;
	has = (uint64_t)st.st_blocks * 512;
	if (!S_ISDIR(st.st_mode))
		most += ((uint64_t)st.st_size + PAGE - 1) / PAGE * PAGE;
	return has < most ? has : most;
}

/* --- claims ---------------------------------------------------------------
 */

int usage_begin(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_claim *ret)
{
	struct usage_claim claim = { 0 };
	char name[FINGERPRINT_CHARS];
	struct usage_count *c;
	int r;

	identity_fingerprint(peer, name);
	r = may(u, name, limits, 0, 1, &claim.limits);
	if (r)
		return r;
	memcpy(claim.peer, peer, sizeof(claim.peer));
	mutex_lock(&u->lock);
	c = usage_find_or_add(&u->table, name);
	if (c)
		c->open_files++;
	mutex_unlock(&u->lock);
	claim.open = c != NULL;
	*ret = claim;
	return 0;
}

/* Between least and most, or nothing: false. */
static bool take(
    struct usage *u, struct usage_claim *c, uint64_t least, uint64_t most)
{
	char name[FINGERPRINT_CHARS];
	struct usage_count *count;
	uint64_t left;
	bool fits = true;

	identity_fingerprint(c->peer, name);
	mutex_lock(&u->lock);
	count = c->open ? usage_find(&u->table, name) : NULL;
	if (count) {
		left = left_locked(u, name, c->limits.bytes, c->bytes);
		fits = least <= left || least <= c->bytes;
		if (most > left)
			most = least > left ? least : left;
	}
	if (count && fits)
		count->open_bytes += most - c->bytes; /* modulo 2^64 */
	if (fits)
		c->bytes = most;
	mutex_unlock(&u->lock);
	return fits;
}

int usage_grow(
    struct usage *u, struct usage_claim *c, uint64_t has, uint64_t need)
{
	uint64_t room, ahead = 0;
	struct statvfs st;
	int r;

	if (need) {
		r = disk(u, &st, &room);
		if (r)
			return r;
		if (need > room)
			return -ENOSPC;
		ahead = room - need < USAGE_AHEAD ? room - need : USAGE_AHEAD;
	}
	if (take(u, c, has + need, has + need + ahead))
		return 0;
	refresh(u);
	return take(u, c, has + need, has + need + ahead) ? 0 : -EDQUOT;
}

static void end_claim(
    struct usage *u, struct usage_claim *c, int64_t bytes, int64_t files)
{
	char name[FINGERPRINT_CHARS];
	struct usage_count *count;

	if (!c->open)
		return;
	identity_fingerprint(c->peer, name);
	mutex_lock(&u->lock);
	count = usage_find(&u->table, name);
	if (count) {
		count->open_files--;
		count->open_bytes -= c->bytes;
		change_locked(u, name, bytes, files);
	}
	mutex_unlock(&u->lock);
	c->open = false;
	c->bytes = 0;
}

void usage_publish(struct usage *u, struct usage_claim *c, uint64_t bytes)
{
	end_claim(u, c, (int64_t)bytes, 1);
}

void usage_drop(struct usage *u, struct usage_claim *c)
{
	end_claim(u, c, 0, 0);
}

void usage_of(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    uint64_t *ret_bytes, uint64_t *ret_files)
{
	char name[FINGERPRINT_CHARS];
	const struct usage_count *c;

	identity_fingerprint(peer, name);
	mutex_lock(&u->lock);
	c = usage_find(&u->table, name);
	*ret_bytes = c ? c->bytes + c->open_bytes : 0;
	*ret_files = c ? c->files + c->open_files : 0;
	mutex_unlock(&u->lock);
}

int usage_share(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_share *ret)
{
	struct statvfs st;
	uint64_t room;
	int r = disk(u, &st, &room);

	if (r)
		return r;
	ret->may = fill_in(limits, &st);
	ret->disk_full = !room || !has_inodes(&st);
	ret->floor = usage_floor((uint64_t)st.f_blocks * st.f_frsize);
	usage_of(u, peer, &ret->bytes, &ret->files);
	mutex_lock(&u->lock);
	if (u->started)
		(void)begin_walk_locked(u);
	mutex_unlock(&u->lock);
	return 0;
}
