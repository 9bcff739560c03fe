/*
 * Small files, whole. Called by net/pinfile and net/guess, one thread at a time
 * for each directory.
 */
#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define SET_ASIDE_MAX 100

/* Reads at most cap bytes. Returns the count, or -errno. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
	size_t have = 0;
	ssize_t n;

	while (have < cap) {
		n = read(fd, buf + have, cap - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

int textfile_read(
    int dirfd, const char *name, char *buf, size_t cap, size_t *ret_len)
{
	struct stat st;
	ssize_t n = 0;
	int fd, r = 0;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = openat(dirfd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) /* a symlink; a socket */
		return errno == ELOOP || errno == ENXIO ? -EPERM : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 022) ||
		 st.st_uid != geteuid())
		r = -EPERM;
	else
		n = read_all(fd, buf, cap);
	close(fd);
	if (r == 0 && n < 0)
		r = (int)n;
	if (r == 0)
		*ret_len = (size_t)n;
	return r;
}

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int textfile_clear(int dirfd)
{
	if (unlinkat(dirfd, TEXTFILE_TEMPORARY, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	log_error("%s is a directory, and none of ours: set aside",
	    TEXTFILE_TEMPORARY);
	return textfile_set_aside(dirfd, TEXTFILE_TEMPORARY);
}

int textfile_write(int dirfd, const char *name, const char *text, size_t len)
{
	int fd, r;

	r = textfile_clear(dirfd);
	if (r)
		return r;
	fd = openat(dirfd, TEXTFILE_TEMPORARY,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	close(fd);
	if (r == 0 && renameat(dirfd, TEXTFILE_TEMPORARY, dirfd, name) < 0)
		r = -errno;
	if (r) {
		unlinkat(dirfd, TEXTFILE_TEMPORARY, 0);
		return r;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}

int textfile_set_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	for (unsigned i = 1; i <= SET_ASIDE_MAX; i++) {
		if (i == 1)
			snprintf(aside, sizeof(aside), "%.100s.damaged", name);
		else
			snprintf(
			    aside, sizeof(aside), "%.100s.damaged.%u", name, i);
		if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
			return fsync(dirfd) < 0 ? -errno : 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}
