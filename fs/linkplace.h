/*
 * Links in directories: looked at, moved, replaced and removed without touching
 * anything that somebody else puts there at the same moment. Any thread; blocks
 * on the disk, keeps nothing. The caller fsyncs.
 *
 * spool is a directory on the same file system that nobody sees.
 */
#ifndef LINKPLACE_H
#define LINKPLACE_H

#include <limits.h>
#include <stdbool.h>

#include "stamp.h"
#include "wire.h"

/* "link-" and 128 random bits: a name in the spool. */
#define LINKPLACE_NAME_BYTES (5 + 32 + 1)
void linkplace_name(char ret[LINKPLACE_NAME_BYTES]);
/* Is it of that form? */
bool linkplace_name_ok(const char *name);

/* The link at name, with its target and a NUL. -ESTALE: there is none. */
int linkplace_look(
    int dir, const char *name, struct stamp *ret, char ret_target[PATH_MAX]);

/* Its own times. *ret: what it is then. -ESTALE: it is not was any more. */
int linkplace_times(int dir, const char *name, const struct stamp *was,
    const struct wire_meta *m, struct stamp *ret);

/* Removes the link at name, if it is was (as stamp_moved); else -ESTALE. */
int linkplace_remove(
    int spool, int dir, const char *name, const struct stamp *was);

/*
 * Gives what stands at name in from the name want in dir, or the next free one.
 * same: dir is from; then it may keep the name that it has.
 */
int linkplace_move(int from, const char *name, int dir, bool same,
    const char *want, char ret_name[WIRE_NAME_MAX + 1]);

/*
 * Exchanges what stands at name in from, which may be the spool, with the link
 * old in dir, if that is was (as stamp_moved). Returns 0, or 1: it is not, or
 * this file system cannot exchange; then nothing has changed. From the spool
 * aside_drop ends it, also after it was taken back.
 */
int linkplace_exchange(int spool, int from, const char *name, int dir,
    const char *old, const struct stamp *was);

/*
 * Takes that back. *was, and *mine of what came from name, are given the ctimes
 * that they have now; who has been touched meanwhile is left as it is.
 */
void linkplace_exchange_back(int spool, int from, const char *name, int dir,
    const char *old, struct stamp *was, struct stamp *mine);

#endif
