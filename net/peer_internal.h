/*
 * The inside of the peers table, for peers*.c, link.c, outgoing*.c and
 * treeop.c alone. Everything in struct peer is guarded by the table's lock.
 */
#ifndef PEER_INTERNAL_H
#define PEER_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "conn.h"
#include "peers.h"
#include "sync.h"

enum {
	PEER_LINKS_MAX = 16, /* connections to one peer */
	PEER_DIALS_MAX = 4,  /* of them in their handshake */
	PEER_TREEOPS_MAX = 65536,
	PEER_TREEOP_BYTES_MAX = 8 * 1024 * 1024, /* of their messages */
	PEER_TRANSFERS_MAX = 4096, /* in flight and queued, all peers */
	PEER_LOST_MS = 3000,       /* from the last link's end to offline */
	PEER_DIAL_PAUSE_MS = 1000, /* after a link that ended at once */
	/* Of one question, on connections that broke, beyond the patience. */
	PEER_ASKS_MAX = 8,
	PEERS_UNPINNED_MAX = 128, /* keys that anybody can make */
	/* A second address of a connected peer is not tried again before. */
	PEER_PROVEN_MS = 120 * 1000,
};

struct outgoing;

/* What later transfers must not overtake; see net/treeop.h. */
enum treeop_order {
	TREEOP_LEAVES,  /* a name: RENAME, WITHDRAW */
	TREEOP_CHANGES, /* what was delivered: PATCH, SETXATTR */
	TREEOP_ORDERS,
};

/*
 * A request that waits for a link, or on one for its RESULT (net/treeop.c).
 * Without msg it is the MKDIR of dir.
 */
struct treeop {
	STAILQ_ENTRY(treeop) next;
	struct packed *msg;
	struct outdir *dir;    /* referenced: to be made or renamed; or NULL */
	struct outdir *parent; /* referenced: what it puts something into */
	struct request_waiter *waiter;
	uint64_t req;   /* set when it is sent */
	uint64_t epoch; /* the peer's, by then */
	bool sent;      /* on whatever connection; under the table's lock */
	bool dropped;   /* it is not to be sent; likewise */
	bool silent;    /* no reason to ask to be let in; likewise */
	/* A MKDIR that goes ahead of the transfer with this tag, which fails
	 * with it; 0: it is one of the peer's queue, and goes back there. */
	uint32_t tag;
	/* Counted from 1 among those of its order at its peer; 0: of none. */
	uint64_t ordered;
	enum treeop_order order;
	TAILQ_ENTRY(treeop) in_order;
};
STAILQ_HEAD(treeop_queue, treeop);

/* One connection to a peer, and its thread (net/link.c). */
struct link {
	LIST_ENTRY(link) entry;
	struct peer *peer; /* referenced */
	struct conn *conn; /* NULL until dialled; the thread's own */
	pthread_t thread;
	int wake_fd;  /* eventfd: a job, or the end */
	bool dialled; /* its handshake is still to come: counts as dialing */
	bool up;      /* handshake done, with: */
	struct sockaddr_storage remote;
	bool idle;            /* takes a job */
	bool asks;            /* its job is to ask to be let in */
	bool stalled;         /* silent for too long in a transfer */
	struct outgoing *job; /* referenced: handed over while idle */
	/* It works on the peer's requests, beside a transfer if need be.
	 * Set under the table's lock, read by the thread. */
	_Atomic bool tree_job;
	/* The thread's own. */
	struct outgoing *now; /* the transfer that runs */
	uint32_t last_tag;    /* of the OFFERs on this connection */
	uint64_t last_req;    /* of requests and READs */
	uint64_t stale_req;   /* of READs: up to here of earlier transfers */
	struct treeop_queue asking, asked; /* to be sent; their RESULT owed */
	unsigned n_asked;      /* how often, while this question is open, */
	int64_t asked_ms;      /* and since when */
	unsigned n_unanswered; /* ASKs without an ANSWER */
	int64_t started_ms, pinged_ms;
	int64_t owed_ms; /* an answer is owed since; 0: none */
	bool said_bye;   /* the peer did */
};

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct peers *table;
	unsigned refs;
	bool listed; /* in the table */
	struct peer_info info;
	LIST_HEAD(, link) links;
	unsigned n_links, n_up, n_dialing;
	unsigned n_pinning; /* its pin is being written: it stays listed */
	int64_t lost_ms;    /* when the last link ended; 0: never, or decided */
	int64_t away_ms;    /* when it became offline */
	/* For each of info.addresses, when its key was proven there since the
	 * first of its present connections; 0: not, or it broke there. */
	int64_t proven_ms[PEER_ADDRESSES];
	int64_t dial_after_ms; /* no more links before */
	/* When any transfer last got on: an ACK, or the end of one on a link.
	 */
	_Atomic int64_t progress_ms;
	TAILQ_HEAD(, outgoing) queue; /* waiting for a link */
	unsigned n_transfers;         /* queued and in flight */
	struct treeop_queue treeops;
	unsigned n_treeops;  /* in the queue, and on links */
	unsigned n_silent;   /* of them, in the queue */
	size_t treeop_bytes; /* of their messages */
	bool tree_busy;      /* a link works on them */
	/* Those of them that leave a name, the oldest first; how many there
	 * ever were; and whether somebody waits for the end of one. */
	struct {
		TAILQ_HEAD(, treeop) list; /* unanswered */
		uint64_t n;                /* ever */
	} orders[TREEOP_ORDERS];
	bool order_awaited;
	struct link *asker; /* asks to be let in, or is about to */
	unsigned n_asked;   /* how often, while this question is open, */
	int64_t asked_ms;   /* and since when */
	/* Grows when a connection ends: the peer may have started again, and
	 * know no directory of before. From 1. */
	_Atomic uint64_t epoch;
};

struct peers {
	struct peers_config config;
	struct mutex lock;
	TAILQ_HEAD(peer_list, peer) list GUARDED_BY(lock);
	uint64_t next_serial GUARDED_BY(lock);
	uint64_t generation GUARDED_BY(lock);
	unsigned links_max; /* of one peer; not above PEER_LINKS_MAX */
	unsigned n_links GUARDED_BY(lock);
	/* Queued and in flight; changed under lock, read by the windows. */
	_Atomic unsigned n_transfers;
	bool stopping GUARDED_BY(lock);
	LIST_HEAD(, link) finished GUARDED_BY(lock); /* to be joined */
	SLIST_HEAD(, reserved) reserved GUARDED_BY(lock);
	struct cond links_gone;   /* with lock: n_links fell */
	struct cond claimed;      /* with lock: a key was proven */
	_Atomic unsigned windows; /* transfers that hold memory */
};

struct peer *peers_by_key_locked(struct peers *t, const uint8_t *key)
    REQUIRES(t->lock);
struct peer *peers_by_name_locked(struct peers *t, const char *name)
    REQUIRES(t->lock);
/* A new entry, listed; NULL: out of memory. */
struct peer *peers_add_locked(
    struct peers *t, const uint8_t *key, const char *wanted) REQUIRES(t->lock);
/* The table's reference passes to the caller. */
void peers_remove_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);
void peers_notify(
    struct peers *t, enum peer_change change, const struct peer_info *info);

/*
 * Gets a link going for what waits at p: an idle one, else a new one within
 * the limits. True: a link was given the work, or will look for it.
 */
bool peer_kick_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);

/* Takes what trust knows of p now; false: it is not pinned. */
bool peer_read_pin_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);

/* Does something wait that no link has taken? */
bool peer_has_work_locked(struct peers *t, const struct peer *p)
    REQUIRES(t->lock);

/* Requests that are to be made: silent ones when we are let in. */
unsigned peer_treeops_locked(const struct peer *p);

/* A new transfer counts from now on. 0 or -errno as outgoing_new. */
int peer_admit(struct peer *p);
/* o (referenced by the queue, counted) waits for a link. */
void peer_enqueue(struct peer *p, struct outgoing *o);
/* Put back to the front after its connection broke, last heard then. */
void peer_requeue(struct peer *p, struct outgoing *o, int64_t heard_ms);
/* Takes o off the queue: true if it was waiting there. */
bool peer_dequeue(struct peer *p, struct outgoing *o);
/* A transfer is over for its link (never again in flight). */
void peer_transfer_done(struct peer *p);

/* Is it known now that an offer cannot work? 0 or -errno. Pins on demand. */
int peer_known_error_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);

/* net/link.c */
int link_start_locked(struct peers *t, struct peer *p, struct conn *conn)
    REQUIRES(t->lock);
void link_wake(struct link *l);

/* net/peers_links.c, net/peers_queue.c: what link threads report. */
void peer_link_up(struct peer *p, struct link *l); /* it has dialled */
/* why: a negative errno, or 0: it was not needed. Frees l. */
void peer_link_down(struct peer *p, struct link *l, int why);
void peer_link_stalled(struct peer *p, struct link *l, bool stalled);
/* Next job for an idle link: true with l->job or l->tree_job set. */
bool peer_take_job(struct peer *p, struct link *l);
bool peer_link_superfluous(struct peer *p, struct link *l);
void peer_heard_pong(struct peer *p, const struct wire_msg *pong);
/* Our offer was accepted: its key is pinned from now on. Blocks on the disk. */
void peer_accepted_us(struct peer *p);
bool peers_stopping(struct peers *t);
/* Is it in the table no more, or does all end? Then so do its links. */
bool peer_is_over(struct peer *p);

/*
 * net/peers_names.c: how the folder of key is to be called: as its pin; as its
 * question, which our owner may be reading; as the user calls it; or as wanted.
 * Made safe, and where that is another's "wanted (2)" and so on.
 */
void peers_name_locked(struct peers *t, const uint8_t *key, const char *wanted,
    char ret[WIRE_PEER_NAME_MAX + 1]) REQUIRES(t->lock);
/* Has p another name than the wanted one, which it could have? */
bool peers_misnamed_locked(struct peers *t, const struct peer *p,
    const char *wanted) REQUIRES(t->lock);
/*
 * A key was proven at an address that was dialled, by this name or NULL: what
 * is reserved there is its, unless it has such a name. That one, or NULL.
 */
const char *peers_claim_locked(struct peers *t, const uint8_t *key,
    const struct sockaddr *address, const char *name) REQUIRES(t->lock);
/* Would p get this reserved name, were it proven by it now? */
bool peers_owed_locked(struct peers *t, const struct peer *p, const char *name)
    REQUIRES(t->lock);
void peers_unreserve_locked(struct peers *t) REQUIRES(t->lock);

/* net/peers_where.c: p's key was proven at a. */
void peer_proven_locked(struct peers *t, struct peer *p,
    const struct sockaddr_storage *a) REQUIRES(t->lock);
/* It may be there no more. */
void peer_unproven_locked(struct peer *p, const struct sockaddr *a);
/*
 * A key was proven at an address: pinned peers that are away, and whose name
 * or last address that was, are shadowed by it.
 */
void peers_shadow_locked(struct peers *t, struct peer *other,
    const struct sockaddr_storage *a, const char *heard) REQUIRES(t->lock);
void peers_unshadow_locked(struct peers *t, struct peer *other)
    REQUIRES(t->lock);

/* net/peers_room.c: a stranger that nothing is on its way to, and that nobody
 * is asked about: it may go, or be renamed. */
bool peer_idle_locked(struct peers *t, const struct peer *p) REQUIRES(t->lock);
/* Out of the table: its reference is for peers_say_gone, without the lock. */
struct peer *peers_take_out_locked(struct peers *t, struct peer *p)
    REQUIRES(t->lock);
void peers_say_gone(struct peer *p);
/* A new key from there: is there room? It may be another's (*ret_gone, for
 * peers_say_gone). */
bool peers_room_locked(struct peers *t, const uint8_t *key,
    const struct sockaddr *host, struct peer **ret_gone) REQUIRES(t->lock);

/* net/peers_ask.c: one link asks a peer's owner for all that waits. */

/* Does something wait that he would be asked about? *ret, or NULL: the ASK. */
bool peer_question_locked(struct peer *p, struct wire_msg *ret);
/*
 * Is there still a reason to send one? Then it counts as asked, with the words
 * of the link's connection.
 */
bool peer_ask_begin(struct peer *p, struct link *l, struct wire_msg *ret);
/* It has gone out. */
void peer_ask_sent(struct peer *p);
/* Is an answer still waited for? */
bool peer_asks(struct peer *p);
/*
 * o has left the queue before it began. What was to be made in the tree that it
 * lies in, and nobody there waits for, is no reason to ask: it waits for one.
 */
void peer_gave_up_locked(struct peer *p, const struct outgoing *o);
/* The link asks no longer. True: nobody waits any more, to be taken back. */
bool peer_ask_end(struct peer *p, struct link *l);
/*
 * The answer: 0 (what waits goes on, and if something does, its key is pinned,
 * with these words), or all that waits fails with -EACCES. Blocks on the disk.
 */
void peer_answered(
    struct peer *p, const uint8_t words[TRUST_WORDS_BYTES], int result);
/* A copy for others, with the words that both screens show. */
void peer_copy_locked(struct peers *t, const struct peer *p,
    struct peer_info *ret) REQUIRES(t->lock);
/* True: the question has lapsed while no link was there to take it back. */
bool peer_ask_lapsed_locked(struct peers *t, struct peer *p) REQUIRES(t->lock);

#endif
