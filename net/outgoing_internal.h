/*
 * The inside of a transfer, for outgoing.c (the program's side) and
 * outgoing_run.c (the link's side) alone.
 */
#ifndef OUTGOING_INTERNAL_H
#define OUTGOING_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "ophash.h"
#include "outgoing.h"
#include "peer_internal.h"

/*
 * One numbered operation. Only the link's thread removes operations, and only
 * from the front, so it may read one that it has closed without the lock.
 */
struct op {
	TAILQ_ENTRY(op) entry;
	struct wire_msg msg; /* a WRITE's bytes are data, its len grows */
	uint8_t *data;       /* a run of the pool, or NULL */
	size_t cap;
	bool open; /* a WRITE that later bytes may still join */
};
TAILQ_HEAD(op_queue, op);

enum outgoing_state {
	OUTGOING_QUEUED,  /* waits for a link */
	OUTGOING_OFFERED, /* OFFER sent, no answer yet */
	OUTGOING_ACCEPTED,
	OUTGOING_PUBLISHED, /* COMMIT acknowledged */
	OUTGOING_FAILED,    /* error is set; nothing more is sent */
};

struct outgoing {
	/* Guarded by the table's lock: the place in the peer's queue. */
	TAILQ_ENTRY(outgoing) entry;
	bool queued;
	int64_t waiting_since_ms;

	_Atomic unsigned refs;
	struct peer *peer;
	struct outdir *parent;
	struct wire_offer offer; /* tag is set by the link */
	uint64_t ledger_id;

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
	bool released GUARDED_BY(lock);        /* an op left the window */
	uint64_t size GUARDED_BY(lock);
	uint64_t commit_seq GUARDED_BY(lock);  /* COMMIT under way, or 0 */
	uint64_t checked_seq GUARDED_BY(lock); /* of the last checkpoint */
	bool commit_sent GUARDED_BY(lock);
	bool presumed GUARDED_BY(lock); /* the peer accepts us: no waiting */
	bool windowed GUARDED_BY(lock); /* counted in peers->windows */
	unsigned n_ops GUARDED_BY(lock);
	int64_t attached_ms GUARDED_BY(lock); /* to a link */
	int64_t broken_ms GUARDED_BY(lock);   /* connections break since */
	struct ophash *hash GUARDED_BY(lock);
	TAILQ_HEAD(, waiter) waiters GUARDED_BY(lock);
	struct link *link GUARDED_BY(lock); /* while it runs on one */
};

/* The bytes that this transfer may hold now. */
size_t outgoing_share(struct outgoing *o);

/*
 * Under the lock: moves the waiters that can be answered now to *ret. Then,
 * without it: outgoing_tell calls them.
 */
TAILQ_HEAD(waiter_list, waiter);
void outgoing_ready_locked(struct outgoing *o, struct waiter_list *ret)
    REQUIRES(o->lock);
void outgoing_tell(struct waiter_list *list);

/* There is something new for the link's thread. */
void outgoing_kick_locked(struct outgoing *o) REQUIRES(o->lock);

/* Sets the sticky error and drops the window. Idempotent. */
void outgoing_fail_locked(struct outgoing *o, int err) REQUIRES(o->lock);
/* The same for a caller without the lock: fails, tells waiters and ledger. */
void outgoing_fail(struct outgoing *o, int err);

void outgoing_op_free_locked(struct outgoing *o, struct op *op)
    REQUIRES(o->lock);

#endif
