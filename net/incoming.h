/*
 * What a peer that has dialled us sends: a state machine over its messages,
 * in the connection's own thread. Checks state, order, trust and integrity,
 * and hands the rest to the sink (net/sink.h).
 */
#ifndef INCOMING_H
#define INCOMING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "consent.h"
#include "incoming_room.h"
#include "ledger.h"
#include "pairer.h"
#include "peers.h"
#include "penalty.h"
#include "sink.h"
#include "space.h"
#include "trust.h"

struct incoming_config {
	struct sink *sink;
	struct space *space; /* of sink */
	struct trust *trust;
	struct ledger *ledger;
	struct consent *consent;
	struct peers *peers;
	struct incoming_room *room; /* made by the listener */
	struct penalty *penalty;    /* likewise */
	struct pairer *pairer;      /* NULL: there is nothing to pair by */
	int patience_ms;
};

/* What other threads may know of a connection that is served. */
struct incoming_watch {
	/*
	 * now_ms() since when it waits for a disk, or 0: whoever watches it may
	 * send an unasked PONG (incoming_pong) so that the peer knows we live.
	 */
	_Atomic int64_t working;
	_Atomic bool open;   /* a transfer is under way */
	_Atomic bool asking; /* its ASK waits for our owner */
	/* Of a key that has another connection and is not accepted: it may
	 * pair on this one, and no more. Set before it is served. */
	_Atomic bool to_pair;
	/* The key was refused or forgotten: what is under way ends. */
	_Atomic bool turned_away;
};

/*
 * Serves conn until it ends. Blocks. Returns how it ended: CONN_EOF, or a
 * negative errno (-EPROTO: the peer broke the protocol).
 */
int incoming_serve(const struct incoming_config *config, struct conn *conn,
    struct incoming_watch *watch);

/*
 * The PONG for this peer now: our policy for it, and our free space as it was
 * last heard of. Whoever is accepted may send long messages from now on. Never
 * blocks; any thread.
 */
void incoming_pong(const struct incoming_config *config, struct conn *conn,
    uint64_t cookie, struct wire_msg *ret);

#endif
