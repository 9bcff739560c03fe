/*
 * Arrivals as events of the mounted inbox/: IN_MOVED_TO for a file, IN_CREATE
 * for a directory, also in subdirectories. The helper (fs/helper.h) is asked
 * for a rename or mkdir through the mount, and the operations that come of it
 * are recognised by its process and answered as what has happened already: the
 * rename in the backing directory was the real one and came first.
 *
 * Nothing waits for an event. One that cannot be asked for (a stopped watcher
 * holds things up, a burst of arrivals) is lost.
 */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include "mount.h"

/* How many may be under way. */
#define ANNOUNCE_MAX 256

struct announce;

/* helper: borrowed. NULL: out of memory. */
struct announce *announce_new(struct helper *helper);
void announce_free(struct announce *a);

/* path below the inbox; any thread. */
void announce_arrival(struct announce *a, const char *path, bool directory);

/* Does this request come from the helper? */
bool announce_owns(const struct announce *a, fuse_req_t req);

/* The helper's operations; the signatures of struct fuse_lowlevel_ops. */
void announce_lookup(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void announce_mkdir(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void announce_rename(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);

#endif
