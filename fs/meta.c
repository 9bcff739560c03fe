/*
 * fchmod(2) and futimens(2) from a wire_meta. Runs in the threads that receive,
 * through fs/inbox and fs/patch, which decide when.
 */
#include "meta.h"

#include <errno.h>
#include <sys/stat.h>

bool meta_ok(const struct wire_meta *m)
{
	/* futimens(2)'s UTIME_NOW and UTIME_OMIT are above that too. */
	return (!(m->mask & WIRE_META_ATIME) || m->atime.nsec < 1000000000) &&
	       (!(m->mask & WIRE_META_MTIME) || m->mtime.nsec < 1000000000);
}

void meta_merge(struct wire_meta *into, const struct wire_meta *m)
{
	into->mask |= m->mask;
	if (m->mask & WIRE_META_MODE)
		into->mode = m->mode;
	if (m->mask & WIRE_META_ATIME)
		into->atime = m->atime;
	if (m->mask & WIRE_META_MTIME)
		into->mtime = m->mtime;
}

int meta_apply(int fd, const struct wire_meta *m, mode_t always)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_nsec = UTIME_OMIT } };
	int r = 0;

	if (m->mask & WIRE_META_MODE && fchmod(fd, (m->mode & 0777) | always))
		r = -errno;
	if (m->mask & WIRE_META_ATIME) {
		ts[0].tv_sec = m->atime.sec;
		ts[0].tv_nsec = m->atime.nsec;
	}
	if (m->mask & WIRE_META_MTIME) {
		ts[1].tv_sec = m->mtime.sec;
		ts[1].tv_nsec = m->mtime.nsec;
	}
	if (m->mask & (WIRE_META_ATIME | WIRE_META_MTIME) && futimens(fd, ts) &&
	    !r)
		r = -errno;
	return r;
}
