/*
 * Room for strangers in the table of peers. Anybody can make keys: where there
 * are more of them than a network has machines, each newcomer takes the place
 * of another one that nobody uses.
 */
#include <errno.h>

#include "address.h"
#include "consent.h"
#include "peer_internal.h"
#include "random.h"
#include "treeop.h"

static bool unpinned_at(const struct peer *p, const struct sockaddr *host)
{
	return !p->info.pinned && p->info.n_addresses &&
	       address_same_host(
		   (const struct sockaddr *)&p->info.addresses[0], host);
}

static unsigned count_at_locked(struct peers *t, const struct sockaddr *host)
    REQUIRES(t->lock)
{
	struct peer *p;
	unsigned n = 0;

	TAILQ_FOREACH(p, &t->list, entry)
		n += unpinned_at(p, host);
	return n;
}

bool peer_idle_locked(struct peers *t, const struct peer *p)
{
	struct consent *c = t->config.consent;
	struct consent_question q;

	return !p->info.pinned && !p->n_pinning && !p->n_transfers &&
	       !peer_treeops_locked(p) && !p->info.asking &&
	       !(c && consent_find_key(c, p->info.key, &q) == 0);
}

/* How many its host has, the newcomer among them; 0: it cannot go. */
static unsigned weight_locked(struct peers *t, const struct peer *p,
    const struct sockaddr *newcomer) REQUIRES(t->lock)
{
	const struct sockaddr *at = (const struct sockaddr *)p->info.addresses;

	if (!p->info.n_addresses || !peer_idle_locked(t, p))
		return 0;
	return count_at_locked(t, at) + address_same_host(at, newcomer);
}

/*
 * Any one of the host that has most: no host keeps a place, and one that has
 * many takes them from nobody but itself.
 */
static struct peer *to_go_locked(
    struct peers *t, const struct sockaddr *newcomer) REQUIRES(t->lock)
{
	unsigned weight, most = 1, n = 0;
	struct peer *p, *found = NULL;
	uint32_t pick;

	TAILQ_FOREACH(p, &t->list, entry) {
		weight = weight_locked(t, p, newcomer);
		if (weight < most)
			continue;
		if (weight > most)
			n = 0;
		most = weight;
		random_bytes(&pick, sizeof(pick));
		if (pick % ++n == 0)
			found = p;
	}
	return found;
}

struct peer *peers_take_out_locked(struct peers *t, struct peer *p)
{
	struct link *l;

	peers_remove_locked(t, p);
	LIST_FOREACH(l, &p->links, entry)
		link_wake(l);
	return p;
}

bool peers_room_locked(struct peers *t, const uint8_t *key,
    const struct sockaddr *host, struct peer **ret_gone)
{
	struct trust_pin pin;
	struct peer *p;
	unsigned n = 0;

	TAILQ_FOREACH(p, &t->list, entry)
		n += !p->info.pinned;
	if (n < PEERS_UNPINNED_MAX ||
	    trust_find(t->config.trust, key, &pin) == 0)
		return true;
	p = to_go_locked(t, host);
	if (p)
		*ret_gone = peers_take_out_locked(t, p);
	return p != NULL;
}

void peers_say_gone(struct peer *p)
{
	struct peer_info info;

	mutex_lock(&p->table->lock);
	treeop_clear_locked(p->table, p, -EHOSTUNREACH);
	mutex_unlock(&p->table->lock);
	peer_info(p, &info);
	if (info.state == PEER_ONLINE)
		peers_notify(p->table, PEER_WENT_OFFLINE, &info);
	peers_notify(p->table, PEER_WENT, &info);
	peer_put(p);
}
