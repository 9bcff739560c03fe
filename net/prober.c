/*
 * A list of addresses, each with the time of its next try, and a few threads
 * ("probe") that take what is due. An address that has become a peer's leaves
 * the list; it comes back when that peer is lost.
 */
#include "prober.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "sync.h"

struct candidate {
	TAILQ_ENTRY(candidate) entry;
	struct sockaddr_storage address; /* unused where host is set */
	char *host; /* the user's words, resolved at each try; or NULL */
	char *name; /* the folder the user wants; or NULL */
	uint16_t port;
	int64_t next_ms, give_up_ms; /* give_up_ms 0: never */
	int64_t wait_ms; /* what the last guess has left to wait, or 0 */
	int pause_ms;
	bool busy;  /* a thread dials it now */
	bool greet; /* a group's guess is owed to it, connected or not */
};

struct prober {
	struct peers *peers;
	struct pairer *pairer;
	const struct conn_self *self;
	pthread_t threads[PROBER_THREADS];
	unsigned n_threads;
	int stop_fd; /* eventfd: ends dials */

	struct mutex lock;
	struct cond due;
	TAILQ_HEAD(, candidate) list GUARDED_BY(lock);
	unsigned n GUARDED_BY(lock);
	int64_t next_slot_ms GUARDED_BY(lock); /* the rate */
	bool stopping GUARDED_BY(lock);
};

static void candidate_free(struct candidate *c)
{
	free(c->host);
	free(c->name);
	free(c);
}

static void remove_locked(struct prober *p, struct candidate *c)
    REQUIRES(p->lock)
{
	TAILQ_REMOVE(&p->list, c, entry);
	p->n--;
	candidate_free(c);
}

/* An address to be tried now, and again until `lasting` or for ever. */
static void add_address(
    struct prober *p, const struct sockaddr *a, bool for_ever)
{
	int64_t now = now_ms();
	struct candidate *c;
	bool fresh = false;

	mutex_lock(&p->lock);
	TAILQ_FOREACH(c, &p->list, entry)
		if (!c->host &&
		    address_equal((struct sockaddr *)&c->address, a))
			break;
	if (!c && (for_ever || p->n < PROBER_CANDIDATES_MAX) &&
	    (c = calloc(1, sizeof(*c)))) {
		memcpy(&c->address, a, address_len(a));
		c->pause_ms = PROBER_PAUSE_MIN_MS;
		c->next_ms = now;
		fresh = true;
		TAILQ_INSERT_TAIL(&p->list, c, entry);
		p->n++;
		cond_signal(&p->due);
	}
	/* What a pinned peer left stays so when it is hinted at as well. */
	if (c && (for_ever || fresh || c->give_up_ms))
		c->give_up_ms = for_ever ? 0 : now + PROBER_GIVE_UP_MS;
	mutex_unlock(&p->lock);
}

/* --- where hints come from ------------------------------------------------ */

static bool same_net(const struct sockaddr *a, const struct sockaddr *own,
    const struct sockaddr *mask)
{
	const uint8_t *x, *y, *m;
	size_t len, i;

	if (!own || !mask || own->sa_family != a->sa_family)
		return false;
	if (a->sa_family == AF_INET) {
		x = (const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr;
		y = (const uint8_t *)&((const struct sockaddr_in *)own)
			->sin_addr;
		m = (const uint8_t *)&((const struct sockaddr_in *)mask)
			->sin_addr;
		len = 4;
	} else {
		x = ((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr;
		y = ((const struct sockaddr_in6 *)own)->sin6_addr.s6_addr;
		m = ((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr;
		len = 16;
	}
	for (i = 0; i < len; i++)
		if ((x[i] ^ y[i]) & m[i])
			return false;
	return true;
}

/* Is a on a subnet of that interface? */
static bool on_link(const struct sockaddr *a, int ifindex)
{
	char name[IF_NAMESIZE];
	struct ifaddrs *all, *i;
	bool found = false;

	if (!if_indextoname((unsigned)ifindex, name) || getifaddrs(&all))
		return false;
	for (i = all; i && !found; i = i->ifa_next)
		found = !strcmp(i->ifa_name, name) &&
			same_net(a, i->ifa_addr, i->ifa_netmask);
	freeifaddrs(all);
	return found;
}

void prober_hint(struct prober *p, const struct discovery_hint *hint)
{
	const struct sockaddr *a = (const struct sockaddr *)&hint->address;

	if (hint->version != WIRE_MAJOR || address_forbidden(a) ||
	    peers_has_address(p->peers, a) || !on_link(a, hint->ifindex))
		return;
	add_address(p, a, false);
}

void prober_caller(struct prober *p, const struct sockaddr *from, uint16_t port)
{
	struct sockaddr_storage a = { 0 };

	memcpy(&a, from, address_len(from));
	address_set_port((struct sockaddr *)&a, port);
	if (port < 1024 || peers_has_address(p->peers, (struct sockaddr *)&a))
		return;
	add_address(p, (struct sockaddr *)&a, false);
}

void prober_lost(struct prober *p, const struct peer_info *info)
{
	unsigned i;

	for (i = 0; i < info->n_addresses; i++)
		add_address(p, (const struct sockaddr *)&info->addresses[i],
		    info->pinned);
}

int prober_named(
    struct prober *p, const char *name, const char *host, uint16_t port)
{
	struct candidate *c = calloc(1, sizeof(*c));
	struct sockaddr_storage a;
	int r;

	if (!c)
		return -ENOMEM;
	c->host = strdup(host);
	c->name = strdup(name);
	if (!c->host || !c->name) {
		candidate_free(c);
		return -ENOMEM;
	}
	c->port = port;
	c->pause_ms = PROBER_PAUSE_MIN_MS;
	c->next_ms = now_ms();
	/* What needs no lookup is known before anybody calls. */
	r = peers_reserve(p->peers, name,
	    address_parse(host, port, &a) ? NULL : (struct sockaddr *)&a);
	if (r) {
		candidate_free(c);
		return r;
	}
	mutex_lock(&p->lock);
	TAILQ_INSERT_TAIL(&p->list, c, entry);
	p->n++;
	cond_signal(&p->due);
	mutex_unlock(&p->lock);
	return 0;
}

/* --- the threads -----------------------------------------------------------
 */

/* The user's own word, or a pinned key's address: no mere hint. */
static bool trusted(const struct candidate *c)
{
	return c->host || !c->give_up_ms;
}

/* Of those that are due, what is trusted comes before any flood of hints. */
static bool before(
    const struct candidate *a, const struct candidate *b, int64_t now)
{
	bool due_a = a->next_ms <= now, due_b = b->next_ms <= now;

	if (due_a && due_b && trusted(a) != trusted(b))
		return trusted(a);
	return a->next_ms < b->next_ms;
}

/* The next one that is due, marked busy, or NULL and when to look again. */
static struct candidate *take_locked(
    struct prober *p, int64_t now, int64_t *ret_until) REQUIRES(p->lock)
{
	struct candidate *c, *best = NULL, *next;
	unsigned hints = 0;
	int64_t at;

	TAILQ_FOREACH(c, &p->list, entry)
		hints += c->busy && !trusted(c);

	for (c = TAILQ_FIRST(&p->list); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->busy)
			continue;
		if (c->give_up_ms && now > c->give_up_ms)
			remove_locked(p, c);
		else if ((trusted(c) || hints < PROBER_THREADS - 1) &&
			 (!best || before(c, best, now)))
			best = c;
	}
	*ret_until = now + 60000;
	if (!best)
		return NULL;
	at = best->next_ms > p->next_slot_ms ? best->next_ms : p->next_slot_ms;
	if (at > now) {
		*ret_until = at;
		return NULL;
	}
	p->next_slot_ms = now + 1000 / PROBER_PER_SECOND;
	best->busy = true;
	return best;
}

static void not_reached(const struct sockaddr *a, int r, uint8_t major)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(a, text);
	if (r == -EPROTONOSUPPORT)
		log_info("%s speaks version %u of the protocol, we speak %u",
		    text, major, WIRE_MAJOR);
	else
		log_debug("probe of %s: %s", text, strerror(-r));
}

/*
 * c, at the address a. 0, -EAGAIN (it is a peer now, but could not be greeted:
 * later, with greet), or why there is no connection.
 */
static int dial(struct prober *p, struct candidate *c, const struct sockaddr *a)
{
	struct conn *conn;
	uint8_t major = 0;
	int r;

	if (!c->greet && peers_has_address(p->peers, a))
		return 0;
	r = conn_dial(p->self, a, CONN_HANDSHAKE_MS, p->stop_fd, &conn, &major);
	if (r) {
		not_reached(a, r, major);
		return r == -EAGAIN ? -EHOSTUNREACH : r;
	}
	if (p->pairer)
		r = pairer_greet(p->pairer, conn, c->name, p->stop_fd);
	if (r == -EAGAIN)
		c->wait_ms = pairer_wait(p->pairer, a);
	if (!r || r == -EAGAIN)
		peers_adopt(p->peers, conn, c->name);
	else
		conn_free(conn);
	return r;
}

static int dial_host(struct prober *p, struct candidate *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *i;
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", c->port);
	r = getaddrinfo(c->host, port, &hints, &list);
	if (r) {
		log_debug("%s: %s", c->host, gai_strerror(r));
		return -EHOSTUNREACH;
	}
	r = -EHOSTUNREACH;
	for (i = list; i; i = i->ai_next)
		peers_reserve(p->peers, c->name, i->ai_addr);
	for (i = list; i && r && r != -EAGAIN; i = i->ai_next)
		r = dial(p, c, i->ai_addr);
	freeaddrinfo(list);
	return r;
}

static void tried_locked(struct prober *p, struct candidate *c, int result)
    REQUIRES(p->lock)
{
	bool named = c->host && result != -EAGAIN;
	int max = named ? PROBER_NAMED_PAUSE_MAX_MS : PROBER_PAUSE_MAX_MS;
	int64_t pause;

	c->busy = false;
	c->greet = result == -EAGAIN;
	/* What is ours, or a peer's now, needs no more tries. The user's own
	 * names stay: they cost nothing while they are connected. */
	if (!c->host && (result == 0 || result == -ELOOP)) {
		remove_locked(p, c);
		return;
	}
	if (result == -EAGAIN && c->wait_ms) {
		pause = c->wait_ms; /* neither in vain nor late */
	} else {
		pause = result ? c->pause_ms * 2 : PROBER_NAMED_PAUSE_MAX_MS;
		c->pause_ms = pause < max ? (int)pause : max;
	}
	c->next_ms = now_ms() + (pause < max ? pause : max);
	if (!result)
		c->pause_ms = PROBER_PAUSE_MIN_MS;
}

static void *probe_run(void *arg)
{
	struct prober *p = arg;
	struct candidate *c;
	int64_t until;
	int r;

	mutex_lock(&p->lock);
	while (!p->stopping) {
		c = take_locked(p, now_ms(), &until);
		if (!c) {
			cond_wait_until(&p->due, &p->lock, until);
			continue;
		}
		c->wait_ms = 0;
		cond_signal(&p->due); /* somebody looks for the next one */
		mutex_unlock(&p->lock);
		r = c->host ? dial_host(p, c)
			    : dial(p, c, (struct sockaddr *)&c->address);
		mutex_lock(&p->lock);
		tried_locked(p, c, r);
	}
	mutex_unlock(&p->lock);
	return NULL;
}

/* Both sides may have been away: each looks where the other one was. */
static int add_pinned(struct prober *p)
{
	struct peer_info *all;
	int n = peers_snapshot(p->peers, &all);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		if (all[i].pinned && all[i].pin_policy == TRUST_ACCEPT)
			prober_lost(p, &all[i]);
	free(all);
	return 0;
}

int prober_start(struct peers *peers, struct pairer *pairer,
    const struct conn_self *self, struct prober **ret)
{
	struct prober *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->peers = peers;
	p->pairer = pairer;
	p->self = self;
	mutex_init(&p->lock);
	cond_init(&p->due);
	mutex_lock(&p->lock);
	TAILQ_INIT(&p->list);
	mutex_unlock(&p->lock);
	p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->stop_fd < 0)
		r = -errno;
	if (!r)
		r = add_pinned(p);
	*ret = p; /* the first one that it finds may be lost at once */
	while (!r && p->n_threads < PROBER_THREADS) {
		r = thread_start(
		    &p->threads[p->n_threads], "probe", probe_run, p);
		p->n_threads += r == 0;
	}
	if (r) {
		*ret = NULL;
		prober_stop(p);
	}
	return r;
}

void prober_stop(struct prober *p)
{
	uint64_t one = 1;
	struct candidate *c;
	unsigned i;

	if (!p)
		return;
	mutex_lock(&p->lock);
	p->stopping = true;
	cond_broadcast(&p->due);
	mutex_unlock(&p->lock);
	if (p->stop_fd >= 0 && write(p->stop_fd, &one, sizeof(one)) < 0)
		log_debug("prober: %s", strerror(errno));
	for (i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	mutex_lock(&p->lock);
	while ((c = TAILQ_FIRST(&p->list)))
		remove_locked(p, c);
	mutex_unlock(&p->lock);
	if (p->stop_fd >= 0)
		close(p->stop_fd);
	cond_fini(&p->due);
	mutex_fini(&p->lock);
	free(p);
}
