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
	/* The epoch of the peer in which a RESULT has said so; 0: none has. */
	_Atomic uint64_t made;
	/* Under the table's lock: where it is, as the peer has confirmed; and
	 * in which epoch the queue has come to its MKDIR. */
	struct outdir *parent; /* referenced; NULL: the top */
	uint64_t asked;
	struct wire_mkdir mkdir;
};

/* Does the peer know it? */
bool outdir_is_made(const struct outdir *d);

/*
 * Adds one: m (copied), or where that is NULL the MKDIR of dir; with both m is
 * the RENAME of dir. parent: the directory that m puts something into, or NULL.
 * w may be NULL. Errors as net/request.h.
 */
int treeop_add(struct peer *p, const struct wire_msg *m, struct outdir *dir,
    struct outdir *parent, struct request_waiter *w);

/*
 * A RENAME and a WITHDRAW leave a name, which the program may use again at
 * once. What then takes it on a connection of its own (a COMMIT, a MKDIR that
 * goes ahead of its file) must not overtake them: it would get "name (2)", or
 * what is about to be renamed or taken back with all that is in it. Nor must
 * the OFFER of a next version overtake a PATCH or SETXATTR: it would begin
 * without it. treeop_mark: those that were asked for up to now.
 */
uint64_t treeop_mark(struct peer *p, enum treeop_order order);

/* --- for the link's thread ------------------------------------------------ */

/*
 * Sends what is queued at the link's peer and takes the answers; ends when the
 * queue is empty. 0, or a negative errno: the connection is broken.
 */
int treeop_run(struct link *l);
/* One step of it, while the link does something else: takes some off. */
void treeop_pump(struct link *l);

/*
 * Have all that treeop_mark has counted up to mark ended? Where they have not,
 * the link is woken when another has; and it works on the queue if nobody does.
 */
bool treeop_past(struct link *l, enum treeop_order order, uint64_t mark);

/*
 * To be asked next: the MKDIRs of d and all above it that no RESULT has
 * confirmed, outermost first. The transfer with this tag fails with theirs.
 */
int treeop_ahead(struct link *l, struct outdir *d, uint32_t tag);
/* That transfer is over: what was not sent yet of these is not sent. */
void treeop_drop_ahead(struct link *l);
/* The peer has forgotten a directory that it had confirmed: all are asked for
 * once more before something is put into them. */
void treeop_remake(struct peer *p);
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

/* Links that wait for others (treeop_past) look again. */
void treeop_wake_locked(struct peer *p);
/* Drops everything, and tells the waiters. */
void treeop_clear_locked(struct peers *t, struct peer *p, int err)
    REQUIRES(t->lock);

#endif
