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
#include "log.h"
#include "peer_internal.h"

/* Of the prober, which dials at once whom somebody calls himself. */
enum { CLAIM_WAIT_MS = 1000 };

struct reserved {
	SLIST_ENTRY(reserved) next;
	char name[WIRE_PEER_NAME_MAX + 1];
	struct sockaddr_storage addresses[PEER_ADDRESSES];
	unsigned n_addresses;
	bool told; /* that its host has another such name */
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
	char safe[WIRE_PEER_NAME_MAX + 1];
	struct reserved *r;

	escape_name(name, strlen(name), safe);
	SLIST_FOREACH(r, &t->reserved, next)
		if (!strcmp(r->name, safe))
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
	r = find_locked(t, name);
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

static bool is_of(const struct reserved *r, const uint8_t *key)
{
	return r->claimed && !memcmp(r->key, key, sizeof(r->key));
}

static struct reserved *claimed_by_locked(struct peers *t, const uint8_t *key)
    REQUIRES(t->lock)
{
	struct reserved *r;

	SLIST_FOREACH(r, &t->reserved, next)
		if (is_of(r, key))
			return r;
	return NULL;
}

static void tell_same(struct reserved *r, const struct reserved *own)
{
	if (!r->told)
		log_warning("--peer %s and --peer %s are the same machine: it "
			    "stays %s",
		    own->name, r->name, own->name);
	r->told = true;
}

const char *peers_claim_locked(struct peers *t, const uint8_t *key,
    const struct sockaddr *address, const char *name)
{
	struct reserved *own = claimed_by_locked(t, key);
	struct reserved *r = name ? find_locked(t, name) : NULL;

	if (!r)
		SLIST_FOREACH(r, &t->reserved, next)
			if (!r->claimed && is_at(r, address))
				break;
	if (own && r && r != own)
		tell_same(r, own);
	if (own || !r)
		return own ? own->name : NULL;
	r->claimed = true;
	memcpy(r->key, key, sizeof(r->key));
	return r->name;
}

void peers_claim(struct peers *t, const struct conn *conn, const char *name)
{
	mutex_lock(&t->lock);
	peers_claim_locked(t, conn_remote_key(conn),
	    (const struct sockaddr *)conn_remote_address(conn), name);
	cond_broadcast(&t->claimed);
	mutex_unlock(&t->lock);
}

/* Does the user's word leave it open whose this is, and may it be the caller's?
 */
static bool awaited_locked(struct peers *t, const struct sockaddr *at,
    const char *heard) REQUIRES(t->lock)
{
	struct reserved *r;

	SLIST_FOREACH(r, &t->reserved, next)
		if (!r->claimed && (is_at(r, at) || !strcmp(r->name, heard)))
			return true;
	return false;
}

void peers_await_claim(struct peers *t, const struct conn *conn)
{
	const struct wire_hello *hello = conn_remote_hello(conn);
	struct sockaddr_storage at = *conn_remote_address(conn);
	int64_t deadline = now_ms() + CLAIM_WAIT_MS;
	char heard[WIRE_PEER_NAME_MAX + 1];

	escape_name(hello->name, strlen(hello->name), heard);
	address_set_port((struct sockaddr *)&at, hello->port);
	mutex_lock(&t->lock);
	while (!t->stopping &&
	       awaited_locked(t, (struct sockaddr *)&at, heard) &&
	       cond_wait_until(&t->claimed, &t->lock, deadline) == 0)
		;
	mutex_unlock(&t->lock);
}

/* Has another key this name: as a folder, a pin, or a question? */
static bool used_locked(struct peers *t, const uint8_t *key, const char *name)
    REQUIRES(t->lock)
{
	struct peer *p = peers_by_name_locked(t, name);
	struct trust_pin pin;

	if (p && memcmp(p->info.key, key, IDENTITY_KEY_BYTES) != 0)
		return true;
	if (trust_find_name(t->config.trust, name, &pin) == 0)
		return memcmp(pin.key, key, IDENTITY_KEY_BYTES) != 0;
	return t->config.consent &&
	       consent_name_taken(t->config.consent, key, name);
}

/* Or by the user's word, which no pin is subject to? */
static bool taken_locked(struct peers *t, const uint8_t *key, const char *name)
    REQUIRES(t->lock)
{
	struct reserved *r = find_locked(t, name);
	struct trust_pin pin;

	if (used_locked(t, key, name))
		return true;
	return r && !is_of(r, key) &&
	       trust_find_name(t->config.trust, name, &pin) != 0;
}

void peers_name_locked(struct peers *t, const uint8_t *key, const char *wanted,
    char ret[WIRE_PEER_NAME_MAX + 1])
{
	const struct reserved *own = claimed_by_locked(t, key);
	struct consent *c = t->config.consent;
	char safe[WIRE_PEER_NAME_MAX + 1];
	struct consent_question q;
	struct trust_pin pin;

	if (trust_find(t->config.trust, key, &pin) == 0 && *pin.name)
		wanted = pin.name;
	else if (c && consent_find_key(c, key, &q) == 0)
		wanted = q.name;
	else if (own)
		wanted = own->name;
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

bool peers_owed_locked(struct peers *t, const struct peer *p, const char *name)
{
	const struct reserved *own = claimed_by_locked(t, p->info.key);
	const struct reserved *r = own ? own : find_locked(t, name);

	return r && strcmp(r->name, p->info.name) != 0 &&
	       peer_idle_locked(t, p) && !used_locked(t, p->info.key, r->name);
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
		peers_name_locked(t, key, wanted, ret);
	if (c)
		r = consent_hold_name(c, key, ret);
	mutex_unlock(&t->lock);
	return r;
}
