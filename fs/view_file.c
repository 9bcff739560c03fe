/*
 * The view's operations on contents. A file of the mount has its own
 * descriptor of the backing file; reads are spliced from it by libfuse, writes
 * are written before they are answered.
 *
 * Runs in FUSE workers; what may wait for the disk (fsync, fallocate, a copy,
 * a write with O_SYNC) is handed to the slow thread, which answers it.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "view_fd.h"
#include "view_slow.h"

/*
 * What of the caller's flags goes to the backing file. The others are the
 * kernel's own matter, or belong to each write: O_APPEND and O_SYNC can be
 * switched with fcntl(2) later, and pages written back from a mapping are never
 * appended.
 */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_NOATIME)

/* A copy is answered short after this much: others wait behind it. */
#define COPY_MAX (16u * 1024 * 1024)

static struct view_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct view_handle *)(uintptr_t)fi->fh;
}

/* To be given back with view_handle_put(). */
static struct view_handle *take_handle(
    struct view *v, const struct fuse_file_info *fi)
{
	struct view_handle *h = handle_of(fi);

	view_handle_get(v->nodes, h);
	return h;
}

/* A file with the append-only attribute is opened for nothing else. */
static int reopen(const struct view_fd *f, int flags)
{
	int fd = view_fd_reopen(f, flags & OPEN_FLAGS);

	if (fd == -EPERM && flags & O_APPEND)
		fd = view_fd_reopen(f, flags & (OPEN_FLAGS | O_APPEND));
	return fd;
}

/* Never a FIFO or a device: opening one could block, or do something. */
static int reopen_regular(const struct view_fd *f, int flags)
{
	struct stat st;
	int r = view_stat(f->fd, "", &st, NULL);

	if (r < 0)
		return r;
	return S_ISREG(st.st_mode) ? reopen(f, flags) : -ESTALE;
}

static int open_file(struct view *v, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view_handle *h;
	struct view_fd f;
	int fd, r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r < 0)
		return r;
	fd = reopen_regular(&f, fi->flags);
	r = fd < 0 ? fd : view_handle_new(v->nodes, ino, fd, NULL, &h);
	view_fd_close(v, &f);
	if (r < 0)
		return r;
	fi->fh = (uintptr_t)h;
	return 0;
}

/*
 * A write through the page cache reaches us in pieces, cut at pages. For a log
 * that others append to behind the mount each write(2) has to stay in one, so
 * descriptors that only append go without the cache.
 */
static void append_whole(struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) == O_WRONLY && fi->flags & O_APPEND)
		fi->direct_io = 1;
}

void view_open(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int r = open_file(v, ino, fi);

	append_whole(fi);
	if (r < 0)
		view_reply_err(req, r);
	else if (fuse_reply_open(req, fi) != 0)
		view_handle_put(v->nodes, handle_of(fi));
}

/* The kernel saw no such name; someone behind the mount was faster. */
static int open_existing(const struct view_fd *dir, const char *name, int flags)
{
	struct view_fd f = { .fd = -1 };
	int fd;

	f.fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (f.fd < 0)
		return -errno;
	fd = reopen_regular(&f, flags);
	close(f.fd);
	return fd;
}

static int create_in(struct view *v, struct view_fd *dir, const char *name,
    mode_t mode, struct fuse_file_info *fi, struct fuse_entry_param *ret)
{
	struct view_handle *h;
	bool made = true;
	int fd, r;

	fd = openat(dir->fd, name,
	    (fi->flags & OPEN_FLAGS) | O_CREAT | O_EXCL | O_NOFOLLOW |
		O_CLOEXEC,
	    mode & 07777);
	if (fd < 0)
		fd = -errno;
	if (fd == -EEXIST && !(fi->flags & O_EXCL)) {
		made = false;
		fd = open_existing(dir, name, fi->flags);
	}
	if (fd < 0)
		return fd;
	r = view_entry(v, dir, name, made, ret);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = view_handle_new(v->nodes, ret->ino, fd, NULL, &h);
	if (r < 0) {
		view_nodes_forget(v->nodes, ret->ino, 1);
		return r;
	}
	fi->fh = (uintptr_t)h;
	return 0;
}

void view_create(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct view_fd dir;
	int r;

	r = view_fd_open_parent(v, parent, &dir);
	if (r == 0) {
		r = view_is_spool(dir.node, name)
			? -EPERM
			: create_in(v, &dir, name, mode, fi, &e);
		view_fd_close(v, &dir);
	}
	append_whole(fi);
	if (r < 0) {
		view_reply_err(req, r);
	} else if (fuse_reply_create(req, &e, fi) != 0) {
		view_handle_put(v->nodes, handle_of(fi));
		view_nodes_forget(v->nodes, e.ino, 1);
	}
}

void view_read(struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);
	struct view_handle *h = take_handle(v, fi);

	(void)ino;
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = h->fd;
	buf.buf[0].pos = off;
	fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
	view_handle_put(v->nodes, h);
}

/*
 * All of buf, or what could be written before an error. Returns that, or
 * -errno if it was nothing.
 */
static ssize_t write_all(
    int fd, const char *buf, size_t size, off_t off, int flags)
{
	struct iovec iov;
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		iov.iov_base = (void *)((uintptr_t)buf + done);
		iov.iov_len = size - done;
		n = pwritev2(fd, &iov, 1, off + (off_t)done, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return done > 0 ? (ssize_t)done : n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

struct file_job {
	struct view_job job;
	struct view *v;
	fuse_req_t req;
	struct view_handle *h;  /* counted */
	struct view_handle *to; /* counted, or NULL */
	int mode;
	off_t off;
	off_t to_off;
	size_t len;
};

/*
 * Takes h, which is counted; the caller fills in the rest. NULL: no memory,
 * which was answered.
 */
static struct file_job *job_new(struct view *v, fuse_req_t req,
    struct view_handle *h, void (*run)(struct view_job *))
{
	struct file_job *j = calloc(1, sizeof(*j));

	if (j == NULL) {
		view_handle_put(v->nodes, h);
		view_reply_err(req, -ENOMEM);
		return NULL;
	}
	j->job.run = run;
	j->v = v;
	j->req = req;
	j->h = h;
	return j;
}

static void job_free(struct file_job *j)
{
	view_handle_put(j->v->nodes, j->h);
	if (j->to != NULL)
		view_handle_put(j->v->nodes, j->to);
	free(j);
}

/* j is the first member of its file_job. */
static struct file_job *file_job(struct view_job *job)
{
	return (struct file_job *)job;
}

static void run_write_sync(struct view_job *job)
{
	struct file_job *j = file_job(job);
	int r = j->mode ? fsync(j->h->fd) : fdatasync(j->h->fd);

	if (r < 0)
		view_reply_err(j->req, -errno);
	else
		fuse_reply_write(j->req, j->len);
	job_free(j);
}

/* Takes h. */
static void sync_write(struct view *v, fuse_req_t req, struct view_handle *h,
    size_t size, int flags)
{
	struct file_job *j = job_new(v, req, h, run_write_sync);

	if (j == NULL)
		return;
	j->mode = (flags & O_SYNC) == O_SYNC;
	j->len = size;
	view_slow_push(v->slow, &j->job);
}

void view_write(struct view *v, fuse_req_t req, fuse_ino_t ino, const char *buf,
    size_t size, off_t off, struct fuse_file_info *fi)
{
	struct view_handle *h = take_handle(v, fi);
	/* Pages of a mapping are written for nobody's descriptor. */
	int flags = fi->writepage ? 0 : fi->flags;
	ssize_t n;

	(void)ino;
	n = write_all(h->fd, buf, size, off, flags & O_APPEND ? RWF_APPEND : 0);
	if (n >= 0 && flags & O_DSYNC) {
		sync_write(v, req, h, (size_t)n, flags);
		return;
	}
	if (n < 0)
		view_reply_err(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
	view_handle_put(v->nodes, h);
}

/* Some backing file systems report their write errors at close. */
void view_flush(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view_handle *h = take_handle(v, fi);
	int fd = dup(h->fd);

	(void)ino;
	view_reply_err(req, fd >= 0 && close(fd) < 0 ? -errno : 0);
	view_handle_put(v->nodes, h);
}

void view_release(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	view_handle_put(v->nodes, handle_of(fi));
	view_reply_err(req, 0);
}

static void run_fsync(struct view_job *job)
{
	struct file_job *j = file_job(job);
	int r = j->mode ? fdatasync(j->h->fd) : fsync(j->h->fd);

	view_reply_err(j->req, r < 0 ? -errno : 0);
	job_free(j);
}

void view_fsync(struct view *v, fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi)
{
	struct file_job *j = job_new(v, req, take_handle(v, fi), run_fsync);

	(void)ino;
	if (j == NULL)
		return;
	j->mode = datasync;
	view_slow_push(v->slow, &j->job);
}

void view_fsyncdir(struct view *v, fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi)
{
	view_fsync(v, req, ino, datasync, fi);
}

static void run_fallocate(struct view_job *job)
{
	struct file_job *j = file_job(job);
	int r;

	r = fallocate(j->h->fd, j->mode, j->off, (off_t)j->len);
	view_reply_err(j->req, r < 0 ? -errno : 0);
	job_free(j);
}

void view_fallocate(struct view *v, fuse_req_t req, fuse_ino_t ino, int mode,
    off_t offset, off_t length, struct fuse_file_info *fi)
{
	struct file_job *j = job_new(v, req, take_handle(v, fi), run_fallocate);

	(void)ino;
	if (j == NULL)
		return;
	j->mode = mode;
	j->off = offset;
	j->len = (size_t)length;
	view_slow_push(v->slow, &j->job);
}

/* Only the answer of the kernel's file: reads and writes name their offset. */
void view_lseek(struct view *v, fuse_req_t req, fuse_ino_t ino, off_t off,
    int whence, struct fuse_file_info *fi)
{
	struct view_handle *h = take_handle(v, fi);
	off_t to = lseek(h->fd, off, whence);

	(void)ino;
	if (to < 0)
		view_reply_err(req, -errno);
	else
		fuse_reply_lseek(req, to);
	view_handle_put(v->nodes, h);
}

static void run_copy(struct view_job *job)
{
	struct file_job *j = file_job(job);
	ssize_t n;

	n = copy_file_range(j->h->fd, &j->off, j->to->fd, &j->to_off, j->len,
	    (unsigned int)j->mode);
	if (n < 0)
		view_reply_err(j->req, -errno);
	else
		fuse_reply_write(j->req, (size_t)n);
	job_free(j);
}

void view_copy_file_range(struct view *v, fuse_req_t req, fuse_ino_t ino_in,
    off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
    off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct file_job *j = job_new(v, req, take_handle(v, fi_in), run_copy);

	(void)ino_in;
	(void)ino_out;
	if (j == NULL)
		return;
	j->to = take_handle(v, fi_out);
	j->mode = flags;
	j->off = off_in;
	j->to_off = off_out;
	j->len = len < COPY_MAX ? len : COPY_MAX;
	view_slow_push(v->slow, &j->job);
}
