/*
 * Mode, times and attributes that a sender gave, put on an open file. Any
 * thread; blocks on the disk.
 */
#ifndef META_H
#define META_H

#include <stdbool.h>
#include <sys/types.h>

#include "wire.h"

/* Are the times that count real times (nsec < 10^9)? */
bool meta_ok(const struct wire_meta *m);

/* Adds what counts in m to what is in *into. */
void meta_merge(struct wire_meta *into, const struct wire_meta *m);

/*
 * Permission bits only (setuid, setgid and sticky never), with always added to
 * them. Does all it can; returns 0 or the first -errno.
 */
int meta_apply(int fd, const struct wire_meta *m, mode_t always);

/*
 * Sets or removes an attribute. One that the disk cannot keep (no support, no
 * room) is none, and so is the removal of one that is not there: 0. -EINVAL:
 * not one that may cross (wire_xattr_ok). Else -errno.
 */
int meta_apply_xattr(int fd, const struct wire_xattr *x);

#endif
