/*
 * What the tests of net/pairer share: machines that listen and can pair, and a
 * caller whom the test plays, message by message.
 */
#ifndef PAIRER_FIXTURE_H
#define PAIRER_FIXTURE_H

#include "memory_sink.h"
#include "net_fixture.h"

#include "guess.h"
#include "listener.h"
#include "pair_code.h"
#include "pairer.h"
#include "pairing.h"

/* A machine that listens. */
struct side {
	struct world w;
	struct memory_sink sink;
	struct space *space;
	struct consent *consent;
	struct pairer *pairer;
	struct listener *l;
	struct sockaddr_storage where;
	int state_fd;
	_Atomic unsigned paired;
};

static inline void side_paired(void *ctx, const uint8_t *key, const char *name)
{
	struct side *s = ctx;

	s->paired++;
}

static inline void side_caller(
    void *ctx, const struct sockaddr *from, uint16_t port)
{
}

static inline void side_start(struct side *s, const char *group)
{
	struct pairer_config pairer = { .self = &s->w.me.self,
		.trust = s->w.trust,
		.peers = s->w.peers,
		.state_fd = s->state_fd,
		.group = group,
		.group_len = group ? strlen(group) : 0,
		.paired = side_paired,
		.ctx = s };
	struct listener_config config = {
		.self = &s->w.me.self, .caller = side_caller, .ctx = s
	};

	s->w.me.self.hello.group = group != NULL;
	assert_int_equal(pairer_new(&pairer, &s->pairer), 0);
	config.incoming = (struct incoming_config){ .sink = &s->sink.base,
		.space = s->space,
		.trust = s->w.trust,
		.ledger = s->w.ledger,
		.consent = s->consent,
		.peers = s->w.peers,
		.pairer = s->pairer,
		.patience_ms = 1000 };
	assert_int_equal(address_parse("127.0.0.1:1", 0, &config.address), 0);
	address_set_port((struct sockaddr *)&config.address, 0);
	assert_int_equal(listener_new(&config, &s->l), 0);
	s->where = config.address;
	address_set_port((struct sockaddr *)&s->where, listener_port(s->l));
	assert_int_equal(listener_start(s->l), 0);
}

static inline void side_open(
    struct side *s, const char *name, const char *group)
{
	memset(s, 0, sizeof(*s));
	world_open(&s->w, name, TRUST_KNOWN, 1000);
	memory_sink_init(&s->sink);
	s->space = space_new(&s->sink.base);
	s->consent = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	assert_non_null(s->space);
	assert_non_null(s->consent);
	s->state_fd = open(s->w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->state_fd >= 0);
	side_start(s, group);
}

static inline void side_stop(struct side *s)
{
	pairer_stop(s->pairer);
	listener_free(s->l);
	pairer_free(s->pairer);
}

static inline void side_close(struct side *s)
{
	side_stop(s);
	assert_true(memory_sink_rests(&s->sink));
	consent_free(s->consent);
	space_free(s->space);
	memory_sink_fini(&s->sink);
	close(s->state_fd);
	world_close(&s->w);
}

/* One that is served says so at once. */
static inline struct conn *served(struct side *s, const struct machine *m)
{
	struct conn *c;

	assert_int_equal(conn_dial(&m->self, (struct sockaddr *)&s->where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	expect(c, WIRE_PONG);
	return c;
}

/* Does s trust m, by the words of that connection? */
static inline bool trusts(
    struct side *s, const struct machine *m, const uint8_t *words)
{
	struct trust_pin pin;

	if (trust_find(s->w.trust, m->id.public, &pin))
		return false;
	return pin.policy == TRUST_ACCEPT && pin.verified && pin.has_words &&
	       (!words || !memcmp(pin.words, words, sizeof(pin.words)));
}

static inline bool knows(struct side *s, const struct machine *m)
{
	struct trust_pin pin;

	return trust_find(s->w.trust, m->id.public, &pin) == 0;
}

/* --- the caller, message by message --------------------------------------- */

static inline struct pairing *caller_pairing(const struct machine *m,
    const struct conn *c, enum pairing_kind kind, const char *secret)
{
	struct pairing *p = pairing_new(HANDSHAKE_INITIATOR, kind, secret,
	    strlen(secret), conn_channel(c), m->id.public, conn_remote_key(c));

	assert_non_null(p);
	return p;
}

static inline struct wire_msg step_of(
    struct pairing *p, enum pairing_kind kind, uint8_t *bytes)
{
	struct wire_msg m = { .type = WIRE_PAIR };

	m.pair.kind = (enum wire_pair)kind;
	m.pair.bytes = bytes;
	assert_int_equal(pairing_write(p, &m.pair.step, bytes, &m.pair.len), 0);
	return m;
}

static inline void put_step(
    struct conn *c, struct pairing *p, enum pairing_kind kind)
{
	uint8_t bytes[PAIRING_BYTES_MAX];
	struct wire_msg m = step_of(p, kind, bytes);

	send_msg(c, &m);
}

/* The next PAIR or UNPAIRED. */
static inline struct wire_msg pair_answer(struct conn *c)
{
	struct wire_msg m;
	int r;

	do
		r = conn_receive(c, DEADLINE_MS, -1, &m);
	while (r == CONN_DRAINED || (r == 0 && m.type == WIRE_PONG));
	assert_int_equal(r, 0);
	assert_true(m.type == WIRE_PAIR || m.type == WIRE_UNPAIRED);
	return m;
}

static inline int take_step(struct pairing *p, const struct wire_msg *m)
{
	if (m->type == WIRE_UNPAIRED)
		return wire_code_to_errno(m->unpaired.code);
	return pairing_read(p, (enum pairing_kind)m->pair.kind, m->pair.step,
	    m->pair.bytes, m->pair.len);
}

/* Steps 1 and 2. 0, or the errno of UNPAIRED. */
static inline int begin_exchange(
    struct conn *c, struct pairing *p, enum pairing_kind kind)
{
	struct wire_msg m;

	put_step(c, p, kind);
	m = pair_answer(c);
	return take_step(p, &m);
}

/* All four steps. 0, or the errno of UNPAIRED. */
static inline int exchange(const struct machine *me, struct conn *c,
    enum pairing_kind kind, const char *secret)
{
	struct pairing *p = caller_pairing(me, c, kind, secret);
	struct wire_msg m;
	int r = begin_exchange(c, p, kind);

	if (!r) {
		put_step(c, p, kind);
		m = pair_answer(c);
		r = take_step(p, &m);
	}
	pairing_free(p);
	return r;
}

/* A wrong guess that cannot be right. */
static inline void other_code(const char *code, char ret[WORDS_CODE_MAX])
{
	do
		words_code(ret);
	while (!strcmp(code, ret));
}

#endif
