/*
 * Mode and times that a sender gave, put on an open file. Any thread; blocks on
 * the disk.
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

#endif
