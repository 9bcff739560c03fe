/*
 * What the tests of net/outgoing share: a machine that sends, and a peer that
 * the test itself plays message by message.
 */
#ifndef OUTGOING_FIXTURE_H
#define OUTGOING_FIXTURE_H

#include "net_fixture.h"

#include "ophash.h"
#include "outgoing_internal.h"
#include "peer_internal.h"
#include "treeop.h"

struct play {
	struct world w;
	struct machine me; /* the peer's */
	int listen_fd;
	struct sockaddr_storage where;
	struct conn *c; /* the peer's end of the link */
	struct peer *peer;
};

/* Does one of the peer's links wait for work? */
static inline bool has_idle_link(struct peer *p)
{
	struct link *l;
	bool idle = false;

	mutex_lock(&p->table->lock);
	LIST_FOREACH(l, &p->links, entry)
		idle |= l->up && l->idle;
	mutex_unlock(&p->table->lock);
	return idle;
}

/* policy 0: the peer has not said what it does with offers. */
static inline void play_open(
    struct play *p, enum wire_policy policy, int patience_ms)
{
	memset(p, 0, sizeof(*p));
	world_open(&p->w, "sender", TRUST_LAN, patience_ms);
	machine_init(&p->me, "laptop", 0);
	p->listen_fd = loopback_listen(&p->where);
	p->c = world_link(&p->w, p->listen_fd, &p->where, &p->me, NULL);
	p->peer = peers_find_name(p->w.peers, "laptop");
	assert_non_null(p->peer);
	if (policy) {
		send_pong(p->c, policy);
		world_wait(&p->w, &p->w.changes[PEER_CHANGED], 1);
	}
	EVENTUALLY(has_idle_link(p->peer));
}

static inline void play_close(struct play *p)
{
	size_t bytes;
	unsigned i;

	peer_put(p->peer);
	peers_stop(p->w.peers);
	conn_free(p->c);
	close(p->listen_fd);
	/* No byte of the windows is held by anybody. */
	for (i = 0; i < POOL_LIMIT / POOL_CHUNK; i++)
		assert_non_null(pool_take(p->w.pool, POOL_CHUNK, &bytes));
	world_close(&p->w);
}

/* It says another policy than before. */
static inline void play_says(struct play *p, enum wire_policy policy)
{
	struct peer_info info;

	send_pong(p->c, policy);
	EVENTUALLY((peer_info(p->peer, &info), info.policy == policy));
}

/* Offers are not presumed to be accepted: nothing follows one at once. */
static inline void play_refuses(struct play *p)
{
	play_says(p, WIRE_POLICY_REFUSE);
}

/* The connection breaks, and the sender dials again. */
static inline void play_cut(struct play *p)
{
	conn_free(p->c);
	p->c = NULL;
}

static inline void play_again(struct play *p)
{
	p->c = accept_caller(p->listen_fd, &p->me);
}

/* A new file in parent (NULL: the top). */
static inline int try_new(struct peer *peer, struct outdir *parent,
    const char *name, struct outgoing **ret)
{
	struct outgoing_plan plan = { .parent = parent,
		.name = name,
		.mode = 0640,
		.size = WIRE_SIZE_UNKNOWN };

	return outgoing_new(peer, &plan, ret);
}

static inline struct outgoing *new_file(struct play *p, const char *name)
{
	struct outgoing *o;

	assert_int_equal(try_new(p->peer, NULL, name, &o), 0);
	return o;
}

/* --- the peer's side of one transfer -----------------------------------------
 */

enum { GOT_MAX = 64 * 1024 };

struct got {
	struct conn *c;
	struct wire_offer offer;
	struct ophash *hash;
	uint64_t seq, count;
	size_t size;
	uint8_t bytes[GOT_MAX];
};

static inline void got_init(struct got *g, struct conn *c)
{
	memset(g, 0, sizeof(*g));
	g->c = c;
	g->hash = ophash_new();
	assert_non_null(g->hash);
	g->offer = expect(c, WIRE_OFFER).offer;
}

static inline void got_fini(struct got *g)
{
	ophash_free(g->hash);
}

static inline void got_accept(struct got *g)
{
	struct wire_msg m = { .type = WIRE_ACCEPT };

	m.accept.tag = g->offer.tag;
	m.accept.max_write = WIRE_WRITE_MAX;
	send_msg(g->c, &m);
}

static inline void got_size(struct got *g, uint64_t size)
{
	assert_in_range(size, 0, GOT_MAX);
	if (size > g->size)
		memset(g->bytes + g->size, 0, size - g->size);
	g->size = size;
}

static inline void got_write(struct got *g, const struct wire_msg *m)
{
	assert_int_equal(m->write.seq, ++g->seq);
	if (m->write.offset + m->write.len > g->size)
		got_size(g, m->write.offset + m->write.len);
	memcpy(g->bytes + m->write.offset, m->write.bytes, m->write.len);
	ophash_bytes(g->hash, m->write.bytes, m->write.len);
	ophash_trailer(
	    g->hash, WIRE_WRITE, g->seq, m->write.offset, m->write.len);
	g->count++;
}

/* What COMMIT and CHECKPOINT say is so. */
static inline void got_seal(struct got *g, const struct wire_msg *m)
{
	uint8_t hash[WIRE_HASH_BYTES];

	ophash_digest(g->hash, hash);
	assert_int_equal(m->commit.seq, ++g->seq);
	assert_int_equal(m->commit.size, g->size);
	assert_int_equal(m->commit.count, g->count);
	assert_memory_equal(m->commit.hash, hash, sizeof(hash));
}

/* The next operation, applied. A payload in it is valid until the next. */
static inline struct wire_msg got_next(struct got *g, enum wire_type type)
{
	struct wire_msg m = expect(g->c, type);

	switch (type) {
	case WIRE_WRITE: got_write(g, &m); break;
	case WIRE_TRUNCATE:
		assert_int_equal(m.truncate.seq, ++g->seq);
		got_size(g, m.truncate.size);
		ophash_trailer(g->hash, type, g->seq, m.truncate.size, 0);
		g->count++;
		break;
	case WIRE_RESERVE:
		assert_int_equal(m.reserve.seq, ++g->seq);
		ophash_trailer(
		    g->hash, type, g->seq, m.reserve.offset, m.reserve.len);
		g->count++;
		break;
	case WIRE_META:
		assert_int_equal(m.meta.seq, ++g->seq);
		ophash_meta(g->hash, g->seq, &m.meta.meta);
		g->count++;
		break;
	case WIRE_XATTR:
		assert_int_equal(m.xattr.seq, ++g->seq);
		ophash_xattr(g->hash, g->seq, &m.xattr.xattr);
		g->count++;
		break;
	case WIRE_MOVE:
		assert_int_equal(m.move.seq, ++g->seq);
		ophash_move(g->hash, g->seq, m.move.parent, m.move.name);
		g->count++;
		break;
	default: got_seal(g, &m);
	}
	return m;
}

static inline void got_ack(
    struct got *g, uint64_t seq, enum wire_state state, enum wire_code code)
{
	struct wire_msg m = { .type = WIRE_ACK };

	m.ack.tag = g->offer.tag;
	m.ack.seq = seq;
	m.ack.state = state;
	m.ack.code = code;
	if ((state == WIRE_PUBLISHED || state == WIRE_RECEIVED) &&
	    code == WIRE_OK)
		strcpy(m.ack.name, g->offer.name);
	send_msg(g->c, &m);
}

/* Publishes what has come, as an honest peer does. */
static inline void got_publish(struct got *g)
{
	got_next(g, WIRE_COMMIT);
	got_ack(g, g->seq, WIRE_PUBLISHED, WIRE_OK);
}

/* Answers a READ with what came so far. */
static inline void got_data(struct got *g, const struct wire_msg *read)
{
	struct wire_msg m = { .type = WIRE_DATA };

	m.data.req = read->read.req;
	if (read->read.offset < g->size) {
		m.data.bytes = g->bytes + read->read.offset;
		m.data.len = g->size - read->read.offset;
		if (m.data.len > read->read.len)
			m.data.len = read->read.len;
	}
	send_msg(g->c, &m);
}

/* Of a MKDIR or any other request: req stands first in all of them. */
static inline void answer(
    struct conn *c, const struct wire_msg *m, enum wire_code code)
{
	struct wire_msg a = { .type = WIRE_RESULT };

	a.result.req = m->mkdir.req;
	a.result.code = code;
	send_msg(c, &a);
}

static inline void got_refuse(struct got *g, enum wire_code code)
{
	struct wire_msg m = { .type = WIRE_REFUSE };

	m.refuse.tag = g->offer.tag;
	m.refuse.code = code;
	send_msg(g->c, &m);
}

/* A write that must be taken whole, at once. */
static inline void write_now(
    struct outgoing *o, const void *bytes, size_t len, uint64_t offset)
{
	struct told t;
	size_t taken = 0;

	told_init(&t);
	assert_int_equal(
	    outgoing_write(o, bytes, len, offset, &t.w, &taken), 0);
	assert_int_equal(taken, len);
	assert_int_equal(told_times(&t), 0);
	told_fini(&t);
}

/* --- somebody who waits --------------------------------------------------- */

struct asker {
	struct request_waiter w; /* first */
	struct mutex lock;
	struct cond cond;
	unsigned times;
	int result;
};

static inline void asker_done(struct request_waiter *w, int result)
{
	struct asker *a = (struct asker *)w;

	mutex_lock(&a->lock);
	a->times++;
	a->result = result;
	cond_broadcast(&a->cond);
	mutex_unlock(&a->lock);
}

static inline void asker_init(struct asker *a)
{
	memset(a, 0, sizeof(*a));
	a->w.done = asker_done;
	mutex_init(&a->lock);
	cond_init(&a->cond);
}

static inline void asker_fini(struct asker *a)
{
	cond_fini(&a->cond);
	mutex_fini(&a->lock);
}

static inline unsigned asker_times(struct asker *a)
{
	unsigned n;

	mutex_lock(&a->lock);
	n = a->times;
	mutex_unlock(&a->lock);
	return n;
}

static inline int asker_wait(struct asker *a)
{
	EVENTUALLY(asker_times(a));
	assert_int_equal(asker_times(a), 1);
	return a->result;
}

#endif
