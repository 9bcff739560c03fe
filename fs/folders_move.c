/*
 * Renaming directories and taking them back. Runs in the threads that receive.
 * Who does either is alone with the sender's directories (folders_internal.h),
 * so every entry of the sender is done, and the table is changed only after
 * the disk, before anybody looks at a path again. Files on their way into a
 * directory have it open, and arrive in it wherever it goes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "folders_internal.h"
#include "linkwalk.h"
#include "publish.h"
#include "usage.h"

/* What " (10000)" adds to a name. */
#define NUMBER_MAX 8

/* A rename, or a withdrawal, which needs little of it. */
struct moving {
	const uint8_t *id;     /* of a withdrawal, as asked for */
	const uint8_t *parent; /* as asked for */
	const char *want;
	bool durable;
	struct folder_place above; /* where it is in */
	const char *name;          /* its name there */
	const struct stamp *stamp;
	struct folder_place to;    /* where it goes */
	const struct folder *over; /* what was wanted there; or NULL */
	unsigned was, is;          /* the depth of what is directly in it */
	int from_fd, to_fd;
	/* The results: */
	bool replaced;       /* over is gone */
	bool removed;        /* it is gone itself */
	uint64_t gone_bytes; /* what counts no more, if one of the two is so */
	char got[WIRE_NAME_MAX + 1];
};

/*
 * Without RENAME_NOREPLACE (rename(2): EINVAL where the file system has none) a
 * new, empty directory takes the name, which is then replaced. rename(2) does
 * that to nothing else.
 */
static int rename_no_replace(
    int from, const char *name, int to, const char *new_name)
{
	int r;

	if (!renameat2(from, name, to, new_name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (mkdirat(to, new_name, 0700))
		return -errno;
	if (!renameat(from, name, to, new_name))
		return 0;
	r = -errno;
	(void)unlinkat(to, new_name, AT_REMOVEDIR);
	return r;
}

/* Is this another name, or place, than it has? */
static bool moves(const struct moving *mv, const char *name)
{
	return strcmp(mv->above.path, mv->to.path) || strcmp(mv->name, name);
}

static int take_name(void *arg, const char *name)
{
	const struct moving *mv = arg;

	/* Where it has the name already, that is no reason for another one. */
	if (!moves(mv, name))
		return 0;
	return rename_no_replace(mv->from_fd, mv->name, mv->to_fd, name);
}

/* 0, 1 (it is not there, or not empty any more), or -errno. */
static int replace_empty(struct moving *mv)
{
	struct stamp now;
	int r;

	if (!mv->over)
		return 1;
	r = stamp_at(mv->to_fd, mv->over->name, &now);
	if (r || !stamp_same(&mv->over->stamp, &now))
		return r == -ENOENT ? 1 : r ? r : 1;
	mv->gone_bytes = usage_bytes_at(mv->to_fd, mv->over->name);
	/* Replaces a directory only if it is empty (rename(2)), so that the
	 * worst that a race can cost is an empty one. */
	if (renameat(mv->from_fd, mv->name, mv->to_fd, mv->over->name))
		return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
			   ? 1
			   : -errno;
	mv->replaced = true;
	snprintf(mv->got, sizeof(mv->got), "%s", mv->over->name);
	return 0;
}

struct back {
	int from_fd;
	const char *from;
	int to_fd;
};

static int take_back(void *arg, const char *name)
{
	const struct back *b = arg;

	return renameat2(b->from_fd, b->from, b->to_fd, name, RENAME_NOREPLACE)
		   ? -errno
		   : 0;
}

/* What has moved goes where it came from, or beside what stands there now. */
static void move_back(const struct moving *mv)
{
	struct back b = { mv->to_fd, mv->got, mv->from_fd };
	char name[WIRE_NAME_MAX + 1];

	(void)publish_choose(
	    mv->name, PUBLISH_DIRECTORY, !*mv->above.path, take_back, &b, name);
}

/* The directory is in its place, and its links may go where it goes. */
static int check_before(const struct moving *mv)
{
	struct stamp now;
	int fd, r;

	fd = beneath_open(
	    mv->from_fd, mv->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = stamp_of(fd, &now);
	if (!r && !stamp_same(mv->stamp, &now))
		r = -ESTALE;
	if (!r)
		r = linkwalk_check(fd, mv->was, mv->is, LINKWALK_MAX);
	close(fd);
	return r;
}

static int move_between(struct moving *mv)
{
	struct stamp now;
	int r;

	r = check_before(mv);
	if (r)
		return r;
	r = replace_empty(mv);
	if (r > 0)
		r = publish_choose(mv->want, PUBLISH_DIRECTORY, !*mv->to.path,
		    take_name, mv, mv->got);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	/* Was it what we had looked at? Somebody may have been faster. */
	r = stamp_at(mv->to_fd, mv->got, &now);
	if (!r && !stamp_same(mv->stamp, &now))
		r = -ESTALE;
	if (!r && mv->durable && (fsync(mv->to_fd) || fsync(mv->from_fd)))
		r = -errno;
	if (r)
		move_back(mv);
	return r == -ENOENT ? -ESTALE : r;
}

static int move_on_disk(struct folders *fo, struct moving *mv)
{
	int r;

	r = folders_open_place(fo, &mv->above, &mv->from_fd);
	if (r)
		return r;
	r = folders_open_place(fo, &mv->to, &mv->to_fd);
	if (r)
		goto close_from;
	r = move_between(mv);
	close(mv->to_fd);
close_from:
	close(mv->from_fd);
	return r;
}

/*
 * Has everything below f room for its path, and one more name, in to
 * (-ENAMETOOLONG)? And is it not too deep there (-EDQUOT)?
 */
static int paths_fit_locked(struct folders *fo, struct folder *f,
    const struct folder *to, const char *want) REQUIRES(fo->lock)
{
	size_t len = strlen(want) + NUMBER_MAX, longest = 0;
	unsigned deepest = 0;
	struct folder *below;

	(void)fo;
	for (below = f; below; below = folders_next_below(below, f))
		if (!below->alias) {
			if (below->path_len > longest)
				longest = below->path_len;
			if (folders_level(below) > deepest)
				deepest = folders_level(below);
		}
	if (len > WIRE_NAME_MAX)
		len = WIRE_NAME_MAX;
	if (folders_level(to) + 1 + deepest - folders_level(f) >
	    FOLDERS_DEPTH_MAX)
		return -EDQUOT;
	if ((to ? to->path_len + 1 : 0) + len + (longest - f->path_len) + 1 +
		WIRE_NAME_MAX >=
	    PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int plan_locked(struct folders *fo, struct folder *f, struct folder *to,
    struct moving *mv) REQUIRES(fo->lock)
{
	int r;

	for (const struct folder *a = to; a; a = a->parent)
		if (a == f)
			return -EINVAL;
	r = paths_fit_locked(fo, f, to, mv->want);
	if (r)
		return r;
	folders_where_locked(fo, f->parent, &mv->above);
	folders_where_locked(fo, to, &mv->to);
	mv->name = f->name;
	mv->stamp = &f->stamp;
	mv->over = folders_wanted_locked(fo, f->sender, to, mv->want);
	mv->was = f->parent ? folders_depth(mv->above.path) + 1 : 0;
	mv->is = to ? folders_depth(mv->to.path) + 1 : 0;
	return 0;
}

/* f, which the disk has lost, and all that was below it. */
static void forget_tree_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock)
{
	while (!LIST_EMPTY(&f->children)) {
		struct folder *last = LIST_FIRST(&f->children);

		while (!LIST_EMPTY(&last->children))
			last = LIST_FIRST(&last->children);
		folders_forget_locked(fo, last);
	}
	folders_forget_locked(fo, f);
}

/*
 * Moves f, with the lock given up meanwhile. The fields of f, over and to that
 * the plan points to stay as they are: nobody else is alone, and what has a ref
 * is not evicted.
 */
static int move_locked(struct folders *fo, struct folder *f, struct folder *to,
    struct moving *mv) REQUIRES(fo->lock)
{
	struct folder *over;
	char *name, *fit, *want;
	int r;

	r = plan_locked(fo, f, to, mv);
	if (r)
		return r;
	over = folders_wanted_locked(fo, f->sender, to, mv->want);
	f->refs++;
	if (over)
		over->refs++;
	if (to)
		to->refs++;
	mutex_unlock(&fo->lock);
	want = strdup(mv->want);
	name = malloc(WIRE_NAME_MAX + 1);
	r = want && name ? move_on_disk(fo, mv) : -ENOMEM;
	mutex_lock(&fo->lock);
	f->refs--;
	if (over)
		over->refs--;
	if (to)
		to->refs--;
	if (over && mv->replaced)
		forget_tree_locked(fo, over);
	if (r) {
		free(want);
		free(name);
		return r;
	}
	memcpy(name, mv->got, strlen(mv->got) + 1);
	fit = realloc(name, strlen(name) + 1);
	if (fit)
		name = fit;
	folders_place_locked(fo, f, to, name, want);
	return 0;
}

/*
 * Changes the directory with this id, alone: with the lock, which how may
 * give up meanwhile. Its result, or -ENOENT.
 */
static int change(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES],
    int (*how)(struct folders *fo, struct folder *f, struct moving *mv),
    struct moving *mv)
{
	struct folder_sender *s;
	struct folder *f;
	int r = -ENOENT;

	mutex_lock(&fo->lock);
	s = folders_sender_locked(fo, sender);
	if (s) {
		folders_alone_locked(fo, s);
		f = folders_resolve(folders_find_locked(fo, s, id));
		assert(!f || f->done);
		if (f)
			r = how(fo, f, mv);
		folders_end_alone_locked(fo, s);
	}
	mutex_unlock(&fo->lock);
	if ((mv->replaced || mv->removed) && fo->gone)
		fo->gone(fo->ctx, sender, mv->gone_bytes);
	return r;
}

static int rename_locked(
    struct folders *fo, struct folder *f, struct moving *mv) REQUIRES(fo->lock)
{
	struct folder *to =
	    folders_resolve(folders_find_locked(fo, f->sender, mv->parent));

	if (!to && !folders_is_top(mv->parent))
		return -ESTALE;
	if (f->parent == to && !strcmp(f->want, mv->want))
		return 0; /* done before */
	return move_locked(fo, f, to, mv);
}

int folders_rename(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_rename *m, bool durable)
{
	struct moving mv = {
		.parent = m->parent, .want = m->name, .durable = durable
	};

	return change(fo, sender, m->id, rename_locked, &mv);
}

static int remove_on_disk(
    struct folders *fo, const struct folder *f, struct moving *mv)
{
	struct stamp now;
	int dir, r;

	r = folders_open_place(fo, &mv->above, &dir);
	if (r)
		return r;
	r = stamp_at(dir, f->name, &now);
	if (!r && !stamp_same(&f->stamp, &now))
		r = -ESTALE;
	mv->gone_bytes = usage_bytes_at(dir, f->name);
	/* rmdir(2) removes only what is empty, as rename(2) above. */
	if (!r && unlinkat(dir, f->name, AT_REMOVEDIR))
		r = errno == EEXIST    ? -ENOTEMPTY
		    : errno == ENOTDIR ? -ESTALE
				       : -errno;
	mv->removed = !r;
	if (!r && mv->durable && fsync(dir))
		r = -errno;
	close(dir);
	return r == -ENOENT ? -ESTALE : r;
}

/* The entry with the id that f has got last. */
static const struct folder *newest_locked(
    struct folders *fo, const struct folder *f) REQUIRES(fo->lock)
{
	const struct folder *below;

	(void)fo;
	LIST_FOREACH(below, &f->children, sibling)
		if (below->alias)
			return below;
	return f;
}

static int withdraw_locked(
    struct folders *fo, struct folder *f, struct moving *mv) REQUIRES(fo->lock)
{
	int r;

	/* Made again meanwhile, it is in use again. */
	if (memcmp(newest_locked(fo, f)->id, mv->id, WIRE_ID_BYTES) != 0)
		return 0;
	folders_where_locked(fo, f->parent, &mv->above);
	f->refs++;
	mutex_unlock(&fo->lock);
	r = remove_on_disk(fo, f, mv);
	mutex_lock(&fo->lock);
	f->refs--;
	if (mv->removed)
		forget_tree_locked(fo, f);
	return r;
}

int folders_withdraw(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    bool durable)
{
	struct moving mv = { .id = id, .durable = durable };

	return change(fo, sender, id, withdraw_locked, &mv);
}
