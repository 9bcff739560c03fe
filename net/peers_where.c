/*
 * Where peers are: the addresses at which their keys were proven, and who
 * answers there in their place. An address is no machine's for ever: what
 * counts is the connection of now.
 */
#include <string.h>

#include "address.h"
#include "log.h"
#include "peer_internal.h"

static bool is(const struct sockaddr_storage *a, const struct sockaddr *b)
{
	return address_equal((const struct sockaddr *)a, b);
}

void peer_unproven_locked(struct peer *p, const struct sockaddr *a)
{
	for (unsigned i = 0; i < p->info.n_addresses; i++)
		if (is(&p->info.addresses[i], a))
			p->proven_ms[i] = 0;
}

void peer_proven_locked(
    struct peers *t, struct peer *p, const struct sockaddr_storage *a)
{
	struct peer_info *in = &p->info;
	struct peer *other;
	unsigned i;

	TAILQ_FOREACH(other, &t->list, entry)
		peer_unproven_locked(other, (const struct sockaddr *)a);
	for (i = 0; i < in->n_addresses; i++)
		if (is(&in->addresses[i], (const struct sockaddr *)a))
			break;
	if (i == in->n_addresses && i < PEER_ADDRESSES)
		in->n_addresses++;
	if (i == PEER_ADDRESSES)
		i--;
	memmove(
	    &in->addresses[1], &in->addresses[0], i * sizeof(in->addresses[0]));
	memmove(
	    &p->proven_ms[1], &p->proven_ms[0], i * sizeof(p->proven_ms[0]));
	in->addresses[0] = *a;
	p->proven_ms[0] = now_ms();
}

static bool is_there(const struct peer *p, const struct sockaddr *a)
{
	int64_t now = now_ms();
	const struct link *l;

	if (!p->n_up)
		return false;
	LIST_FOREACH(l, &p->links, entry)
		if (l->up && !l->stalled && is(&l->remote, a))
			return true;
	for (unsigned i = 0; i < p->info.n_addresses; i++)
		if (is(&p->info.addresses[i], a))
			return p->proven_ms[i] &&
			       now - p->proven_ms[i] < PEER_PROVEN_MS;
	return false;
}

bool peers_has_address(
    struct peers *t, const struct sockaddr *a, const char *name)
{
	struct peer *p;
	bool has;

	mutex_lock(&t->lock);
	TAILQ_FOREACH(p, &t->list, entry)
		if (is_there(p, a))
			break;
	has = p && !(name && peers_owed_locked(t, p, name));
	mutex_unlock(&t->lock);
	return has;
}

bool peers_misses(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct peer *p;
	bool r;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	r = p && p->info.pinned && !p->n_up;
	mutex_unlock(&t->lock);
	return r;
}

void peers_shadow_locked(struct peers *t, struct peer *other,
    const struct sockaddr_storage *a, const char *heard)
{
	struct peer *p;
	bool hit;

	TAILQ_FOREACH(p, &t->list, entry) {
		if (p == other || !p->info.pinned || p->n_up)
			continue;
		hit = !strcmp(p->info.name, heard) ||
		      (p->info.n_addresses &&
			  address_equal((const struct sockaddr *)a,
			      (struct sockaddr *)&p->info.addresses[0]));
		if (hit && !p->info.key_rejected) {
			p->info.key_rejected = true;
			p->info.rejected_by = other->info.serial;
			log_warning("%s is not there, and another machine "
				    "(%s) answers in its place",
			    p->info.name, other->info.fingerprint);
		}
	}
}

void peers_unshadow_locked(struct peers *t, struct peer *other)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->list, entry)
		if (p->info.rejected_by == other->info.serial) {
			p->info.key_rejected = false;
			p->info.rejected_by = 0;
		}
}
