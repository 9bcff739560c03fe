/*
 * One incoming connection, for incoming.c (messages, requests, answers) and
 * incoming_transfer.c (the transfer under way) alone. All of it belongs to the
 * connection's own thread.
 */
#ifndef INCOMING_INTERNAL_H
#define INCOMING_INTERNAL_H

#include "incoming.h"
#include "ophash.h"

enum incoming_state { IN_IDLE, IN_OPEN, IN_DISCARD };

struct incoming {
	const struct incoming_config *config;
	struct conn *conn;
	struct incoming_watch *watch;
	char name[WIRE_PEER_NAME_MAX + 1]; /* the peer's folder */

	enum incoming_state state;
	uint32_t tag; /* of the last OFFER, if there was one */
	bool offered;
	struct sink_file *file;
	struct ophash *hash;
	uint64_t ledger_id;
	uint64_t seq;   /* of the last operation */
	uint64_t count; /* of those that change the file */
	uint64_t acked_seq;
	uint64_t bytes, unacked_bytes;
};

/* --- incoming.c -----------------------------------------------------------
 */

/* Around everything that may wait for a disk. */
void incoming_work_begins(struct incoming *in);
void incoming_work_ends(struct incoming *in);

/* May this key send? Pins it on first use. 0 or -errno. */
int incoming_admit(struct incoming *in);

/* Who sends; without an offer. */
void incoming_from(const struct incoming *in, struct sink_offer *ret);

/* --- incoming_transfer.c --------------------------------------------------
 *
 * 0, or why the connection has to end.
 */
int incoming_offer(struct incoming *in, const struct wire_msg *m);
int incoming_abort(struct incoming *in, const struct wire_msg *m);
/* WRITE, TRUNCATE, RESERVE, META, XATTR, MOVE, CHECKPOINT, COMMIT. */
int incoming_operation(struct incoming *in, const struct wire_msg *m);
int incoming_read(struct incoming *in, const struct wire_msg *m);

/* Acknowledges what was applied and is not acknowledged yet. */
int incoming_acknowledge(struct incoming *in);

/*
 * The transfer under way, if there is one, is over without a file: its spool
 * goes, and what else comes of it is discarded.
 */
void incoming_drop(struct incoming *in, enum ledger_state state, int err);

#endif
