/*
 * Spool files: made, filled, flushed, dropped. Runs in the threads that receive
 * (net/incoming, one per connection) and, for spool_open, at start. Names in
 * the inbox, modes and times are fs/arrival's and fs/place's; spool_reserve and
 * spool_copy stand in fs/spool_range.c.
 */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"

/*
 * Write-back is started for every so many new bytes, so that the fsync of the
 * commit finds little left to do.
 */
#define WRITE_BACK_BYTES (8u << 20)
/* A clash of 64 random bits does not happen; someone planting names might. */
#define CREATE_TRIES_MAX 16

static bool is_regular(int dirfd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_REG;
	return !fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(st.st_mode);
}

/* A name of the spool's, or of what lies beside such a file (name.suffix). */
static bool is_own_name(const char *name)
{
	char start[SPOOL_NAME_BYTES];
	size_t len = SPOOL_NAME_BYTES - 1;

	if (strnlen(name, len) < len || (name[len] && name[len] != '.'))
		return false;
	memcpy(start, name, len);
	start[len] = '\0';
	return spool_name_ok(start);
}

/* Other programs' names with a dot (".nfs...") are not gtfs's to judge. */
bool spool_is_foreign(const struct spool *sp, const struct dirent *e)
{
	return is_regular(sp->fd, e) && *e->d_name != '.' &&
	       strncmp(e->d_name, "link-", 5) != 0 && !is_own_name(e->d_name);
}

int spool_list(const struct spool *sp, DIR **ret)
{
	int fd = openat(sp->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

/*
 * Nobody was told that it arrived. A file that cannot be removed is harmless:
 * it is tried again at the next start.
 */
int spool_remove_orphans(const struct spool *sp,
    bool (*keep)(void *arg, const char *name), void *arg)
{
	const struct dirent *e;
	int r, removed = 0;
	DIR *d;

	r = spool_list(sp, &d);
	if (r)
		return r;
	/* Any other name is not gtfs's to remove. */
	while (removed < SPOOL_ORPHANS_MAX && (e = readdir(d)))
		if (is_regular(sp->fd, e) && is_own_name(e->d_name) &&
		    !keep(arg, e->d_name) && !unlinkat(sp->fd, e->d_name, 0))
			removed++;
	closedir(d);
	return 0;
}

/* Is this the directory of ours alone that a spool has to be? */
static int check_directory(int parent, int fd)
{
	struct stat st, above;

	if (fstat(fd, &st) || fstat(parent, &above))
		return -errno;
	if (st.st_uid != geteuid())
		return -EPERM;
	/* A file system of its own (a btrfs subvolume): no rename out of it. */
	if (st.st_dev != above.st_dev)
		return -EXDEV;
	if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700))
		return -errno;
	return 0;
}

int spool_open(int dirfd, const char *name, bool durable, struct spool *ret)
{
	int fd, r;

	if (mkdirat(dirfd, name, 0700) && errno != EEXIST)
		return -errno;
	fd = beneath_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	r = check_directory(dirfd, fd);
	if (r)
		goto close_fd;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		goto close_fd;
	}
	*ret = (struct spool){ .fd = fd, .durable = durable };
	return 0;
close_fd:
	close(fd);
	return r;
}

void spool_fini(struct spool *sp)
{
	if (sp->fd >= 0)
		close(sp->fd);
	sp->fd = -1;
}

static char *put_hex(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	return out;
}

int spool_name(const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], char ret[SPOOL_NAME_BYTES])
{
	uint8_t random[8];
	char *out = ret;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	out = put_hex(out, sender, 8);
	*out++ = '-';
	out = put_hex(out, id, WIRE_ID_BYTES);
	*out++ = '-';
	out = put_hex(out, random, sizeof(random));
	*out = '\0';
	return 0;
}

bool spool_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len == SPOOL_NAME_BYTES - 1 &&
	       strspn(name, "0123456789abcdef-") == len;
}

void spool_name_id(const char *name, char ret[2 * WIRE_ID_BYTES + 1])
{
	snprintf(ret, 2 * WIRE_ID_BYTES + 1, "%s", name + 16 + 1);
}

int spool_create(const struct spool *sp,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct spool_file *ret)
{
	struct spool_file f = { .spool = sp };
	int r, tries = 0;

	do {
		r = spool_name(sender, id, f.name);
		if (r)
			return r;
		f.fd = beneath_open(sp->fd, f.name,
		    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	} while (f.fd == -EEXIST && ++tries < CREATE_TRIES_MAX);
	if (f.fd < 0)
		return f.fd;
	*ret = f;
	return 0;
}

static int fail(struct spool_file *f, int r)
{
	f->failed = true;
	return r;
}

static void start_write_back(struct spool_file *f, uint64_t offset, size_t len)
{
	if (!f->fresh || offset < f->fresh_from)
		f->fresh_from = offset;
	if (!f->fresh || offset + len > f->fresh_to)
		f->fresh_to = offset + len;
	f->fresh += len;
	if (f->fresh < WRITE_BACK_BYTES)
		return;
	/* Only a hint: what goes wrong here is told by the fsync. */
	(void)sync_file_range(f->fd, (off_t)f->fresh_from,
	    (off_t)(f->fresh_to - f->fresh_from), SYNC_FILE_RANGE_WRITE);
	f->fresh = 0;
}

int spool_write(
    struct spool_file *f, const void *bytes, size_t len, uint64_t offset)
{
	const uint8_t *p = bytes;
	uint64_t at = offset;
	size_t left = len;
	ssize_t n;

	if (f->failed)
		return -EIO;
	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return fail(f, -EFBIG);
	while (left) {
		n = pwrite(f->fd, p, left, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(f, n ? -errno : -EIO);
		p += n;
		at += (uint64_t)n;
		left -= (size_t)n;
	}
	if (f->spool->durable)
		start_write_back(f, offset, len);
	return 0;
}

int spool_truncate(struct spool_file *f, uint64_t size)
{
	int r;

	if (f->failed)
		return -EIO;
	if (size > INT64_MAX)
		return fail(f, -EFBIG);
	do
		r = ftruncate(f->fd, (off_t)size);
	while (r && errno == EINTR);
	return r ? fail(f, -errno) : 0;
}

int spool_sync(struct spool_file *f)
{
	if (f->failed)
		return -EIO;
	/*
	 * Never a second time: the kernel marks the pages that it could not
	 * write as clean, and the next fsync would call that a success.
	 */
	if (fsync(f->fd))
		return fail(f, -errno);
	return 0;
}

int spool_read(struct spool_file *f, void *ret, size_t len, uint64_t offset,
    size_t *ret_len)
{
	uint8_t *p = ret;
	size_t got = 0;
	ssize_t n;

	if (f->failed)
		return -EIO;
	/* Nothing can be there. */
	if (offset > INT64_MAX || len > INT64_MAX - offset)
		len = 0;
	while (got < len) {
		n = pread(f->fd, p + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

int spool_size(struct spool_file *f, uint64_t *ret)
{
	struct stat st;

	if (f->failed)
		return -EIO;
	if (fstat(f->fd, &st))
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

void spool_close(struct spool_file *f)
{
	close(f->fd);
	f->fd = -1;
}

void spool_drop(struct spool_file *f)
{
	struct stat ours, there;

	/* What came out of the inbox, and did not find back, has its note. What
	 * cannot be removed now is an orphan of the next start. */
	if (!fstat(f->fd, &ours) &&
	    !fstatat(f->spool->fd, f->name, &there, AT_SYMLINK_NOFOLLOW) &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		(void)unlinkat(f->spool->fd, f->name, 0);
	spool_close(f);
}
