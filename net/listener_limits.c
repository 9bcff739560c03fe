/*
 * What strangers can cost: how many handshakes, connections and keys there may
 * be at once, who goes when there are more, and what an address pays for it.
 * Threads "listen" and "in"; nothing here blocks.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "address.h"
#include "listener_internal.h"
#include "random.h"

static bool same_host(const struct caller *a, const struct caller *b)
{
	return address_same_host((const struct sockaddr *)&a->address,
	    (const struct sockaddr *)&b->address);
}

struct sockaddr *listener_address(struct caller *c)
{
	return (struct sockaddr *)&c->address;
}

static unsigned from_host_locked(struct listener *l, const struct caller *c)
    REQUIRES(l->lock)
{
	struct caller *i;
	unsigned n = 0;

	LIST_FOREACH(i, &l->callers, entry)
		n += !i->conn && !i->victim && same_host(i, c);
	return n;
}

/* Ends a random handshake of the host that has most of them under way. */
static void evict_locked(struct listener *l, bool known) REQUIRES(l->lock)
{
	struct caller *i, *worst = NULL;
	unsigned n = 0, most = 0;
	uint32_t pick;

	LIST_FOREACH(i, &l->callers, entry) {
		unsigned k = i->conn || i->victim || i->known != known
				 ? 0
				 : from_host_locked(l, i);

		if (k > most) {
			most = k;
			worst = i;
		}
	}
	if (!worst)
		return;
	random_bytes(&pick, sizeof(pick));
	pick %= most;
	LIST_FOREACH(i, &l->callers, entry) {
		if (i->conn || i->victim || !same_host(i, worst) || n++ != pick)
			continue;
		i->victim = true;
		shutdown(i->fd, SHUT_RDWR);
		return;
	}
}

bool listener_known_locked(struct listener *l, const struct caller *c)
{
	struct trust_pin pin;
	struct caller *i;

	LIST_FOREACH(i, &l->callers, entry)
		if (i->conn && same_host(i, c) &&
		    trust_find(l->config.incoming.trust,
			conn_remote_key(i->conn), &pin) == 0 &&
		    pin.policy != TRUST_REFUSE)
			return true;
	return false;
}

/*
 * Where a peer was last, others may be as well now: its number of handshakes is
 * limited there, as anywhere, but they are looked at.
 */
bool listener_shuns_locked(struct listener *l, struct caller *c)
{
	const struct sockaddr *from = listener_address(c);

	return !c->known && penalty_stands(l->config.incoming.penalty, from) &&
	       !trust_has_host(l->config.incoming.trust, from);
}

bool listener_room_locked(struct listener *l, struct caller *c)
{
	struct penalty *penalty = l->config.incoming.penalty;
	struct caller *i;
	unsigned pending = 0;
	bool too_many;

	if (l->n >= l->all_max || l->stopping)
		return false;
	too_many =
	    !c->known && from_host_locked(l, c) >= LISTENER_PER_ADDRESS_MAX;
	/* One of theirs goes for it, and this is what it costs. */
	if (too_many)
		penalty_add(penalty, listener_address(c), PENALTY_NO_HANDSHAKE);
	LIST_FOREACH(i, &l->callers, entry)
		pending += !i->conn && !i->victim && i->known == c->known;
	if (pending >= LISTENER_HANDSHAKES_MAX || too_many)
		evict_locked(l, c->known);
	return true;
}

/* Whom a question holds here are few (net/consent.h), and do not count. */
static bool is_stranger(struct listener *l, const struct caller *c)
{
	struct trust_pin pin;

	return c->conn && !c->victim && !atomic_load(&c->watch.asking) &&
	       trust_find(l->config.incoming.trust, conn_remote_key(c->conn),
		   &pin) != 0;
}

/*
 * One of the strangers that have proven a key, and have not been let in, goes:
 * any one, so that nobody can keep all the places.
 */
static void evict_stranger_locked(struct listener *l, unsigned strangers)
    REQUIRES(l->lock)
{
	struct caller *i;
	uint32_t pick;

	random_bytes(&pick, sizeof(pick));
	pick %= strangers;
	LIST_FOREACH(i, &l->callers, entry) {
		if (!is_stranger(l, i) || pick-- != 0)
			continue;
		i->victim = true;
		conn_shutdown(i->conn);
		return;
	}
}

static bool is_accepted(struct listener *l, const uint8_t *key)
{
	return trust_incoming(l->config.incoming.trust, key) ==
	       WIRE_POLICY_ACCEPT;
}

/* Has the other side closed it, whether its thread knows or not? */
static bool hung_up(const struct conn *conn)
{
	struct pollfd p = { .fd = conn_fd(conn), .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

/*
 * The connection that a key has which is not accepted: does it leave its place
 * to a new one? It does not while it lives, so that a second address at which
 * somebody finds us costs them no connection.
 */
static bool gives_way(struct caller *old)
{
	if (old->victim)
		return true;
	if (!hung_up(old->conn) &&
	    (atomic_load(&old->watch.asking) ||
		now_ms() - conn_heard_ms(old->conn) < LISTENER_SILENT_MS))
		return false;
	old->victim = true;
	conn_shutdown(old->conn);
	return true;
}

bool listener_admits_locked(
    struct listener *l, struct conn *conn, struct incoming_watch *watch)
{
	const uint8_t *key = conn_remote_key(conn);
	unsigned same = 0, strangers = 0, living = 0, to_pair = 0;
	bool accepted = is_accepted(l, key);
	struct trust_pin pin;
	bool pinned = trust_find(l->config.incoming.trust, key, &pin) == 0;
	struct caller *i;

	LIST_FOREACH(i, &l->callers, entry) {
		strangers += is_stranger(l, i);
		if (!i->conn ||
		    memcmp(conn_remote_key(i->conn), key, IDENTITY_KEY_BYTES))
			continue;
		same++;
		if (!accepted && !gives_way(i)) {
			to_pair += atomic_load(&i->watch.to_pair);
			living++;
		}
	}
	/* One for all things, and one to pair on. */
	if (same >= LISTENER_PER_KEY_MAX || living > 1)
		return false;
	atomic_store(&watch->to_pair, living > to_pair);
	if (!pinned &&
	    (strangers >= LISTENER_STRANGERS_MAX || strangers > l->all_max / 2))
		evict_stranger_locked(l, strangers);
	if (pinned && accepted)
		penalty_forgive(l->config.incoming.penalty,
		    (const struct sockaddr *)conn_remote_address(conn));
	return true;
}

void listener_punish_caller(struct listener *l, struct caller *c, int r)
{
	bool ours; /* we have ended it ourselves, or let them */

	mutex_lock(&l->lock);
	ours = c->known || c->victim || l->stopping;
	mutex_unlock(&l->lock);
	if (ours)
		return;
	if (r == -EBADMSG)
		penalty_add(l->config.incoming.penalty, listener_address(c),
		    PENALTY_FORGED);
	else if (r == -ETIMEDOUT || r == -ECONNRESET || r == -EPROTO)
		penalty_add(l->config.incoming.penalty, listener_address(c),
		    PENALTY_NO_HANDSHAKE);
}

void listener_punish_stranger(struct listener *l, struct caller *c, int r)
{
	struct trust_pin pin;

	if ((r == -EPROTO || r == -EBADMSG) && !c->known &&
	    trust_find(
		l->config.incoming.trust, conn_remote_key(c->conn), &pin) != 0)
		penalty_add(l->config.incoming.penalty, listener_address(c),
		    PENALTY_PROTOCOL);
}
