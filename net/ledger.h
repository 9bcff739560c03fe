/*
 * What is and was transferred: one entry a transfer, in flight and the last
 * LEDGER_RECENT that ended. The source of .gtfs/transfers and of the events
 * about transfers. Any thread; the lock is a leaf, nothing blocks.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>

#include "wire.h"

#define LEDGER_RECENT        256
#define LEDGER_IN_FLIGHT_MAX 4096

enum ledger_direction { LEDGER_SEND, LEDGER_RECEIVE };

enum ledger_state {
	LEDGER_WAITING, /* for a connection or an answer */
	LEDGER_ACTIVE,
	LEDGER_COMMITTING,
	LEDGER_DONE,
	LEDGER_FAILED,  /* reason says why */
	LEDGER_ABORTED, /* the writer was killed, or cancelled */
};

struct ledger_entry {
	uint64_t id; /* 1, 2, 3 ... in this life of the daemon */
	enum ledger_direction direction;
	enum ledger_state state;
	char peer[WIRE_PEER_NAME_MAX + 1]; /* folder name */
	char name[WIRE_NAME_MAX + 1];      /* as sent */
	uint64_t bytes;                    /* applied by the receiver */
	uint64_t total;               /* WIRE_SIZE_UNKNOWN where not known */
	int64_t started_ms, ended_ms; /* now_ms(); ended 0 while in flight */
	int error;                    /* negative errno of FAILED and ABORTED */
	char reason[128];             /* a sentence for people, or "" */
};

/* The reason of a DONE that promises less (--ack received). */
#define LEDGER_NOT_SYNCED "received, not synced to the disk there"
/* The reason of a DONE that is whole and durable, and not shown yet. */
#define LEDGER_HELD "kept there until it has its name"

struct ledger;

/* changed (or NULL) is called after each change of state, no lock held. */
typedef void ledger_changed(void *ctx, const struct ledger_entry *e);

struct ledger *ledger_new(ledger_changed *changed, void *ctx);
void ledger_free(struct ledger *l);

/*
 * Never fails: 0 (an id that all calls ignore) when out of memory, or with
 * LEDGER_IN_FLIGHT_MAX in flight. Too long text is cut.
 */
uint64_t ledger_begin(struct ledger *l, enum ledger_direction direction,
    const char *peer, const char *name, uint64_t total);
void ledger_state(struct ledger *l, uint64_t id, enum ledger_state state);
void ledger_progress(struct ledger *l, uint64_t id, uint64_t bytes);
/* state is DONE, FAILED or ABORTED; reason may be NULL: what people are to
 * know of error. Once only. */
void ledger_end(struct ledger *l, uint64_t id, enum ledger_state state,
    int error, const char *reason);

/*
 * A copy of all entries, oldest first. Returns the count (>= 0), *ret to be
 * freed by the caller, or -ENOMEM.
 */
int ledger_snapshot(struct ledger *l, struct ledger_entry **ret);

/* "sending"'s words: "waiting", "active", "committing", "done", ... */
const char *ledger_state_name(enum ledger_state s);

#endif
