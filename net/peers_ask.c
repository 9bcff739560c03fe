/*
 * Asking to be let in, as the table sees it: what the question is about, who
 * waits for it, and what its answer does. The link that asks is link_ask.c's.
 */
#include <errno.h>
#include <string.h>

#include "consent.h"
#include "outgoing_internal.h"
#include "packed.h"
#include "peer_internal.h"
#include "treeop.h"

/* The name that op gives to something; NULL: it names nothing. */
static const char *name_of(const struct treeop *op, struct wire_msg *m)
{
	if (!op->msg)
		return op->dir->mkdir.name;
	packed_get(op->msg, m);
	switch (m->type) {
	case WIRE_SYMLINK: return m->symlink.name;
	case WIRE_RENAME: return m->rename.name;
	default: return NULL;
	}
}

static void say(struct wire_msg *ret, const char *name, uint64_t size)
{
	if (!ret)
		return;
	ret->ask.size = size;
	strcpy(ret->ask.name, name);
}

/* A directory comes before the files in it, and says more than they do. */
bool peer_question_locked(struct peer *p, struct wire_msg *ret)
{
	struct outgoing *o = TAILQ_FIRST(&p->queue);
	struct treeop *op;
	struct wire_msg m;
	const char *name;

	if (o && !ret)
		return true;
	STAILQ_FOREACH(op, &p->treeops, next) {
		name = op->dropped || op->silent ? NULL : name_of(op, &m);
		if (name) {
			say(ret, name, WIRE_SIZE_UNKNOWN);
			return true;
		}
	}
	if (o)
		say(ret, o->offer.name, o->offer.size);
	return o != NULL;
}

/*
 * Each connection has other words: whoever breaks one after the other, to try
 * his luck with them or to keep everybody waiting, has said no at last.
 */
bool peer_ask_begin(struct peer *p, struct link *l, struct wire_msg *ret)
{
	struct peer_info *in = &p->info;
	bool begins, enough = false;

	mutex_lock(&p->table->lock);
	begins = in->policy == WIRE_POLICY_ASK && !p->table->stopping &&
		 peer_question_locked(p, ret);
	if (begins) {
		p->n_asked = in->asking ? p->n_asked + 1 : 1;
		if (p->n_asked == 1)
			p->asked_ms = now_ms();
		enough = p->n_asked > PEER_ASKS_MAX &&
			 now_ms() - p->asked_ms > p->table->config.patience_ms;
	}
	if (begins && !enough) {
		in->asking = in->has_words = true;
		memcpy(in->words, conn_words(l->conn), sizeof(in->words));
	}
	mutex_unlock(&p->table->lock);
	if (enough)
		peer_answered(p, conn_words(l->conn), -EACCES);
	return begins && !enough;
}

void peer_ask_sent(struct peer *p)
{
	struct peer_info info;

	peer_info(p, &info);
	peers_notify(p->table, PEER_ASKING, &info);
}

bool peer_asks(struct peer *p)
{
	bool r;

	mutex_lock(&p->table->lock);
	r = p->info.asking && !p->table->stopping &&
	    peer_question_locked(p, NULL);
	mutex_unlock(&p->table->lock);
	return r;
}

bool peer_ask_lapsed_locked(struct peers *t, struct peer *p)
{
	bool lapsed = p->info.asking && !p->asker &&
		      (t->stopping || !peer_question_locked(p, NULL));

	if (lapsed) {
		p->info.asking = false;
		peer_read_pin_locked(t, p); /* the words are its again */
	}
	return lapsed;
}

/* The topmost directory that d lies in. */
static const struct outdir *topmost_locked(const struct outdir *d)
{
	while (d && d->parent)
		d = d->parent;
	return d;
}

void peer_gave_up_locked(struct peer *p, const struct outgoing *o)
{
	const struct outdir *top = topmost_locked(o->parent);
	const struct outgoing *other;
	struct treeop *op;

	if (!top || (!p->info.asking && p->info.policy != WIRE_POLICY_ASK))
		return;
	TAILQ_FOREACH(other, &p->queue, entry)
		if (topmost_locked(other->parent) == top)
			return;
	STAILQ_FOREACH(op, &p->treeops, next)
		if (!op->sent && !op->waiter && !op->dropped && !op->silent &&
		    (topmost_locked(op->dir) == top ||
			topmost_locked(op->parent) == top)) {
			op->silent = true;
			p->n_silent++;
		}
}

bool peer_ask_end(struct peer *p, struct link *l)
{
	struct peers *t = p->table;
	struct peer_info info;
	bool lapsed;

	l->asks = false;
	mutex_lock(&t->lock);
	p->asker = NULL;
	lapsed = peer_ask_lapsed_locked(t, p);
	info = p->info;
	mutex_unlock(&t->lock);
	if (lapsed)
		peers_notify(t, PEER_CHANGED, &info);
	return lapsed;
}

/* --- two who ask each other -------------------------------------------------
 */

static bool ours_goes_first(const struct peers *t, const uint8_t *key)
{
	return memcmp(t->config.self->identity->public, key,
		   IDENTITY_KEY_BYTES) < 0;
}

/* Its question is open here, too, and is the one whose words count. */
static bool theirs_counts(
    struct peers *t, const uint8_t *key, struct consent_question *ret)
{
	return t->config.consent && !ours_goes_first(t, key) &&
	       consent_find_key(t->config.consent, key, ret) == 0;
}

bool peers_crossing(void *peers, const uint8_t key[IDENTITY_KEY_BYTES],
    uint8_t ret_words[TRUST_WORDS_BYTES])
{
	struct peers *t = peers;
	struct peer *p;
	bool ours;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	ours = p && p->info.asking && ours_goes_first(t, key);
	if (ours)
		memcpy(ret_words, p->info.words, TRUST_WORDS_BYTES);
	mutex_unlock(&t->lock);
	return ours;
}

void peer_copy_locked(
    struct peers *t, const struct peer *p, struct peer_info *ret)
{
	struct consent_question q;

	*ret = p->info;
	ret->here = trust_incoming(t->config.trust, ret->key);
	if (ret->asking && theirs_counts(t, ret->key, &q))
		memcpy(ret->words, q.words, sizeof(ret->words));
}

/* --- the answer --------------------------------------------------------------
 */

/*
 * Both directions are one trust: who let us in is let in here, unless our own
 * owner has turned it away. What the disk does not take is said by trust, and
 * asked once more another time.
 *
 * Where two have asked each other, and our owner has let the other one in
 * meanwhile, both sides have the words of that question.
 */
static void remember(struct peer *p, const uint8_t *words)
{
	struct trust *trust = p->table->config.trust;
	struct trust_decision d = {
		.policy = TRUST_ACCEPT, .unless_refused = true, .words = words
	};
	struct consent_question q;
	struct peer_info info;

	mutex_lock(&p->table->lock);
	info = p->info;
	d.since_ms = p->asked_ms;
	mutex_unlock(&p->table->lock);
	if (theirs_counts(p->table, info.key, &q))
		d.words = q.words;
	if (trust_decide(trust, info.key, info.name, &d, NULL) == -EACCES)
		trust_set_words(trust, info.key, d.words);
	else if (!info.pinned)
		trust_note_address(
		    trust, info.key, (struct sockaddr *)&info.addresses[0]);
}

/* All that waits for the answer fails with it. */
static void turn_away(struct peer *p)
{
	struct peers *t = p->table;
	struct outgoing *o;

	mutex_lock(&t->lock);
	while ((o = TAILQ_FIRST(&p->queue))) {
		outgoing_get(o);
		mutex_unlock(&t->lock);
		outgoing_abort(o, -EACCES);
		outgoing_put(o);
		mutex_lock(&t->lock);
	}
	treeop_clear_locked(t, p, -EACCES);
	mutex_unlock(&t->lock);
}

static bool is_accepted(const struct peer_info *info)
{
	return info->pinned && info->pin_policy == TRUST_ACCEPT;
}

void peer_answered(
    struct peer *p, const uint8_t words[TRUST_WORDS_BYTES], int result)
{
	struct peers *t = p->table;
	struct peer_info before, info;
	bool awaited;

	mutex_lock(&t->lock);
	before = p->info;
	awaited = peer_question_locked(p, NULL);
	mutex_unlock(&t->lock);
	if (result)
		turn_away(p);
	else if (awaited)
		remember(p, words);
	mutex_lock(&t->lock);
	p->info.asking = false;
	peer_read_pin_locked(t, p);
	if (!result) {
		p->info.policy = WIRE_POLICY_ACCEPT;
		/* Nobody could get on before. */
		atomic_store(&p->progress_ms, now_ms());
		if (p->asker)
			link_wake(p->asker);
		else if (peer_has_work_locked(t, p))
			peer_kick_locked(t, p);
	}
	info = p->info;
	mutex_unlock(&t->lock);
	peers_notify(t, PEER_CHANGED, &info);
	if (is_accepted(&info) && !is_accepted(&before))
		peers_notify(t, PEER_LET_IN, &info);
}
