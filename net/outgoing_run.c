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
	AGAIN = 2,     /* of run: to be offered once more */
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

/* Does an ACK with this state answer op? */
static bool answers(const struct op *op, enum wire_state state)
{
	switch (op->type) {
	case WIRE_CHECKPOINT: return state == WIRE_DURABLE;
	case WIRE_COMMIT:
		/* A receiver may show at once, or promise less, and says so. */
		return state == WIRE_PUBLISHED || state == WIRE_RECEIVED ||
		       (state == WIRE_HELD && op->hold);
	default: return state == WIRE_APPLIED;
	}
}

static bool is_barrier(const struct op *op)
{
	return op->type == WIRE_CHECKPOINT || op->type == WIRE_COMMIT;
}

/* Frees what is acknowledged. -EPROTO: an answer that cannot be. */
static int acked_locked(struct outgoing *o, uint64_t seq, enum wire_state state)
    REQUIRES(o->lock)
{
	struct op *op;

	if (seq <= o->acked_seq)
		return 0;
	while ((op = TAILQ_FIRST(&o->ops)) && op != o->next &&
	       o->acked_seq < seq) {
		bool last = o->acked_seq + 1 == seq;

		/* A barrier is answered by itself, and in full. */
		if ((last || is_barrier(op)) && !(last && answers(op, state)))
			return -EPROTO;
		if (op->type == WIRE_WRITE)
			o->acked_bytes += op->len;
		o->acked_seq++;
		outgoing_op_free_locked(o, op);
		o->released = true;
	}
	return o->acked_seq == seq ? 0 : -EPROTO;
}

/* *ret_after: the versions that waited for this one's COMMIT. */
static int ack_locked(struct outgoing *o, const struct wire_msg *m,
    bool *ret_published, struct outgoing_list *ret_after) REQUIRES(o->lock)
{
	int r;

	if (o->state == OUTGOING_FAILED)
		return 0;
	r = acked_locked(o, m->ack.seq, m->ack.state);
	if (r || !o->commit_seq || o->acked_seq < o->commit_seq)
		return r;
	if (o->n_reads) /* they were asked before the COMMIT */
		return -EPROTO;
	o->state = OUTGOING_PUBLISHED;
	o->kept = m->ack.state == WIRE_HELD;
	o->told = *ret_published = true;
	outgoing_followers_locked(o, ret_after);
	return 0;
}

static int on_ack(struct outgoing *o, const struct wire_msg *m)
{
	struct outgoing_list after = TAILQ_HEAD_INITIALIZER(after);
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
	r = ack_locked(o, m, &published, &after);
	bytes = o->acked_bytes;
	mutex_unlock(&o->lock);
	if (r)
		return r;
	atomic_store(&o->peer->progress_ms, now_ms());
	ledger_progress(ledger, o->ledger_id, bytes);
	if (published)
		ledger_end(ledger, o->ledger_id, LEDGER_DONE, 0,
		    m->ack.state == WIRE_RECEIVED ? LEDGER_NOT_SYNCED
		    : m->ack.state == WIRE_HELD   ? LEDGER_HELD
						  : NULL);
	outgoing_settle(&after, 0);
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

/*
 * The OFFER was refused. That its directory is none may mean that the peer has
 * forgotten it: then it is made again, once.
 */
static int on_refuse(struct outgoing *o, const struct wire_msg *m)
{
	int r = wire_code_to_errno(m->refuse.code);

	if (r == -ESTALE && o->parent && !o->remade) {
		o->remade = true;
		treeop_remake(o->peer);
		return AGAIN;
	}
	outgoing_fail(o, r);
	return 0;
}

/* gtfs-protocol(7), STATES OF THE SENDER, from offered on. 0, AGAIN, or how the
 * peer has broken it. */
static int on_message(
    struct outgoing *o, const struct link *l, const struct wire_msg *m)
{
	enum outgoing_state state = state_of(o);
	uint32_t tag = o->offer.tag;

	if (m->type == WIRE_DATA && state != OUTGOING_OFFERED)
		return outgoing_on_data(o, l, m);
	if (state == OUTGOING_FAILED || !o->offered)
		return link_late_answer(l, m) ? 0 : -EPROTO;
	if (m->type == WIRE_ACCEPT && m->accept.tag == tag)
		return state == OUTGOING_OFFERED && m->accept.applied == 0
			   ? on_accept(o)
			   : -EPROTO;
	if (m->type == WIRE_ACK && m->ack.tag == tag)
		return state == OUTGOING_ACCEPTED ? on_ack(o, m) : -EPROTO;
	if (m->type == WIRE_REFUSE && m->refuse.tag == tag) {
		return state == OUTGOING_OFFERED ? on_refuse(o, m) : -EPROTO;
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
	    (o->state < OUTGOING_ACCEPTED && !o->presumed) ||
	    (op && outgoing_read_stands_locked(o, op->seq)) ||
	    (op && op->takes && !treeop_past(o->link, TREEOP_LEAVES, op->mark)))
		op = NULL;
	if (op)
		outgoing_close_op_locked(o, op);
	mutex_unlock(&o->lock);
	return op;
}

static void op_sent(struct outgoing *o, struct op *op)
{
	mutex_lock(&o->lock);
	o->next = TAILQ_NEXT(op, entry);
	if (op->type == WIRE_COMMIT)
		o->commit_sent = true;
	mutex_unlock(&o->lock);
}

/* 0 or as link_queue. */
static int send_op(struct outgoing *o, struct link *l, struct op *op)
{
	struct wire_msg m = { .type = WIRE_WRITE };
	int r = 0;

	if (op->dir && !op->ahead) {
		r = treeop_ahead(l, op->dir, o->offer.tag);
		op->ahead = true;
	}
	if (!r)
		r = treeop_ask(l);
	if (r)
		return r;
	if (op->msg) {
		packed_get(op->msg, &m);
	} else {
		m.write.seq = op->seq;
		m.write.offset = op->offset;
		m.write.bytes = op->data;
		m.write.len = op->len;
	}
	r = link_queue(l, &m);
	if (!r)
		op_sent(o, op);
	return r;
}

/* The MKDIRs of its directories. 0; 1: not yet; or -ENOMEM. */
static int ask_ahead(struct outgoing *o, struct link *l)
{
	int r = 0;

	if (!o->ahead && o->parent && !treeop_past(l, TREEOP_LEAVES, o->mark))
		return 1;
	if (!o->ahead && o->versioned &&
	    !treeop_past(l, TREEOP_CHANGES, o->changes_mark))
		return 1;
	if (!o->ahead)
		r = treeop_ahead(l, o->parent, o->offer.tag);
	o->ahead |= !r;
	return r;
}

/* Behind these. 0; 1: not yet; or as link_queue. */
static int send_offer(struct outgoing *o, struct link *l)
{
	struct wire_msg m = { .type = WIRE_OFFER };
	int r = ask_ahead(o, l), asked = treeop_ask(l);

	if (asked)
		return asked;
	if (r || o->offered)
		return r;
	m.offer = o->offer;
	r = link_queue(l, &m);
	o->offered = r == 0;
	return r;
}

/*
 * Fills the output buffer and sends it. 0: nothing more to send now; SEND_MORE;
 * -EAGAIN: the socket is full; else the connection is broken.
 */
static int send_ops(struct outgoing *o, struct link *l)
{
	struct op *op;
	bool large;
	int r = send_offer(o, l);

	while (!r) {
		r = outgoing_send_reads(o, l);
		if (r)
			break;
		op = next_op(o);
		if (!op)
			break;
		/* Large records go at once; small ones gather. It is not
		 * looked at once it was sent. */
		large = op->type == WIRE_WRITE && op->len >= SEND_AT_ONCE;
		r = send_op(o, l, op);
		if (!r && large) {
			r = conn_flush(l->conn);
			return r ? r : SEND_MORE;
		}
	}
	return r < 0 ? r : conn_flush(l->conn);
}

/* An answer is owed: to the OFFER, or to an operation. */
static bool answer_owed(struct outgoing *o)
{
	bool owed;

	mutex_lock(&o->lock);
	owed = o->state == OUTGOING_OFFERED || o->n_reads ||
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

/* 0 when o is over, AGAIN, or how the connection broke. */
static int run(struct outgoing *o, struct link *l)
{
	struct wire_msg m;
	int sent, r;

	while (!is_over(o)) {
		if (atomic_load(&l->tree_job))
			treeop_pump(l);
		sent = send_ops(o, l);
		if (sent < 0 && sent != -EAGAIN)
			return sent;
		r = link_receive(l, answer_owed(o), sent == SEND_MORE, &m);
		if (r > 0 || r == -EAGAIN)
			continue;
		if (!r)
			r = on_message(o, l, &m);
		if (r)
			return r;
	}
	return 0;
}

/* --- begin and end ------------------------------------------------------ */

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

/* Everything is to be sent once more, on another connection. */
static void rewind_locked(struct outgoing *o) REQUIRES(o->lock)
{
	struct op *op;

	TAILQ_FOREACH(op, &o->ops, entry)
		op->ahead = false;
	o->next = TAILQ_FIRST(&o->ops);
	o->state = OUTGOING_QUEUED;
	o->ahead = o->offered = false;
	outgoing_rewind_reads_locked(o);
}

/* The same on this one, whose peer has done nothing of it. */
static void offer_again(struct outgoing *o, struct link *l)
{
	mutex_lock(&o->lock);
	if (o->state == OUTGOING_OFFERED) {
		rewind_locked(o);
		o->state = OUTGOING_OFFERED;
		o->commit_sent = false;
	}
	mutex_unlock(&o->lock);
	o->ahead = o->offered = false;
	l->stale_req = l->last_req;
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
	bool over, can;

	mutex_lock(&o->lock);
	o->link = NULL;
	if (!o->broken_ms || now - o->attached_ms > patience)
		o->broken_ms = now;
	over = o->state == OUTGOING_FAILED || o->state == OUTGOING_PUBLISHED;
	can = !o->released && !o->commit_sent && !over && why != -EPROTO &&
	      why != -EBADMSG && now - o->broken_ms <= patience &&
	      !peers_stopping(o->peer->table);
	if (can)
		rewind_locked(o);
	o->unsure = o->commit_sent && !over;
	mutex_unlock(&o->lock);
	return can;
}

/*
 * The window of a transfer that is over; the thread reads it no longer.
 * *ret_recall: it was aborted behind its COMMIT.
 */
static bool detach(struct outgoing *o, bool *ret_recall)
{
	struct op *op;
	bool published;

	mutex_lock(&o->lock);
	o->link = NULL;
	published = o->state == OUTGOING_PUBLISHED;
	*ret_recall = !published && o->aborted && o->commit_sent;
	while ((op = TAILQ_FIRST(&o->ops)))
		outgoing_op_free_locked(o, op);
	mutex_unlock(&o->lock);
	return published;
}

/*
 * Tells the peer that nothing more comes; right behind it, that what the COMMIT
 * may have published is to go. A full socket: drop it instead (and the link
 * puts back what it was to ask).
 */
static int send_abort(struct outgoing *o, struct link *l, bool recall)
{
	struct wire_msg m = { .type = WIRE_ABORT };
	int r = 0;

	m.abort.tag = o->offer.tag;
	m.abort.code = WIRE_ECANCELED;
	if (recall)
		r = treeop_withdraw(l, o->offer.id);
	if (!r)
		r = link_queue(l, &m);
	if (!r)
		r = treeop_ask(l);
	if (r)
		return r == -EAGAIN ? -ECONNABORTED : r;
	r = conn_flush(l->conn);
	return r == -EAGAIN ? 0 : r;
}

/* What the program is told of a connection that broke like this. */
static int broken(struct outgoing *o, int why)
{
	if (peers_stopping(o->peer->table))
		return -ECANCELED;
	return why == -EPROTO || why == -EBADMSG ? -EIO : -ETIMEDOUT;
}

/* o is over, or (r) its connection is. */
static int end(struct outgoing *o, struct link *l, int r)
{
	bool published, recall;

	if (r)
		outgoing_fail(o, broken(o, r));
	published = detach(o, &recall);
	if (!r && o->offered && !published)
		r = send_abort(o, l, recall);
	else if (recall)
		request_withdraw(o->peer, o->offer.id);
	if (!r)
		conn_reserve_output(l->conn, 0);
	return r;
}

int outgoing_run(struct outgoing *o, struct link *l)
{
	bool again = false;
	int r = 0;

	if (attach(o, l)) {
		ledger_state(
		    o->peer->table->config.ledger, o->ledger_id, LEDGER_ACTIVE);
		l->now = o;
		do {
			if (r)
				offer_again(o, l);
			o->offer.tag = ++l->last_tag;
			r = run(o, l);
			treeop_drop_ahead(l);
		} while (r == AGAIN);
		again = r && rewind_ops(o, r);
		if (!again)
			r = end(o, l, r);
		l->stale_req = l->last_req;
		l->now = NULL;
	}
	if (again) { /* takes the reference */
		peer_requeue(o->peer, o, conn_heard_ms(l->conn));
		return r;
	}
	atomic_store(&o->peer->progress_ms, now_ms());
	peer_transfer_done(o->peer);
	outgoing_put(o);
	return r;
}
