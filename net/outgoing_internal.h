/*
 * The inside of a transfer, for outgoing*.c alone: outgoing.c (its life),
 * outgoing_window.c (operations enter), outgoing_read.c, outgoing_version.c,
 * and outgoing_run.c (the link's side).
 */
#ifndef OUTGOING_INTERNAL_H
#define OUTGOING_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "ophash.h"
#include "outgoing.h"
#include "packed.h"
#include "peer_internal.h"

enum { OUTGOING_READS_MAX = 8 }; /* READs on their way */

/*
 * One numbered operation. Only the link's thread removes operations, and only
 * from the front, so it may read one that it has closed without the lock.
 */
struct op {
	TAILQ_ENTRY(op) entry;
	enum wire_type type;
	bool open;  /* a WRITE that later bytes may still join */
	bool hold;  /* a COMMIT's */
	bool ahead; /* dir was asked for on this connection */
	bool takes; /* a name; then not before what mark says */
	uint64_t seq;
	uint64_t mark; /* treeop_mark */
	/* A WRITE, whose bytes are a run of the pool ... */
	uint64_t offset;
	size_t len, cap;
	uint8_t *data;
	/* ... or any other, and the directory of a MOVE, referenced. */
	struct packed *msg;
	struct outdir *dir;
};
TAILQ_HEAD(op_queue, op);

/* A READ whose DATA is still to come. */
struct read {
	uint64_t req;
	struct waiter *w; /* NULL: nobody wants it any more */
	size_t len;
};

enum outgoing_state {
	OUTGOING_QUEUED,  /* waits for a link, or for the version before it */
	OUTGOING_OFFERED, /* on a link, no answer to the OFFER yet */
	OUTGOING_ACCEPTED,
	OUTGOING_PUBLISHED, /* COMMIT acknowledged */
	OUTGOING_FAILED,    /* error is set; nothing more is sent */
};

TAILQ_HEAD(waiter_list, waiter);
TAILQ_HEAD(outgoing_list, outgoing);

struct outgoing {
	/* Guarded by the table's lock: the place in the peer's queue. */
	TAILQ_ENTRY(outgoing) entry;
	bool queued;
	int64_t waiting_since_ms;

	/* Guarded by the lock of the version before it. */
	TAILQ_ENTRY(outgoing) follow;
	bool following;

	_Atomic unsigned refs;
	struct peer *peer;
	struct outdir *parent;
	struct wire_offer offer; /* tag is set by the link */
	bool versioned;          /* it has a base */
	uint64_t ledger_id;
	/* When it was begun: treeop_mark. */
	uint64_t mark, changes_mark;
	/* The link's thread's: its directories were asked for on this
	 * connection, and it was offered there. */
	bool ahead, offered;
	bool remade; /* its too: offered again, the directories before it */

	struct mutex lock;
	enum outgoing_state state GUARDED_BY(lock);
	int error GUARDED_BY(lock);
	bool told GUARDED_BY(lock); /* the ledger knows the end */
	struct op_queue ops GUARDED_BY(lock);
	struct op *next GUARDED_BY(lock); /* first one not sent */
	uint64_t last_seq GUARDED_BY(lock);
	uint64_t count GUARDED_BY(lock); /* operations that change the file */
	uint64_t acked_seq GUARDED_BY(lock);
	uint64_t acked_bytes GUARDED_BY(lock); /* of WRITEs */
	size_t held GUARDED_BY(lock);          /* bytes of pool runs */
	size_t packed GUARDED_BY(lock);        /* bytes of attributes */
	bool released GUARDED_BY(lock);        /* an op left the window */
	uint64_t size GUARDED_BY(lock);
	uint64_t commit_seq GUARDED_BY(lock);  /* COMMIT under way, or 0 */
	uint64_t checked_seq GUARDED_BY(lock); /* of the last checkpoint */
	bool commit_sent GUARDED_BY(lock);
	bool kept GUARDED_BY(lock);     /* published, and not shown yet */
	bool aborted GUARDED_BY(lock);  /* by our side */
	bool unsure GUARDED_BY(lock);   /* failed, yet maybe published */
	bool presumed GUARDED_BY(lock); /* the peer accepts us: no waiting */
	bool windowed GUARDED_BY(lock); /* counted in peers->windows */
	unsigned n_ops GUARDED_BY(lock);
	int64_t attached_ms GUARDED_BY(lock); /* to a link */
	int64_t broken_ms GUARDED_BY(lock);   /* connections break since */
	struct ophash *hash GUARDED_BY(lock);
	struct waiter_list waiters GUARDED_BY(lock); /* but readers */
	struct link *link GUARDED_BY(lock);          /* while it runs on one */

	struct waiter_list readers GUARDED_BY(lock);
	struct read reads[OUTGOING_READS_MAX] GUARDED_BY(lock); /* a ring */
	unsigned first_read GUARDED_BY(lock), n_reads GUARDED_BY(lock);

	/* The version before this one, referenced while its COMMIT is under
	 * way; and those that wait for this one's, with their queue's
	 * reference. */
	struct outgoing *after GUARDED_BY(lock);
	struct outgoing_list followers GUARDED_BY(lock);
};

/* The bytes that this transfer may hold now. */
size_t outgoing_share(struct outgoing *o);
/* May a write that was taken be answered? */
bool outgoing_may_answer_locked(struct outgoing *o) REQUIRES(o->lock);

/*
 * Under the lock: moves the waiters that can be answered now to *ret. Then,
 * without it: outgoing_tell calls them.
 */
void outgoing_ready_locked(struct outgoing *o, struct waiter_list *ret)
    REQUIRES(o->lock);
void outgoing_tell(struct waiter_list *list);

/* There is something new for the link's thread. */
void outgoing_kick_locked(struct outgoing *o) REQUIRES(o->lock);

/*
 * Sets the sticky error, drops the window, tells waiters and ledger, and fails
 * the versions after it. Idempotent.
 */
void outgoing_fail(struct outgoing *o, int err);
/* The same, but the versions after it are added to *ret. */
void outgoing_fail_one(struct outgoing *o, int err, struct outgoing_list *ret);

/* Ends the WRITE op that is still open: it can be sent as it is. */
void outgoing_close_op_locked(struct outgoing *o, struct op *op)
    REQUIRES(o->lock);
void outgoing_op_free_locked(struct outgoing *o, struct op *op)
    REQUIRES(o->lock);

/* --- net/outgoing_read.c ---------------------------------------------------
 */

/* Would a READ be overtaken by the operation seq? */
bool outgoing_read_stands_locked(const struct outgoing *o, uint64_t seq)
    REQUIRES(o->lock);
/*
 * The link's thread: sends the READs whose turn it is. 0: all of them; 1: DATA
 * has to come first; else as link_queue.
 */
int outgoing_send_reads(struct outgoing *o, struct link *l);
int outgoing_on_data(
    struct outgoing *o, const struct link *l, const struct wire_msg *m);
/* The connection broke: all that have no answer will be sent again. */
void outgoing_rewind_reads_locked(struct outgoing *o) REQUIRES(o->lock);
/* Takes the reader out, or (with err) moves all to *ret. */
void outgoing_unread_locked(struct outgoing *o, struct waiter *w)
    REQUIRES(o->lock);
void outgoing_fail_reads_locked(
    struct outgoing *o, int err, struct waiter_list *ret) REQUIRES(o->lock);

/* --- net/outgoing_version.c ------------------------------------------------
 */

/*
 * o waits until the COMMIT of before has ended. 0; 1: it has, well; or its
 * error.
 */
int outgoing_follow(struct outgoing *o, struct outgoing *before);
/* It needs the version before it no longer. */
void outgoing_unafter(struct outgoing *o);
/* Gives up waiting: false, it does not wait (any more). */
bool outgoing_unfollow(struct outgoing *o);
/* Under the lock, when the COMMIT has ended: adds those that waited to *ret.
 * Then, without it: outgoing_settle queues them, or fails those with err that
 * are versions of o. */
void outgoing_followers_locked(struct outgoing *o, struct outgoing_list *ret)
    REQUIRES(o->lock);
void outgoing_settle(struct outgoing_list *list, int err);

#endif
