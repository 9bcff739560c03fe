/*
 * The queue of requests of a peer. Callers add (any thread); one link at a time
 * takes them off, so that they arrive in the order in which the program made
 * them, and sends up to WINDOW before it has read their RESULTs, which come in
 * the same order. What a broken connection has left open goes back to the front
 * of the queue: every request may be made twice.
 *
 * A MKDIR that fails is not reported here: the files below it get its error,
 * because each of their connections asks again (treeop_ahead).
 */
#include "treeop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "log.h"
#include "outgoing_internal.h"
#include "packed.h"

enum { WINDOW = 32 };

static void treeop_free(struct treeop *op)
{
	if (!op)
		return;
	outdir_put(op->dir);
	outdir_put(op->parent);
	free(op->msg);
	free(op);
}

static struct treeop *treeop_new(
    const struct wire_msg *m, struct outdir *dir, struct outdir *parent)
{
	struct treeop *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	if (m) {
		op->msg = packed_new(m);
		if (!op->msg) {
			free(op);
			return NULL;
		}
	}
	op->dir = dir ? outdir_get(dir) : NULL;
	op->parent = parent ? outdir_get(parent) : NULL;
	return op;
}

static enum wire_type type_of(const struct treeop *op)
{
	struct wire_msg m = { .type = WIRE_MKDIR };

	if (op->msg)
		packed_get(op->msg, &m);
	return m.type;
}

static void add_locked(struct peer *p, struct treeop *op)
{
	enum wire_type type = type_of(op);

	p->n_treeops++;
	p->treeop_bytes += op->msg ? op->msg->len : 0;
	switch (type) {
	case WIRE_RENAME:
	case WIRE_WITHDRAW: op->order = TREEOP_LEAVES; break;
	case WIRE_PATCH:
	case WIRE_SETXATTR: op->order = TREEOP_CHANGES; break;
	default: return;
	}
	op->ordered = ++p->orders[op->order].n;
	TAILQ_INSERT_TAIL(&p->orders[op->order].list, op, in_order);
}

void treeop_wake_locked(struct peer *p)
{
	struct link *l;

	if (p->order_awaited)
		LIST_FOREACH(l, &p->links, entry)
			link_wake(l);
	p->order_awaited = false;
}

static void remove_locked(struct peer *p, struct treeop *op)
{
	p->n_treeops--;
	p->treeop_bytes -= op->msg ? op->msg->len : 0;
	if (!op->ordered)
		return;
	TAILQ_REMOVE(&p->orders[op->order].list, op, in_order);
	treeop_wake_locked(p);
}

uint64_t treeop_mark(struct peer *p, enum treeop_order order)
{
	uint64_t r;

	mutex_lock(&p->table->lock);
	r = p->orders[order].n;
	mutex_unlock(&p->table->lock);
	return r;
}

bool outdir_is_made(const struct outdir *d)
{
	return atomic_load(&d->made) == atomic_load(&d->peer->epoch);
}

void treeop_remake(struct peer *p)
{
	atomic_fetch_add(&p->epoch, 1);
}

/* What ends something that was begun waits for the peer to be back. All else is
 * refused at once where it is known that it cannot work. */
static int known_error_locked(
    struct peers *t, struct peer *p, const struct wire_msg *m) REQUIRES(t->lock)
{
	if (!p->listed || t->stopping)
		return -EHOSTUNREACH;
	if (m && (m->type == WIRE_SHOW || m->type == WIRE_WITHDRAW))
		return 0;
	return peer_known_error_locked(t, p);
}

/* The link that works on them takes more, or one begins to. */
static void kick_locked(struct peers *t, struct peer *p) REQUIRES(t->lock)
{
	struct link *l;

	if (!p->tree_busy)
		peer_kick_locked(t, p);
	LIST_FOREACH(l, &p->links, entry)
		if (p->tree_busy && atomic_load(&l->tree_job))
			link_wake(l);
}

int treeop_add(struct peer *p, const struct wire_msg *m, struct outdir *dir,
    struct outdir *parent, struct request_waiter *w)
{
	struct treeop *op = treeop_new(m, dir, parent);
	struct peers *t = p->table;
	int r;

	if (!op)
		return -ENOMEM;
	mutex_lock(&t->lock);
	r = known_error_locked(t, p, m);
	if (!r && (p->n_treeops >= PEER_TREEOPS_MAX ||
		      p->treeop_bytes >= PEER_TREEOP_BYTES_MAX))
		r = -EAGAIN;
	if (!r) {
		op->waiter = w;
		if (w)
			w->op = op;
		STAILQ_INSERT_TAIL(&p->treeops, op, next);
		add_locked(p, op);
		kick_locked(t, p);
	}
	mutex_unlock(&t->lock);
	if (r)
		treeop_free(op);
	return r;
}

bool request_forget(struct peer *p, struct request_waiter *w)
{
	bool waits;

	mutex_lock(&p->table->lock);
	waits = w->op != NULL;
	if (waits)
		w->op->waiter = NULL;
	w->op = NULL;
	mutex_unlock(&p->table->lock);
	return waits;
}

/* It leaves the queue when its turn comes. */
bool request_cancel(struct peer *p, struct request_waiter *w)
{
	bool unsent;

	mutex_lock(&p->table->lock);
	unsent = w->op && !w->op->sent;
	if (unsent) {
		w->op->dropped = true;
		w->op->waiter = NULL;
		w->op = NULL;
		if (p->asker) /* perhaps for this one alone */
			link_wake(p->asker);
	}
	mutex_unlock(&p->table->lock);
	return unsent;
}

/* --- results -------------------------------------------------------------- */

static bool is_below_locked(const struct outdir *d, const struct outdir *above)
{
	while (d && d != above)
		d = d->parent;
	return d != NULL;
}

/* It was made, or is in its new place; the old parent goes with op. */
static void moved_locked(struct treeop *op)
{
	struct outdir *d = op->dir, *old = d->parent;
	struct wire_msg m;

	atomic_store(&d->made, op->epoch);
	if (!op->msg)
		return;
	/* No honest peer has moved it below itself. */
	if (is_below_locked(op->parent, d))
		return;
	packed_get(op->msg, &m);
	memcpy(d->mkdir.parent, m.rename.parent, WIRE_ID_BYTES);
	memcpy(d->mkdir.name, m.rename.name, sizeof(d->mkdir.name));
	d->parent = op->parent;
	op->parent = old;
}

/* Takes what op leaves behind; the waiter, or NULL. */
static struct request_waiter *taken_waiter_locked(
    struct peer *p, struct treeop *op)
{
	struct request_waiter *w = op->waiter;

	if (!op->tag)
		remove_locked(p, op);
	if (w)
		w->op = NULL;
	return w;
}

/* Frees op. */
static void finish(struct peer *p, struct treeop *op, int result)
{
	struct request_waiter *w;

	mutex_lock(&p->table->lock);
	if (!result && op->dir)
		moved_locked(op);
	w = taken_waiter_locked(p, op);
	mutex_unlock(&p->table->lock);
	treeop_free(op);
	if (w)
		w->done(w, result);
}

int treeop_result(struct link *l, const struct wire_msg *m)
{
	struct treeop *op = STAILQ_FIRST(&l->asked);
	int result = wire_code_to_errno(m->result.code);

	if (!op || op->req != m->result.req)
		return -EPROTO;
	STAILQ_REMOVE_HEAD(&l->asked, next);
	l->n_asked--;
	if (result == -ENOENT && type_of(op) == WIRE_WITHDRAW)
		result = 0; /* it never came so far */
	if (result && op->tag) {
		if (l->now && op->tag == l->last_tag)
			outgoing_fail(l->now, result);
	} else if (result) {
		log_debug("the peer could not do a %s: %s",
		    wire_type_name(type_of(op)), strerror(-result));
	}
	finish(l->peer, op, result);
	return 0;
}

/* --- sending -------------------------------------------------------------- */

static void message(const struct treeop *op, struct wire_msg *ret)
{
	struct peers *t;

	if (op->msg) {
		packed_get(op->msg, ret);
	} else {
		t = op->dir->peer->table;
		ret->type = WIRE_MKDIR;
		mutex_lock(&t->lock);
		ret->mkdir = op->dir->mkdir;
		mutex_unlock(&t->lock);
	}
	/* It stands first in all of them. */
	ret->mkdir.req = op->req;
}

/* It is to be sent now, and no longer to be dropped. False: it was dropped, or
 * has been made already. */
static bool send_begin(struct peer *p, struct treeop *op)
{
	bool needed;

	mutex_lock(&p->table->lock);
	needed = !op->dropped && (op->msg || !outdir_is_made(op->dir));
	if (needed)
		op->sent = true;
	mutex_unlock(&p->table->lock);
	return needed;
}

/* 0; 1: it need not be sent; or as link_queue. */
static int ask_one(struct link *l, struct treeop *op)
{
	bool before = op->sent; /* perhaps on a connection that broke */
	struct wire_msg m;
	int r;

	if (!send_begin(l->peer, op))
		return 1;
	op->req = l->last_req + 1;
	op->epoch = atomic_load(&l->peer->epoch);
	message(op, &m);
	r = link_queue(l, &m);
	if (!r)
		l->last_req++;
	if (r == -EAGAIN && !before) {
		mutex_lock(&l->peer->table->lock);
		op->sent = false;
		mutex_unlock(&l->peer->table->lock);
	}
	return r;
}

int treeop_ask(struct link *l)
{
	struct treeop *op;
	int r;

	while ((op = STAILQ_FIRST(&l->asking))) {
		r = ask_one(l, op);
		if (r < 0)
			return r;
		STAILQ_REMOVE_HEAD(&l->asking, next);
		if (r) {
			l->n_asked--;
			finish(l->peer, op, -EALREADY);
		} else {
			STAILQ_INSERT_TAIL(&l->asked, op, next);
		}
	}
	return 0;
}

int treeop_ahead(struct link *l, struct outdir *d, uint32_t tag)
{
	struct treeop_queue chain = STAILQ_HEAD_INITIALIZER(chain);
	struct peers *t = l->peer->table;
	struct treeop *op;
	int r = 0;

	mutex_lock(&t->lock);
	for (; d && !outdir_is_made(d); d = d->parent) {
		op = treeop_new(NULL, d, NULL);
		if (!op) {
			r = -ENOMEM;
			break;
		}
		op->tag = tag;
		STAILQ_INSERT_HEAD(&chain, op, next);
		l->n_asked++;
	}
	mutex_unlock(&t->lock);
	STAILQ_CONCAT(&l->asking, &chain);
	return r;
}

void treeop_drop_ahead(struct link *l)
{
	struct treeop_queue all = STAILQ_HEAD_INITIALIZER(all);
	struct treeop *op;

	STAILQ_CONCAT(&all, &l->asking);
	while ((op = STAILQ_FIRST(&all))) {
		STAILQ_REMOVE_HEAD(&all, next);
		if (op->tag) {
			l->n_asked--;
			treeop_free(op);
		} else {
			STAILQ_INSERT_TAIL(&l->asking, op, next);
		}
	}
}

int treeop_withdraw(struct link *l, const uint8_t id[WIRE_ID_BYTES])
{
	struct wire_msg m = { .type = WIRE_WITHDRAW };
	struct treeop *op;

	memcpy(m.withdraw.id, id, WIRE_ID_BYTES);
	op = treeop_new(&m, NULL, NULL);
	if (!op)
		return -ENOMEM;
	mutex_lock(&l->peer->table->lock);
	add_locked(l->peer, op);
	mutex_unlock(&l->peer->table->lock);
	STAILQ_INSERT_TAIL(&l->asking, op, next);
	l->n_asked++;
	return 0;
}

/*
 * The MKDIRs of d and all above it that the queue has not come to since a
 * connection broke, outermost first: the peer may have forgotten them.
 */
static void remake_locked(struct link *l, struct outdir *d)
{
	struct treeop_queue chain = STAILQ_HEAD_INITIALIZER(chain);
	uint64_t epoch = atomic_load(&l->peer->epoch);
	struct treeop *op;

	for (; d && !outdir_is_made(d) && d->asked != epoch; d = d->parent) {
		op = treeop_new(NULL, d, NULL);
		if (!op)
			break; /* what follows fails, as it would without */
		d->asked = epoch;
		add_locked(l->peer, op);
		STAILQ_INSERT_HEAD(&chain, op, next);
		l->n_asked++;
	}
	STAILQ_CONCAT(&l->asking, &chain);
}

/* Off the queue it is as good as any other. */
static void unqueue_locked(struct peer *p, struct treeop *op)
{
	STAILQ_REMOVE_HEAD(&p->treeops, next);
	p->n_silent -= op->silent;
	op->silent = false;
}

/* Takes the first one off the queue, behind what it needs. */
static void take_locked(struct link *l)
{
	struct treeop *op = STAILQ_FIRST(&l->peer->treeops);

	unqueue_locked(l->peer, op);
	remake_locked(l, op->parent);
	if (op->dir && op->msg)
		remake_locked(l, op->dir);
	else if (op->dir)
		remake_locked(l, op->dir->parent);
	if (op->dir)
		op->dir->asked = atomic_load(&l->peer->epoch);
	STAILQ_INSERT_TAIL(&l->asking, op, next);
	l->n_asked++;
}

void treeop_pump(struct link *l)
{
	struct peer *p = l->peer;

	/* Many in one segment rather than each by itself. */
	if (l->n_asked > WINDOW / 2)
		return;
	mutex_lock(&p->table->lock);
	while (l->n_asked < WINDOW && !STAILQ_EMPTY(&p->treeops))
		take_locked(l);
	if (!l->n_asked) {
		atomic_store(&l->tree_job, false);
		p->tree_busy = false;
	}
	mutex_unlock(&p->table->lock);
}

bool treeop_past(struct link *l, enum treeop_order order, uint64_t mark)
{
	struct peer *p = l->peer;
	const struct treeop *oldest;
	bool past;

	mutex_lock(&p->table->lock);
	oldest = TAILQ_FIRST(&p->orders[order].list);
	past = !oldest || oldest->ordered > mark;
	p->order_awaited |= !past;
	/* No other connection may be to be had. */
	if (!past && !p->tree_busy && !STAILQ_EMPTY(&p->treeops)) {
		p->tree_busy = true;
		atomic_store(&l->tree_job, true);
		link_wake(l);
	}
	mutex_unlock(&p->table->lock);
	return past;
}

int treeop_run(struct link *l)
{
	struct wire_msg m;
	int r = 0;

	while (r >= 0) {
		treeop_pump(l);
		if (!atomic_load(&l->tree_job)) {
			conn_reserve_output(l->conn, 0);
			return 0;
		}
		r = link_receive(l, true, false, &m);
		if (r == 0 && !link_late_answer(l, &m))
			r = -EPROTO;
	}
	return r;
}

/* --- the end of a connection, or of the peer ------------------------------ */

void treeop_return(struct link *l)
{
	struct treeop_queue all = STAILQ_HEAD_INITIALIZER(all);
	struct treeop_queue *queue = &l->peer->treeops;
	struct peers *t = l->peer->table;
	bool again;

	treeop_drop_ahead(l);
	STAILQ_CONCAT(&all, &l->asking);
	/* Those of a transfer that were sent have nobody to tell either. */
	STAILQ_CONCAT(&l->asking, &l->asked);
	treeop_drop_ahead(l);
	STAILQ_CONCAT(&l->asking, &all);
	l->n_asked = 0;
	again = !STAILQ_EMPTY(&l->asking);
	mutex_lock(&t->lock);
	treeop_remake(l->peer);
	STAILQ_CONCAT(&l->asking, queue);
	STAILQ_CONCAT(queue, &l->asking);
	l->idle = false;
	/* While this link still counts: another one is dialled at once. */
	if (again)
		peer_kick_locked(t, l->peer);
	mutex_unlock(&t->lock);
}

void treeop_clear_locked(struct peers *t, struct peer *p, int err)
{
	struct request_waiter *w;
	struct treeop *op;

	while ((op = STAILQ_FIRST(&p->treeops))) {
		unqueue_locked(p, op);
		w = taken_waiter_locked(p, op);
		mutex_unlock(&t->lock);
		treeop_free(op);
		if (w)
			w->done(w, err);
		mutex_lock(&t->lock);
	}
}
