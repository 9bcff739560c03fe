/*
 * Stamps through statx(2), for the time of birth. Any thread; keeps nothing.
 */
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static struct wire_time time_of(const struct statx_timestamp *t)
{
	return (struct wire_time){ .sec = t->tv_sec, .nsec = t->tv_nsec };
}

static int stamp_take(int dirfd, const char *name, int flags, struct stamp *ret)
{
	struct statx sx;

	if (statx(dirfd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &sx))
		return -errno;
	*ret = (struct stamp){
		.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.ino = sx.stx_ino,
		.size = sx.stx_size,
		.mtime = time_of(&sx.stx_mtime),
		.ctime = time_of(&sx.stx_ctime),
		.mode = sx.stx_mode,
	};
	if (sx.stx_mask & STATX_BTIME)
		ret->born = time_of(&sx.stx_btime);
	return 0;
}

int stamp_of(int fd, struct stamp *ret)
{
	return stamp_take(fd, "", AT_EMPTY_PATH, ret);
}

int stamp_at(int dirfd, const char *name, struct stamp *ret)
{
	return stamp_take(
	    dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, ret);
}

bool stamp_time_equal(const struct wire_time *a, const struct wire_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       (a->mode & S_IFMT) == (b->mode & S_IFMT) &&
	       stamp_time_equal(&a->born, &b->born);
}

bool stamp_untouched(const struct stamp *a, const struct stamp *b)
{
	return stamp_unwritten(a, b) && stamp_time_equal(&a->ctime, &b->ctime);
}

bool stamp_unwritten(const struct stamp *a, const struct stamp *b)
{
	return stamp_same(a, b) && a->size == b->size &&
	       stamp_time_equal(&a->mtime, &b->mtime);
}

bool stamp_moved(const struct stamp *a, const struct stamp *b)
{
	return stamp_unwritten(a, b) && a->mode == b->mode;
}
