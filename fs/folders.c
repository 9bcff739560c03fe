/*
 * The table of made directories. Runs in the threads that receive, through
 * fs/inbox. The lock is never held while the disk is asked: an entry that is
 * being made or looked at is pinned by refs instead.
 */
#include "folders.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "idhash.h"
#include "publish.h"
#include "stamp.h"
#include "sync.h"

TAILQ_HEAD(folder_list, folder);

struct sender {
	LIST_ENTRY(sender) entry;
	unsigned count;
	/* Used last first. A parent always stands before its children. */
	struct folder_list used;
	uint8_t key[IDENTITY_KEY_BYTES];
};

/* All fields are guarded by the table's lock. */
struct folder {
	struct folder *next;   /* in its bucket */
	struct folder *parent; /* NULL: the inbox */
	struct sender *sender;
	TAILQ_ENTRY(folder) used;
	unsigned children; /* entries whose parent this is */
	unsigned refs;     /* threads that hold a pointer without the lock */
	bool done;         /* result, name and stamp are known */
	bool forgotten;    /* in no list: freed with the last ref */
	int result;
	size_t path_len;
	char *name;
	struct stamp stamp;
	uint8_t id[WIRE_ID_BYTES];
};

struct folders {
	int top;
	unsigned max;
	struct idhash hash;
	struct mutex lock;
	struct cond made; /* some entry is done */
	unsigned count GUARDED_BY(lock);
	LIST_HEAD(, sender) senders GUARDED_BY(lock);
	struct folder *buckets[IDHASH_BUCKETS] GUARDED_BY(lock);
};

bool folders_is_top(const uint8_t id[WIRE_ID_BYTES])
{
	static const uint8_t zeros[WIRE_ID_BYTES];

	return !memcmp(id, zeros, sizeof(zeros));
}

int folders_new(int top, unsigned max, struct folders **ret)
{
	struct folders *fo = calloc(1, sizeof(*fo));
	int r;

	if (!fo)
		return -ENOMEM;
	r = idhash_init(&fo->hash);
	if (r) {
		free(fo);
		return r;
	}
	fo->top = top;
	fo->max = max;
	mutex_init(&fo->lock);
	cond_init(&fo->made);
	LIST_INIT(&fo->senders);
	*ret = fo;
	return 0;
}

static void folder_free(struct folder *f)
{
	free(f->name);
	free(f);
}

/* Out of all lists; freed now, or by the last thread that holds it. */
static void forget_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock)
{
	struct folder **at = &fo->buckets[idhash_bucket(&fo->hash, f->id)];
	struct sender *s = f->sender;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (f->parent)
		f->parent->children--;
	TAILQ_REMOVE(&s->used, f, used);
	fo->count--;
	if (!--s->count) {
		LIST_REMOVE(s, entry);
		free(s);
	}
	f->forgotten = true;
	if (!f->refs)
		folder_free(f);
}

void folders_free(struct folders *fo)
{
	struct sender *s;

	if (!fo)
		return;
	mutex_lock(&fo->lock);
	/* From the end of each list: children before their parents. */
	while ((s = LIST_FIRST(&fo->senders)))
		forget_locked(fo, TAILQ_LAST(&s->used, folder_list));
	mutex_unlock(&fo->lock);
	cond_fini(&fo->made);
	mutex_fini(&fo->lock);
	free(fo);
}

static struct folder *find_locked(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
    REQUIRES(fo->lock)
{
	struct folder *f = fo->buckets[idhash_bucket(&fo->hash, id)];

	while (f && (memcmp(f->id, id, WIRE_ID_BYTES) ||
			memcmp(f->sender->key, sender, IDENTITY_KEY_BYTES)))
		f = f->next;
	return f;
}

static void unref_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock)
{
	if (!--f->refs && f->forgotten)
		folder_free(f);
}

/* Waits until f, on which the caller has a ref, is made or not. Its result. */
static int wait_locked(struct folders *fo, struct folder *f) REQUIRES(fo->lock)
{
	while (!f->done)
		cond_wait(&fo->made, &fo->lock);
	return f->result;
}

/* f and all above it have been used: a parent is never older than a child. */
static void touch_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock)
{
	for (; f; f = f->parent) {
		TAILQ_REMOVE(&f->sender->used, f, used);
		TAILQ_INSERT_HEAD(&f->sender->used, f, used);
	}
}

/* The path of f (NULL: the inbox), from its end to its beginning. */
static void path_locked(struct folders *fo, const struct folder *f,
    char ret[PATH_MAX]) REQUIRES(fo->lock)
{
	char *at = ret + (f ? f->path_len : 0);
	size_t len;

	*at = '\0';
	for (; f; f = f->parent) {
		len = strlen(f->name);
		at -= len;
		memcpy(at, f->name, len);
		if (f->parent)
			*--at = '/';
	}
	assert(at == ret);
}

static struct sender *find_sender_locked(struct folders *fo,
    const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(fo->lock)
{
	struct sender *s;

	LIST_FOREACH(s, &fo->senders, entry)
		if (!memcmp(s->key, key, IDENTITY_KEY_BYTES))
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->key, key, IDENTITY_KEY_BYTES);
	TAILQ_INIT(&s->used);
	LIST_INSERT_HEAD(&fo->senders, s, entry);
	return s;
}

/*
 * Forgets one entry. The sender with the most entries pays, so that nobody can
 * push another's directories out.
 */
static int evict_locked(struct folders *fo) REQUIRES(fo->lock)
{
	struct sender *s, *most = NULL;
	struct folder *f;

	LIST_FOREACH(s, &fo->senders, entry)
		if (!most || s->count > most->count)
			most = s;
	if (!most)
		return -EDQUOT;
	TAILQ_FOREACH_REVERSE(f, &most->used, folder_list, used)
	if (f->done && !f->refs && !f->children) {
		forget_locked(fo, f);
		return 0;
	}
	return -EDQUOT;
}

/* A new entry with one ref, not done yet. */
static int insert_locked(struct folders *fo, struct folder *parent,
    const uint8_t key[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct folder **ret) REQUIRES(fo->lock)
{
	struct folder *f, **bucket = &fo->buckets[idhash_bucket(&fo->hash, id)];
	struct sender *s;
	int r;

	if (parent)
		parent->children++; /* and so it is not evicted */
	r = fo->count < fo->max ? 0 : evict_locked(fo);
	if (r)
		goto leave_parent;
	r = -ENOMEM;
	f = calloc(1, sizeof(*f));
	if (!f)
		goto leave_parent;
	s = find_sender_locked(fo, key);
	if (!s)
		goto free_folder;
	memcpy(f->id, id, WIRE_ID_BYTES);
	f->parent = parent;
	f->sender = s;
	f->refs = 1;
	f->next = *bucket;
	*bucket = f;
	TAILQ_INSERT_HEAD(&s->used, f, used);
	s->count++;
	fo->count++;
	touch_locked(fo, parent);
	*ret = f;
	return 0;
free_folder:
	free(f);
leave_parent:
	if (parent)
		parent->children--;
	return r;
}

/* Opens path below the inbox and compares it with what was made there. */
static int open_same(
    int top, const char *path, const struct stamp *made, int *ret_fd)
{
	struct stamp now;
	int fd, r;

	fd = beneath_open(
	    top, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = made ? stamp_of(fd, &now) : 0;
	if (!r && made && !stamp_same(made, &now))
		r = -ESTALE;
	if (r) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int folders_open(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], int *ret_fd, char ret_path[PATH_MAX])
{
	struct stamp made;
	struct folder *f;
	int r = -ENOENT;

	if (folders_is_top(id)) {
		*ret_path = '\0';
		return open_same(fo->top, "", NULL, ret_fd);
	}
	mutex_lock(&fo->lock);
	f = find_locked(fo, sender, id);
	if (f) {
		f->refs++;
		r = wait_locked(fo, f);
		if (!r && f->forgotten)
			r = -ENOENT;
		if (!r) {
			touch_locked(fo, f);
			path_locked(fo, f, ret_path);
			made = f->stamp;
		}
		unref_locked(fo, f);
	}
	mutex_unlock(&fo->lock);
	return r ? r : open_same(fo->top, ret_path, &made, ret_fd);
}

static int take_directory(void *arg, const char *name)
{
	return mkdirat(*(const int *)arg, name, 0700) ? -errno : 0;
}

/*
 * Mode and durability of the directory that was just made at name. The mode is
 * set on the descriptor because of the umask.
 */
static int finish_directory(
    int dir, const char *name, mode_t mode, bool durable, struct stamp *ret)
{
	int fd, r = 0;

	fd = beneath_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	if (fchmod(fd, (mode & 0777) | 0700))
		r = -errno;
	if (!r && durable && (fsync(fd) || fsync(dir)))
		r = -errno;
	if (!r)
		r = stamp_of(fd, ret);
	close(fd);
	return r;
}

static int make_directory(int top, const char *path, const struct stamp *parent,
    const struct wire_mkdir *m, bool durable, char **ret_name,
    struct stamp *ret)
{
	char name[WIRE_NAME_MAX + 1];
	int dir, r;

	r = open_same(top, path, parent, &dir);
	if (r)
		return r;
	r = publish_choose(
	    m->name, PUBLISH_DIRECTORY, !*path, take_directory, &dir, name);
	if (r)
		goto close_dir;
	r = finish_directory(dir, name, (mode_t)m->mode, durable, ret);
	if (!r) {
		*ret_name = strdup(name);
		r = *ret_name ? 0 : -ENOMEM;
	}
	/* It is empty, or somebody has begun to use it: then it stays. */
	if (r)
		(void)unlinkat(dir, name, AT_REMOVEDIR);
close_dir:
	close(dir);
	return r;
}

/*
 * The entry that m asks for: an existing one, with a ref (then *ret_new is
 * false), or a new one to be made in *ret_path.
 */
static int begin_locked(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const struct wire_mkdir *m,
    struct folder **ret, bool *ret_new, char ret_path[PATH_MAX])
    REQUIRES(fo->lock)
{
	struct folder *f = find_locked(fo, sender, m->id), *parent = NULL;
	int r = 0;

	if (!f && !folders_is_top(m->parent)) {
		parent = find_locked(fo, sender, m->parent);
		if (!parent)
			return -ESTALE;
		parent->refs++;
		r = wait_locked(fo, parent);
		/* That may have taken a while. */
		f = find_locked(fo, sender, m->id);
		if (!f && (r || parent->forgotten)) {
			unref_locked(fo, parent);
			return -ESTALE;
		}
	}
	if (f) {
		f->refs++;
		*ret_new = false;
		r = 0;
	} else if ((parent ? parent->path_len + 1 : 0) + WIRE_NAME_MAX + 1 +
		       WIRE_NAME_MAX >=
		   PATH_MAX) {
		r = -ENAMETOOLONG;
	} else {
		r = insert_locked(fo, parent, sender, m->id, &f);
		*ret_new = true;
		path_locked(fo, parent, ret_path);
	}
	if (parent)
		unref_locked(fo, parent);
	if (!r)
		*ret = f;
	return r;
}

int folders_make(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_mkdir *m, bool durable)
{
	char path[PATH_MAX], *name = NULL;
	struct stamp above, made;
	struct folder *f;
	bool is_new, top = folders_is_top(m->parent);
	int r;

	if (folders_is_top(m->id))
		return -EINVAL;
	mutex_lock(&fo->lock);
	r = begin_locked(fo, sender, m, &f, &is_new, path);
	if (r)
		goto unlock;
	if (!is_new) {
		r = wait_locked(fo, f);
		goto unref;
	}
	if (!top)
		above = f->parent->stamp;
	mutex_unlock(&fo->lock);

	r = make_directory(
	    fo->top, path, top ? NULL : &above, m, durable, &name, &made);

	mutex_lock(&fo->lock);
	f->done = true;
	f->result = r;
	if (!r) {
		f->name = name;
		f->stamp = made;
		f->path_len = strlen(path) + !top + strlen(name);
	} else {
		forget_locked(fo, f);
	}
	cond_broadcast(&fo->made);
unref:
	unref_locked(fo, f);
unlock:
	mutex_unlock(&fo->lock);
	return r;
}
