/*
 * Opening paths beneath a directory descriptor. Nothing here follows a link,
 * leaves the directory, or crosses into another file system, whatever is
 * swapped in the tree meanwhile (openat2(2)).
 */
#ifndef BENEATH_H
#define BENEATH_H

#include <sys/types.h>

/*
 * Opens path (relative, one or more components; "." is dirfd itself) with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
 * RESOLVE_NO_XDEV). O_CLOEXEC is added; mode counts with O_CREAT and O_TMPFILE
 * only. A link at the end is -ELOOP too, except with O_PATH | O_NOFOLLOW, which
 * opens the link itself. Blocks as open(2) does: add O_NONBLOCK where a FIFO
 * may stand.
 *
 * Returns the descriptor or -errno: -ELOOP (a link on the way), -EXDEV (out of
 * the directory, an absolute path, a mount point), -EAGAIN (the tree was being
 * renamed at every one of a bounded number of tries), or what open(2) says.
 */
int beneath_open(int dirfd, const char *path, int flags, mode_t mode);

#endif
