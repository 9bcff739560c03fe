/*
 * Directory operations and late metadata: MKDIR and PATCH, in the order in
 * which they were asked for, by one link of the peer at a time.
 */
#ifndef TREEOP_H
#define TREEOP_H

#include "outgoing.h"
#include "peer_internal.h"

struct outdir {
	struct peer *peer;     /* referenced */
	struct outdir *parent; /* referenced; NULL: the top */
	_Atomic unsigned refs;
	_Atomic bool made; /* a RESULT has said so */
	struct wire_mkdir mkdir;
};

/* Late metadata of a file that was published under id. 0 or -errno. */
int treeop_patch(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m);

/*
 * Sends what is queued at the link's peer and takes the answers; ends when the
 * queue is empty. 0, or a negative errno: the connection is broken (what was
 * not answered is in the queue again).
 */
int treeop_run(struct link *l);

/* Drops everything (the peer is gone for good). */
void treeop_clear_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);

#endif
