/*
 * The receiving side of gtfs-protocol(7), section RECEIVER. States of the
 * connection:
 *
 *     IDLE     no transfer            OFFER, MKDIR, PATCH
 *     OPEN     one is under way       operations, ABORT
 *     DISCARD  it failed here         operations are read and dropped until
 *                                     ABORT or the next OFFER
 *
 * PING and BYE are welcome in all of them; anything else ends the connection.
 * Nothing is published unless COMMIT was checked; whatever ends the connection
 * before that drops the spool.
 */
#include "incoming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "identity.h"
#include "log.h"
#include "ophash.h"
#include "sync.h"

enum {
	ACK_BYTES = 256 * 1024, /* at the latest after so many */
	IDLE_MS = 15000,        /* a living peer sends PINGs */
	SMALL_OPS = 64,
};

enum incoming_state { IN_IDLE, IN_OPEN, IN_DISCARD };

struct incoming {
	const struct incoming_config *config;
	struct conn *conn;
	_Atomic int64_t *working;
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

static void work_begins(struct incoming *in)
{
	atomic_store(in->working, now_ms());
}

static void work_ends(struct incoming *in)
{
	atomic_store(in->working, 0);
}

void incoming_pong(const struct incoming_config *config,
    const struct conn *conn, uint64_t cookie, struct wire_msg *ret)
{
	struct sink_space space = { 0 };

	config->sink->ops->space(config->sink, &space);
	memset(ret, 0, sizeof(*ret));
	ret->type = WIRE_PONG;
	ret->pong.cookie = cookie;
	ret->pong.free_bytes = space.free_bytes;
	ret->pong.total_bytes = space.total_bytes;
	ret->pong.free_files = space.free_files;
	ret->pong.total_files = space.total_files;
	ret->pong.policy = trust_incoming(config->trust, conn_remote_key(conn));
}

static int send_pong(struct incoming *in, uint64_t cookie)
{
	struct wire_msg m;

	incoming_pong(in->config, in->conn, cookie, &m);
	return conn_send(in->conn, &m);
}

static int send_ack(struct incoming *in, uint64_t seq, enum wire_state state,
    enum wire_code code, const char *name)
{
	struct wire_msg m = { .type = WIRE_ACK };

	m.ack.tag = in->tag;
	m.ack.seq = seq;
	m.ack.state = state;
	m.ack.code = code;
	if (name)
		snprintf(m.ack.name, sizeof(m.ack.name), "%s", name);
	in->unacked_bytes = 0;
	in->acked_seq = seq;
	return conn_send(in->conn, &m);
}

/* The transfer under way is over without a file; the spool goes. */
static void drop(struct incoming *in, enum ledger_state state, int err)
{
	if (in->state != IN_OPEN)
		return;
	in->file->ops->abort(in->file);
	in->file = NULL;
	ophash_free(in->hash);
	in->hash = NULL;
	ledger_end(in->config->ledger, in->ledger_id, state, err, NULL);
	in->state = IN_DISCARD;
}

/* An operation failed here: the sender learns why, the rest is discarded. */
static int fail(struct incoming *in, enum wire_state missed, int err)
{
	drop(in, LEDGER_FAILED, err);
	return send_ack(in, in->seq, missed, wire_code_from_errno(err), NULL);
}

/* --- offers ----------------------------------------------------------------
 */

static int refuse(struct incoming *in, uint32_t tag, int err)
{
	struct wire_msg m = { .type = WIRE_REFUSE };

	m.refuse.tag = tag;
	m.refuse.code = wire_code_from_errno(err);
	in->tag = tag;
	in->state = IN_DISCARD;
	return conn_send(in->conn, &m);
}

/* May this key send? Pins it on first use. 0 or -errno. */
static int admit(struct incoming *in)
{
	const uint8_t *key = conn_remote_key(in->conn);
	struct trust_pin pin;
	int r;

	if (trust_incoming(in->config->trust, key) != WIRE_POLICY_ACCEPT)
		return -EACCES;
	if (trust_find(in->config->trust, key, &pin) == 0 &&
	    pin.policy == TRUST_ACCEPT)
		return 0;
	r = trust_pin(in->config->trust, key, in->name, TRUST_ACCEPT, NULL);
	if (!r)
		peers_pinned(in->config->peers, key, TRUST_ACCEPT);
	return r;
}

static void sink_from(const struct incoming *in, struct sink_offer *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->sender, conn_remote_key(in->conn), sizeof(ret->sender));
	ret->peer = in->name;
}

static int on_offer(struct incoming *in, const struct wire_msg *m)
{
	struct wire_msg accept = { .type = WIRE_ACCEPT };
	struct sink *sink = in->config->sink;
	struct sink_offer from;
	struct ophash *hash;
	int r;

	if (in->state == IN_OPEN)
		return -EPROTO;
	in->offered = true;
	r = admit(in);
	if (r)
		return refuse(in, m->offer.tag, r);
	hash = ophash_new();
	if (!hash)
		return refuse(in, m->offer.tag, -ENOMEM);
	sink_from(in, &from);
	from.offer = &m->offer;
	work_begins(in);
	r = sink->ops->open(sink, &from, &in->file);
	work_ends(in);
	if (r) {
		ophash_free(hash);
		return refuse(in, m->offer.tag, r);
	}
	in->state = IN_OPEN;
	in->hash = hash;
	in->tag = m->offer.tag;
	in->seq = in->acked_seq = in->count = 0;
	in->bytes = in->unacked_bytes = 0;
	in->ledger_id = ledger_begin(in->config->ledger, LEDGER_RECEIVE,
	    in->name, m->offer.name, m->offer.size);
	ledger_state(in->config->ledger, in->ledger_id, LEDGER_ACTIVE);
	accept.accept.tag = in->tag;
	accept.accept.max_write = WIRE_WRITE_MAX;
	return conn_send(in->conn, &accept);
}

static int on_abort(struct incoming *in, const struct wire_msg *m)
{
	if (!in->offered || m->abort.tag != in->tag)
		return -EPROTO;
	if (in->state == IN_OPEN) {
		drop(in, LEDGER_ABORTED, -ECANCELED);
		in->state = IN_IDLE;
	}
	return 0;
}

/* --- operations --------------------------------------------------------------
 */

/* COMMIT and CHECKPOINT say what must be true of the spool: is it? */
static int verify(struct incoming *in, const struct wire_msg *m)
{
	uint8_t hash[WIRE_HASH_BYTES];
	uint64_t size;
	int r = in->file->ops->size(in->file, &size);

	if (r)
		return r;
	ophash_digest(in->hash, hash);
	if (m->commit.size != size || m->commit.count != in->count ||
	    memcmp(m->commit.hash, hash, sizeof(hash)) != 0) {
		log_error(
		    "a transfer from %s does not match its check", in->name);
		return -EBADMSG;
	}
	return 0;
}

static int on_commit(struct incoming *in, const struct wire_msg *m)
{
	char name[WIRE_NAME_MAX + 1];
	int r = verify(in, m);

	ledger_state(in->config->ledger, in->ledger_id, LEDGER_COMMITTING);
	if (!r) {
		work_begins(in);
		r = in->file->ops->commit(in->file, name);
		work_ends(in);
	}
	if (r < 0)
		return fail(in, WIRE_PUBLISHED, r);
	in->file->ops->close(in->file);
	in->file = NULL;
	ophash_free(in->hash);
	in->hash = NULL;
	in->state = IN_IDLE;
	ledger_end(in->config->ledger, in->ledger_id, LEDGER_DONE, 0,
	    r == SINK_RECEIVED ? LEDGER_NOT_SYNCED : NULL);
	return send_ack(in, in->seq,
	    r == SINK_RECEIVED ? WIRE_RECEIVED : WIRE_PUBLISHED, WIRE_OK, name);
}

static int on_checkpoint(struct incoming *in, const struct wire_msg *m)
{
	int r = verify(in, m);

	if (!r) {
		work_begins(in);
		r = in->file->ops->checkpoint(in->file);
		work_ends(in);
	}
	if (r)
		return fail(in, WIRE_DURABLE, r);
	return send_ack(in, in->seq, WIRE_DURABLE, WIRE_OK, NULL);
}

/* Hands one of the remaining operations to the disk, and hashes it there. */
static int apply(struct incoming *in, const struct wire_msg *m)
{
	struct sink_file *f = in->file;

	switch (m->type) {
	case WIRE_WRITE:
		ophash_bytes(in->hash, m->write.bytes, m->write.len);
		ophash_trailer(
		    in->hash, m->type, in->seq, m->write.offset, m->write.len);
		in->bytes += m->write.len;
		in->unacked_bytes += m->write.len;
		return f->ops->write(
		    f, m->write.bytes, m->write.len, m->write.offset);
	case WIRE_TRUNCATE:
		ophash_trailer(in->hash, m->type, in->seq, m->truncate.size, 0);
		return f->ops->truncate(f, m->truncate.size);
	case WIRE_RESERVE:
		ophash_trailer(in->hash, m->type, in->seq, m->reserve.offset,
		    m->reserve.len);
		return f->ops->reserve(
		    f, m->reserve.offset, m->reserve.len, m->reserve.keep_size);
	default:
		ophash_meta(in->hash, in->seq, &m->meta.meta);
		return f->ops->set_meta(f, &m->meta.meta);
	}
}

static uint64_t seq_of(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_WRITE: return m->write.seq;
	case WIRE_TRUNCATE: return m->truncate.seq;
	case WIRE_RESERVE: return m->reserve.seq;
	case WIRE_META: return m->meta.seq;
	default: return m->commit.seq;
	}
}

static int on_operation(struct incoming *in, const struct wire_msg *m)
{
	int r;

	if (in->state == IN_DISCARD)
		return 0;
	if (in->state != IN_OPEN || seq_of(m) != in->seq + 1)
		return -EPROTO;
	in->seq++;
	if (m->type == WIRE_COMMIT)
		return on_commit(in, m);
	if (m->type == WIRE_CHECKPOINT)
		return on_checkpoint(in, m);
	in->count++;
	work_begins(in);
	r = apply(in, m);
	work_ends(in);
	if (r)
		return fail(in, WIRE_APPLIED, r);
	ledger_progress(in->config->ledger, in->ledger_id, in->bytes);
	if (in->unacked_bytes >= ACK_BYTES ||
	    in->seq - in->acked_seq >= SMALL_OPS)
		return send_ack(in, in->seq, WIRE_APPLIED, WIRE_OK, NULL);
	return 0;
}

/* --- directories and late metadata
 * -------------------------------------------- */

static int on_request(struct incoming *in, const struct wire_msg *m)
{
	struct wire_msg answer = { .type = WIRE_RESULT };
	struct sink *sink = in->config->sink;
	struct sink_offer from;
	int r;

	if (in->state == IN_OPEN)
		return -EPROTO;
	sink_from(in, &from);
	r = admit(in);
	work_begins(in);
	if (!r && m->type == WIRE_MKDIR)
		r = sink->ops->mkdir(sink, &from, &m->mkdir);
	else if (!r)
		r = sink->ops->patch(
		    sink, from.sender, m->patch.id, &m->patch.meta);
	work_ends(in);
	answer.result.req = m->type == WIRE_MKDIR ? m->mkdir.req : m->patch.req;
	answer.result.code = r ? wire_code_from_errno(r) : WIRE_OK;
	return conn_send(in->conn, &answer);
}

static int on_message(struct incoming *in, const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_PING: return send_pong(in, m->ping.cookie);
	case WIRE_BYE: return CONN_EOF;
	case WIRE_OFFER: return on_offer(in, m);
	case WIRE_ABORT: return on_abort(in, m);
	case WIRE_MKDIR:
	case WIRE_PATCH: return on_request(in, m);
	case WIRE_WRITE:
	case WIRE_TRUNCATE:
	case WIRE_RESERVE:
	case WIRE_META:
	case WIRE_CHECKPOINT:
	case WIRE_COMMIT: return on_operation(in, m);
	default: return -EPROTO;
	}
}

/*
 * The next message; before waiting for one, what was applied is acknowledged.
 */
static int next(struct incoming *in, struct wire_msg *ret)
{
	int wait = in->state == IN_OPEN ? in->config->patience_ms : IDLE_MS;
	int r = conn_receive(in->conn, 0, -1, ret);

	if (r != -ETIMEDOUT)
		return r;
	if (in->state == IN_OPEN && in->acked_seq < in->seq) {
		r = send_ack(in, in->seq, WIRE_APPLIED, WIRE_OK, NULL);
		if (r)
			return r;
	}
	do {
		r = conn_receive(
		    in->conn, wait < IDLE_MS ? IDLE_MS : wait, -1, ret);
	} while (r == CONN_DRAINED);
	return r;
}

int incoming_serve(const struct incoming_config *config, struct conn *conn,
    _Atomic int64_t *working)
{
	struct incoming in = {
		.config = config, .conn = conn, .working = working
	};
	const struct wire_hello *hello = conn_remote_hello(conn);
	struct trust_pin pin;
	struct wire_msg m;
	struct peer *p;
	int r;

	escape_name(hello->name, strlen(hello->name), in.name);
	p = peers_find_key(config->peers, conn_remote_key(conn));
	if (p) {
		struct peer_info info;

		peer_info(p, &info);
		peer_put(p);
		memcpy(in.name, info.name, sizeof(in.name));
	} else if (trust_find(config->trust, conn_remote_key(conn), &pin) ==
		   0) {
		memcpy(in.name, pin.name, sizeof(in.name));
	}
	r = send_pong(&in, 0);
	while (!r) {
		r = next(&in, &m);
		if (!r)
			r = on_message(&in, &m);
	}
	if (r < 0)
		log_debug(
		    "from %s: connection ended: %s", in.name, strerror(-r));
	drop(&in, LEDGER_FAILED, -ECONNRESET);
	return r;
}
