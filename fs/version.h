/*
 * Which transfer an open file, or a name, belongs to now. All descriptors of a
 * file follow its current one (node.out). When that is committed, or being
 * committed, the first write after it begins another: a version, which replaces
 * the one before in one step.
 *
 * Runs in FUSE workers and in the threads that tell of commits, under the
 * nodes' lock; nothing waits.
 */
#ifndef VERSION_H
#define VERSION_H

#include "commit.h"
#include "mount.h"

/*
 * A new transfer for n, which becomes its current one: of its next version, or
 * (anew) of a file that replaces it by its name alone. Returns 0, what is
 * known already to forbid it, -ENOENT (no longer listed), or the error of the
 * transfer that n has, where nothing was delivered before that.
 */
int version_begin_locked(struct mount *m, struct node *n, bool anew);

/* The transfer that f belongs to, with the error that it has met; or NULL:
 * nothing has been written since it was opened. Not referenced. */
struct outgoing *version_of_locked(struct open_file *f);

/* One that takes f's operations, begun if need be. *ret is referenced. 0 or as
 * version_begin_locked; -errno of f's transfer. */
int version_writable(
    struct mount *m, struct open_file *f, struct outgoing **ret);

/*
 * The commit of o has ended well, or (failed) no program has it open any more:
 * n shows what the peer has now. Idempotent.
 */
void version_settle_locked(struct mount *m, struct node *n, struct outgoing *o);

/* The same, where the commit of what n has was acknowledged, and nobody who
 * waited for that has come to it yet. */
void version_catch_up_locked(struct mount *m, struct node *n);

/* n, which is in flight, was renamed: over target, or (NULL) to a name of its
 * own. Where it is not committed, n is what target has delivered. */
void version_cover_locked(struct node *n, const struct node *target);

#endif
