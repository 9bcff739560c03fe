/*
 * What the tests of net/incoming share: the receiving machine that serves one
 * connection, and the sender at the other end, whom the test plays.
 */
#ifndef INCOMING_FIXTURE_H
#define INCOMING_FIXTURE_H

#include "memory_sink.h"
#include "net_fixture.h"

#include "incoming.h"
#include "ophash.h"

/* The receiving machine, serving one connection. */
struct server {
	struct world w;
	struct machine sender;
	struct memory_sink sink;
	struct pair pair; /* a: the test's end */
	struct incoming_config config;
	_Atomic int64_t working;
	pthread_t thread;
	int result;
};

static inline void *serve_run(void *arg)
{
	struct server *s = arg;

	s->result = incoming_serve(&s->config, s->pair.b, &s->working);
	return NULL;
}

static inline void server_open(struct server *s, enum trust_default strangers)
{
	memset(s, 0, sizeof(*s));
	world_open(&s->w, "receiver", strangers, 1000);
	machine_init(&s->sender, "laptop", 0);
	memory_sink_init(&s->sink);
	s->config = (struct incoming_config){ .sink = &s->sink.base,
		.trust = s->w.trust,
		.ledger = s->w.ledger,
		.peers = s->w.peers,
		.patience_ms = 1000 };
}

static inline void server_start(struct server *s)
{
	pair_open(&s->pair, &s->sender, &s->w.me);
	assert_int_equal(thread_start(&s->thread, "in", serve_run, s), 0);
}

/* The connection's end as incoming_serve saw it; every spool has ended. */
static inline int server_end(struct server *s)
{
	shutdown(conn_fd(s->pair.a), SHUT_WR);
	pthread_join(s->thread, NULL);
	pair_close(&s->pair);
	assert_int_equal(atomic_load(&s->working), 0);
	assert_true(memory_sink_rests(&s->sink));
	return s->result;
}

static inline void server_close(struct server *s)
{
	memory_sink_fini(&s->sink);
	world_close(&s->w);
}

static inline int setup(void **state)
{
	struct server *s = malloc(sizeof(*s));

	assert_non_null(s);
	server_open(s, TRUST_LAN);
	server_start(s);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	server_close(*state);
	free(*state);
	return 0;
}

/* --- the sender --------------------------------------------------------------
 */

struct sending {
	struct conn *c;
	struct ophash *hash;
	uint64_t seq, count, size;
	uint32_t tag;
};

static inline void begin(struct sending *t, struct conn *c, uint32_t tag)
{
	struct wire_msg m = { .type = WIRE_OFFER };

	memset(t, 0, sizeof(*t));
	t->c = c;
	t->tag = tag;
	t->hash = ophash_new();
	assert_non_null(t->hash);
	m.offer.tag = tag;
	m.offer.id[0] = (uint8_t)(tag + 1);
	m.offer.mode = 0640;
	m.offer.size = 3;
	strcpy(m.offer.name, "a file");
	send_msg(c, &m);
}

static inline void end(struct sending *t)
{
	ophash_free(t->hash);
}

static inline void put_write(
    struct sending *t, const char *text, uint64_t offset)
{
	struct wire_msg m = { .type = WIRE_WRITE };
	size_t len = strlen(text);

	m.write.seq = ++t->seq;
	m.write.offset = offset;
	m.write.bytes = (const uint8_t *)text;
	m.write.len = len;
	ophash_bytes(t->hash, text, len);
	ophash_trailer(t->hash, WIRE_WRITE, t->seq, offset, len);
	if (offset + len > t->size)
		t->size = offset + len;
	t->count++;
	assert_int_equal(conn_reserve_output(t->c, len), 0);
	send_msg(t->c, &m);
}

static inline void put_truncate(struct sending *t, uint64_t size)
{
	struct wire_msg m = { .type = WIRE_TRUNCATE };

	m.truncate.seq = ++t->seq;
	m.truncate.size = t->size = size;
	ophash_trailer(t->hash, WIRE_TRUNCATE, t->seq, size, 0);
	t->count++;
	send_msg(t->c, &m);
}

static inline void put_reserve(struct sending *t, uint64_t offset, uint64_t len)
{
	struct wire_msg m = { .type = WIRE_RESERVE };

	m.reserve.seq = ++t->seq;
	m.reserve.offset = offset;
	m.reserve.len = len;
	m.reserve.keep_size = true;
	ophash_trailer(t->hash, WIRE_RESERVE, t->seq, offset, len);
	t->count++;
	send_msg(t->c, &m);
}

static inline void put_meta(struct sending *t, uint32_t mode)
{
	struct wire_msg m = { .type = WIRE_META };

	m.meta.seq = ++t->seq;
	m.meta.meta.mask = WIRE_META_MODE;
	m.meta.meta.mode = mode;
	ophash_meta(t->hash, t->seq, &m.meta.meta);
	t->count++;
	send_msg(t->c, &m);
}

/* COMMIT or CHECKPOINT as it is right, for the caller to make it wrong. */
static inline struct wire_msg seal_of(struct sending *t, enum wire_type type)
{
	struct wire_msg m = { .type = type };

	m.commit.seq = ++t->seq;
	m.commit.size = t->size;
	m.commit.count = t->count;
	ophash_digest(t->hash, m.commit.hash);
	return m;
}

static inline void put_seal(struct sending *t, enum wire_type type)
{
	struct wire_msg m = seal_of(t, type);

	send_msg(t->c, &m);
}

/* The next ACK of this state, or one that failed. */
static inline struct wire_msg ack(struct sending *t, enum wire_state state)
{
	struct wire_msg m;

	do {
		m = expect(t->c, WIRE_ACK);
		assert_int_equal(m.ack.tag, t->tag);
	} while (m.ack.code == WIRE_OK && m.ack.state != state);
	return m;
}

static inline struct wire_msg abort_of(uint32_t tag)
{
	struct wire_msg m = { .type = WIRE_ABORT };

	m.abort.tag = tag;
	m.abort.code = WIRE_ECANCELED;
	return m;
}

/* Every operation once; ten calls of the sink with the OFFER's. */
enum { ALL_CALLS = 10 };

static inline void put_everything(struct sending *t)
{
	put_write(t, "hello world", 0);
	put_truncate(t, 7);
	put_reserve(t, 0, 100);
	put_meta(t, 0600);
	put_seal(t, WIRE_CHECKPOINT);
	put_write(t, "there", 6);
	put_seal(t, WIRE_COMMIT);
}

static inline void assert_published(struct server *s)
{
	struct memory_published *p = s->sink.published;

	assert_non_null(p);
	assert_string_equal(p->name, "a file");
	assert_int_equal(p->mode, 0600);
	assert_int_equal(p->size, 11);
	assert_memory_equal(p->bytes, "hello there", 11);
}

#endif
