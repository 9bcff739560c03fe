/*
 * What the tests of net share: machines with keys, connections between two of
 * them over loopback, one machine's tables in a temporary state directory, and
 * somebody who waits for a transfer.
 *
 * Threads other than the test's own do not assert: they note what happened.
 */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "conn.h"
#include "identity.h"
#include "ledger.h"
#include "log.h"
#include "outgoing.h"
#include "peers.h"
#include "pool.h"
#include "sync.h"
#include "trust.h"
#include "wire.h"

enum {
	DEADLINE_MS = 20000, /* what has not happened by then never will */
	QUIET_MS = 30,       /* what must not happen gets this long */
};

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

/* For what has no event of its own: looked at until it is true. */
#define EVENTUALLY(condition)                                      \
	do {                                                       \
		int64_t until_ = now_ms() + DEADLINE_MS;           \
		while (!(condition)) {                             \
			if (now_ms() > until_)                     \
				fail_msg("never: %s", #condition); \
			poll(NULL, 0, 1);                          \
		}                                                  \
	} while (0)

/* --- machines and connections -------------------------------------------- */

struct machine {
	struct identity id;
	struct conn_self self;
};

static inline void machine_init(
    struct machine *m, const char *name, uint16_t port)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(identity_generate(&m->id), 0);
	m->self.identity = &m->id;
	m->self.hello.minor = WIRE_MINOR;
	m->self.hello.port = port;
	snprintf(m->self.hello.name, sizeof(m->self.hello.name), "%s", name);
}

/* A listening socket on 127.0.0.1. */
static inline int loopback_listen(struct sockaddr_storage *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(address_parse("127.0.0.1:1", 0, ret), 0);
	address_set_port((struct sockaddr *)ret, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)ret,
			     address_len((struct sockaddr *)ret)),
	    0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	return fd;
}

static inline int loopback_accept(int listen_fd)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };
	int fd;

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static inline int loopback_connect(const struct sockaddr_storage *to)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)to,
			     address_len((const struct sockaddr *)to)),
	    0);
	return fd;
}

/* A conn_dial in a thread of its own. */
struct dial {
	const struct conn_self *self;
	struct sockaddr_storage to;
	int timeout_ms, wake_fd;
	pthread_t thread;
	struct conn *conn;
	uint8_t major;
	int result;
};

static inline void *dial_run(void *arg)
{
	struct dial *d = arg;

	d->result = conn_dial(d->self, (struct sockaddr *)&d->to, d->timeout_ms,
	    d->wake_fd, &d->conn, &d->major);
	return NULL;
}

static inline void dial_start(struct dial *d, const struct machine *from,
    const struct sockaddr_storage *to)
{
	memset(d, 0, sizeof(*d));
	d->self = &from->self;
	d->to = *to;
	d->timeout_ms = CONN_HANDSHAKE_MS;
	d->wake_fd = -1;
	assert_int_equal(thread_start(&d->thread, "dial", dial_run, d), 0);
}

static inline int dial_end(struct dial *d)
{
	pthread_join(d->thread, NULL);
	return d->result;
}

/* The next caller of a listening socket, its handshake done. */
static inline struct conn *accept_caller(
    int listen_fd, const struct machine *self)
{
	struct conn *c;

	assert_int_equal(
	    conn_accept(&self->self, loopback_accept(listen_fd), -1, &c), 0);
	return c;
}

struct pair {
	struct conn *a, *b; /* a dialled, b accepted */
};

static inline void pair_open(
    struct pair *p, const struct machine *a, const struct machine *b)
{
	struct sockaddr_storage where;
	int fd = loopback_listen(&where);
	struct dial d;

	dial_start(&d, a, &where);
	p->b = accept_caller(fd, b);
	assert_int_equal(dial_end(&d), 0);
	p->a = d.conn;
	close(fd);
}

static inline void pair_close(struct pair *p)
{
	conn_free(p->a);
	conn_free(p->b);
}

/* The next message of interest: must be of this type. */
static inline struct wire_msg expect(struct conn *c, enum wire_type type)
{
	struct wire_msg m;
	int r;

	do {
		r = conn_receive(c, DEADLINE_MS, -1, &m);
	} while (r == CONN_DRAINED ||
		 (!r && m.type != type &&
		     (m.type == WIRE_PING || m.type == WIRE_PONG)));
	if (r)
		fail_msg("waiting for %s: %d", wire_type_name(type), r);
	if (m.type != type)
		fail_msg("%s instead of %s", wire_type_name(m.type),
		    wire_type_name(type));
	return m;
}

static inline void expect_quiet(struct conn *c)
{
	struct wire_msg m;
	int r = conn_receive(c, QUIET_MS, -1, &m);

	if (r != -ETIMEDOUT)
		fail_msg("%d, %s", r, r ? "" : wire_type_name(m.type));
}

static inline void expect_end(struct conn *c)
{
	struct wire_msg m;
	int r;

	do
		r = conn_receive(c, DEADLINE_MS, -1, &m);
	while (r == 0 || r == CONN_DRAINED);
	assert_true(r == CONN_EOF || r == -ECONNRESET || r == -EPIPE);
}

static inline void send_msg(struct conn *c, const struct wire_msg *m)
{
	assert_int_equal(conn_send(c, m), 0);
}

static inline void send_pong(struct conn *c, enum wire_policy policy)
{
	struct wire_msg m = { .type = WIRE_PONG };

	m.pong.policy = policy;
	m.pong.free_bytes = 1000;
	m.pong.total_bytes = 2000;
	send_msg(c, &m);
}

/* Bytes that are different everywhere. */
static inline void fill(uint8_t *p, size_t len, uint64_t offset)
{
	size_t i;

	for (i = 0; i < len; i++) {
		uint64_t x = (offset + i) * UINT64_C(0x9e3779b97f4a7c15);

		p[i] = (uint8_t)(x >> 56);
	}
}

/* --- one machine's tables --------------------------------------------------
 */

struct world {
	struct machine me;
	char path[64];
	struct trust *trust;
	struct ledger *ledger;
	struct pool *pool;
	struct peers *peers;

	struct mutex lock; /* of what follows */
	struct cond seen;
	unsigned changes[PEER_LET_IN + 1];
	enum peer_state appeared; /* the last one that did, as */
	unsigned lost;
	struct ledger_entry ended; /* the last transfer that did */
	unsigned n_ended;
};

static inline void world_changed(
    void *ctx, enum peer_change change, const struct peer_info *info)
{
	struct world *w = ctx;

	mutex_lock(&w->lock);
	w->changes[change]++;
	if (change == PEER_APPEARED)
		w->appeared = info->state;
	cond_broadcast(&w->seen);
	mutex_unlock(&w->lock);
}

static inline void world_lost(void *ctx, const struct peer_info *info)
{
	struct world *w = ctx;

	mutex_lock(&w->lock);
	w->lost++;
	cond_broadcast(&w->seen);
	mutex_unlock(&w->lock);
}

static inline void world_ledger(void *ctx, const struct ledger_entry *e)
{
	struct world *w = ctx;

	if (!e->ended_ms)
		return;
	mutex_lock(&w->lock);
	w->ended = *e;
	w->n_ended++;
	cond_broadcast(&w->seen);
	mutex_unlock(&w->lock);
}

/* Waits until one of the counts above is at least n. */
static inline void world_wait(
    struct world *w, const unsigned *count, unsigned n)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	bool there;
	int r = 0;

	mutex_lock(&w->lock);
	while (*count < n && r == 0)
		r = cond_wait_until(&w->seen, &w->lock, deadline);
	there = *count >= n;
	mutex_unlock(&w->lock);
	assert_true(there);
}

static inline void world_start(
    struct world *w, enum trust_default strangers, int patience_ms)
{
	struct peers_config config = { .self = &w->me.self,
		.patience_ms = patience_ms,
		.changed = world_changed,
		.lost = world_lost,
		.ctx = w };
	int fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(trust_open(fd, strangers, &w->trust), 0);
	close(fd);
	w->ledger = ledger_new(world_ledger, w);
	w->pool = pool_new();
	assert_non_null(w->ledger);
	assert_non_null(w->pool);
	config.trust = w->trust;
	config.ledger = w->ledger;
	config.pool = w->pool;
	assert_int_equal(peers_new(&config, &w->peers), 0);
}

static inline void world_open(struct world *w, const char *name,
    enum trust_default strangers, int patience_ms)
{
	memset(w, 0, sizeof(*w));
	machine_init(&w->me, name, 0);
	mutex_init(&w->lock);
	cond_init(&w->seen);
	/* In memory where that is possible: pins are fsynced. */
	strcpy(w->path, "/dev/shm/gtfs-test-net-XXXXXX");
	if (!mkdtemp(w->path)) {
		strcpy(w->path, "/tmp/gtfs-test-net-XXXXXX");
		assert_non_null(mkdtemp(w->path));
	}
	world_start(w, strangers, patience_ms);
}

/* As a restart of the daemon begins: world_start goes on. */
static inline void world_stop(struct world *w)
{
	peers_stop(w->peers);
	peers_free(w->peers);
	pool_free(w->pool);
	ledger_free(w->ledger);
	trust_close(w->trust);
}

static inline int world_remove(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void world_close(struct world *w)
{
	world_stop(w);
	nftw(w->path, world_remove, 8, FTW_DEPTH | FTW_PHYS);
	cond_fini(&w->seen);
	mutex_fini(&w->lock);
}

static inline struct peer_info world_info(struct world *w, const char *name)
{
	struct peer *p = peers_find_name(w->peers, name);
	struct peer_info info;

	assert_non_null(p);
	peer_info(p, &info);
	peer_put(p);
	return info;
}

/*
 * A link of w to a peer that the test itself plays: it speaks on what is
 * returned. wanted: the folder's name, or NULL.
 */
static inline struct conn *world_link(struct world *w, int listen_fd,
    const struct sockaddr_storage *where, const struct machine *peer,
    const char *wanted)
{
	struct peer_info info;
	struct conn *c;
	struct peer *p;
	struct dial d;

	dial_start(&d, &w->me, where);
	c = accept_caller(listen_fd, peer);
	assert_int_equal(dial_end(&d), 0);
	peers_adopt(w->peers, d.conn, wanted);
	p = peers_find_key(w->peers, peer->id.public);
	assert_non_null(p);
	EVENTUALLY((peer_info(p, &info), info.state == PEER_ONLINE));
	peer_put(p);
	return c;
}

/* --- somebody who waits ------------------------------------------------- */

struct told {
	struct waiter w; /* first */
	struct mutex lock;
	struct cond cond;
	unsigned times;
	int64_t result;
};

static inline void told_done(struct waiter *w, int64_t result)
{
	struct told *t = (struct told *)w;

	mutex_lock(&t->lock);
	t->times++;
	t->result = result;
	cond_broadcast(&t->cond);
	mutex_unlock(&t->lock);
}

static inline void told_init(struct told *t)
{
	memset(t, 0, sizeof(*t));
	t->w.done = told_done;
	mutex_init(&t->lock);
	cond_init(&t->cond);
}

static inline void told_fini(struct told *t)
{
	cond_fini(&t->cond);
	mutex_fini(&t->lock);
}

static inline unsigned told_times(struct told *t)
{
	unsigned n;

	mutex_lock(&t->lock);
	n = t->times;
	mutex_unlock(&t->lock);
	return n;
}

/* What it was told, within the deadline, and once only. */
static inline int64_t told_wait(struct told *t)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	int r = 0;

	mutex_lock(&t->lock);
	while (!t->times && r == 0)
		r = cond_wait_until(&t->cond, &t->lock, deadline);
	mutex_unlock(&t->lock);
	assert_int_equal(told_times(t), 1);
	return t->result;
}

/* A call that may park t: what it came to in the end. */
static inline int64_t told_result(struct told *t, int r)
{
	return r == OUTGOING_PARKED ? told_wait(t) : r;
}

/* Of tests whose state is a world that lets in no strangers. */
static inline int setup_world(void **state)
{
	struct world *w = malloc(sizeof(*w));

	assert_non_null(w);
	world_open(w, "me", TRUST_KNOWN, 1000);
	*state = w;
	return 0;
}

static inline int teardown_world(void **state)
{
	world_close(*state);
	free(*state);
	return 0;
}

#endif
