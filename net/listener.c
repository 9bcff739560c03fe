/*
 * One thread accepts ("listen"), one a connection serves it ("in"). The list
 * of connections is what limits are counted on (listener_limits.c); a place is
 * taken before the handshake, so that a flood of callers costs at most that
 * many threads.
 */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "address.h"
#include "listener_internal.h"
#include "log.h"

enum { VICTIMS_WAIT_MS = 200 };

/* --- one connection
 * ------------------------------------------------------------ */

static void finished(struct listener *l, struct caller *c)
{
	mutex_lock(&l->lock);
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&l->finished, c, entry);
	if (!c->conn)
		close(c->fd);
	mutex_unlock(&l->lock);
	conn_free(c->conn);
	mutex_lock(&l->lock);
	l->n--;
	cond_broadcast(&l->gone);
	mutex_unlock(&l->lock);
}

static void *caller_run(void *arg)
{
	struct caller *c = arg;
	struct listener *l = c->listener;
	struct conn *conn;
	bool ok;
	int r;

	r = conn_accept(l->config.self, c->fd, -1, &conn);
	if (r) {
		log_debug("a caller's handshake: %s", strerror(-r));
		listener_punish_caller(l, c, r);
		finished(l, c);
		return NULL;
	}
	mutex_lock(&l->lock);
	ok = !l->stopping && listener_admits_locked(l, conn, &c->watch);
	c->conn = conn;
	c->victim = !ok;
	mutex_unlock(&l->lock);
	if (ok) {
		if (conn_remote_hello(conn)->port)
			l->config.caller(l->config.ctx, listener_address(c),
			    conn_remote_hello(conn)->port);
		r = incoming_serve(&l->config.incoming, conn, &c->watch);
		listener_punish_stranger(l, c, r);
	}
	finished(l, c);
	return NULL;
}

/*
 * A flood makes victims faster than their threads end: the next caller waits
 * in the backlog until those have gone, so that a flood costs threads for two
 * rounds of handshakes and no more.
 */
static void wait_for_victims_locked(struct listener *l) REQUIRES(l->lock)
{
	int64_t deadline = now_ms() + VICTIMS_WAIT_MS;
	struct caller *i;
	unsigned ending;

	do {
		ending = 0;
		LIST_FOREACH(i, &l->callers, entry)
			ending += i->victim && !i->conn;
	} while (ending >= LISTENER_HANDSHAKES_MAX && !l->stopping &&
		 cond_wait_until(&l->gone, &l->lock, deadline) == 0);
}

static void take_caller(
    struct listener *l, int fd, const struct sockaddr_storage *from)
{
	struct caller *c = calloc(1, sizeof(*c));
	bool room = false;
	int r;

	if (!c) {
		close(fd);
		return;
	}
	c->listener = l;
	c->fd = fd;
	c->address = *from;
	address_normalise(&c->address);
	mutex_lock(&l->lock);
	c->known = listener_known_locked(l, c);
	if (!listener_shuns_locked(l, c)) {
		wait_for_victims_locked(l);
		room = listener_room_locked(l, c);
	}
	if (room) {
		LIST_INSERT_HEAD(&l->callers, c, entry);
		l->n++;
		r = thread_start(&c->thread, "in", caller_run, c);
		if (r) {
			LIST_REMOVE(c, entry);
			l->n--;
			room = false;
		}
	}
	mutex_unlock(&l->lock);
	if (!room) {
		close(fd);
		free(c);
	}
}

static void reap(struct listener *l)
{
	struct caller *c;

	mutex_lock(&l->lock);
	while ((c = LIST_FIRST(&l->finished))) {
		LIST_REMOVE(c, entry);
		mutex_unlock(&l->lock);
		pthread_join(c->thread, NULL);
		free(c);
		mutex_lock(&l->lock);
	}
	mutex_unlock(&l->lock);
}

static void *listen_run(void *arg)
{
	struct listener *l = arg;
	struct pollfd p[2] = {
		{ .fd = l->fd, .events = POLLIN },
		{ .fd = l->stop_fd, .events = POLLIN },
	};
	int fd;

	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		fd = accept4(l->fd, (struct sockaddr *)&from, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			reap(l); /* a flood leaves threads to be joined */
			take_caller(l, fd, &from);
		} else if (errno == EMFILE || errno == ENFILE ||
			   errno == ENOMEM || errno == ENOBUFS) {
			/* No spinning: look again when something has gone. */
			log_warning(
			    "cannot accept a connection: %s", strerror(errno));
			poll(&p[1], 1, 1000);
		}
	}
	return NULL;
}

/* --- the whole
 * -------------------------------------------------------------------- */

static int bind_socket(struct listener *l)
{
	struct sockaddr *a = (struct sockaddr *)&l->config.address;
	socklen_t len = sizeof(l->config.address);
	int one = 1, zero = 0;
	int r;

	l->fd =
	    socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->sa_family == AF_INET6)
		setsockopt(
		    l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	r = bind(l->fd, a, address_len(a)) || listen(l->fd, 128) ? -errno : 0;
	if (r == -EADDRINUSE && !l->config.exact && address_port(a)) {
		address_set_port(a, 0);
		close(l->fd);
		return bind_socket(l);
	}
	if (!r && getsockname(l->fd, a, &len))
		r = -errno;
	l->port = address_port(a);
	return r;
}

int listener_new(const struct listener_config *config, struct listener **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->config = *config;
	l->config.incoming.room = incoming_room_new();
	l->config.incoming.penalty = penalty_new();
	l->all_max = descriptor_share(LISTENER_ALL_MAX, 4);
	l->fd = -1;
	mutex_init(&l->lock);
	cond_init(&l->gone);
	mutex_lock(&l->lock);
	LIST_INIT(&l->callers);
	LIST_INIT(&l->finished);
	mutex_unlock(&l->lock);
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (l->stop_fd < 0)
		r = -errno;
	else if (!l->config.incoming.room || !l->config.incoming.penalty)
		r = -ENOMEM;
	else
		r = bind_socket(l);
	if (r == -EAFNOSUPPORT && config->address.ss_family == AF_INET6) {
		/* A kernel without IPv6. */
		uint16_t port =
		    address_port((const struct sockaddr *)&config->address);

		memset(&l->config.address, 0, sizeof(l->config.address));
		l->config.address.ss_family = AF_INET;
		address_set_port((struct sockaddr *)&l->config.address, port);
		r = bind_socket(l);
	}
	if (r)
		listener_free(l);
	else
		*ret = l;
	return r;
}

uint16_t listener_port(const struct listener *l)
{
	return l->port;
}

int listener_start(struct listener *l)
{
	int r = thread_start(&l->thread, "listen", listen_run, l);

	l->started = r == 0;
	return r;
}

void listener_tick(struct listener *l)
{
	int64_t now = now_ms();
	struct wire_msg m;
	struct caller *c;

	mutex_lock(&l->lock);
	LIST_FOREACH(c, &l->callers, entry) {
		int64_t since = atomic_load(&c->watch.working);

		if (!c->conn || !since || now - since < 1000)
			continue;
		incoming_pong(&l->config.incoming, c->conn, 0, &m);
		conn_try_send(c->conn, &m);
	}
	mutex_unlock(&l->lock);
	reap(l);
}

void listener_policy_changed(
    struct listener *l, const uint8_t *key, bool turned_away)
{
	struct wire_msg m;
	struct caller *c;

	mutex_lock(&l->lock);
	LIST_FOREACH(c, &l->callers, entry) {
		if (!c->conn ||
		    memcmp(conn_remote_key(c->conn), key, IDENTITY_KEY_BYTES))
			continue;
		if (turned_away)
			atomic_store(&c->watch.turned_away, true);
		incoming_pong(&l->config.incoming, c->conn, 0, &m);
		conn_try_send(c->conn, &m);
	}
	mutex_unlock(&l->lock);
}

bool listener_here(struct listener *l, const uint8_t *key)
{
	bool here = false;
	struct caller *c;

	mutex_lock(&l->lock);
	LIST_FOREACH(c, &l->callers, entry)
		here |= c->conn && !memcmp(conn_remote_key(c->conn), key,
				       IDENTITY_KEY_BYTES);
	mutex_unlock(&l->lock);
	return here;
}

unsigned listener_busy(struct listener *l)
{
	struct caller *c;
	unsigned n = 0;

	mutex_lock(&l->lock);
	LIST_FOREACH(c, &l->callers, entry)
		n += atomic_load(&c->watch.open);
	mutex_unlock(&l->lock);
	return n;
}

void listener_stop(struct listener *l)
{
	struct wire_msg bye = { .type = WIRE_BYE };
	uint64_t one = 1;
	struct caller *c;

	if (!l)
		return;
	if (l->started && write(l->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(l->thread, NULL);
	l->started = false;
	mutex_lock(&l->lock);
	l->stopping = true;
	LIST_FOREACH(c, &l->callers, entry) {
		if (c->conn) {
			conn_try_send(c->conn, &bye);
			conn_shutdown(c->conn);
		} else {
			shutdown(c->fd, SHUT_RDWR);
		}
	}
	while (l->n)
		cond_wait(&l->gone, &l->lock);
	mutex_unlock(&l->lock);
	reap(l);
	if (l->fd >= 0)
		close(l->fd); /* the port is free again */
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	l->fd = l->stop_fd = -1;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	listener_stop(l);
	incoming_room_free(l->config.incoming.room);
	penalty_free(l->config.incoming.penalty);
	cond_fini(&l->gone);
	mutex_fini(&l->lock);
	free(l);
}
