/*
 * A list of addresses, each with the time of its next try, and a few threads
 * ("probe") that take what is due. Where a peer is already, it waits: a machine
 * with many addresses is not dialled at all of them over and over, who gets the
 * address of another one is found, and who hangs up again and again is dialled
 * less and less.
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
#include "escape.h"
#include "log.h"
#include "sync.h"

struct candidate {
	TAILQ_ENTRY(candidate) entry;
	struct sockaddr_storage address; /* of a host the one tried last */
	char *host; /* the user's words, resolved at each try; or NULL */
	char *name; /* the folder the user wants; or NULL */
	uint16_t port;
	int64_t tried_ms, next_ms, give_up_ms; /* give_up_ms 0: never */
	int64_t reached_ms;                    /* the last connection began */
	int64_t wait_ms; /* what the last guess has left to wait, or 0 */
	int pause_ms;
	bool busy;  /* a thread dials it now */
	bool again; /* and then once more */
	bool keyed; /* a pinned key was there: until that is connected */
	uint8_t key[IDENTITY_KEY_BYTES];
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

static void hurry_locked(struct prober *p, struct candidate *c, int64_t at)
    REQUIRES(p->lock)
{
	c->again |= c->busy;
	if (c->next_ms > at)
		c->next_ms = at;
	cond_signal(&p->due);
}

static struct candidate *find_locked(struct prober *p, const struct sockaddr *a,
    const uint8_t *key) REQUIRES(p->lock)
{
	struct candidate *c;

	TAILQ_FOREACH(c, &p->list, entry)
		if (!c->host &&
		    address_equal((struct sockaddr *)&c->address, a) &&
		    (!key || !c->keyed || !memcmp(c->key, key, sizeof(c->key))))
			return c;
	return NULL;
}

/* Its own pause, but no longer than a person may wait for a bad network. */
static int flap_pause(const struct candidate *c)
{
	return c->pause_ms < PROBER_FLAP_PAUSE_MAX_MS
		   ? c->pause_ms
		   : PROBER_FLAP_PAUSE_MAX_MS;
}

/* An address to be tried, for a while, or until this pinned key is connected.
 * soon: it was a peer's till now, or that has called. */
static void add_address(
    struct prober *p, const struct sockaddr *a, const uint8_t *key, bool soon)
{
	int64_t now = now_ms();
	struct candidate *c;

	mutex_lock(&p->lock);
	c = find_locked(p, a, key);
	if (!c && (key || p->n < PROBER_CANDIDATES_MAX) &&
	    (c = calloc(1, sizeof(*c)))) {
		memcpy(&c->address, a, address_len(a));
		c->pause_ms = PROBER_PAUSE_MIN_MS;
		c->next_ms = now;
		TAILQ_INSERT_TAIL(&p->list, c, entry);
		p->n++;
		cond_signal(&p->due);
	}
	if (c && key) {
		c->keyed = true;
		memcpy(c->key, key, sizeof(c->key));
	}
	if (c)
		c->give_up_ms = c->keyed ? 0 : now + PROBER_GIVE_UP_MS;
	if (c && soon)
		hurry_locked(p, c, c->tried_ms + flap_pause(c));
	mutex_unlock(&p->lock);
}

/* Somebody comes from the host that the user named, or calls himself so. */
static void hurry_named(
    struct prober *p, const struct sockaddr *from, const char *heard)
{
	char a[WIRE_PEER_NAME_MAX + 1], b[WIRE_PEER_NAME_MAX + 1];
	struct candidate *c;

	if (heard)
		escape_name(heard, strlen(heard), a);
	mutex_lock(&p->lock);
	TAILQ_FOREACH(c, &p->list, entry) {
		if (!c->host)
			continue;
		escape_name(c->name, strlen(c->name), b);
		if (from ? address_same_host(
			       (struct sockaddr *)&c->address, from)
			 : !strcmp(a, b))
			hurry_locked(p, c, c->tried_ms + PROBER_PAUSE_MIN_MS);
	}
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
	    !on_link(a, hint->ifindex))
		return;
	add_address(p, a, NULL, false);
}

void prober_caller(struct prober *p, const struct sockaddr *from, uint16_t port)
{
	struct sockaddr_storage a = { 0 };

	memcpy(&a, from, address_len(from));
	address_set_port((struct sockaddr *)&a, port);
	hurry_named(p, (struct sockaddr *)&a, NULL);
	if (port >= 1024)
		add_address(p, (struct sockaddr *)&a, NULL, true);
}

void prober_lost(struct prober *p, const struct peer_info *info)
{
	unsigned i;

	for (i = 0; i < info->n_addresses; i++)
		add_address(p, (const struct sockaddr *)&info->addresses[i],
		    info->pinned ? info->key : NULL, true);
}

int prober_named(
    struct prober *p, const char *name, const char *host, uint16_t port)
{
	struct candidate *c = calloc(1, sizeof(*c));
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
	r = address_parse(host, port, &c->address);
	r = peers_reserve(
	    p->peers, name, r ? NULL : (struct sockaddr *)&c->address);
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
 * c, at the address a. 0, -EALREADY (a peer is there, which needs no proof
 * now), -EAGAIN (it is a peer now, but could not be greeted: later, with
 * greet), or why there is no connection.
 */
static int dial(struct prober *p, struct candidate *c, const struct sockaddr *a)
{
	struct conn *conn;
	uint8_t major = 0;
	int r;

	if (c->keyed && !peers_misses(p->peers, c->key))
		return 0;
	if (!c->greet && peers_has_address(p->peers, a, c->name))
		return -EALREADY;
	r = conn_dial(p->self, a, CONN_HANDSHAKE_MS, p->stop_fd, &conn, &major);
	if (r) {
		not_reached(a, r, major);
		return r == -EAGAIN ? -EHOSTUNREACH : r;
	}
	c->reached_ms = now_ms();
	peers_claim(p->peers, conn, c->name);
	if (!c->name)
		hurry_named(p, NULL, conn_remote_hello(conn)->name);
	if (p->pairer)
		r = pairer_greet(p->pairer, conn, c->name, p->stop_fd);
	if (r == -EAGAIN)
		c->wait_ms = pairer_wait(p->pairer, a);
	if (!r || r == -EAGAIN)
		peers_adopt(p->peers, conn, c->name);
	else
		conn_free(conn);
	/* It may come back to where another one is now. */
	if (!r && c->keyed && peers_misses(p->peers, c->key))
		r = -EADDRINUSE;
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
	for (i = list; i && r && r != -EAGAIN && r != -EALREADY;
	     i = i->ai_next) {
		memcpy(&c->address, i->ai_addr, i->ai_addrlen);
		r = dial(p, c, i->ai_addr);
	}
	freeaddrinfo(list);
	return r;
}

/* tried: c as it was dialled, with what came of it. */
static void tried_locked(struct prober *p, struct candidate *c,
    const struct candidate *tried, int result) REQUIRES(p->lock)
{
	bool named = c->host && result != -EAGAIN;
	int max = named ? PROBER_NAMED_PAUSE_MAX_MS : PROBER_PAUSE_MAX_MS;
	int64_t now = now_ms(), pause;

	c->busy = false;
	c->greet = result == -EAGAIN;
	c->address = tried->address;
	c->reached_ms = tried->reached_ms;
	c->tried_ms = now;
	if (!c->host && result == -ELOOP) { /* our own */
		remove_locked(p, c);
		return;
	}
	/* Its pause is remembered for as long as a hint would be. */
	if (!result && c->keyed) {
		c->keyed = false;
		c->give_up_ms = now + PROBER_GIVE_UP_MS;
	}
	if (result == -EALREADY && now - c->reached_ms > PROBER_THERE_PAUSE_MS)
		c->pause_ms = PROBER_PAUSE_MIN_MS;
	else if (result != -EALREADY)
		c->pause_ms = c->pause_ms * 2 < max ? c->pause_ms * 2 : max;
	if (result == -EAGAIN && tried->wait_ms)
		pause = tried->wait_ms; /* neither in vain nor late */
	else if (!result || result == -EALREADY)
		pause =
		    c->host ? PROBER_NAMED_PAUSE_MAX_MS : PROBER_THERE_PAUSE_MS;
	else
		pause = c->pause_ms;
	if (c->again)
		pause = c->host ? PROBER_PAUSE_MIN_MS : flap_pause(c);
	c->again = false;
	c->next_ms = now + (pause < max ? pause : max);
}

static void *probe_run(void *arg)
{
	struct prober *p = arg;
	struct candidate *c, now;
	int64_t until;
	int r;

	mutex_lock(&p->lock);
	while (!p->stopping) {
		c = take_locked(p, now_ms(), &until);
		if (!c) {
			cond_wait_until(&p->due, &p->lock, until);
			continue;
		}
		now = *c;
		now.wait_ms = 0;
		cond_signal(&p->due); /* somebody looks for the next one */
		mutex_unlock(&p->lock);
		r = now.host ? dial_host(p, &now)
			     : dial(p, &now, (struct sockaddr *)&now.address);
		mutex_lock(&p->lock);
		tried_locked(p, c, &now, r);
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
