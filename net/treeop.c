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

static void count_locked(struct peer *p, const struct treeop *op, bool more)
{
	size_t bytes = op->msg ? op->msg->len : 0;

	p->n_treeops += more ? 1 : -1U;
	p->treeop_bytes += more ? bytes : -bytes;
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
	int r = 0;

	if (!op)
		return -ENOMEM;
	mutex_lock(&t->lock);
	if (!p->listed || t->stopping)
		r = -EHOSTUNREACH;
	else if (p->n_treeops >= PEER_TREEOPS_MAX ||
		 p->treeop_bytes >= PEER_TREEOP_BYTES_MAX)
		r = -EAGAIN;
	if (!r) {
		op->waiter = w;
		if (w)
			w->op = op;
		STAILQ_INSERT_TAIL(&p->treeops, op, next);
		count_locked(p, op, true);
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

	atomic_store(&d->made, true);
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
		count_locked(p, op, false);
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

static enum wire_type type_of(const struct treeop *op)
{
	struct wire_msg m = { .type = WIRE_MKDIR };

	if (op->msg)
		packed_get(op->msg, &m);
	return m.type;
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

int treeop_ask(struct link *l)
{
	struct treeop *op;
	struct wire_msg m;
	int r;

	while ((op = STAILQ_FIRST(&l->asking))) {
		bool needless = !op->msg && atomic_load(&op->dir->made);

		if (!needless) {
			op->req = l->last_req + 1;
			message(op, &m);
			r = link_queue(l, &m);
			if (r)
				return r;
			l->last_req++;
		}
		STAILQ_REMOVE_HEAD(&l->asking, next);
		if (needless) {
			l->n_asked--;
			finish(l->peer, op, 0);
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
	for (; d && !atomic_load(&d->made); d = d->parent) {
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
	count_locked(l->peer, op, true);
	mutex_unlock(&l->peer->table->lock);
	STAILQ_INSERT_TAIL(&l->asking, op, next);
	l->n_asked++;
	return 0;
}

void treeop_pump(struct link *l)
{
	struct peer *p = l->peer;
	struct treeop *op;

	/* Many in one segment rather than each by itself. */
	if (l->n_asked > WINDOW / 2)
		return;
	mutex_lock(&p->table->lock);
	while (l->n_asked < WINDOW && (op = STAILQ_FIRST(&p->treeops))) {
		STAILQ_REMOVE_HEAD(&p->treeops, next);
		STAILQ_INSERT_TAIL(&l->asking, op, next);
		l->n_asked++;
	}
	if (!l->n_asked) {
		atomic_store(&l->tree_job, false);
		p->tree_busy = false;
	}
	mutex_unlock(&p->table->lock);
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
		STAILQ_REMOVE_HEAD(&p->treeops, next);
		w = taken_waiter_locked(p, op);
		mutex_unlock(&t->lock);
		treeop_free(op);
		if (w)
			w->done(w, err);
		mutex_lock(&t->lock);
	}
}
