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

#include "address.h"
#include "escape.h"
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

static struct peer *by_name_locked(struct peers *t, const char *name)
    REQUIRES(t->lock)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->list, entry)
		if (!strcmp(p->info.name, name))
			return p;
	return NULL;
}

/* wanted, or "wanted (2)" and so on where another key has that folder. */
static void unique_name_locked(struct peers *t, const char *wanted, char *ret)
    REQUIRES(t->lock)
{
	char safe[WIRE_PEER_NAME_MAX + 1];
	char tail[16] = "";
	unsigned n = 1;

	escape_name(wanted, strlen(wanted), safe);
	do {
		size_t keep = WIRE_PEER_NAME_MAX - strlen(tail);

		if (strlen(safe) < keep)
			keep = strlen(safe);
		while (keep && (safe[keep] & 0xc0) == 0x80)
			keep--; /* not inside a character */
		memcpy(ret, safe, keep);
		strcpy(ret + keep, tail);
		snprintf(tail, sizeof(tail), " (%u)", ++n);
	} while (by_name_locked(t, ret));
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
	p->listed = true;
	LIST_INIT(&p->links);
	TAILQ_INIT(&p->queue);
	STAILQ_INIT(&p->treeops);
	p->info.serial = ++t->next_serial;
	memcpy(p->info.key, key, IDENTITY_KEY_BYTES);
	identity_fingerprint(key, p->info.fingerprint);
	if (trust_find(t->config.trust, key, &pin) == 0) {
		p->info.pinned = true;
		p->info.pin_policy = pin.policy;
		wanted = pin.name;
		p->info.n_addresses = pin.n_addresses;
		memcpy(p->info.addresses, pin.addresses, sizeof(pin.addresses));
	}
	unique_name_locked(t, wanted, p->info.name);
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
	mutex_lock(&t->lock);
	TAILQ_INIT(&t->list);
	LIST_INIT(&t->finished);
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
	mutex_unlock(&t->lock);
	cond_fini(&t->links_gone);
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
	*ret = p->info;
	mutex_unlock(&p->table->lock);
}

struct peer *peers_find_name(struct peers *t, const char *name)
{
	struct peer *p;

	mutex_lock(&t->lock);
	p = by_name_locked(t, name);
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
			list[n++] = p->info;
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

bool peers_has_address(struct peers *t, const struct sockaddr *a)
{
	struct peer *p;
	bool has = false;
	unsigned i;

	mutex_lock(&t->lock);
	TAILQ_FOREACH(p, &t->list, entry)
		for (i = 0; i < p->info.n_addresses && p->n_up; i++)
			has |= address_equal(
			    (struct sockaddr *)&p->info.addresses[i], a);
	mutex_unlock(&t->lock);
	return has;
}

/* --- policy ------------------------------------------------------------- */

int peers_set_policy(struct peers *t, const char *name,
    enum trust_policy policy, uint8_t ret_key[IDENTITY_KEY_BYTES])
{
	struct peer *p = peers_find_name(t, name);
	struct peer_info info;
	int r;

	if (!p)
		return -ENOENT;
	peer_info(p, &info);
	r = trust_pin(t->config.trust, info.key, info.name, policy, NULL);
	if (!r) {
		mutex_lock(&t->lock);
		p->info.pinned = true;
		p->info.pin_policy = policy;
		info = p->info;
		mutex_unlock(&t->lock);
		memcpy(ret_key, info.key, IDENTITY_KEY_BYTES);
		peers_notify(t, PEER_CHANGED, &info);
	}
	peer_put(p);
	return r;
}

void peers_pinned(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    enum trust_policy policy)
{
	struct peer_info info;
	struct peer *p;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	if (p) {
		p->info.pinned = true;
		p->info.pin_policy = policy;
		info = p->info;
	}
	mutex_unlock(&t->lock);
	if (p)
		peers_notify(t, PEER_CHANGED, &info);
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
	r = trust_forget(t->config.trust, info.key);
	if (!r) {
		mutex_lock(&t->lock);
		p->info.pinned = false;
		info = p->info;
		gone = p->listed && !p->n_up && !p->n_transfers;
		if (gone) {
			peers_remove_locked(t, p);
			treeop_clear_locked(t, p, -EHOSTUNREACH);
		}
		mutex_unlock(&t->lock);
		memcpy(ret_key, info.key, IDENTITY_KEY_BYTES);
		peers_notify(t, gone ? PEER_WENT : PEER_CHANGED, &info);
	}
	if (gone)
		peer_put(p);
	peer_put(p);
	return r;
}
