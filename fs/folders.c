/*
 * Directories by their ids: found, opened, changed. Runs in the threads that
 * receive, through fs/inbox and its parts. The table is fs/folders_table.c's,
 * making fs/folders_make.c's, moving fs/folders_move.c's.
 */
#include "folders.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "folders_internal.h"
#include "meta.h"

bool folders_is_top(const uint8_t id[WIRE_ID_BYTES])
{
	static const uint8_t zeros[WIRE_ID_BYTES];

	return !memcmp(id, zeros, sizeof(zeros));
}

unsigned folders_depth(const char *path)
{
	unsigned depth = 0;

	for (; (path = strchr(path, '/')); path++)
		depth++;
	return depth;
}

void folders_tell(
    struct folders *fo, folders_made *made, folders_gone *gone, void *ctx)
{
	fo->gone = gone;
	fo->made = made;
	fo->ctx = ctx;
}

int folders_new(int top, size_t max, struct folders **ret)
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
	cond_init(&fo->changed);
	LIST_INIT(&fo->senders);
	*ret = fo;
	return 0;
}

void folders_free(struct folders *fo)
{
	struct folder_sender *s;

	if (!fo)
		return;
	mutex_lock(&fo->lock);
	/* From the end of each list: children before their parents. */
	while ((s = LIST_FIRST(&fo->senders)))
		folders_forget_locked(fo, TAILQ_LAST(&s->used, folder_list));
	mutex_unlock(&fo->lock);
	cond_fini(&fo->changed);
	mutex_fini(&fo->lock);
	free(fo);
}

int folders_open_place(
    struct folders *fo, const struct folder_place *at, int *ret_fd)
{
	bool top = !*at->path;
	struct stamp now;
	int fd, r;

	fd = beneath_open(fo->top, top ? "." : at->path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = top ? 0 : stamp_of(fd, &now);
	if (!r && !top && !stamp_same(&at->stamp, &now))
		r = -ESTALE;
	if (r) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

void folders_first_id(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    uint8_t ret[WIRE_ID_BYTES])
{
	struct folder *f;

	mutex_lock(&fo->lock);
	f = folders_resolve(
	    folders_find_locked(fo, folders_sender_locked(fo, sender), id));
	memmove(ret, f ? f->id : id, WIRE_ID_BYTES);
	mutex_unlock(&fo->lock);
}

int folders_find(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES])
{
	bool found;

	mutex_lock(&fo->lock);
	found = folders_find_locked(fo, folders_sender_locked(fo, sender), id);
	mutex_unlock(&fo->lock);
	return found ? 0 : -ENOENT;
}

int folders_hold(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	struct folder_sender *s;

	mutex_lock(&fo->lock);
	s = folders_sender_locked(fo, sender);
	if (s)
		folders_still_locked(fo, s);
	mutex_unlock(&fo->lock);
	return s ? 0 : -ENOENT;
}

void folders_release(
    struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	mutex_lock(&fo->lock);
	folders_end_still_locked(fo, folders_sender_locked(fo, sender));
	mutex_unlock(&fo->lock);
}

/* Where the directory with this id is. The sender's directories are still. */
static int find_place(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct folder_place *ret)
{
	struct folder *f;
	int r = -ENOENT;

	mutex_lock(&fo->lock);
	f = folders_find_locked(fo, folders_sender_locked(fo, sender), id);
	if (f) {
		f->refs++;
		r = folders_wait_locked(fo, f);
		if (!r && f->forgotten)
			r = -ENOENT;
		if (!r) {
			folders_touch_locked(fo, f);
			folders_where_locked(fo, folders_resolve(f), ret);
		}
		folders_unref_locked(fo, f);
	}
	mutex_unlock(&fo->lock);
	return r;
}

int folders_open(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], int *ret_fd, char ret_path[PATH_MAX])
{
	struct folder_place at = { .path = "" };
	int r = 0;

	if (!folders_is_top(id)) {
		r = folders_hold(fo, sender);
		if (r)
			return r;
		r = find_place(fo, sender, id, &at);
	}
	if (!r)
		r = folders_open_place(fo, &at, ret_fd);
	if (!r)
		memcpy(ret_path, at.path, strlen(at.path) + 1);
	if (!folders_is_top(id))
		folders_release(fo, sender);
	return r;
}

int folders_patch(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m, bool durable)
{
	char path[PATH_MAX];
	int fd, r;

	if (folders_is_top(id))
		return -ENOENT;
	r = folders_open(fo, sender, id, &fd, path);
	if (r)
		return r;
	/* r, w and x stay for us, who have to write there. */
	r = meta_ok(m) ? meta_apply(fd, m, 0700) : -EINVAL;
	if (!r && durable && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

int folders_xattr(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x, bool durable)
{
	char path[PATH_MAX];
	int fd, r;

	if (folders_is_top(id))
		return -ENOENT;
	r = folders_open(fo, sender, id, &fd, path);
	if (r)
		return r;
	r = meta_apply_xattr(fd, x);
	if (!r && durable && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}
