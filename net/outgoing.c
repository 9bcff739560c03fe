/*
 * The life of a transfer, and who waits for it. Operations enter its window in
 * outgoing_window.c, readers in outgoing_read.c; what sends both is
 * outgoing_run.c, in the link's thread; what follows upon a commit is
 * outgoing_version.c's. Here it is whatever thread calls (FUSE workers,
 * mostly); nothing blocks.
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

static void set_plan(
    struct outgoing *o, const struct outgoing_plan *plan) NO_THREAD_ANALYSIS
{
	const uint8_t *base = plan->base;
	uint64_t size = base ? plan->base_size : 0;

	if (plan->after)
		o->after = outgoing_get(plan->after);
	if (plan->after && !plan->anew) {
		base = plan->after->offer.id;
		size = outgoing_size(plan->after);
	}
	if (base) {
		memcpy(o->offer.base, base, WIRE_ID_BYTES);
		o->size = size;
		o->versioned = true;
	}
	o->parent = plan->parent ? outdir_get(plan->parent) : NULL;
	random_bytes(o->offer.id, sizeof(o->offer.id));
	if (plan->parent)
		memcpy(o->offer.parent, outdir_id(plan->parent), WIRE_ID_BYTES);
	o->offer.mode = plan->mode & 0777;
	o->offer.size = plan->size;
	strncpy(o->offer.name, plan->name, WIRE_NAME_MAX);
}

/* Into the peer's queue, or behind the version before it. Counted already. */
static int begin(struct outgoing *o, struct outgoing *after)
{
	int r = after ? outgoing_follow(o, after) : 1;

	if (r == 1) {
		outgoing_unafter(o);
		peer_enqueue(o->peer, o);
		r = 0;
	}
	if (r)
		peer_transfer_done(o->peer);
	return r;
}

int outgoing_new(struct peer *peer, const struct outgoing_plan *plan,
    struct outgoing **ret) NO_THREAD_ANALYSIS
{
	struct outgoing *o = calloc(1, sizeof(*o));
	struct peer_info info;
	int r;

	if (!o)
		return -ENOMEM;
	o->hash = ophash_new();
	if (!o->hash) {
		free(o);
		return -ENOMEM;
	}
	mutex_init(&o->lock);
	TAILQ_INIT(&o->ops);
	TAILQ_INIT(&o->waiters);
	TAILQ_INIT(&o->readers);
	TAILQ_INIT(&o->followers);
	atomic_init(&o->refs, 2); /* the caller's and the queue's */
	o->peer = peer_get(peer);
	o->mark = treeop_mark(peer, TREEOP_LEAVES);
	o->changes_mark = treeop_mark(peer, TREEOP_CHANGES);
	set_plan(o, plan);
	peer_info(peer, &info);
	o->presumed = info.policy == WIRE_POLICY_ACCEPT;
	r = peer_admit(peer);
	if (!r) {
		/* Before the queue: from there on a link's thread has it. */
		o->ledger_id = ledger_begin(peer->table->config.ledger,
		    LEDGER_SEND, info.name, plan->name, plan->size);
		r = begin(o, plan->after);
	}
	if (!r) {
		*ret = o;
		return 0;
	}
	ledger_end(
	    peer->table->config.ledger, o->ledger_id, LEDGER_FAILED, r, NULL);
	outgoing_unafter(o);
	atomic_store(&o->refs, 1);
	outgoing_put(o);
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
	assert(TAILQ_EMPTY(&o->waiters) && TAILQ_EMPTY(&o->readers));
	assert(TAILQ_EMPTY(&o->followers) && !o->after);
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

bool outgoing_may_answer_locked(struct outgoing *o)
{
	/* Nobody knows yet whether the base is as we left it. */
	bool welcome =
	    o->state >= OUTGOING_ACCEPTED || (o->presumed && !o->versioned);

	return welcome && o->held < outgoing_share(o);
}

void outgoing_ready_locked(struct outgoing *o, struct waiter_list *ret)
{
	bool room = outgoing_may_answer_locked(o);
	struct waiter *w, *next;

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
	if (o->error)
		outgoing_fail_reads_locked(o, o->error, ret);
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
	if (was && w->is_read) {
		outgoing_unread_locked(o, w);
	} else if (was) {
		TAILQ_REMOVE(&o->waiters, w, link);
		w->parked = false;
		*ret_taken = w->result;
	}
	mutex_unlock(&o->lock);
	return was;
}

/* --- endings ----------------------------------------------------------- */

static bool ended_locked(const struct outgoing *o) REQUIRES(o->lock)
{
	return o->state == OUTGOING_FAILED || o->state == OUTGOING_PUBLISHED;
}

static void set_failed_locked(struct outgoing *o, int err) REQUIRES(o->lock)
{
	struct op *op;

	if (ended_locked(o))
		return;
	o->error = err;
	o->state = OUTGOING_FAILED;
	outgoing_kick_locked(o);
	/* The link's thread may be reading an operation: it frees the window.
	 * Without a link nobody else does. */
	while (!o->link && (op = TAILQ_FIRST(&o->ops)))
		outgoing_op_free_locked(o, op);
}

void outgoing_fail_one(struct outgoing *o, int err, struct outgoing_list *ret)
{
	struct waiter_list ready;
	bool tell;

	mutex_lock(&o->lock);
	set_failed_locked(o, err);
	tell = o->state == OUTGOING_FAILED && !o->told;
	o->told |= tell;
	if (o->error) {
		err = o->error;
		outgoing_followers_locked(o, ret);
	}
	outgoing_ready_locked(o, &ready);
	mutex_unlock(&o->lock);
	/* Before the program learns of it: its user may look for the reason. */
	if (tell)
		ledger_end(o->peer->table->config.ledger, o->ledger_id,
		    err == -ECANCELED ? LEDGER_ABORTED : LEDGER_FAILED, err,
		    NULL);
	outgoing_tell(&ready);
}

void outgoing_fail(struct outgoing *o, int err)
{
	struct outgoing_list after = TAILQ_HEAD_INITIALIZER(after);

	outgoing_fail_one(o, err, &after);
	outgoing_settle(&after, err);
}

void outgoing_abort(struct outgoing *o, int err)
{
	bool withdraw;

	mutex_lock(&o->lock);
	o->aborted |= !ended_locked(o);
	/* Its connection broke behind the COMMIT: take back what may be. */
	withdraw = o->unsure && o->state == OUTGOING_FAILED;
	if (withdraw)
		o->unsure = false;
	mutex_unlock(&o->lock);
	outgoing_fail(o, err);
	if (withdraw)
		request_withdraw(o->peer, o->offer.id);
	if (outgoing_unfollow(o) || peer_dequeue(o->peer, o)) {
		peer_transfer_done(o->peer);
		outgoing_put(o);
	}
}

/* --- questions --------------------------------------------------------- */

bool outgoing_uncommitted(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = !ended_locked(o);
	mutex_unlock(&o->lock);
	return r;
}

bool outgoing_writable(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = !ended_locked(o) && !o->commit_seq;
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

bool outgoing_held(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = o->kept;
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

uint64_t outgoing_progress(struct outgoing *o)
{
	uint64_t r;

	mutex_lock(&o->lock);
	r = o->acked_bytes;
	mutex_unlock(&o->lock);
	return r;
}

const char *outgoing_state_name(struct outgoing *o)
{
	enum ledger_state s = LEDGER_WAITING;

	mutex_lock(&o->lock);
	if (o->state == OUTGOING_FAILED)
		s = LEDGER_FAILED;
	else if (o->state == OUTGOING_PUBLISHED)
		s = LEDGER_DONE;
	else if (o->commit_seq)
		s = LEDGER_COMMITTING;
	else if (o->state == OUTGOING_ACCEPTED ||
		 (o->state == OUTGOING_OFFERED && o->presumed))
		s = LEDGER_ACTIVE;
	mutex_unlock(&o->lock);
	return ledger_state_name(s);
}

const uint8_t *outgoing_id(const struct outgoing *o)
{
	return o->offer.id;
}
