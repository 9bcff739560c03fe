/*
 * Who may have which name: see net/peers.h. A name that the user has given to a
 * host (--peer) waits for the key that is proven there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "consent.h"
#include "escape.h"
#include "peer_internal.h"

struct reserved {
	SLIST_ENTRY(reserved) next;
	char name[WIRE_PEER_NAME_MAX + 1];
	struct sockaddr_storage addresses[PEER_ADDRESSES];
	unsigned n_addresses;
	bool claimed;
	uint8_t key[IDENTITY_KEY_BYTES]; /* whose it is */
};

struct peer *peers_by_name_locked(struct peers *t, const char *name)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->list, entry)
		if (!strcmp(p->info.name, name))
			return p;
	return NULL;
}

static struct reserved *find_locked(struct peers *t, const char *name)
    REQUIRES(t->lock)
{
	struct reserved *r;

	SLIST_FOREACH(r, &t->reserved, next)
		if (!strcmp(r->name, name))
			return r;
	return NULL;
}

static bool is_at(const struct reserved *r, const struct sockaddr *a)
{
	for (unsigned i = 0; i < r->n_addresses; i++)
		if (address_equal((const struct sockaddr *)&r->addresses[i], a))
			return true;
	return false;
}

int peers_reserve(
    struct peers *t, const char *name, const struct sockaddr *address)
{
	char safe[WIRE_PEER_NAME_MAX + 1];
	struct reserved *r;

	escape_name(name, strlen(name), safe);
	mutex_lock(&t->lock);
	r = find_locked(t, safe);
	if (!r && (r = calloc(1, sizeof(*r)))) {
		strcpy(r->name, safe);
		SLIST_INSERT_HEAD(&t->reserved, r, next);
	}
	if (r && address && !is_at(r, address)) {
		unsigned at = r->n_addresses % PEER_ADDRESSES;

		memcpy(&r->addresses[at], address, address_len(address));
		if (r->n_addresses < PEER_ADDRESSES)
			r->n_addresses++;
	}
	mutex_unlock(&t->lock);
	return r ? 0 : -ENOMEM;
}

void peers_unreserve_locked(struct peers *t)
{
	struct reserved *r;

	while ((r = SLIST_FIRST(&t->reserved))) {
		SLIST_REMOVE_HEAD(&t->reserved, next);
		free(r);
	}
}

void peers_claim_locked(struct peers *t, const uint8_t *key,
    const struct sockaddr *address, const char *name)
{
	struct reserved *r = name ? find_locked(t, name) : NULL;

	if (!r)
		SLIST_FOREACH(r, &t->reserved, next)
			if (!r->claimed && is_at(r, address))
				break;
	if (!r)
		return;
	r->claimed = true;
	memcpy(r->key, key, sizeof(r->key));
}

void peers_claim(struct peers *t, const struct conn *conn)
{
	struct sockaddr_storage a = *conn_remote_address(conn);

	address_set_port((struct sockaddr *)&a, conn_remote_hello(conn)->port);
	mutex_lock(&t->lock);
	peers_claim_locked(
	    t, conn_remote_key(conn), (struct sockaddr *)&a, NULL);
	mutex_unlock(&t->lock);
}

/* Has another key this name: as a folder, a pin, by the user's word, or as a
 * question? */
static bool taken_locked(struct peers *t, const uint8_t *key, const char *name)
    REQUIRES(t->lock)
{
	struct peer *p = peers_by_name_locked(t, name);
	struct reserved *r = find_locked(t, name);
	struct trust_pin pin;

	if (p && memcmp(p->info.key, key, IDENTITY_KEY_BYTES) != 0)
		return true;
	if (trust_find_name(t->config.trust, name, &pin) == 0)
		return memcmp(pin.key, key, IDENTITY_KEY_BYTES) != 0;
	if (r && !(r->claimed && !memcmp(r->key, key, IDENTITY_KEY_BYTES)))
		return true;
	return t->config.consent &&
	       consent_name_taken(t->config.consent, key, name);
}

void peers_unique_name_locked(struct peers *t, const uint8_t *key,
    const char *wanted, char ret[WIRE_PEER_NAME_MAX + 1])
{
	char safe[WIRE_PEER_NAME_MAX + 1];

	escape_name(wanted, strlen(wanted), safe);
	strcpy(ret, safe);
	for (unsigned n = 2; taken_locked(t, key, ret); n++)
		escape_numbered(safe, n, ret);
}

bool peers_misnamed_locked(
    struct peers *t, const struct peer *p, const char *wanted)
{
	char safe[WIRE_PEER_NAME_MAX + 1];

	escape_name(wanted, strlen(wanted), safe);
	return strcmp(p->info.name, safe) != 0 &&
	       !taken_locked(t, p->info.key, safe);
}

int peers_hold_name(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *wanted, char ret[WIRE_PEER_NAME_MAX + 1])
{
	struct consent *c = t->config.consent;
	struct peer *p;
	int r = 0;

	mutex_lock(&t->lock);
	p = peers_by_key_locked(t, key);
	if (p)
		strcpy(ret, p->info.name);
	else if (!c || consent_name(c, key, ret))
		peers_unique_name_locked(t, key, wanted, ret);
	if (c)
		r = consent_hold_name(c, key, ret);
	mutex_unlock(&t->lock);
	return r;
}
