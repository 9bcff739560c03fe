/*
 * The queue of requests of a peer (net/request.h), in the order in which they
 * were made, and how a link sends them: several at a time, behind or between
 * the operations of its transfer.
 */
#ifndef TREEOP_H
#define TREEOP_H

#include "peer_internal.h"
#include "request.h"

struct outdir {
	struct peer *peer; /* referenced */
	_Atomic unsigned refs;
	_Atomic bool made; /* a RESULT has said so */
	/* Under the table's lock: where it is, as the peer has confirmed. */
	struct outdir *parent; /* referenced; NULL: the top */
	struct wire_mkdir mkdir;
};

/*
 * Adds one: m (copied), or where that is NULL the MKDIR of dir; with both m is
 * the RENAME of dir to parent. w may be NULL. Errors as net/request.h.
 */
int treeop_add(struct peer *p, const struct wire_msg *m, struct outdir *dir,
    struct outdir *parent, struct request_waiter *w);

/* --- for the link's thread ------------------------------------------------ */

/*
 * Sends what is queued at the link's peer and takes the answers; ends when the
 * queue is empty. 0, or a negative errno: the connection is broken.
 */
int treeop_run(struct link *l);
/* One step of it, while the link does something else: takes some off. */
void treeop_pump(struct link *l);

/*
 * To be asked next: the MKDIRs of d and all above it that no RESULT has
 * confirmed, outermost first. The transfer with this tag fails with theirs.
 */
int treeop_ahead(struct link *l, struct outdir *d, uint32_t tag);
/* That transfer is over: what was not sent yet of these is not sent. */
void treeop_drop_ahead(struct link *l);
/* To be asked next: takes id back. Counted as if it were in the queue. */
int treeop_withdraw(struct link *l, const uint8_t id[WIRE_ID_BYTES]);

/*
 * Seals what is to be asked, without sending. 0; -EAGAIN: the socket is full,
 * and some is left; or how the connection broke.
 */
int treeop_ask(struct link *l);
/* 0; -EPROTO: it answers nothing. */
int treeop_result(struct link *l, const struct wire_msg *m);
/* The connection has ended: what was not answered is in the queue again. */
void treeop_return(struct link *l);

/* --- for the table -------------------------------------------------------- */

/* Drops everything, and tells the waiters. */
void treeop_clear_locked(struct peers *t, struct peer *p, int err)
    REQUIRES(t->lock);

#endif
