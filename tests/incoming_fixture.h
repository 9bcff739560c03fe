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
	struct space *space;
	struct consent *consent;
	struct incoming_config config;
	struct incoming_watch watch;
	pthread_t thread;
	int result;
};

static inline void *serve_run(void *arg)
{
	struct server *s = arg;

	s->result = incoming_serve(&s->config, s->pair.b, &s->watch);
	return NULL;
}

static inline void server_open(struct server *s, enum trust_default strangers)
{
	memset(s, 0, sizeof(*s));
	world_open(&s->w, "receiver", strangers, 1000);
	machine_init(&s->sender, "laptop", 0);
	memory_sink_init(&s->sink);
	s->space = space_new(&s->sink.base);
	assert_non_null(s->space);
	s->consent = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	assert_non_null(s->consent);
	s->config = (struct incoming_config){ .sink = &s->sink.base,
		.space = s->space,
		.trust = s->w.trust,
		.ledger = s->w.ledger,
		.consent = s->consent,
		.peers = s->w.peers,
		.room = incoming_room_new(),
		.patience_ms = 1000 };
	assert_non_null(s->config.room);
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
	assert_int_equal(atomic_load(&s->watch.working), 0);
	assert_false(atomic_load(&s->watch.open));
	assert_true(memory_sink_rests(&s->sink));
	return s->result;
}

static inline void server_close(struct server *s)
{
	incoming_room_free(s->config.room);
	consent_free(s->consent);
	space_free(s->space);
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

/* The id of the file that this tag offers. */
static inline uint8_t id_of(uint32_t tag)
{
	return (uint8_t)(tag + 1);
}

/* The next version of the file that base offered, of that size. */
static inline void begin_version(struct sending *t, struct conn *c,
    uint32_t tag, uint32_t base, uint64_t size)
{
	struct wire_msg m = { .type = WIRE_OFFER };

	memset(t, 0, sizeof(*t));
	t->size = size;
	t->c = c;
	t->tag = tag;
	t->hash = ophash_new();
	assert_non_null(t->hash);
	m.offer.tag = tag;
	m.offer.id[0] = id_of(tag);
	m.offer.base[0] = base ? id_of(base) : 0;
	m.offer.mode = 0640;
	m.offer.size = 3;
	strcpy(m.offer.name, "a file");
	send_msg(c, &m);
}

static inline void begin(struct sending *t, struct conn *c, uint32_t tag)
{
	begin_version(t, c, tag, 0, 0);
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
	m.reserve.how = WIRE_RESERVE_KEEP;
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

static inline void put_xattr(
    struct sending *t, const char *name, const char *value)
{
	struct wire_msg m = { .type = WIRE_XATTR };

	m.xattr.seq = ++t->seq;
	m.xattr.xattr.remove = !value;
	strcpy(m.xattr.xattr.name, name);
	m.xattr.xattr.bytes = (const uint8_t *)value;
	m.xattr.xattr.len = value ? strlen(value) : 0;
	ophash_xattr(t->hash, t->seq, &m.xattr.xattr);
	t->count++;
	send_msg(t->c, &m);
}

static inline void put_move(struct sending *t, uint8_t parent, const char *name)
{
	struct wire_msg m = { .type = WIRE_MOVE };

	m.move.seq = ++t->seq;
	m.move.parent[0] = parent;
	strcpy(m.move.name, name);
	ophash_move(t->hash, t->seq, m.move.parent, name);
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

static inline void put_hold(struct sending *t)
{
	struct wire_msg m = seal_of(t, WIRE_COMMIT);

	m.commit.hold = true;
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

/* Every operation once; so many calls of the sink with the OFFER's. */
enum { ALL_CALLS = 12 };

static inline void put_everything(struct sending *t)
{
	put_write(t, "hello world", 0);
	put_truncate(t, 7);
	put_reserve(t, 0, 100);
	put_meta(t, 0600);
	put_xattr(t, "user.colour", "red");
	put_seal(t, WIRE_CHECKPOINT);
	put_write(t, "there", 6);
	put_move(t, 0, "its name");
	put_seal(t, WIRE_COMMIT);
}

static inline void assert_published(struct server *s)
{
	struct memory_published *p = s->sink.published;

	assert_non_null(p);
	assert_false(p->held);
	assert_string_equal(p->name, "its name");
	assert_int_equal(p->content.mode, 0600);
	assert_int_equal(p->content.size, 11);
	assert_memory_equal(p->content.bytes, "hello there", 11);
	assert_string_equal(p->content.xattr, "user.colour");
	assert_int_equal(p->content.value_len, 3);
	assert_memory_equal(p->content.value, "red", 3);
}

/* --- reads and requests ----------------------------------------------------
 */

static inline void put_read(
    struct conn *c, uint64_t req, uint64_t offset, uint32_t len)
{
	struct wire_msg m = { .type = WIRE_READ };

	m.read.req = req;
	m.read.offset = offset;
	m.read.len = len;
	send_msg(c, &m);
}

/* The next message but PONGs, and ACKs of what went well. */
static inline struct wire_msg answer(struct conn *c)
{
	struct wire_msg m;
	int r;

	do {
		r = conn_receive(c, DEADLINE_MS, -1, &m);
	} while (r == CONN_DRAINED ||
		 (!r && (m.type == WIRE_PONG ||
			    (m.type == WIRE_ACK && !m.ack.code))));
	assert_int_equal(r, 0);
	return m;
}

/* The answer to a read: these bytes, and no more. */
static inline void expect_data(
    struct conn *c, uint64_t req, const void *bytes, size_t len)
{
	struct wire_msg m = answer(c);

	assert_int_equal(m.type, WIRE_DATA);
	assert_int_equal(m.data.req, req);
	assert_int_equal(m.data.code, WIRE_OK);
	assert_int_equal(m.data.len, len);
	if (len)
		assert_memory_equal(m.data.bytes, bytes, len);
}

/* The answer to a request: its errno. */
static inline int expect_result(struct conn *c, uint64_t req)
{
	struct wire_msg m = answer(c);

	assert_int_equal(m.type, WIRE_RESULT);
	assert_int_equal(m.result.req, req);
	return wire_code_to_errno(m.result.code);
}

enum { REQUESTS = 7 };

/* One of each kind, about that id. */
static inline struct wire_msg request_of(
    unsigned kind, uint64_t req, uint8_t id)
{
	struct wire_msg m = { 0 };

	switch (kind) {
	case 0:
		m.type = WIRE_MKDIR;
		m.mkdir.req = req;
		m.mkdir.id[0] = id;
		strcpy(m.mkdir.name, "dir");
		break;
	case 1:
		m.type = WIRE_PATCH;
		m.patch.req = req;
		m.patch.id[0] = id;
		m.patch.meta.mask = WIRE_META_MODE;
		m.patch.meta.mode = 0700;
		break;
	case 2:
		m.type = WIRE_SYMLINK;
		m.symlink.req = req;
		m.symlink.id[0] = id;
		m.symlink.parent[0] = 77;
		strcpy(m.symlink.name, "link");
		m.symlink.bytes = (const uint8_t *)"target";
		m.symlink.len = 6;
		break;
	case 3:
		m.type = WIRE_SETXATTR;
		m.setxattr.req = req;
		m.setxattr.id[0] = id;
		strcpy(m.setxattr.xattr.name, "user.colour");
		m.setxattr.xattr.bytes = (const uint8_t *)"blue";
		m.setxattr.xattr.len = 4;
		break;
	case 4:
		m.type = WIRE_RENAME;
		m.rename.req = req;
		m.rename.id[0] = id;
		strcpy(m.rename.name, "renamed");
		break;
	case 5:
		m.type = WIRE_SHOW;
		m.show.req = req;
		m.show.id[0] = id;
		break;
	default:
		m.type = WIRE_WITHDRAW;
		m.withdraw.req = req;
		m.withdraw.id[0] = id;
	}
	return m;
}

#endif
