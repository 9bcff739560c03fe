/*
 * The table of peers: who is in it, under which name, in which state. What
 * their connections do to it is in peers_links.c.
 */
#include "peers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer_internal.h"
#include "treeop.h"

void peers_notify(
    struct peers *t, enum peer_change change, const struct peer_info *info)
{
	if (t->config.changed)
		t->config.changed(t->config.ctx, change, info);
}

struct peer *peers_by_key_locked(struct peers *t, const uint8_t *key)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->list, entry)
		if (!memcmp(p->info.key, key, IDENTITY_KEY_BYTES))
			return p;
	return NULL;
}

bool peer_read_pin_locked(struct peers *t, struct peer *p)
{
	struct peer_info *in = &p->info;
	struct trust_pin pin;

	in->pinned = trust_find(t->config.trust, in->key, &pin) == 0;
	if (!in->pinned)
		memset(&pin, 0, sizeof(pin));
	in->damaged = pin.damaged;
	in->pin_policy = pin.policy;
	in->verified = pin.verified;
	in->quota_bytes = pin.quota_bytes;
	in->quota_files = pin.quota_files;
	if (!in->asking) {
		in->has_words = pin.has_words;
		memcpy(in->words, pin.words, sizeof(in->words));
	}
	return in->pinned;
}

struct peer *peers_add_locked(
    struct peers *t, const uint8_t *key, const char *wanted)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct trust_pin pin;

	if (!p)
		return NULL;
	p->table = t;
	p->refs = 1; /* the table's */
	atomic_init(&p->epoch, 1);
	p->listed = true;
	LIST_INIT(&p->links);
	TAILQ_INIT(&p->queue);
	STAILQ_INIT(&p->treeops);
	for (unsigned i = 0; i < TREEOP_ORDERS; i++)
		TAILQ_INIT(&p->orders[i].list);
	p->info.serial = ++t->next_serial;
	memcpy(p->info.key, key, IDENTITY_KEY_BYTES);
	identity_fingerprint(key, p->info.fingerprint);
	if (trust_find(t->config.trust, key, &pin) == 0) {
		peer_read_pin_locked(t, p);
		p->info.n_addresses = pin.n_addresses;
		memcpy(p->info.addresses, pin.addresses, sizeof(pin.addresses));
	}
	peers_name_locked(t, key, wanted, p->info.name);
	snprintf(
	    p->info.heard_name, sizeof(p->info.heard_name), "%s", p->info.name);
	TAILQ_INSERT_TAIL(&t->list, p, entry);
	t->generation++;
	return p;
}

static int add_pin(void *ctx, const struct trust_pin *pin)
{
	struct peers *t = ctx;
	struct peer *p;

	mutex_lock(&t->lock);
	p = peers_add_locked(t, pin->key, pin->name);
	mutex_unlock(&t->lock);
	return p ? 0 : -ENOMEM;
}

int peers_new(const struct peers_config *config, struct peers **ret)
{
	struct peers *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->config = *config;
	t->links_max = descriptor_share(PEER_LINKS_MAX, 8);
	mutex_init(&t->lock);
	cond_init(&t->links_gone);
	cond_init(&t->claimed);
	mutex_lock(&t->lock);
	TAILQ_INIT(&t->list);
	LIST_INIT(&t->finished);
	SLIST_INIT(&t->reserved);
	mutex_unlock(&t->lock);
	r = trust_each(config->trust, add_pin, t);
	if (r) {
		peers_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

/* Takes p out of the table; its reference passes to the caller. */
void peers_remove_locked(struct peers *t, struct peer *p)
{
	assert(p->listed);
	TAILQ_REMOVE(&t->list, p, entry);
	p->listed = false;
	t->generation++;
}

void peers_free(struct peers *t)
{
	struct peer *p;

	if (!t)
		return;
	mutex_lock(&t->lock);
	while ((p = TAILQ_FIRST(&t->list))) {
		peers_remove_locked(t, p);
		treeop_clear_locked(t, p, -ECANCELED);
		mutex_unlock(&t->lock);
		peer_put(p);
		mutex_lock(&t->lock);
	}
	peers_unreserve_locked(t);
	mutex_unlock(&t->lock);
	cond_fini(&t->links_gone);
	cond_fini(&t->claimed);
	mutex_fini(&t->lock);
	free(t);
}

/* --- references and copies --------------------------------------------- */

struct peer *peer_get(struct peer *p)
{
	mutex_lock(&p->table->lock);
	p->refs++;
	mutex_unlock(&p->table->lock);
	return p;
}

void peer_put(struct peer *p)
{
	struct peers *t;
	bool last;

	if (!p)
		return;
	t = p->table;
	mutex_lock(&t->lock);
	last = --p->refs == 0;
	mutex_unlock(&t->lock);
	if (last)
		free(p);
}

struct peers *peer_table(struct peer *p)
{
	return p->table;
}

void peer_info(struct peer *p, struct peer_info *ret)
{
	mutex_lock(&p->table->lock);
	peer_copy_locked(p->table, p, ret);
	mutex_unlock(&p->table->lock);
}

struct peer *peers_find_name(struct peers *t, const char *name)
{
	struct peer *p;

	mutex_lock(&t->lock);
	p = peers_by_name_locked(t, name);
	if (p)
		p->refs++;
	mutex_unlock(&t->lock);
	return p;
}

struct peer *peers_find_key(
    struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct peer *p;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	if (p)
		p->refs++;
	mutex_unlock(&t->lock);
	return p;
}

static int info_compare(const void *a, const void *b)
{
	const struct peer_info *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int peers_snapshot(struct peers *t, struct peer_info **ret)
{
	struct peer_info *list;
	struct peer *p;
	unsigned n = 0;

	mutex_lock(&t->lock);
	TAILQ_FOREACH(p, &t->list, entry)
		n++;
	list = calloc(n ? n : 1, sizeof(*list));
	n = 0;
	if (list)
		TAILQ_FOREACH(p, &t->list, entry)
			peer_copy_locked(t, p, &list[n++]);
	mutex_unlock(&t->lock);
	if (!list)
		return -ENOMEM;
	qsort(list, n, sizeof(*list), info_compare);
	*ret = list;
	return (int)n;
}

uint64_t peers_generation(struct peers *t)
{
	uint64_t g;

	mutex_lock(&t->lock);
	g = t->generation;
	mutex_unlock(&t->lock);
	return g;
}

/* --- policy ------------------------------------------------------------- */

/* exactly: under the wanted name, or not at all. */
static int pin(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *wanted, bool exactly, const struct trust_decision *d,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	bool appears = false, gone = false;
	struct peer_info info;
	struct peer *p;
	int r;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	if (!p) {
		p = peers_add_locked(t, key, wanted);
		appears = true;
	}
	if (p) {
		p->refs++;
		p->n_pinning++;
		info = p->info;
	}
	mutex_unlock(&t->lock);
	if (!p)
		return -ENOMEM;
	/* Nobody else can be called like the folder meanwhile. */
	r = exactly && strcmp(info.name, wanted)
		? -ESTALE
		: trust_decide(t->config.trust, key, info.name, d, NULL);
	mutex_lock(&t->lock);
	p->n_pinning--;
	gone = !peer_read_pin_locked(t, p) && appears && p->listed &&
	       !p->n_links && !p->n_transfers && !p->n_pinning;
	if (gone)
		peers_remove_locked(t, p);
	info = p->info;
	mutex_unlock(&t->lock);
	if (!gone && (appears || !r))
		peers_notify(t, appears ? PEER_APPEARED : PEER_CHANGED, &info);
	if (!r && ret_name)
		strcpy(ret_name, info.name);
	if (gone)
		peer_put(p);
	peer_put(p);
	return r;
}

int peers_pin(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *wanted, const struct trust_decision *d,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	return pin(t, key, wanted, false, d, ret_name);
}

int peers_pin_as(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, const struct trust_decision *d)
{
	return pin(t, key, name, true, d, NULL);
}

int peers_set_policy(struct peers *t, const char *name,
    enum trust_policy policy, uint8_t ret_key[IDENTITY_KEY_BYTES])
{
	struct trust_decision d = { .policy = policy };
	struct peer *p = peers_find_name(t, name);

	if (!p)
		return -ENOENT;
	memcpy(ret_key, p->info.key, IDENTITY_KEY_BYTES); /* never changes */
	peer_put(p);
	return peers_pin_as(t, ret_key, name, &d);
}

void peers_pinned(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	enum peer_change change = PEER_CHANGED;
	struct peer_info info;
	struct trust_pin pin;
	struct peer *p;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	if (!p && trust_find(t->config.trust, key, &pin) == 0) {
		p = peers_add_locked(t, key, pin.name);
		change = PEER_APPEARED;
	}
	if (p) {
		peer_read_pin_locked(t, p);
		info = p->info;
	}
	mutex_unlock(&t->lock);
	if (p)
		peers_notify(t, change, &info);
}

int peers_forget(
    struct peers *t, const char *name, uint8_t ret_key[IDENTITY_KEY_BYTES])
{
	struct peer *p = peers_find_name(t, name);
	struct peer_info info;
	bool gone = false;
	int r;

	if (!p)
		return -ENOENT;
	peer_info(p, &info);
	memcpy(ret_key, info.key, IDENTITY_KEY_BYTES);
	r = trust_forget(t->config.trust, info.key);
	if (r == -ENOENT)
		r = -ENODATA;
	if (!r) {
		mutex_lock(&t->lock);
		peer_read_pin_locked(t, p);
		info = p->info;
		gone =
		    p->listed && !p->n_up && !p->n_transfers && !p->n_pinning;
		if (gone) {
			peers_remove_locked(t, p);
			treeop_clear_locked(t, p, -EHOSTUNREACH);
		}
		mutex_unlock(&t->lock);
		peers_notify(t, gone ? PEER_WENT : PEER_CHANGED, &info);
	}
	if (gone)
		peer_put(p);
	peer_put(p);
	return r;
}
