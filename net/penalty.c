/*
 * A small open-addressed table would do, but 1024 entries are looked through in
 * less time than a handshake's first scalar multiplication takes; so it is a
 * list. When it is full, the penalty that ends first makes room: whoever has
 * that many addresses pays with each of them.
 */
#include "penalty.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sync.h"

/* A host, or a network: the first half of an IPv6 address, then zeros. */
struct source {
	sa_family_t family;
	bool is_net;
	uint8_t address[16];
	uint32_t scope; /* of a link-local address */
};

struct entry {
	struct source source;
	int64_t until_ms; /* 0: free */
};

struct penalty {
	struct mutex lock;
	struct entry entries[PENALTY_TABLE] GUARDED_BY(lock);
};

struct penalty *penalty_new(void)
{
	struct penalty *p = calloc(1, sizeof(*p));

	if (p)
		mutex_init(&p->lock);
	return p;
}

void penalty_free(struct penalty *p)
{
	if (!p)
		return;
	mutex_fini(&p->lock);
	free(p);
}

static struct source source_of(const struct sockaddr *from)
{
	const struct sockaddr_in6 *in6 = (const void *)from;
	struct source s;

	memset(&s, 0, sizeof(s)); /* it is compared as bytes */
	s.family = from->sa_family;
	if (from->sa_family == AF_INET) {
		memcpy(s.address, &((const struct sockaddr_in *)from)->sin_addr,
		    sizeof(struct in_addr));
	} else if (from->sa_family == AF_INET6) {
		memcpy(s.address, &in6->sin6_addr, sizeof(s.address));
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			s.scope = in6->sin6_scope_id;
	}
	return s;
}

/* False: it is in none that anybody could have alone. */
static bool net_of(const struct sockaddr *from, struct source *ret)
{
	const struct sockaddr_in6 *in6 = (const void *)from;

	if (from->sa_family != AF_INET6 ||
	    IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		return false;
	*ret = source_of(from);
	ret->is_net = true;
	memset(ret->address + 8, 0, 8);
	return true;
}

static struct entry *find_locked(struct penalty *p, const struct source *s)
    REQUIRES(p->lock)
{
	for (unsigned i = 0; i < PENALTY_TABLE; i++)
		if (p->entries[i].until_ms &&
		    !memcmp(&p->entries[i].source, s, sizeof(*s)))
			return &p->entries[i];
	return NULL;
}

static struct entry *room_locked(struct penalty *p) REQUIRES(p->lock)
{
	struct entry *first = &p->entries[0];

	for (unsigned i = 1; i < PENALTY_TABLE && first->until_ms; i++)
		if (p->entries[i].until_ms < first->until_ms)
			first = &p->entries[i];
	return first;
}

static void add_locked(struct penalty *p, const struct source *s, int64_t now,
    enum penalty_reason reason) REQUIRES(p->lock)
{
	struct entry *e = find_locked(p, s);

	if (!e) {
		e = room_locked(p);
		e->source = *s;
		e->until_ms = now;
	}
	if (e->until_ms < now)
		e->until_ms = now;
	e->until_ms += reason;
	if (e->until_ms > now + PENALTY_MOST_MS)
		e->until_ms = now + PENALTY_MOST_MS;
}

void penalty_add(
    struct penalty *p, const struct sockaddr *from, enum penalty_reason reason)
{
	struct source s = source_of(from), net;
	bool has_net = net_of(from, &net);
	int64_t now = now_ms();

	mutex_lock(&p->lock);
	add_locked(p, &s, now, reason);
	if (has_net)
		add_locked(p, &net, now, reason);
	mutex_unlock(&p->lock);
}

static int64_t left_locked(struct penalty *p, const struct source *s)
    REQUIRES(p->lock)
{
	const struct entry *e = find_locked(p, s);

	return e ? e->until_ms - now_ms() : 0;
}

bool penalty_stands(struct penalty *p, const struct sockaddr *from)
{
	struct source s = source_of(from), net;
	bool has_net = net_of(from, &net);
	bool stands;

	mutex_lock(&p->lock);
	stands = left_locked(p, &s) >= PENALTY_LEAST_MS ||
		 (has_net && left_locked(p, &net) >= PENALTY_NET_LEAST_MS);
	mutex_unlock(&p->lock);
	return stands;
}

void penalty_forgive(struct penalty *p, const struct sockaddr *from)
{
	struct source s = source_of(from);
	struct entry *e;

	mutex_lock(&p->lock);
	e = find_locked(p, &s);
	if (e)
		e->until_ms = 0;
	mutex_unlock(&p->lock);
}
