/*
 * openat2(2) with the resolve flags that gtfs always wants. glibc has no
 * wrapper. Runs in any thread and keeps no state; what is opened is the
 * caller's.
 */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * openat2(2), EAGAIN: a ".." could not be checked because something was renamed
 * meanwhile. Without ".." it does not happen, so a few tries are plenty.
 */
#define TRIES_MAX 32

int beneath_open(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd;
	int tries = 0;

	/* Unlike open(2), openat2 refuses a mode that would not count. */
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN) &&
	       ++tries < TRIES_MAX);
	return fd < 0 ? -errno : (int)fd;
}
