/*
 * The link's side of a transfer. Runs in the link's thread, the only one that
 * reads operations outside the lock and that removes them.
 */
#include "outgoing_run.h"

#include <errno.h>
#include <string.h>

#include "ledger.h"
#include "link.h"
#include "outgoing_internal.h"
#include "treeop.h"

enum {
	SEND_MORE = 1, /* outcome of send_ops: look for answers, then go on */
	SEND_AT_ONCE = 32 * 1024,
};

/* --- answers ----------------------------------------------------------- */

static void tell(struct outgoing *o)
{
	struct waiter_list ready;

	mutex_lock(&o->lock);
	outgoing_ready_locked(o, &ready);
	mutex_unlock(&o->lock);
	outgoing_tell(&ready);
}

/* The state of the ACK for this operation. */
static enum wire_state answer_to(const struct op *op)
{
	if (op->msg.type == WIRE_COMMIT)
		return WIRE_PUBLISHED;
	return op->msg.type == WIRE_CHECKPOINT ? WIRE_DURABLE : WIRE_APPLIED;
}

/* A receiver may have promised less than PUBLISHED, and says so. */
static bool answers(enum wire_state state, enum wire_state needed)
{
	return needed == WIRE_PUBLISHED ? state >= needed : state == needed;
}

/* Frees what is acknowledged. -EPROTO: an answer that cannot be. */
static int acked_locked(struct outgoing *o, uint64_t seq, enum wire_state state)
    REQUIRES(o->lock)
{
	enum wire_state got = WIRE_APPLIED;
	struct op *op;

	if (seq <= o->acked_seq)
		return 0;
	while ((op = TAILQ_FIRST(&o->ops)) && op != o->next &&
	       o->acked_seq < seq) {
		got = answer_to(op);
		/* A barrier is answered by itself, and in full. */
		if (got != WIRE_APPLIED &&
		    (o->acked_seq + 1 != seq || !answers(state, got)))
			return -EPROTO;
		if (op->msg.type == WIRE_WRITE)
			o->acked_bytes += op->msg.write.len;
		o->acked_seq++;
		outgoing_op_free_locked(o, op);
		o->released = true;
	}
	return o->acked_seq == seq && answers(state, got) ? 0 : -EPROTO;
}

static int on_ack(struct outgoing *o, const struct wire_msg *m)
{
	struct ledger *ledger = o->peer->table->config.ledger;
	bool published = false;
	uint64_t bytes;
	int r;

	if (m->ack.code != WIRE_OK) {
		r = wire_code_to_errno(m->ack.code);
		outgoing_fail(o, r == -EBADMSG ? -EIO : r);
		return 0;
	}
	mutex_lock(&o->lock);
	if (o->state == OUTGOING_FAILED) {
		mutex_unlock(&o->lock);
		return 0;
	}
	r = acked_locked(o, m->ack.seq, m->ack.state);
	if (!r && o->commit_seq && o->acked_seq == o->commit_seq) {
		o->state = OUTGOING_PUBLISHED;
		published = o->told = true;
	}
	bytes = o->acked_bytes;
	mutex_unlock(&o->lock);
	if (r)
		return r;
	atomic_store(&o->peer->progress_ms, now_ms());
	ledger_progress(ledger, o->ledger_id, bytes);
	if (published)
		ledger_end(ledger, o->ledger_id, LEDGER_DONE, 0,
		    m->ack.state == WIRE_RECEIVED ? LEDGER_NOT_SYNCED : NULL);
	tell(o);
	return 0;
}

static int on_accept(struct outgoing *o)
{
	mutex_lock(&o->lock);
	if (o->state == OUTGOING_OFFERED)
		o->state = OUTGOING_ACCEPTED;
	o->presumed = true;
	mutex_unlock(&o->lock);
	peer_accepted_us(o->peer);
	ledger_state(
	    o->peer->table->config.ledger, o->ledger_id, LEDGER_ACTIVE);
	tell(o);
	return 0;
}

static enum outgoing_state state_of(struct outgoing *o)
{
	enum outgoing_state state;

	mutex_lock(&o->lock);
	state = o->state;
	mutex_unlock(&o->lock);
	return state;
}

/* gtfs-protocol(7), STATES OF THE SENDER, from offered on. */
static int on_message(
    struct outgoing *o, const struct link *l, const struct wire_msg *m)
{
	enum outgoing_state state = state_of(o);
	uint32_t tag = o->offer.tag;

	if (state == OUTGOING_FAILED)
		return link_late_answer(l, m) ? 0 : -EPROTO;
	if (m->type == WIRE_ACCEPT && m->accept.tag == tag)
		return state == OUTGOING_OFFERED && m->accept.applied == 0
			   ? on_accept(o)
			   : -EPROTO;
	if (m->type == WIRE_ACK && m->ack.tag == tag)
		return state == OUTGOING_ACCEPTED ? on_ack(o, m) : -EPROTO;
	if (m->type == WIRE_REFUSE && m->refuse.tag == tag) {
		if (state != OUTGOING_OFFERED)
			return -EPROTO;
		outgoing_fail(o, wire_code_to_errno(m->refuse.code));
		return 0;
	}
	if (m->type == WIRE_ABORT && m->abort.tag == tag) {
		outgoing_fail(o, wire_code_to_errno(m->abort.code));
		return 0;
	}
	return link_late_answer(l, m) ? 0 : -EPROTO;
}

/* --- operations -------------------------------------------------------- */

/* The next operation that may leave now, closed; NULL: none. */
static struct op *next_op(struct outgoing *o)
{
	struct op *op;

	mutex_lock(&o->lock);
	op = o->next;
	if (o->state == OUTGOING_FAILED ||
	    (o->state < OUTGOING_ACCEPTED && !o->presumed))
		op = NULL;
	if (op && op->open) {
		op->open = false;
		ophash_trailer(o->hash, WIRE_WRITE, op->msg.write.seq,
		    op->msg.write.offset, op->msg.write.len);
	}
	mutex_unlock(&o->lock);
	return op;
}

static void op_sent(struct outgoing *o, struct op *op)
{
	mutex_lock(&o->lock);
	o->next = TAILQ_NEXT(op, entry);
	if (op->msg.type == WIRE_COMMIT)
		o->commit_sent = true;
	mutex_unlock(&o->lock);
}

/* The output buffer is small until a transfer needs more. */
static int make_room(struct conn *c, const struct op *op)
{
	int r = conn_flush(c);

	if (!r && op->msg.type == WIRE_WRITE)
		r = conn_reserve_output(c, op->cap);
	return r;
}

/*
 * Fills the output buffer and sends it. 0: nothing more to send now; -EAGAIN:
 * the socket is full; else the connection is broken.
 */
static int send_ops(struct outgoing *o, struct conn *c)
{
	struct op *op;
	int r = 0;

	while ((op = next_op(o))) {
		r = conn_queue(c, &op->msg);
		if (r == -EAGAIN) {
			r = make_room(c, op);
			if (r)
				return r;
			continue;
		}
		if (r)
			return r;
		op_sent(o, op);
		/* Large records go at once; small ones gather. */
		if (op->msg.type == WIRE_WRITE &&
		    op->msg.write.len >= SEND_AT_ONCE) {
			r = conn_flush(c);
			return r ? r : SEND_MORE;
		}
	}
	return conn_flush(c);
}

/* An answer is owed: to the OFFER, or to an operation. */
static bool answer_owed(struct outgoing *o)
{
	bool owed;

	mutex_lock(&o->lock);
	owed = o->state == OUTGOING_OFFERED ||
	       (TAILQ_FIRST(&o->ops) && TAILQ_FIRST(&o->ops) != o->next);
	mutex_unlock(&o->lock);
	return owed;
}

static bool is_over(struct outgoing *o)
{
	bool over;

	mutex_lock(&o->lock);
	over = o->state == OUTGOING_PUBLISHED || o->state == OUTGOING_FAILED;
	mutex_unlock(&o->lock);
	return over;
}

/* 0 when o is over, else how the connection broke. */
static int run(struct outgoing *o, struct link *l)
{
	struct wire_msg m;
	int sent, r;

	while (!is_over(o)) {
		sent = send_ops(o, l->conn);
		if (sent < 0 && sent != -EAGAIN)
			return sent;
		r = link_receive(l, answer_owed(o), sent == SEND_MORE, &m);
		if (r == CONN_WOKEN || r == CONN_DRAINED || r == -EAGAIN)
			continue;
		if (!r)
			r = on_message(o, l, &m);
		if (r)
			return r;
	}
	return 0;
}

/* --- begin and end ------------------------------------------------------ */

/* Directories above o that the peer has not confirmed, outermost first. */
static int make_dirs(struct link *l, struct outdir *d, int *ret_result)
{
	struct wire_msg m = { .type = WIRE_MKDIR };
	int r;

	if (!d || atomic_load(&d->made))
		return 0;
	r = make_dirs(l, d->parent, ret_result);
	if (r || *ret_result)
		return r;
	m.mkdir = d->mkdir;
	r = link_request(l, &m, ret_result);
	if (!r && !*ret_result)
		atomic_store(&d->made, true);
	return r;
}

/* *ret_offered: the peer will have heard of it. */
static int offer(struct outgoing *o, struct link *l, bool *ret_offered)
{
	struct wire_msg m = { .type = WIRE_OFFER };
	int result = 0;
	int r = make_dirs(l, o->parent, &result);

	if (r)
		return r;
	if (result) {
		outgoing_fail(o, result);
		return 0;
	}
	o->offer.tag = ++l->last_tag;
	m.offer = o->offer;
	r = conn_queue(l->conn, &m);
	if (r == -EAGAIN) /* answers or PINGs wait in the buffer */
		r = conn_send(l->conn, &m);
	*ret_offered = r == 0;
	return r;
}

/* False: it was given up before a connection was there. */
static bool attach(struct outgoing *o, struct link *l)
{
	struct peer_info info;
	bool alive, waited;

	peer_info(o->peer, &info);
	mutex_lock(&o->lock);
	waited = !o->presumed;
	alive = o->state == OUTGOING_QUEUED;
	if (alive) {
		o->state = OUTGOING_OFFERED;
		o->link = l;
		o->attached_ms = now_ms();
		/* What the peer says now, not when the file was opened. */
		o->presumed = info.policy == WIRE_POLICY_ACCEPT;
	}
	mutex_unlock(&o->lock);
	if (alive && waited)
		tell(o);
	return alive;
}

/*
 * Nothing was lost with the connection: everything can be sent once more. Not
 * to a peer that breaks the protocol, nor for longer than the patience to one
 * whose connections all break (one that lasted as long begins anew).
 */
static bool rewind_ops(struct outgoing *o, int why)
{
	int64_t patience = o->peer->table->config.patience_ms;
	int64_t now = now_ms();
	bool can;

	mutex_lock(&o->lock);
	o->link = NULL;
	if (!o->broken_ms || now - o->attached_ms > patience)
		o->broken_ms = now;
	can = !o->released && !o->commit_sent && o->state != OUTGOING_FAILED &&
	      o->state != OUTGOING_PUBLISHED && why != -EPROTO &&
	      why != -EBADMSG && now - o->broken_ms <= patience &&
	      !peers_stopping(o->peer->table);
	if (can) {
		o->next = TAILQ_FIRST(&o->ops);
		o->state = OUTGOING_QUEUED;
	}
	mutex_unlock(&o->lock);
	return can;
}

/* The window of a transfer that is over; the thread reads it no longer. */
static bool detach(struct outgoing *o)
{
	struct op *op;
	bool published;

	mutex_lock(&o->lock);
	o->link = NULL;
	published = o->state == OUTGOING_PUBLISHED;
	while ((op = TAILQ_FIRST(&o->ops)))
		outgoing_op_free_locked(o, op);
	mutex_unlock(&o->lock);
	return published;
}

/* Tells the peer that nothing more comes. A full socket: drop it instead. */
static int send_abort(struct outgoing *o, struct conn *c)
{
	struct wire_msg m = { .type = WIRE_ABORT };
	int r;

	m.abort.tag = o->offer.tag;
	m.abort.code = WIRE_ECANCELED;
	r = conn_try_send(c, &m);
	return r == -EAGAIN ? -ECONNABORTED : r;
}

/* What the program is told of a connection that broke like this. */
static int broken(struct outgoing *o, int why)
{
	if (peers_stopping(o->peer->table))
		return -ECANCELED;
	return why == -EPROTO || why == -EBADMSG ? -EIO : -ETIMEDOUT;
}

int outgoing_run(struct outgoing *o, struct link *l)
{
	bool offered = false;
	int r = 0;

	if (attach(o, l)) {
		ledger_state(
		    o->peer->table->config.ledger, o->ledger_id, LEDGER_ACTIVE);
		r = offer(o, l, &offered);
		if (!r)
			r = run(o, l);
		if (r && rewind_ops(o, r)) {
			/* Takes the reference. */
			peer_requeue(o->peer, o, conn_heard_ms(l->conn));
			return r;
		}
		if (r)
			outgoing_fail(o, broken(o, r));
		if (!detach(o) && !r && offered)
			r = send_abort(o, l->conn);
		if (!r)
			conn_reserve_output(l->conn, 0);
	}
	peer_transfer_done(o->peer);
	outgoing_put(o);
	return r;
}
