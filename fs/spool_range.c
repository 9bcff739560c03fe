/*
 * Ranges of spool files: reserved, emptied, copied from another file. Each is
 * asked of the file system first and then, where it cannot (tmpfs has no
 * ZERO_RANGE, ext4 no FICLONE, vfat nothing), done by hand. Runs in the threads
 * that receive.
 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK_BYTES (64 * 1024)
/* One call of copy_file_range(2), so that a large file shows its errors. */
#define COPY_BYTES (64u << 20)

static int fail(struct spool_file *f, int r)
{
	f->failed = true;
	return r;
}

static bool is_missing(int r)
{
	return r == -EOPNOTSUPP || r == -ENOSYS;
}

static int allocate(
    struct spool_file *f, int mode, uint64_t offset, uint64_t len)
{
	int r;

	do
		r = fallocate(f->fd, mode, (off_t)offset, (off_t)len) ? -errno
								      : 0;
	while (r == -EINTR);
	return r;
}

/*
 * Is there room now? A hint, like the free space that any program asks for
 * before it writes.
 */
static int check_room(const struct spool_file *f, uint64_t offset, uint64_t len)
{
	struct statvfs vfs;
	struct stat st;
	uint64_t have, end = offset + len, need;

	if (fstat(f->fd, &st) || fstatvfs(f->fd, &vfs))
		return -errno;
	have = (uint64_t)st.st_blocks * 512;
	need = end > have ? end - have : 0;
	if (need > len)
		need = len;
	return need / vfs.f_frsize >= vfs.f_bavail && need ? -ENOSPC : 0;
}

static int reserve(
    struct spool_file *f, uint64_t offset, uint64_t len, bool keep_size)
{
	struct stat before, after;
	int r;

	if (fstat(f->fd, &before))
		return -errno;
	r = allocate(f, keep_size ? FALLOC_FL_KEEP_SIZE : 0, offset, len);
	if (!r)
		return 0;
	if (is_missing(r)) {
		r = check_room(f, offset, len);
		if (r || keep_size || offset + len <= (uint64_t)before.st_size)
			return r;
		return spool_truncate(f, offset + len);
	}
	/* ext4 keeps, and counts in the size, what it got before ENOSPC. */
	if (fstat(f->fd, &after) || (after.st_size != before.st_size &&
					ftruncate(f->fd, before.st_size)))
		return fail(f, r);
	return r;
}

/*
 * The next data in [*ret_data, size), and where it ends; *ret_data is size:
 * only a hole is left (lseek(2), SEEK_DATA). 0 or -errno.
 */
static int next_data(int fd, off_t size, off_t *ret_data, off_t *ret_hole)
{
	off_t data = lseek(fd, *ret_data, SEEK_DATA), hole = size;

	if (data < 0 && errno != ENXIO)
		return -errno;
	if (data < 0 || data > size)
		data = size;
	if (data < size) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
	}
	*ret_data = data;
	*ret_hole = hole < size ? hole : size;
	return 0;
}

/*
 * Zeros over the data of the range, block by block. A hole, which may be as
 * large as a peer likes, costs nothing.
 */
static int write_zeros(struct spool_file *f, off_t at, off_t end)
{
	static const uint8_t zeros[BLOCK_BYTES];
	off_t hole;
	int r = 0;

	while (!r && at < end) {
		r = next_data(f->fd, end, &at, &hole);
		while (!r && at < hole) {
			size_t n = hole - at < BLOCK_BYTES ? (size_t)(hole - at)
							   : BLOCK_BYTES;

			r = spool_write(f, zeros, n, (uint64_t)at);
			at += (off_t)n;
		}
	}
	return r;
}

/* The size stays. */
static int punch(struct spool_file *f, uint64_t offset, uint64_t len)
{
	struct stat st;
	uint64_t end = offset + len;
	int r = allocate(
	    f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);

	if (!is_missing(r))
		return r ? fail(f, r) : 0;
	if (fstat(f->fd, &st))
		return fail(f, -errno);
	if (end > (uint64_t)st.st_size)
		end = (uint64_t)st.st_size;
	r = write_zeros(f, (off_t)offset, (off_t)end);
	return r ? fail(f, r) : 0;
}

static int zero(
    struct spool_file *f, uint64_t offset, uint64_t len, bool keep_size)
{
	int keep = keep_size ? FALLOC_FL_KEEP_SIZE : 0;
	int r = allocate(f, FALLOC_FL_ZERO_RANGE | keep, offset, len);

	if (!is_missing(r))
		return r ? fail(f, r) : 0;
	r = punch(f, offset, len);
	if (!r)
		r = reserve(f, offset, len, keep_size);
	return r ? fail(f, r) : 0;
}

int spool_reserve(
    struct spool_file *f, uint64_t offset, uint64_t len, enum wire_reserve how)
{
	if (f->failed)
		return -EIO;
	if (!len)
		return -EINVAL;
	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	switch (how) {
	case WIRE_RESERVE_EXTEND: return reserve(f, offset, len, false);
	case WIRE_RESERVE_KEEP: return reserve(f, offset, len, true);
	case WIRE_RESERVE_CHECK: return check_room(f, offset, len);
	case WIRE_RESERVE_PUNCH: return punch(f, offset, len);
	case WIRE_RESERVE_ZERO: return zero(f, offset, len, false);
	case WIRE_RESERVE_ZERO_KEEP: return zero(f, offset, len, true);
	default: return -EINVAL;
	}
}

struct copying {
	struct spool_file *f;
	int from;
	int (*more)(void *arg, uint64_t bytes);
	void *arg;
};

static int may_copy(const struct copying *c, size_t len)
{
	return c->more ? c->more(c->arg, len) : 0;
}

/* Where the kernel copies nothing between the two: through a buffer. */
static int copy_by_hand(const struct copying *c, off_t at, off_t end)
{
	char *buffer = malloc(BLOCK_BYTES);
	ssize_t n;
	int r = 0;

	if (!buffer)
		return -ENOMEM;
	while (!r && at < end) {
		size_t len =
		    end - at < BLOCK_BYTES ? (size_t)(end - at) : BLOCK_BYTES;

		r = may_copy(c, len);
		if (r)
			break;
		n = pread(c->from, buffer, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n ? -errno : -ESTALE; /* it has become shorter */
			break;
		}
		r = spool_write(c->f, buffer, (size_t)n, (uint64_t)at);
		at += n;
	}
	free(buffer);
	return r;
}

static int copy_range(const struct copying *c, off_t at, off_t end)
{
	off_t in = at, out = at;
	ssize_t n;
	int r;

	while (in < end) {
		size_t len =
		    end - in < COPY_BYTES ? (size_t)(end - in) : COPY_BYTES;

		r = may_copy(c, len);
		if (r)
			return r;
		n = copy_file_range(c->from, &in, c->f->fd, &out, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT ||
				 errno == EIO || errno == EFBIG))
			return -errno;
		if (n <= 0)
			return copy_by_hand(c, in, end);
	}
	return 0;
}

/* The data alone, so that holes stay holes. */
static int copy_data(const struct copying *c, off_t size)
{
	off_t data = 0, hole = 0;
	int r = 0;

	if (ftruncate(c->f->fd, size))
		return -errno;
	while (!r && data < size) {
		r = next_data(c->from, size, &data, &hole);
		if (!r && data < size)
			r = copy_range(c, data, hole);
		data = hole;
	}
	return r;
}

static void copy_attribute(
    int to, int from, const char *name, char *value, size_t size)
{
	ssize_t len = fgetxattr(from, name, value, size);

	/* One that does not fit any more is none; see meta_apply_xattr. */
	if (len >= 0)
		(void)fsetxattr(to, name, value, (size_t)len, 0);
}

static int copy_attributes(int to, int from)
{
	char *names = malloc(XATTR_LIST_MAX), *value = malloc(XATTR_SIZE_MAX);
	int r = names && value ? 0 : -ENOMEM;
	ssize_t len;

	len = r ? 0 : flistxattr(from, names, XATTR_LIST_MAX);
	for (const char *at = names; len > 0 && at < names + len;
	     at += strlen(at) + 1)
		if (!strncmp(at, "user.", 5) && strncmp(at, "user.gtfs.", 10))
			copy_attribute(to, from, at, value, XATTR_SIZE_MAX);
	free(names);
	free(value);
	return r;
}

int spool_copy(struct spool_file *f, int from,
    int (*more)(void *arg, uint64_t bytes), void *arg)
{
	const struct copying c = { f, from, more, arg };
	struct stat st;
	int r;

	if (f->failed)
		return -EIO;
	if (fstat(from, &st))
		return fail(f, -errno);
	r = ioctl(f->fd, FICLONE, from) ? copy_data(&c, st.st_size) : 0;
	if (!r)
		r = copy_attributes(f->fd, from);
	return r ? fail(f, r) : 0;
}
