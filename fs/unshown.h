/*
 * Files that the peer holds for us and does not show yet, because they were
 * closed under a name that is in use (fs/inuse.h). Each is shown when its
 * writer has ended, or UNSHOWN_MS after its commit (locks and swaps only by the
 * former), unless it was renamed or removed before.
 *
 * A thread, "unshown", waits for them. The nodes' lock is taken inside; no
 * function may be called with it unless it ends in _locked.
 */
#ifndef UNSHOWN_H
#define UNSHOWN_H

#include "mount.h"

#define UNSHOWN_MS 10000

struct unshown *unshown_new(struct mount *m);
/* Before the first file is held, and by main: who adds one may be confined
 * (fs/confine.h), and the thread looks at processes. 0 or -errno. */
int unshown_start(struct unshown *u);
/* Asks the peers to show what is left (the requests are queued, and drained
 * by the network's end), and ends. NULL is fine. */
void unshown_stop(struct unshown *u);
void unshown_free(struct unshown *u);

/* n->held became true; n->writer and n->name are set. */
void unshown_add_locked(struct unshown *u, struct node *n);
/* It was shown, renamed, removed or begun anew: nothing is to be done. */
void unshown_remove_locked(struct unshown *u, struct node *n);

#endif
