/*
 * What the tests of net/listener share: a machine that listens, and callers who
 * say nothing, or prove their key. Floods come from several addresses of
 * 127.0.0.0/8.
 */
#ifndef LISTENER_FIXTURE_H
#define LISTENER_FIXTURE_H

#include "memory_sink.h"
#include "net_fixture.h"

#include "listener.h"

struct place {
	struct world w;
	struct memory_sink sink;
	struct space *space;
	struct consent *consent;
	struct listener *l;
	struct listener_config config;
	struct sockaddr_storage where;
	struct machine caller;
	struct mutex lock;
	unsigned heard GUARDED_BY(lock); /* calls of config.caller */
	uint16_t heard_port GUARDED_BY(lock);
};

static inline void heard(void *ctx, const struct sockaddr *from, uint16_t port)
{
	struct place *p = ctx;

	mutex_lock(&p->lock);
	p->heard++;
	p->heard_port = port;
	mutex_unlock(&p->lock);
}

static inline void place_open(struct place *p, enum trust_default strangers)
{
	memset(p, 0, sizeof(*p));
	mutex_init(&p->lock);
	world_open(&p->w, "here", strangers, 1000);
	memory_sink_init(&p->sink);
	machine_init(&p->caller, "caller", 4242);
	assert_int_equal(
	    address_parse("127.0.0.1:1", 0, &p->config.address), 0);
	address_set_port((struct sockaddr *)&p->config.address, 0);
	p->config.self = &p->w.me.self;
	p->config.caller = heard;
	p->config.ctx = p;
	p->space = space_new(&p->sink.base);
	assert_non_null(p->space);
	p->consent = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	assert_non_null(p->consent);
	p->config.incoming = (struct incoming_config){ .sink = &p->sink.base,
		.space = p->space,
		.trust = p->w.trust,
		.ledger = p->w.ledger,
		.consent = p->consent,
		.peers = p->w.peers,
		.patience_ms = 1000 };
	assert_int_equal(listener_new(&p->config, &p->l), 0);
	p->where = p->config.address;
	address_set_port((struct sockaddr *)&p->where, listener_port(p->l));
	assert_int_equal(listener_start(p->l), 0);
}

static inline void place_close(struct place *p)
{
	listener_free(p->l);
	assert_true(memory_sink_rests(&p->sink));
	consent_free(p->consent);
	space_free(p->space);
	memory_sink_fini(&p->sink);
	world_close(&p->w);
	mutex_fini(&p->lock);
}

static inline int setup(void **state)
{
	struct place *p = malloc(sizeof(*p));

	assert_non_null(p);
	place_open(p, TRUST_LAN);
	*state = p;
	return 0;
}

static inline int teardown(void **state)
{
	place_close(*state);
	free(*state);
	return 0;
}

/* A caller that says nothing, from 127.0.0.host. */
static inline int silent(struct place *p, unsigned host)
{
	struct sockaddr_storage from;
	char text[32];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "127.0.0.%u:1", host);
	assert_int_equal(address_parse(text, 0, &from), 0);
	address_set_port((struct sockaddr *)&from, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from,
			     address_len((struct sockaddr *)&from)),
	    0);
	assert_int_equal(connect(fd, (struct sockaddr *)&p->where,
			     address_len((struct sockaddr *)&p->where)),
	    0);
	return fd;
}

/* Is this socket still served? */
static inline bool alive(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);

	return n < 0 && errno == EAGAIN;
}

static inline unsigned count_alive(const int *fds, unsigned n)
{
	unsigned living = 0;

	for (unsigned i = 0; i < n; i++)
		living += alive(fds[i]);
	return living;
}

static inline struct conn *call(struct place *p, const struct machine *m)
{
	struct conn *c;

	assert_int_equal(conn_dial(&m->self, (struct sockaddr *)&p->where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	return c;
}

/* One that is served says so at once. */
static inline struct conn *served(struct place *p, const struct machine *m)
{
	struct conn *c = call(p, m);

	expect(c, WIRE_PONG);
	return c;
}

static inline void offer(struct conn *c, uint32_t tag)
{
	struct wire_msg m = { .type = WIRE_OFFER };

	m.offer.tag = tag;
	m.offer.id[0] = 1;
	strcpy(m.offer.name, "x");
	send_msg(c, &m);
}

#endif
