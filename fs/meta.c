/*
 * fchmod(2) and futimens(2) from a wire_meta, fsetxattr(2) from a wire_xattr.
 * Runs in the threads that receive, through fs/arrival_commit, fs/deliveries
 * and fs/folders, which decide when.
 */
#include "meta.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "log.h"
#include "sync.h"

#define XATTR_LOG_MS 10000

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

static void tell_lost(const char *why)
{
	static _Atomic int64_t told;
	int64_t now = now_ms(), last = atomic_load(&told);

	if (last && now - last < XATTR_LOG_MS)
		return;
	if (atomic_compare_exchange_strong(&told, &last, now))
		log_debug("an attribute is not kept here: %s", why);
}

int meta_apply_xattr(int fd, const struct wire_xattr *x)
{
	if (!wire_xattr_ok(x->name, strnlen(x->name, WIRE_XATTR_NAME_MAX + 1)))
		return -EINVAL;
	if (x->remove ? !fremovexattr(fd, x->name)
		      : !fsetxattr(fd, x->name, x->bytes, x->len, 0))
		return 0;
	switch (errno) {
	case ENODATA: return x->remove ? 0 : -ENODATA;
	case EOPNOTSUPP:
	case ENOSPC:
	case EDQUOT:
	case E2BIG:
	case ERANGE:
	case EPERM: tell_lost(strerror(errno)); return 0;
	default: return -errno;
	}
}
