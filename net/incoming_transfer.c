/*
 * The transfer under way of one incoming connection: from the OFFER to what
 * ends it, with its operations, reads and acknowledgements. Runs in the
 * connection's thread; incoming.c says which message is for here. Nothing is
 * published unless COMMIT was checked.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "incoming_internal.h"
#include "log.h"

enum {
	ACK_BYTES = 256 * 1024, /* at the latest after so many */
	SMALL_OPS = 64,
};

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

int incoming_acknowledge(struct incoming *in)
{
	if (in->state != IN_OPEN || in->acked_seq == in->seq)
		return 0;
	return send_ack(in, in->seq, WIRE_APPLIED, WIRE_OK, NULL);
}

/* The transfer has ended; its file has been closed or aborted. */
static void forget(struct incoming *in, enum incoming_state next)
{
	in->file = NULL;
	ophash_free(in->hash);
	in->hash = NULL;
	in->state = next;
	atomic_store(&in->watch->open, false);
}

void incoming_drop(struct incoming *in, enum ledger_state state, int err)
{
	if (in->state != IN_OPEN)
		return;
	incoming_work_begins(in);
	in->file->ops->abort(in->file);
	incoming_work_ends(in);
	forget(in, IN_DISCARD);
	ledger_end(in->config->ledger, in->ledger_id, state, err, NULL);
}

/* An operation failed here: the sender learns why, the rest is discarded. */
static int fail(struct incoming *in, enum wire_state missed, int err)
{
	incoming_drop(in, LEDGER_FAILED, err);
	return send_ack(in, in->seq, missed, wire_code_from_errno(err), NULL);
}

int incoming_turn_away(struct incoming *in)
{
	struct wire_msg m = { .type = WIRE_ABORT };

	incoming_drop(in, LEDGER_FAILED, -EACCES);
	m.abort.tag = in->tag;
	m.abort.code = wire_code_from_errno(-EACCES);
	return conn_send(in->conn, &m);
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

/* The connection has ended, or our owner has turned the sender away. */
static bool is_over(void *ctx)
{
	struct incoming *in = ctx;
	struct pollfd p = { .fd = conn_fd(in->conn), .events = POLLRDHUP };

	return atomic_load(&in->watch->turned_away) || poll(&p, 1, 0) > 0;
}

int incoming_offer(struct incoming *in, const struct wire_msg *m)
{
	struct wire_msg accept = { .type = WIRE_ACCEPT };
	struct sink *sink = in->config->sink;
	struct sink_offer from;
	int r;

	if (in->state == IN_OPEN)
		return -EPROTO;
	in->offered = true;
	incoming_from(in, &from);
	from.offer = &m->offer;
	from.is_over = is_over;
	from.ctx = in;
	in->hash = ophash_new();
	/* Who is turned away from now on was admitted, if at all, before. */
	atomic_store(&in->watch->turned_away, false);
	incoming_work_begins(in);
	r = in->hash ? incoming_admit(in) : -ENOMEM;
	if (!r)
		r = sink->ops->open(sink, &from, &in->file);
	incoming_work_ends(in);
	if (r) {
		forget(in, IN_DISCARD);
		return refuse(in, m->offer.tag, r);
	}
	in->state = IN_OPEN;
	atomic_store(&in->watch->open, true);
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

int incoming_abort(struct incoming *in, const struct wire_msg *m)
{
	if (!in->offered || m->abort.tag != in->tag)
		return -EPROTO;
	if (in->state == IN_OPEN) {
		incoming_drop(in, LEDGER_ABORTED, -ECANCELED);
		in->state = IN_IDLE;
	}
	return 0;
}

/* --- operations ------------------------------------------------------------
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
	enum wire_state state = m->commit.hold ? WIRE_HELD : WIRE_PUBLISHED;
	char name[WIRE_NAME_MAX + 1] = "";
	int r;

	ledger_state(in->config->ledger, in->ledger_id, LEDGER_COMMITTING);
	incoming_work_begins(in);
	r = verify(in, m);
	if (!r)
		r = in->file->ops->commit(in->file, m->commit.hold, name);
	incoming_work_ends(in);
	if (r < 0)
		return fail(in, state, r);
	/* Shown at once, where the sink wants to hold nothing. */
	assert(name[0] || m->commit.hold);
	if (name[0])
		state = r == SINK_RECEIVED ? WIRE_RECEIVED : WIRE_PUBLISHED;
	in->file->ops->close(in->file);
	forget(in, IN_IDLE);
	ledger_end(in->config->ledger, in->ledger_id, LEDGER_DONE, 0,
	    state == WIRE_HELD   ? LEDGER_HELD
	    : r == SINK_RECEIVED ? LEDGER_NOT_SYNCED
				 : NULL);
	return send_ack(in, in->seq, state, WIRE_OK, name);
}

static int on_checkpoint(struct incoming *in, const struct wire_msg *m)
{
	int r;

	incoming_work_begins(in);
	r = verify(in, m);
	if (!r)
		r = in->file->ops->checkpoint(in->file);
	incoming_work_ends(in);
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
		    f, m->reserve.offset, m->reserve.len, m->reserve.how);
	case WIRE_XATTR:
		ophash_xattr(in->hash, in->seq, &m->xattr.xattr);
		in->unacked_bytes += m->xattr.xattr.len;
		return f->ops->set_xattr(f, &m->xattr.xattr);
	case WIRE_MOVE:
		ophash_move(in->hash, in->seq, m->move.parent, m->move.name);
		return f->ops->move(f, m->move.parent, m->move.name);
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
	case WIRE_XATTR: return m->xattr.seq;
	case WIRE_MOVE: return m->move.seq;
	default: return m->commit.seq;
	}
}

int incoming_operation(struct incoming *in, const struct wire_msg *m)
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
	incoming_work_begins(in);
	r = apply(in, m);
	incoming_work_ends(in);
	if (r)
		return fail(in, WIRE_APPLIED, r);
	ledger_progress(in->config->ledger, in->ledger_id, in->bytes);
	if (in->unacked_bytes >= ACK_BYTES ||
	    in->seq - in->acked_seq >= SMALL_OPS)
		return incoming_acknowledge(in);
	return 0;
}

/* --- reading back ----------------------------------------------------------
 *
 * No operation: it has no number, changes nothing, and its failure is its own
 * answer. The memory for the bytes is there for as long as that takes.
 */

static int send_data(struct incoming *in, uint64_t req, int err,
    const uint8_t *bytes, size_t len)
{
	struct wire_msg m = { .type = WIRE_DATA };

	m.data.req = req;
	m.data.code = err ? wire_code_from_errno(err) : WIRE_OK;
	m.data.bytes = bytes;
	m.data.len = err ? 0 : len;
	return conn_send(in->conn, &m);
}

int incoming_read(struct incoming *in, const struct wire_msg *m)
{
	struct sink_file *f = in->file;
	struct incoming_share share;
	uint8_t *bytes;
	size_t len = 0;
	int r;

	if (in->state == IN_DISCARD)
		return 0;
	if (in->state != IN_OPEN)
		return -EPROTO;
	r = incoming_acknowledge(in);
	if (r)
		return r;
	incoming_work_begins(in);
	/* The bytes, and once more in the output; at most WIRE_WRITE_MAX. */
	incoming_room_take(in->config->room, &share, conn_remote_key(in->conn),
	    2 * m->read.len);
	bytes = malloc(m->read.len);
	r = bytes ? f->ops->read(f, bytes, m->read.len, m->read.offset, &len)
		  : -ENOMEM;
	incoming_work_ends(in);
	assert(len <= m->read.len);
	r = send_data(in, m->read.req, r, bytes, len);
	free(bytes);
	if (r == -ENOMEM) /* the connection had no room for them */
		r = send_data(in, m->read.req, r, NULL, 0);
	conn_reserve_output(in->conn, 0);
	incoming_room_give(in->config->room, &share);
	return r;
}
