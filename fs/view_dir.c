/*
 * Listing directories of the view. Offsets are those of the backing directory
 * (d_off), so a stream can be continued from any of them; a buffer of entries
 * is kept with each open directory, because the kernel asks in small pieces.
 *
 * Runs in FUSE workers.
 */
#include "view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync.h"
#include "view_fd.h"

#define STREAM_BYTES (32 * 1024)
/* Of one answer: bounds what a request can make us allocate. */
#define REPLY_MAX (256 * 1024)

/*
 * The kernel reads an open directory in one call at a time; the lock is for
 * what is not the kernel's promise to us, and no other thread wants it.
 */
struct view_stream {
	struct mutex lock;
	off_t off GUARDED_BY(lock); /* of the entry at pos */
	size_t pos GUARDED_BY(lock);
	size_t len GUARDED_BY(lock);
	_Alignas(struct dirent64) char buf[STREAM_BYTES] GUARDED_BY(lock);
};

static struct view_stream *stream_new(void)
{
	struct view_stream *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	mutex_init(&s->lock);
	mutex_lock(&s->lock);
	s->off = 0;
	s->pos = s->len = 0;
	mutex_unlock(&s->lock);
	return s;
}

void view_stream_free(struct view_stream *s)
{
	if (s == NULL)
		return;
	mutex_fini(&s->lock);
	free(s);
}

static int open_dir(struct view *v, fuse_ino_t ino, struct view_handle **ret)
{
	struct view_stream *s;
	struct view_fd f;
	int fd, r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r < 0)
		return r;
	fd = openat(f.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	view_fd_close(v, &f);
	if (r < 0)
		return r;
	s = stream_new();
	if (s == NULL) {
		close(fd);
		return -ENOMEM;
	}
	return view_handle_new(v->nodes, ino, fd, s, ret);
}

void view_opendir(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view_handle *h;
	int r = open_dir(v, ino, &h);

	if (r < 0) {
		view_reply_err(req, r);
		return;
	}
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi) != 0)
		view_handle_put(v->nodes, h);
}

void view_releasedir(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	view_release(v, req, ino, fi);
}

/* Goes to off unless there; the beginning is always read anew (rewinddir). */
static int seek_locked(struct view_stream *s, int fd, off_t off)
    REQUIRES(s->lock)
{
	if (off == s->off && off != 0)
		return 0;
	if (lseek(fd, off, SEEK_SET) < 0)
		return -errno;
	s->off = off;
	s->pos = s->len = 0;
	return 0;
}

/* The entry at the stream's place; *ret is NULL at the end. 0 or -errno. */
static int peek_locked(struct view_stream *s, int fd, struct dirent64 **ret)
    REQUIRES(s->lock)
{
	ssize_t n;

	if (s->pos >= s->len) {
		n = getdents64(fd, s->buf, sizeof(s->buf));
		if (n < 0)
			return -errno;
		s->pos = 0;
		s->len = (size_t)n;
	}
	*ret = s->pos < s->len ? (struct dirent64 *)(void *)(s->buf + s->pos)
			       : NULL;
	return 0;
}

static void next_locked(struct view_stream *s, const struct dirent64 *d)
    REQUIRES(s->lock)
{
	s->off = d->d_off;
	s->pos += d->d_reclen;
}

/* One answer being put together. */
struct reply {
	fuse_req_t req;
	char *buf;
	size_t size;
	size_t used;
	bool plus;
	fuse_ino_t *ids; /* lookups counted in it */
	size_t nids;
};

static int reply_init(struct reply *rep, fuse_req_t req, size_t size, bool plus)
{
	struct stat st = { 0 };
	struct fuse_entry_param e = { 0 };
	size_t least;

	*rep = (struct reply){ .req = req, .size = size, .plus = plus };
	if (rep->size > REPLY_MAX)
		rep->size = REPLY_MAX;
	least = plus ? fuse_add_direntry_plus(req, NULL, 0, "", &e, 0)
		     : fuse_add_direntry(req, NULL, 0, "", &st, 0);
	rep->buf = malloc(rep->size > 0 ? rep->size : 1);
	if (plus)
		rep->ids = calloc(rep->size / least + 1, sizeof(*rep->ids));
	if (rep->buf == NULL || (plus && rep->ids == NULL)) {
		free(rep->buf);
		free(rep->ids);
		return -ENOMEM;
	}
	return 0;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' &&
	       (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static bool has_room(const struct reply *rep, const char *name)
{
	size_t need =
	    rep->plus ? fuse_add_direntry_plus(rep->req, NULL, 0, name, NULL, 0)
		      : fuse_add_direntry(rep->req, NULL, 0, name, NULL, 0);

	return need <= rep->size - rep->used;
}

/*
 * There is room. With attributes the kernel counts a lookup of each entry but
 * . and .., and of those with node id 0, which it will look up by itself.
 */
static void add(struct view *v, struct reply *rep, struct view_fd *dir,
    const struct dirent64 *d)
{
	struct fuse_entry_param e = {
		.attr.st_ino = d->d_ino,
		.attr.st_mode = DTTOIF(d->d_type),
	};
	char *at = rep->buf + rep->used;
	size_t room = rep->size - rep->used;

	if (!rep->plus) {
		rep->used += fuse_add_direntry(
		    rep->req, at, room, d->d_name, &e.attr, d->d_off);
		return;
	}
	if (!is_dot(d->d_name)) {
		int r = view_entry(v, dir, d->d_name, false, &e);

		if (r == -ENOENT)
			return;
		if (r == 0)
			rep->ids[rep->nids++] = e.ino;
	}
	rep->used +=
	    fuse_add_direntry_plus(rep->req, at, room, d->d_name, &e, d->d_off);
}

/* As many entries as fit. An error counts only where there are none. */
static int fill_locked(struct view *v, struct reply *rep, struct view_fd *dir,
    struct view_stream *s, off_t off) REQUIRES(s->lock)
{
	struct dirent64 *d = NULL;
	int r;

	r = seek_locked(s, dir->fd, off);
	while (r == 0) {
		r = peek_locked(s, dir->fd, &d);
		if (r < 0 || d == NULL)
			break;
		if (!view_is_spool(dir->node, d->d_name)) {
			if (!has_room(rep, d->d_name)) {
				r = rep->used == 0 ? -EINVAL : 0;
				break;
			}
			add(v, rep, dir, d);
		}
		next_locked(s, d);
	}
	return rep->used > 0 ? 0 : r;
}

static void reply_list(struct view *v, fuse_req_t req, fuse_ino_t ino,
    size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct view_stream *s;
	struct view_fd dir;
	struct reply rep;
	int r;

	r = view_fd_open(v, ino, fi, &dir);
	if (r < 0) {
		view_reply_err(req, r);
		return;
	}
	r = reply_init(&rep, req, size, plus);
	if (r < 0) {
		view_reply_err(req, r);
		goto close;
	}
	s = dir.handle->stream;
	mutex_lock(&s->lock);
	r = fill_locked(v, &rep, &dir, s, off);
	mutex_unlock(&s->lock);
	if (r < 0)
		view_reply_err(req, r);
	else if (fuse_reply_buf(req, rep.buf, rep.used) != 0)
		while (rep.nids > 0)
			view_nodes_forget(v->nodes, rep.ids[--rep.nids], 1);
	free(rep.buf);
	free(rep.ids);
close:
	view_fd_close(v, &dir);
}

void view_readdir(struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	reply_list(v, req, ino, size, off, fi, false);
}

void view_readdirplus(struct view *v, fuse_req_t req, fuse_ino_t ino,
    size_t size, off_t off, struct fuse_file_info *fi)
{
	reply_list(v, req, ino, size, off, fi, true);
}
