/*
 * What connections do to the table: peers come online with their first link
 * and are lost with the last; time, and the end. Link threads and the keeper.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "escape.h"
#include "log.h"
#include "outgoing_internal.h"
#include "peer_internal.h"
#include "treeop.h"

/* --- presence ------------------------------------------------------------ */

/* A link has its connection, to that address. True: the first one. */
static bool up_locked(struct peers *t, struct peer *p, struct link *l,
    const struct sockaddr_storage *a) REQUIRES(t->lock)
{
	bool came = p->info.state != PEER_ONLINE;

	if (p->n_dialing && l->dialled)
		p->n_dialing--;
	l->dialled = false;
	l->up = true;
	l->remote = *a;
	/* What was proven before may be another machine's by now. */
	if (p->n_up++ == 0)
		memset(p->proven_ms, 0, sizeof(p->proven_ms));
	peer_proven_locked(t, p, a);
	p->lost_ms = 0;
	p->info.state = PEER_ONLINE;
	p->info.key_rejected = false;
	p->info.rejected_by = 0;
	p->info.seen_ms = now_ms();
	return came;
}

/* The entry of a key that was proven there; NULL: it gets none. */
static struct peer *entry_locked(struct peers *t, const struct conn *conn,
    const struct sockaddr *a, const char *wanted, const char *heard,
    struct peer **ret_gone) REQUIRES(t->lock)
{
	const uint8_t *key = conn_remote_key(conn);
	const char *own = peers_claim_locked(t, key, a, wanted);
	struct peer *p = peers_by_key_locked(t, key);

	if (t->stopping)
		return NULL;
	/* It was found in some other way before. */
	if (p && own && peer_idle_locked(t, p) &&
	    peers_misnamed_locked(t, p, own)) {
		*ret_gone = peers_take_out_locked(t, p);
		p = NULL;
	}
	wanted = own ? own : wanted;
	if (p || (!wanted && !peers_room_locked(t, key, a, ret_gone)))
		return p;
	return peers_add_locked(t, key, wanted ? wanted : heard);
}

void peers_adopt(struct peers *t, struct conn *conn, const char *wanted_name)
{
	const struct wire_hello *hello = conn_remote_hello(conn);
	/* A copy: the link's thread may free conn at any time. */
	const struct sockaddr_storage a = *conn_remote_address(conn);
	char heard[WIRE_PEER_NAME_MAX + 1];
	struct peer_info info;
	bool appeared, came = false;
	struct peer *p, *gone = NULL;
	uint64_t last;
	int r = -EALREADY;

	escape_name(hello->name, strlen(hello->name), heard);
	mutex_lock(&t->lock);
	last = t->next_serial;
	p = entry_locked(
	    t, conn, (const struct sockaddr *)&a, wanted_name, heard, &gone);
	appeared = t->next_serial != last;
	if (!p) {
		mutex_unlock(&t->lock);
		conn_free(conn);
		if (gone)
			peers_say_gone(gone);
		return;
	}
	memcpy(p->info.heard_name, heard, sizeof(heard));
	peers_shadow_locked(t, p, &a, heard);
	if (p->n_up + p->n_dialing == 0)
		r = link_start_locked(t, p, conn);
	/* Now, not when its thread begins to run: who sees the folder may use
	 * it at once. */
	if (!r)
		came = up_locked(t, p, LIST_FIRST(&p->links), &a);
	else
		peer_proven_locked(t, p, &a);
	info = p->info;
	cond_broadcast(&t->claimed);
	mutex_unlock(&t->lock);
	if (gone)
		peers_say_gone(gone);
	if (appeared)
		peers_notify(t, PEER_APPEARED, &info);
	if (came)
		peers_notify(t, PEER_CAME_ONLINE, &info);
	trust_note_address(
	    t->config.trust, info.key, (const struct sockaddr *)&a);
	if (r)
		conn_free(conn);
}

void peer_link_up(struct peer *p, struct link *l)
{
	const struct sockaddr_storage *a = conn_remote_address(l->conn);
	struct peers *t = p->table;
	struct peer_info info;
	bool came;

	mutex_lock(&t->lock);
	came = up_locked(t, p, l, a);
	info = p->info;
	mutex_unlock(&t->lock);
	if (came)
		peers_notify(t, PEER_CAME_ONLINE, &info);
}

static void set_state_locked(struct peer *p, enum peer_state state)
{
	if (state == PEER_OFFLINE && p->info.state != PEER_OFFLINE)
		p->away_ms = now_ms();
	p->info.state = state;
}

/* All links silent: offline to newcomers, though transfers wait on. */
static void presence_locked(struct peer *p, bool *ret_changed)
{
	struct link *l;
	bool alive = false;
	enum peer_state state;

	LIST_FOREACH(l, &p->links, entry)
		alive |= l->up && !l->stalled;
	state = alive ? PEER_ONLINE : PEER_OFFLINE;
	*ret_changed = state != p->info.state;
	set_state_locked(p, state);
}

static void notify_presence(struct peer *p, const struct peer_info *info)
{
	peers_notify(p->table,
	    info->state == PEER_ONLINE ? PEER_CAME_ONLINE : PEER_WENT_OFFLINE,
	    info);
}

void peer_link_stalled(struct peer *p, struct link *l, bool stalled)
{
	struct peer_info info;
	bool changed;

	mutex_lock(&p->table->lock);
	l->stalled = stalled;
	presence_locked(p, &changed);
	info = p->info;
	mutex_unlock(&p->table->lock);
	if (changed)
		notify_presence(p, &info);
}

void peer_heard_pong(struct peer *p, const struct wire_msg *pong)
{
	struct sink_space *s = &p->info.space;
	struct peer_info info;
	uint8_t words[TRUST_WORDS_BYTES];
	bool changed, answered;

	mutex_lock(&p->table->lock);
	/* The ANSWER may be behind it, or lost with a connection. */
	answered = p->info.asking && pong->pong.policy == WIRE_POLICY_ACCEPT;
	memcpy(words, p->info.words, sizeof(words));
	changed = !answered && p->info.policy != pong->pong.policy;
	if (changed)
		p->info.policy = pong->pong.policy;
	s->free_bytes = pong->pong.free_bytes;
	s->total_bytes = pong->pong.total_bytes;
	s->free_files = pong->pong.free_files;
	s->total_files = pong->pong.total_files;
	p->info.seen_ms = now_ms();
	info = p->info;
	if (changed && peer_has_work_locked(p->table, p))
		peer_kick_locked(p->table, p);
	mutex_unlock(&p->table->lock);
	if (answered)
		peer_answered(p, words, 0);
	else if (changed)
		peers_notify(p->table, PEER_CHANGED, &info);
}

void peer_accepted_us(struct peer *p)
{
	struct peer_info info;

	peer_info(p, &info);
	if (info.pinned)
		return;
	if (trust_pin(
		p->table->config.trust, info.key, info.name, TRUST_ASK, NULL))
		return; /* logged by trust; the transfer goes on */
	mutex_lock(&p->table->lock);
	peer_read_pin_locked(p->table, p);
	mutex_unlock(&p->table->lock);
	trust_note_address(p->table->config.trust, info.key,
	    (struct sockaddr *)&info.addresses[0]);
}

void peer_link_down(struct peer *p, struct link *l, int why)
{
	struct peers *t = p->table;
	struct peer_info info;
	bool lost = false;

	conn_free(l->conn);
	l->conn = NULL;
	mutex_lock(&t->lock);
	LIST_REMOVE(l, entry);
	p->n_links--;
	if (l->dialled)
		p->n_dialing--;
	if (l->up)
		p->n_up--;
	if (l->up && why)
		peer_unproven_locked(p, (struct sockaddr *)&l->remote);
	if (atomic_load(&l->tree_job)) {
		p->tree_busy = false;
		treeop_wake_locked(p);
	}
	/* A peer that takes no more connections is not asked in a circle. */
	if (why && now_ms() - l->started_ms < PEER_DIAL_PAUSE_MS)
		p->dial_after_ms = now_ms() + PEER_DIAL_PAUSE_MS;
	if (p->n_links == 0) {
		lost = true;
		p->lost_ms = now_ms() - (l->said_bye ? PEER_LOST_MS : 0);
		/* He may have answered by now: the next one is told first. */
		if (p->info.policy == WIRE_POLICY_ASK) {
			p->info.policy = 0;
			p->away_ms = now_ms();
		}
	} else if (peer_has_work_locked(t, p)) {
		peer_kick_locked(t, p);
	}
	if (lost)
		peers_unshadow_locked(t, p);
	info = p->info;
	lost = lost && !t->stopping && p->listed;
	mutex_unlock(&t->lock);
	if (lost && l->said_bye)
		peers_tick(t);
	if (lost && t->config.lost)
		t->config.lost(t->config.ctx, &info);
	peer_put(p);
	/* The thread ends now; peers_tick or peers_stop joins it. */
	mutex_lock(&t->lock);
	LIST_INSERT_HEAD(&t->finished, l, entry);
	t->n_links--;
	cond_broadcast(&t->links_gone);
	mutex_unlock(&t->lock);
}

/* --- time ----------------------------------------------------------------- */

static void reap_links(struct peers *t)
{
	struct link *l;

	mutex_lock(&t->lock);
	while ((l = LIST_FIRST(&t->finished))) {
		LIST_REMOVE(l, entry);
		mutex_unlock(&t->lock);
		pthread_join(l->thread, NULL);
		close(l->wake_fd);
		free(l);
		mutex_lock(&t->lock);
	}
	mutex_unlock(&t->lock);
}

/*
 * A transfer of p that has waited for longer than the patience, referenced,
 * and why: the peer is away, or says nothing; or all connections that there may
 * be belong to files that somebody holds open, and none of them gets on (tee to
 * 20 files would wait for itself). What waits for a person who was asked is
 * patient: that ends there.
 */
static struct outgoing *overdue_locked(
    struct peer *p, int64_t now, int *ret_why)
{
	int64_t patience = p->table->config.patience_ms;
	bool away = p->info.state != PEER_ONLINE || !p->info.policy;
	int64_t since = away ? p->away_ms : atomic_load(&p->progress_ms);
	struct outgoing *o;

	if (now - since <= patience ||
	    (!away && (p->asker || p->n_up < p->table->links_max)))
		return NULL;
	TAILQ_FOREACH(o, &p->queue, entry)
		if (now - o->waiting_since_ms > patience) {
			*ret_why = away ? -ETIMEDOUT : -EMFILE;
			return outgoing_get(o);
		}
	return NULL;
}

/*
 * One step of the clock for one peer: 1 when something was done without the
 * lock and the list has to be walked again.
 */
static int tick_locked(struct peers *t, struct peer *p, int64_t now)
    REQUIRES(t->lock)
{
	int why = 0;
	struct outgoing *o = overdue_locked(p, now, &why);
	struct peer_info info;
	bool went = false;

	if (o) {
		mutex_unlock(&t->lock);
		outgoing_abort(o, why);
		outgoing_put(o);
		mutex_lock(&t->lock);
		return 1;
	}
	if (peer_ask_lapsed_locked(t, p)) {
		info = p->info;
		mutex_unlock(&t->lock);
		peers_notify(t, PEER_CHANGED, &info);
		mutex_lock(&t->lock);
		return 1;
	}
	if (peer_has_work_locked(t, p))
		peer_kick_locked(t, p); /* a dial may have been put off */
	if (p->n_links || p->n_pinning || now - p->lost_ms < PEER_LOST_MS)
		return 0;
	if (p->info.state == PEER_OFFLINE && (p->info.pinned || p->n_transfers))
		return 0;
	p->info.policy = 0;
	if (p->info.state == PEER_ONLINE) {
		set_state_locked(p, PEER_OFFLINE);
		went = true;
	}
	info = p->info;
	if (p->info.pinned || p->n_transfers) {
		mutex_unlock(&t->lock);
		notify_presence(p, &info);
	} else {
		peers_remove_locked(t, p);
		treeop_clear_locked(t, p, -EHOSTUNREACH);
		mutex_unlock(&t->lock);
		if (went)
			peers_notify(t, PEER_WENT_OFFLINE, &info);
		peers_notify(t, PEER_WENT, &info);
		peer_put(p);
	}
	mutex_lock(&t->lock);
	return 1;
}

void peers_tick(struct peers *t)
{
	int64_t now = now_ms();
	struct peer *p;

	mutex_lock(&t->lock);
again:
	TAILQ_FOREACH(p, &t->list, entry)
		if (tick_locked(t, p, now))
			goto again;
	mutex_unlock(&t->lock);
	reap_links(t);
}

unsigned peers_busy(struct peers *t)
{
	struct peer *p;
	unsigned n;

	mutex_lock(&t->lock);
	n = t->n_transfers;
	TAILQ_FOREACH(p, &t->list, entry)
		n += p->n_up ? peer_treeops_locked(p) : 0;
	mutex_unlock(&t->lock);
	return n;
}

static struct outgoing *any_queued_locked(struct peers *t) REQUIRES(t->lock)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->list, entry)
		if (!TAILQ_EMPTY(&p->queue))
			return outgoing_get(TAILQ_FIRST(&p->queue));
	return NULL;
}

static void cancel_queued_locked(struct peers *t) REQUIRES(t->lock)
{
	struct outgoing *o;

	while ((o = any_queued_locked(t))) {
		mutex_unlock(&t->lock);
		outgoing_abort(o, -ECANCELED);
		outgoing_put(o);
		mutex_lock(&t->lock);
	}
}

/* No link is left, and nothing is added any more. */
static void cancel_asking_locked(struct peers *t) REQUIRES(t->lock)
{
	struct peer *p;

again:
	TAILQ_FOREACH(p, &t->list, entry)
		if (!STAILQ_EMPTY(&p->treeops)) {
			p->refs++;
			treeop_clear_locked(t, p, -ECANCELED);
			mutex_unlock(&t->lock);
			peer_put(p);
			mutex_lock(&t->lock);
			goto again;
		}
}

void peers_stop(struct peers *t)
{
	struct peer *p;
	struct link *l;

	mutex_lock(&t->lock);
	t->stopping = true;
	cond_broadcast(&t->claimed);
	TAILQ_FOREACH(p, &t->list, entry)
		LIST_FOREACH(l, &p->links, entry)
			link_wake(l);
	cancel_queued_locked(t);
	while (t->n_links)
		cond_wait(&t->links_gone, &t->lock);
	/* A link may have put one back just before it saw the end. */
	cancel_queued_locked(t);
	cancel_asking_locked(t);
	mutex_unlock(&t->lock);
	reap_links(t);
}
