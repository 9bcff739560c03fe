/*
 * What waits for a connection to a peer: transfers in the order in which they
 * were begun, and requests (net/treeop.c). Any thread adds; links take.
 */
#include <errno.h>
#include <stdlib.h>

#include "outgoing_internal.h"
#include "peer_internal.h"

bool peers_stopping(struct peers *t)
{
	bool r;

	mutex_lock(&t->lock);
	r = t->stopping;
	mutex_unlock(&t->lock);
	return r;
}

bool peer_is_over(struct peer *p)
{
	bool r;

	mutex_lock(&p->table->lock);
	r = p->table->stopping || !p->listed;
	mutex_unlock(&p->table->lock);
	return r;
}

int peer_known_error_locked(struct peers *t, struct peer *p)
{
	if (t->stopping)
		return -ECANCELED;
	if (p->info.key_rejected)
		return -EKEYREJECTED;
	if (p->info.state != PEER_ONLINE || !p->listed)
		return -EHOSTUNREACH;
	if (p->info.policy == WIRE_POLICY_REFUSE)
		return -EACCES;
	return 0;
}

/* All links have transfers: one of them makes the requests as well. */
static void lend_locked(struct peer *p)
{
	struct link *l;

	if (STAILQ_EMPTY(&p->treeops) || p->tree_busy)
		return;
	LIST_FOREACH(l, &p->links, entry)
		if (l->up && !l->stalled) {
			p->tree_busy = true;
			atomic_store(&l->tree_job, true);
			link_wake(l);
			return;
		}
}

/* An idle link, or a new one within the limits, looks for work. */
bool peer_kick_locked(struct peers *t, struct peer *p)
{
	struct link *l;

	LIST_FOREACH(l, &p->links, entry) {
		if (l->up && l->idle) {
			l->idle = false;
			link_wake(l);
			return true;
		}
	}
	/* As long as its owner has not let us in, it gets one connection. */
	if (p->info.policy != WIRE_POLICY_ACCEPT)
		;
	else if (p->n_links >= t->links_max)
		lend_locked(p);
	else if (p->n_dialing < PEER_DIALS_MAX && p->n_up && !t->stopping &&
		 now_ms() >= p->dial_after_ms)
		link_start_locked(t, p, NULL);
	return p->n_links > 0;
}

int peer_admit(struct peer *p)
{
	struct peers *t = p->table;
	int r;

	mutex_lock(&t->lock);
	r = peer_known_error_locked(t, p);
	if (!r && t->n_transfers >= PEER_TRANSFERS_MAX)
		r = -EMFILE;
	if (!r) {
		p->n_transfers++;
		t->n_transfers++;
	}
	mutex_unlock(&t->lock);
	return r;
}

void peer_enqueue(struct peer *p, struct outgoing *o)
{
	struct peers *t = p->table;

	mutex_lock(&t->lock);
	TAILQ_INSERT_TAIL(&p->queue, o, entry);
	o->queued = true;
	o->waiting_since_ms = now_ms();
	peer_kick_locked(t, p);
	mutex_unlock(&t->lock);
}

void peer_requeue(struct peer *p, struct outgoing *o, int64_t heard_ms)
{
	struct peers *t = p->table;

	mutex_lock(&t->lock);
	TAILQ_INSERT_HEAD(&p->queue, o, entry);
	o->queued = true;
	o->waiting_since_ms = heard_ms;
	peer_kick_locked(t, p);
	mutex_unlock(&t->lock);
}

bool peer_dequeue(struct peer *p, struct outgoing *o)
{
	bool was;

	mutex_lock(&p->table->lock);
	was = o->queued;
	if (was) {
		TAILQ_REMOVE(&p->queue, o, entry);
		o->queued = false;
		peer_gave_up_locked(p, o);
		if (p->asker) /* perhaps for this one alone */
			link_wake(p->asker);
	}
	mutex_unlock(&p->table->lock);
	return was;
}

void peer_transfer_done(struct peer *p)
{
	mutex_lock(&p->table->lock);
	p->n_transfers--;
	p->table->n_transfers--;
	mutex_unlock(&p->table->lock);
}

/*
 * The first word of a peer says what it does with offers. Where its owner is
 * to be asked, that comes first, if there is something to ask him about.
 */
static bool may_begin_locked(struct peer *p)
{
	if (p->info.policy != WIRE_POLICY_ASK)
		return p->info.policy != 0;
	return !p->n_silent && !peer_question_locked(p, NULL);
}

bool peer_take_job(struct peer *p, struct link *l)
{
	struct outgoing *o;
	bool found = true;

	mutex_lock(&p->table->lock);
	o = TAILQ_FIRST(&p->queue);
	l->idle = false;
	l->asks = false;
	if (atomic_load(&l->tree_job)) {
		; /* it goes on */
	} else if (!may_begin_locked(p)) {
		l->asks = found = p->info.policy && !p->asker &&
				  peer_question_locked(p, NULL);
		l->idle = !found;
		if (found)
			p->asker = l;
	} else if (!STAILQ_EMPTY(&p->treeops) && !p->tree_busy) {
		p->tree_busy = true;
		atomic_store(&l->tree_job, true);
	} else if (o) {
		TAILQ_REMOVE(&p->queue, o, entry);
		o->queued = false;
		l->job = o;
	} else {
		found = false;
		l->idle = true;
	}
	/* There is more: another link, up to the limit. */
	if (found && !TAILQ_EMPTY(&p->queue))
		peer_kick_locked(p->table, p);
	mutex_unlock(&p->table->lock);
	return found;
}

bool peer_link_superfluous(struct peer *p, struct link *l)
{
	bool r;

	mutex_lock(&p->table->lock);
	r = l->idle && p->n_up > 1 && TAILQ_EMPTY(&p->queue);
	if (r)
		l->idle = false; /* gets no more jobs */
	mutex_unlock(&p->table->lock);
	return r;
}

unsigned peer_treeops_locked(const struct peer *p)
{
	bool let_in = p->info.policy == WIRE_POLICY_ACCEPT;

	return p->n_treeops - (let_in ? 0 : p->n_silent);
}

bool peer_has_work_locked(struct peers *t, const struct peer *p)
{
	return !TAILQ_EMPTY(&p->queue) ||
	       (!STAILQ_EMPTY(&p->treeops) && peer_treeops_locked(p) &&
		   !p->tree_busy);
}
