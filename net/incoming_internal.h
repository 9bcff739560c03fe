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

	/* An ASK whose UNASK may still come; its question, while it is open. */
	bool asked, asking;
	uint64_t question;
	int answered_fd; /* an eventfd while asking, else -1 */

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

/* The folder of this peer, where it has one; else the name that it says. */
void incoming_find_name(struct incoming *in);

/* Who sends; without an offer. */
void incoming_from(const struct incoming *in, struct sink_offer *ret);

/* --- incoming_ask.c --------------------------------------------------------
 *
 * 0, or why the connection has to end.
 */

/* What an OFFER or an ASK of its key would meet now. Any thread. */
enum wire_policy incoming_policy(
    const struct incoming_config *config, const struct conn *conn);

int incoming_ask(struct incoming *in, const struct wire_msg *m);
int incoming_unask(struct incoming *in);
/* Sends the answer, once there is one; in->asking says whether it waits on. */
int incoming_ask_answered(struct incoming *in);
/* The connection ends, and its question with it. */
void incoming_ask_ends(struct incoming *in);

/* --- incoming_transfer.c --------------------------------------------------
 *
 * 0, or why the connection has to end.
 */
int incoming_offer(struct incoming *in, const struct wire_msg *m);
int incoming_abort(struct incoming *in, const struct wire_msg *m);
/* WRITE, TRUNCATE, RESERVE, META, XATTR, MOVE, CHECKPOINT, COMMIT. */
int incoming_operation(struct incoming *in, const struct wire_msg *m);
int incoming_read(struct incoming *in, const struct wire_msg *m);
/* Our owner has turned the sender away since the offer: the transfer ends. */
int incoming_turn_away(struct incoming *in);

/* Acknowledges what was applied and is not acknowledged yet. */
int incoming_acknowledge(struct incoming *in);

/*
 * The transfer under way, if there is one, is over without a file: its spool
 * goes, and what else comes of it is discarded.
 */
void incoming_drop(struct incoming *in, enum ledger_state state, int err);

#endif
