/*
 * Resolves nodes to descriptors. A path is walked beneath the backing
 * directory or beneath a descriptor that the kernel holds open, in pieces
 * shorter than PATH_MAX, and what was found is compared with the node: a name
 * that was given to another file behind the mount is never acted upon.
 *
 * Runs in FUSE workers and in the slow thread.
 */
#include "view_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"

/* Each further try needs another rename in the mount at the wrong moment. */
#define RESOLVE_TRIES 100

void view_proc_path(int fd, char buf[VIEW_PROC_MAX])
{
	snprintf(buf, VIEW_PROC_MAX, "/proc/self/fd/%d", fd);
}

static struct timespec to_timespec(const struct statx_timestamp *t)
{
	return (struct timespec){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

static void to_stat(const struct statx *x, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = makedev(x->stx_dev_major, x->stx_dev_minor),
		.st_ino = x->stx_ino,
		.st_mode = x->stx_mode,
		.st_nlink = x->stx_nlink,
		.st_uid = x->stx_uid,
		.st_gid = x->stx_gid,
		.st_rdev = makedev(x->stx_rdev_major, x->stx_rdev_minor),
		.st_size = (off_t)x->stx_size,
		.st_blksize = x->stx_blksize,
		.st_blocks = (blkcnt_t)x->stx_blocks,
		.st_atim = to_timespec(&x->stx_atime),
		.st_mtim = to_timespec(&x->stx_mtime),
		.st_ctim = to_timespec(&x->stx_ctime),
	};
}

static void to_key(const struct statx *x, struct view_key *ret)
{
	*ret = (struct view_key){
		.ino = x->stx_ino,
		.dev_major = x->stx_dev_major,
		.dev_minor = x->stx_dev_minor,
		.type = x->stx_mode & S_IFMT,
	};
	if (x->stx_mask & STATX_BTIME)
		ret->btime_ns =
		    (int64_t)((uint64_t)x->stx_btime.tv_sec * 1000000000u +
			      x->stx_btime.tv_nsec);
}

int view_stat(
    int at, const char *name, struct stat *ret, struct view_key *ret_key)
{
	struct statx x;

	if (statx(at, name,
		AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		STATX_BASIC_STATS | STATX_BTIME, &x) < 0)
		return -errno;
	if (ret != NULL)
		to_stat(&x, ret);
	if (ret_key != NULL)
		to_key(&x, ret_key);
	return 0;
}

/* Cuts path at its last slash below PATH_MAX; *ret_rest is what follows. */
static int cut(char *path, char **ret_rest)
{
	char *slash;

	if (strlen(path) < PATH_MAX) {
		*ret_rest = NULL;
		return 0;
	}
	slash = memrchr(path, '/', PATH_MAX - 1);
	if (slash == NULL)
		return -ENAMETOOLONG;
	*slash = '\0';
	*ret_rest = slash + 1;
	return 0;
}

static int open_path(const struct view *v, const struct view_path *p)
{
	int at = p->base != NULL ? p->base->fd : v->dirfd;
	int fd = -1, next, r;
	char *path = p->path, *rest;

	for (; path != NULL; path = rest) {
		r = cut(path, &rest);
		next = r < 0
			   ? r
			   : beneath_open(at, path,
				 O_PATH | O_CLOEXEC |
				     (rest != NULL ? O_DIRECTORY : O_NOFOLLOW),
				 0);
		if (fd >= 0)
			close(fd);
		if (next < 0)
			return next;
		fd = at = next;
	}
	return fd;
}

static int open_verified(
    const struct view *v, const struct view_path *p, const struct view_node *n)
{
	struct view_key key;
	int fd, r;

	fd = open_path(v, p);
	if (fd < 0)
		return fd;
	r = view_stat(fd, "", NULL, &key);
	if (r == 0 && !view_key_equal(&key, view_node_key(n)))
		r = -ESTALE;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static bool is_gone(int r)
{
	return r == -ENOENT || r == -ESTALE || r == -ENOTDIR || r == -ELOOP;
}

static int resolve(struct view *v, struct view_fd *f)
{
	struct view_path p;
	bool again = true;
	int i, r = -ESTALE;

	for (i = 0; again && i < RESOLVE_TRIES; i++) {
		r = view_path_init(&p, v->nodes, f->node);
		if (r < 0)
			return r;
		if (p.path[0] == '\0' && p.base != NULL) {
			f->fd = p.base->fd;
			f->handle = p.base;
			p.base = NULL;
			view_path_fini(&p, v->nodes);
			return 0;
		}
		r = open_verified(v, &p, f->node);
		view_path_fini(&p, v->nodes);
		again = is_gone(r) && view_nodes_moved(v->nodes, p.generation);
	}
	if (r < 0)
		return r;
	f->fd = r;
	f->own = true;
	return 0;
}

static int open_node(struct view *v, fuse_ino_t ino, struct fuse_file_info *fi,
    struct view_fd *ret)
{
	struct view_fd f = { .fd = -1 };
	int r = 0;

	f.node = view_nodes_get(v->nodes, ino);
	if (f.node == NULL)
		return -ESTALE;
	if (fi != NULL && fi->fh != 0) {
		f.handle = (struct view_handle *)(uintptr_t)fi->fh;
		view_handle_get(v->nodes, f.handle);
		f.fd = f.handle->fd;
	} else if (ino == VIEW_ROOT) {
		f.fd = v->dirfd;
	} else {
		r = resolve(v, &f);
	}
	if (r < 0) {
		view_nodes_put(v->nodes, f.node);
		return r;
	}
	*ret = f;
	return 0;
}

int view_fd_open(struct view *v, fuse_ino_t ino, struct fuse_file_info *fi,
    struct view_fd *ret)
{
	int r = open_node(v, ino, fi, ret);

	return is_gone(r) ? -ESTALE : r;
}

int view_fd_open_parent(struct view *v, fuse_ino_t ino, struct view_fd *ret)
{
	int r = open_node(v, ino, NULL, ret);

	return is_gone(r) && r != -ENOENT ? -ESTALE : r;
}

void view_fd_close(struct view *v, struct view_fd *f)
{
	if (f->own)
		close(f->fd);
	if (f->handle != NULL)
		view_handle_put(v->nodes, f->handle);
	view_nodes_put(v->nodes, f->node);
}

int view_fd_reopen(const struct view_fd *f, int flags)
{
	char path[VIEW_PROC_MAX];
	int fd;

	view_proc_path(f->fd, path);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int view_entry(struct view *v, struct view_fd *dir, const char *name, bool made,
    struct fuse_entry_param *ret)
{
	struct fuse_entry_param e = { .generation = 1 };
	struct view_key key;
	uint64_t id, generation;
	int i, r = VIEW_NODES_AGAIN;

	for (i = 0; r == VIEW_NODES_AGAIN && i < RESOLVE_TRIES; i++) {
		generation = view_nodes_generation(v->nodes);
		r = view_stat(dir->fd, name, &e.attr, &key);
		if (r == 0)
			r = view_nodes_seen(v->nodes, dir->node, name, &key,
			    made, generation, &id);
	}
	if (r != 0)
		return r < 0 ? r : -ESTALE;
	e.ino = id;
	*ret = e;
	return 0;
}

void view_reply_entry(
    struct view *v, fuse_req_t req, int r, const struct fuse_entry_param *e)
{
	if (r < 0)
		view_reply_err(req, r);
	else if (fuse_reply_entry(req, e) != 0)
		view_nodes_forget(v->nodes, e->ino, 1);
}

void view_reply_err(fuse_req_t req, int r)
{
	fuse_reply_err(req, r == -ENOSYS ? EOPNOTSUPP : -r);
}

bool view_is_spool(const struct view_node *dir, const char *name)
{
	return view_node_id(dir) == VIEW_ROOT &&
	       strcasecmp(name, VIEW_SPOOL_NAME) == 0;
}
