/*
 * The life of a transfer, and who waits for it. Operations enter its window in
 * outgoing_window.c; what sends the window is outgoing_run.c, in the link's
 * thread. Here it is whatever thread calls (FUSE workers, mostly); nothing
 * blocks.
 */
#include "outgoing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "outgoing_internal.h"
#include "random.h"
#include "treeop.h"

static int known_error(struct peer *peer)
{
	struct peers *t = peer->table;
	int r;

	mutex_lock(&t->lock);
	r = peer_known_error_locked(t, peer);
	mutex_unlock(&t->lock);
	return r;
}

int outgoing_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, uint64_t size, struct outgoing **ret) NO_THREAD_ANALYSIS
{
	struct outgoing *o = calloc(1, sizeof(*o));
	struct peer_info info;
	int r = -ENOMEM;

	if (!o)
		return -ENOMEM;
	o->hash = ophash_new();
	if (!o->hash)
		goto free_o;
	mutex_init(&o->lock);
	TAILQ_INIT(&o->ops);
	TAILQ_INIT(&o->waiters);
	atomic_init(&o->refs, 2); /* the caller's and the queue's */
	o->waiting_since_ms = now_ms();
	o->peer = peer_get(peer);
	o->parent = parent ? outdir_get(parent) : NULL;
	random_bytes(o->offer.id, sizeof(o->offer.id));
	if (parent)
		memcpy(o->offer.parent, parent->mkdir.id, WIRE_ID_BYTES);
	o->offer.mode = mode & 0777;
	o->offer.size = size;
	strncpy(o->offer.name, name, WIRE_NAME_MAX);
	peer_info(peer, &info);
	o->presumed = info.policy == WIRE_POLICY_ACCEPT;
	r = known_error(peer);
	if (r)
		goto release;
	/* Before the queue: from there on a link's thread has it. */
	o->ledger_id = ledger_begin(
	    peer->table->config.ledger, LEDGER_SEND, info.name, name, size);
	r = peer_enqueue(peer, o);
	if (r)
		goto release;
	*ret = o;
	return 0;
release:
	ledger_end(
	    peer->table->config.ledger, o->ledger_id, LEDGER_FAILED, r, NULL);
	o->told = true;
	atomic_store(&o->refs, 1);
	outgoing_put(o);
	return r;
free_o:
	free(o);
	return r;
}

struct outgoing *outgoing_get(struct outgoing *o)
{
	atomic_fetch_add(&o->refs, 1);
	return o;
}

void outgoing_put(struct outgoing *o)
{
	struct op *op;

	if (!o || atomic_fetch_sub(&o->refs, 1) != 1)
		return;
	mutex_lock(&o->lock);
	assert(TAILQ_EMPTY(&o->waiters));
	while ((op = TAILQ_FIRST(&o->ops)))
		outgoing_op_free_locked(o, op);
	if (o->windowed)
		atomic_fetch_sub(&o->peer->table->windows, 1);
	ophash_free(o->hash);
	mutex_unlock(&o->lock);
	mutex_fini(&o->lock);
	outdir_put(o->parent);
	peer_put(o->peer);
	free(o);
}

/* --- waiters ----------------------------------------------------------- */

void outgoing_ready_locked(struct outgoing *o, struct waiter_list *ret)
{
	struct waiter *w, *next;
	bool room = o->held < outgoing_share(o) &&
		    (o->presumed || o->state >= OUTGOING_ACCEPTED);

	TAILQ_INIT(ret);
	for (w = TAILQ_FIRST(&o->waiters); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (o->error)
			w->result = o->error;
		else if (w->is_write ? !room : w->seq > o->acked_seq)
			continue;
		TAILQ_REMOVE(&o->waiters, w, link);
		w->parked = false;
		TAILQ_INSERT_TAIL(ret, w, link);
	}
}

void outgoing_tell(struct waiter_list *list)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, w, link);
		w->done(w, w->result);
	}
}

bool outgoing_unpark(struct outgoing *o, struct waiter *w, int64_t *ret_taken)
{
	bool was;

	mutex_lock(&o->lock);
	was = w->parked;
	w->cancelled = true;
	if (was) {
		TAILQ_REMOVE(&o->waiters, w, link);
		w->parked = false;
		*ret_taken = w->result;
	}
	mutex_unlock(&o->lock);
	return was;
}

/* --- endings ----------------------------------------------------------- */

void outgoing_fail_locked(struct outgoing *o, int err)
{
	if (o->state == OUTGOING_FAILED || o->state == OUTGOING_PUBLISHED)
		return;
	o->error = err;
	o->state = OUTGOING_FAILED;
	outgoing_kick_locked(o);
	/* The link's thread may be reading an operation: it frees the window.
	 * Without a link nobody else does. */
	if (!o->link) {
		struct op *op;

		while ((op = TAILQ_FIRST(&o->ops)))
			outgoing_op_free_locked(o, op);
	}
}

void outgoing_fail(struct outgoing *o, int err)
{
	struct waiter_list ready;
	bool tell;

	mutex_lock(&o->lock);
	outgoing_fail_locked(o, err);
	tell = o->state == OUTGOING_FAILED && !o->told;
	o->told |= tell;
	err = o->error;
	outgoing_ready_locked(o, &ready);
	mutex_unlock(&o->lock);
	outgoing_tell(&ready);
	if (tell)
		ledger_end(o->peer->table->config.ledger, o->ledger_id,
		    err == -ECANCELED ? LEDGER_ABORTED : LEDGER_FAILED, err,
		    NULL);
}

void outgoing_abort(struct outgoing *o, int err)
{
	outgoing_fail(o, err);
	if (peer_dequeue(o->peer, o)) {
		peer_transfer_done(o->peer);
		outgoing_put(o);
	}
}

bool outgoing_uncommitted(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = o->state != OUTGOING_PUBLISHED && o->state != OUTGOING_FAILED;
	mutex_unlock(&o->lock);
	return r;
}

bool outgoing_published(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = o->state == OUTGOING_PUBLISHED;
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_error(struct outgoing *o)
{
	int r;

	mutex_lock(&o->lock);
	r = o->error;
	mutex_unlock(&o->lock);
	return r;
}

uint64_t outgoing_size(struct outgoing *o)
{
	uint64_t r;

	mutex_lock(&o->lock);
	r = o->size;
	mutex_unlock(&o->lock);
	return r;
}

const uint8_t *outgoing_id(const struct outgoing *o)
{
	return o->offer.id;
}
