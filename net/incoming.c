/*
 * The receiving side of gtfs-protocol(7), section STATES OF THE RECEIVER. The
 * states of a connection:
 *
 *     IDLE     no transfer            OFFER
 *     OPEN     one is under way       operations, READ, ABORT
 *     DISCARD  it failed here         operations and READs are read and
 *                                     dropped until the next OFFER
 *
 * PING, BYE and all requests (MKDIR to WITHDRAW) are welcome in all of them and
 * change none; anything else ends the connection. Whatever ends it before the
 * COMMIT drops the spool. The transfer itself is incoming_transfer.c's.
 *
 * Beside this a connection may be asking (incoming_ask.c): then there is
 * nothing but PING, UNASK and BYE until our owner has answered.
 */
#include "incoming.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "escape.h"
#include "identity.h"
#include "incoming_internal.h"
#include "log.h"
#include "sync.h"

enum {
	IDLE_MS = 15000,               /* a living peer sends PINGs */
	STRANGERS_MESSAGE = 64 * 1024, /* not accepted, nothing longer */
};

void incoming_work_begins(struct incoming *in)
{
	atomic_store(&in->watch->working, now_ms());
}

void incoming_work_ends(struct incoming *in)
{
	atomic_store(&in->watch->working, 0);
}

void incoming_pong(const struct incoming_config *config, struct conn *conn,
    uint64_t cookie, struct wire_msg *ret)
{
	struct sink_space space;

	space_last(config->space, &space);
	memset(ret, 0, sizeof(*ret));
	ret->type = WIRE_PONG;
	ret->pong.cookie = cookie;
	ret->pong.free_bytes = space.free_bytes;
	ret->pong.total_bytes = space.total_bytes;
	ret->pong.free_files = space.free_files;
	ret->pong.total_files = space.total_files;
	ret->pong.policy = incoming_policy(config, conn);
	/* Before it can know. */
	if (ret->pong.policy == WIRE_POLICY_ACCEPT)
		conn_limit_input(conn, 0);
}

static int send_pong(struct incoming *in, uint64_t cookie)
{
	struct wire_msg m;

	incoming_work_begins(in);
	space_ask(in->config->space);
	incoming_work_ends(in);
	incoming_pong(in->config, in->conn, cookie, &m);
	return conn_send(in->conn, &m);
}

/*
 * A pin of a key that we have never dialled says where that may be done: the
 * key is proven then.
 */
static void note_where_it_listens(struct incoming *in)
{
	struct sockaddr_storage at = *conn_remote_address(in->conn);
	const uint8_t *key = conn_remote_key(in->conn);
	uint16_t port = conn_remote_hello(in->conn)->port;
	struct trust_pin pin;

	if (port < 1024 || trust_find(in->config->trust, key, &pin) ||
	    pin.n_addresses || pin.policy != TRUST_ACCEPT)
		return;
	address_set_port((struct sockaddr *)&at, port);
	trust_note_address(in->config->trust, key, (struct sockaddr *)&at);
}

void incoming_find_name(struct incoming *in)
{
	const struct wire_hello *hello = conn_remote_hello(in->conn);
	const uint8_t *key = conn_remote_key(in->conn);
	struct peer *p = peers_find_key(in->config->peers, key);
	struct peer_info info;
	struct trust_pin pin;

	if (p) {
		peer_info(p, &info);
		peer_put(p);
		memcpy(in->name, info.name, sizeof(in->name));
	} else if (trust_find(in->config->trust, key, &pin) == 0 && *pin.name) {
		memcpy(in->name, pin.name, sizeof(in->name));
	} else {
		escape_name(hello->name, strlen(hello->name), in->name);
	}
	note_where_it_listens(in);
}

int incoming_admit(struct incoming *in)
{
	static const struct trust_decision on_first_use = {
		.policy = TRUST_ACCEPT,
		.unless_refused = true,
		.automatic = true,
	};
	const uint8_t *key = conn_remote_key(in->conn);
	struct trust_pin pin;
	int r;

	if (trust_incoming(in->config->trust, key) != WIRE_POLICY_ACCEPT)
		return -EACCES;
	if (trust_find(in->config->trust, key, &pin) == 0 &&
	    pin.policy == TRUST_ACCEPT)
		return 0;
	peers_await_claim(in->config->peers, in->conn);
	r = peers_pin(in->config->peers, key, in->name, &on_first_use, NULL);
	if (!r)
		incoming_find_name(in);
	return r == -ENOSPC ? -EACCES : r; /* of pins, not of the disk */
}

void incoming_from(const struct incoming *in, struct sink_offer *ret)
{
	struct trust_pin pin;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->sender, conn_remote_key(in->conn), sizeof(ret->sender));
	ret->peer = in->name;
	if (trust_find(in->config->trust, ret->sender, &pin) == 0) {
		ret->quota_bytes = pin.quota_bytes;
		ret->quota_files = pin.quota_files;
	}
}

/* --- requests --------------------------------------------------------------
 */

static uint64_t req_of(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_MKDIR: return m->mkdir.req;
	case WIRE_PATCH: return m->patch.req;
	case WIRE_SYMLINK: return m->symlink.req;
	case WIRE_SETXATTR: return m->setxattr.req;
	case WIRE_RENAME: return m->rename.req;
	case WIRE_SHOW: return m->show.req;
	default: return m->withdraw.req;
	}
}

static int on_request(struct incoming *in, const struct wire_msg *m)
{
	struct wire_msg answer = { .type = WIRE_RESULT };
	struct sink *sink = in->config->sink;
	struct sink_offer from;
	int r;

	incoming_from(in, &from);
	incoming_work_begins(in);
	r = incoming_admit(in);
	if (!r)
		r = sink->ops->request(sink, &from, m);
	incoming_work_ends(in);
	answer.result.req = req_of(m);
	answer.result.code = r ? wire_code_from_errno(r) : WIRE_OK;
	return conn_send(in->conn, &answer);
}

/* --- pairing ----------------------------------------------------------------
 */

static int on_pair(struct incoming *in, const struct wire_msg *m)
{
	struct wire_msg none = { .type = WIRE_UNPAIRED };
	bool wrong = false;
	int r;

	if (in->state == IN_OPEN)
		return -EPROTO;
	if (!in->config->pairer) {
		none.unpaired.code = WIRE_EACCES;
		return conn_send(in->conn, &none);
	}
	peers_await_claim(in->config->peers, in->conn);
	incoming_find_name(in);
	r = pairer_serve(in->config->pairer, in->conn, m, in->name, &wrong);
	if (wrong && in->config->penalty)
		penalty_add(in->config->penalty,
		    (const struct sockaddr *)conn_remote_address(in->conn),
		    PENALTY_GUESS);
	incoming_find_name(in); /* it may have a folder now */
	return r;
}

/* Has it another connection, for all other things? Accepted, it needs none. */
static bool only_to_pair(const struct incoming *in)
{
	return atomic_load(&in->watch->to_pair) &&
	       trust_incoming(in->config->trust, conn_remote_key(in->conn)) !=
		   WIRE_POLICY_ACCEPT;
}

/* --- messages --------------------------------------------------------------
 */

static int on_message(struct incoming *in, const struct wire_msg *m)
{
	if (m->type != WIRE_PAIR && m->type != WIRE_BYE && only_to_pair(in))
		return -EACCES;
	if (in->asking) {
		int r = incoming_ask_answered(in);

		if (r)
			return r;
		if (in->asking && m->type != WIRE_PING &&
		    m->type != WIRE_UNASK && m->type != WIRE_BYE)
			return -EPROTO;
	}
	if (in->state == IN_OPEN && atomic_load(&in->watch->turned_away)) {
		int r = incoming_turn_away(in);

		if (r)
			return r;
	}
	switch (m->type) {
	case WIRE_PING: return send_pong(in, m->ping.cookie);
	case WIRE_BYE: return CONN_EOF;
	case WIRE_ASK: return incoming_ask(in, m);
	case WIRE_UNASK: return incoming_unask(in);
	case WIRE_PAIR: return on_pair(in, m);
	case WIRE_OFFER: return incoming_offer(in, m);
	case WIRE_ABORT: return incoming_abort(in, m);
	case WIRE_WRITE:
	case WIRE_TRUNCATE:
	case WIRE_RESERVE:
	case WIRE_META:
	case WIRE_XATTR:
	case WIRE_MOVE:
	case WIRE_CHECKPOINT:
	case WIRE_COMMIT: return incoming_operation(in, m);
	case WIRE_READ: return incoming_read(in, m);
	case WIRE_MKDIR:
	case WIRE_PATCH:
	case WIRE_SYMLINK:
	case WIRE_SETXATTR:
	case WIRE_RENAME:
	case WIRE_SHOW:
	case WIRE_WITHDRAW: return on_request(in, m);
	default: return -EPROTO;
	}
}

/*
 * The next message; before waiting for one, what was applied is acknowledged,
 * and what was asked is answered.
 */
static int next(struct incoming *in, struct wire_msg *ret)
{
	int wait = in->state == IN_OPEN ? in->config->patience_ms : IDLE_MS;
	int r = conn_receive(in->conn, 0, -1, ret);

	if (r != -ETIMEDOUT)
		return r;
	r = incoming_acknowledge(in);
	if (r)
		return r;
	do {
		r = incoming_ask_answered(in);
		if (r)
			return r;
		r = conn_receive(in->conn, wait < IDLE_MS ? IDLE_MS : wait,
		    in->answered_fd, ret);
	} while (r == CONN_DRAINED || r == CONN_WOKEN);
	return r;
}

int incoming_serve(const struct incoming_config *config, struct conn *conn,
    struct incoming_watch *watch)
{
	struct incoming in = {
		.config = config,
		.conn = conn,
		.watch = watch,
		.answered_fd = -1,
	};
	struct wire_msg m;
	int r;

	incoming_find_name(&in);
	conn_limit_input(conn, STRANGERS_MESSAGE);
	r = send_pong(&in, 0);
	while (!r) {
		r = next(&in, &m);
		if (!r)
			r = on_message(&in, &m);
	}
	if (r < 0)
		log_debug(
		    "from %s: connection ended: %s", in.name, strerror(-r));
	incoming_ask_ends(&in);
	incoming_drop(&in, LEDGER_FAILED, -ECONNRESET);
	return r;
}
