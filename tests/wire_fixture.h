/*
 * Random messages of every type, from a seeded generator: each is one that a
 * decoder accepts, and touches its limits often. For the tests of whatever
 * carries messages.
 */
#ifndef WIRE_FIXTURE_H
#define WIRE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "wire.h"

#define MAX_FILE ((uint64_t)INT64_MAX)

#define N_OF(a)  (sizeof(a) / sizeof((a)[0]))

static const enum wire_type types[] = { WIRE_PING, WIRE_PONG, WIRE_BYE,
	WIRE_ASK, WIRE_ANSWER, WIRE_UNASK, WIRE_PAIR, WIRE_UNPAIRED, WIRE_OFFER,
	WIRE_ACCEPT, WIRE_REFUSE, WIRE_WRITE, WIRE_TRUNCATE, WIRE_RESERVE,
	WIRE_META, WIRE_CHECKPOINT, WIRE_COMMIT, WIRE_ACK, WIRE_ABORT,
	WIRE_XATTR, WIRE_MOVE, WIRE_READ, WIRE_DATA, WIRE_MKDIR, WIRE_PATCH,
	WIRE_RESULT, WIRE_SYMLINK, WIRE_SETXATTR, WIRE_RENAME, WIRE_SHOW,
	WIRE_WITHDRAW };

static uint64_t seed = 42;

static inline uint64_t rnd(void)
{
	/* splitmix64 */
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Up to max, both ends often. */
static inline uint64_t rnd_to(uint64_t max)
{
	switch (rnd() % 8) {
	case 0: return 0;
	case 1: return max;
	case 2: return max < 16 ? rnd() % (max + 1) : rnd() % 16;
	default: return max == UINT64_MAX ? rnd() : rnd() % (max + 1);
	}
}

static inline void rnd_id(uint8_t id[WIRE_ID_BYTES])
{
	for (size_t i = 0; i < WIRE_ID_BYTES; i++)
		id[i] = (uint8_t)rnd();
	id[0] |= 1;
}

static inline void rnd_name(char name[WIRE_NAME_MAX + 1])
{
	size_t len = 1 + (size_t)rnd_to(WIRE_NAME_MAX - 1);

	for (size_t i = 0; i < len; i++) {
		do
			name[i] = (char)rnd();
		while (name[i] == '\0' || name[i] == '/');
	}
	name[len] = '\0';
	if (!wire_name_ok(name, len))
		name[0] = 'a';
}

static inline void rnd_meta(struct wire_meta *m)
{
	m->mask = (uint32_t)rnd_to(7);
	m->mode = (uint32_t)rnd_to(0777);
	m->atime.sec = (int64_t)rnd();
	m->atime.nsec = (uint32_t)rnd_to(999999999);
	m->mtime.sec = (int64_t)rnd();
	m->mtime.nsec = (uint32_t)rnd_to(999999999);
}

static inline enum wire_code rnd_code(int least)
{
	int code = (int)rnd_to(WIRE_EKEYREJECTED);

	return (enum wire_code)(code < least ? least : code);
}

static inline void rnd_xattr(struct wire_xattr *x, const uint8_t *bytes)
{
	char name[WIRE_NAME_MAX + 1];

	rnd_name(name);
	snprintf(x->name, sizeof(x->name), "user.%.*s", WIRE_NAME_MAX - 5,
	    strncmp(name, "gtfs.", 5) == 0 ? "a" : name);
	x->remove = rnd() % 4 == 0;
	x->bytes = bytes;
	x->len = x->remove ? 0 : (size_t)rnd_to(4000);
}

/* The target is overwritten by the next one. */
static inline void rnd_symlink(struct wire_symlink *l)
{
	static uint8_t target[WIRE_TARGET_MAX];

	rnd_id(l->id);
	rnd_id(l->parent);
	rnd_name(l->name);
	l->bytes = target;
	l->len = 1 + (size_t)rnd_to(WIRE_TARGET_MAX - 1);
	for (size_t i = 0; i < l->len; i++)
		target[i] = (uint8_t)(rnd() % 8 ? 1 + rnd() % 255 : '/');
	for (size_t i = 0; i < l->len && rnd() % 4; i += 3)
		memcpy(target + i, "../", l->len - i < 3 ? l->len - i : 3);
	if (wire_target_climb((const char *)target, l->len) < 0)
		memset(target, 't', l->len);
}

static inline void rnd_request(struct wire_msg *m, const uint8_t *bytes)
{
	/* The first field of all of them. */
	m->mkdir.req = rnd_to(UINT64_MAX);
	switch (m->type) {
	case WIRE_MKDIR:
		rnd_id(m->mkdir.id);
		if (rnd() & 1)
			rnd_id(m->mkdir.parent);
		m->mkdir.mode = (uint32_t)rnd_to(0777);
		rnd_name(m->mkdir.name);
		break;
	case WIRE_PATCH:
		rnd_id(m->patch.id);
		rnd_meta(&m->patch.meta);
		break;
	case WIRE_SYMLINK: rnd_symlink(&m->symlink); break;
	case WIRE_SETXATTR:
		rnd_id(m->setxattr.id);
		rnd_xattr(&m->setxattr.xattr, bytes);
		break;
	case WIRE_RENAME:
		rnd_id(m->rename.id);
		if (rnd() & 1)
			rnd_id(m->rename.parent);
		m->rename.hold = rnd() & 1;
		rnd_name(m->rename.name);
		break;
	case WIRE_SHOW: rnd_id(m->show.id); break;
	default: rnd_id(m->withdraw.id);
	}
}

static inline void rnd_operation(struct wire_msg *m, const uint8_t *bytes)
{
	switch (m->type) {
	case WIRE_WRITE:
		m->write.seq = rnd_to(UINT64_MAX);
		m->write.bytes = bytes;
		m->write.len = 1 + (size_t)rnd_to(4000);
		m->write.offset = rnd_to(MAX_FILE - m->write.len);
		break;
	case WIRE_TRUNCATE:
		m->truncate.seq = rnd_to(UINT64_MAX);
		m->truncate.size = rnd_to(MAX_FILE);
		break;
	case WIRE_RESERVE:
		m->reserve.seq = rnd_to(UINT64_MAX);
		m->reserve.offset = rnd_to(MAX_FILE - 1);
		m->reserve.len = 1 + rnd_to(MAX_FILE - m->reserve.offset - 1);
		m->reserve.how =
		    (enum wire_reserve)rnd_to(WIRE_RESERVE_ZERO_KEEP);
		break;
	case WIRE_META:
		m->meta.seq = rnd_to(UINT64_MAX);
		rnd_meta(&m->meta.meta);
		break;
	case WIRE_XATTR:
		m->xattr.seq = rnd_to(UINT64_MAX);
		rnd_xattr(&m->xattr.xattr, bytes);
		break;
	case WIRE_MOVE:
		m->move.seq = rnd_to(UINT64_MAX);
		if (rnd() & 1)
			rnd_id(m->move.parent);
		rnd_name(m->move.name);
		break;
	case WIRE_READ:
		m->read.req = rnd_to(UINT64_MAX);
		m->read.len = 1 + (uint32_t)rnd_to(WIRE_WRITE_MAX - 1);
		m->read.offset = rnd_to(MAX_FILE - m->read.len);
		break;
	default: /* CHECKPOINT, COMMIT */
		m->commit.seq = rnd_to(UINT64_MAX);
		m->commit.size = rnd_to(MAX_FILE);
		m->commit.count = rnd_to(UINT64_MAX);
		rnd_id(m->commit.hash);
		m->commit.hold = m->type == WIRE_COMMIT && (rnd() & 1);
	}
}

static inline void rnd_answer(struct wire_msg *m, const uint8_t *bytes)
{
	switch (m->type) {
	case WIRE_ACCEPT:
		m->accept.tag = (uint32_t)rnd();
		m->accept.applied = rnd_to(UINT64_MAX);
		m->accept.max_write = 1 + (uint32_t)rnd_to(WIRE_WRITE_MAX - 1);
		break;
	case WIRE_REFUSE:
		m->refuse.tag = (uint32_t)rnd();
		m->refuse.code = rnd_code(1);
		break;
	case WIRE_ACK:
		m->ack.tag = (uint32_t)rnd();
		m->ack.seq = rnd_to(UINT64_MAX);
		m->ack.state = (enum wire_state)(1 + rnd_to(4));
		m->ack.code = rnd_code(0);
		if ((m->ack.state == WIRE_PUBLISHED ||
			m->ack.state == WIRE_RECEIVED) &&
		    m->ack.code == WIRE_OK)
			rnd_name(m->ack.name);
		break;
	case WIRE_ABORT:
		m->abort.tag = (uint32_t)rnd();
		m->abort.code = rnd_code(1);
		break;
	case WIRE_DATA:
		m->data.req = rnd_to(UINT64_MAX);
		m->data.code = rnd() & 1 ? WIRE_OK : rnd_code(0);
		m->data.bytes = bytes;
		m->data.len = m->data.code ? 0 : (size_t)rnd_to(4000);
		break;
	default: /* RESULT */
		m->result.req = rnd_to(UINT64_MAX);
		m->result.code = rnd_code(0);
	}
}

static inline void rnd_asking(struct wire_msg *m, const uint8_t *bytes)
{
	switch (m->type) {
	case WIRE_ASK:
		m->ask.size = rnd() & 1 ? WIRE_SIZE_UNKNOWN : rnd_to(MAX_FILE);
		rnd_name(m->ask.name);
		break;
	case WIRE_ANSWER: m->answer.code = rnd_code(0); break;
	case WIRE_PAIR:
		m->pair.kind = (enum wire_pair)(1 + rnd_to(1));
		m->pair.step = 1 + (unsigned)rnd_to(3);
		m->pair.bytes = bytes;
		m->pair.len =
		    m->pair.step <= 2 ? WIRE_PAIR_SHARE : WIRE_PAIR_TAG;
		break;
	case WIRE_UNPAIRED: m->unpaired.code = rnd_code(1); break;
	default: break; /* UNASK */
	}
}

/* A message of this type that is allowed, and touches its limits often. */
static inline struct wire_msg rnd_message(
    enum wire_type type, const uint8_t *bytes)
{
	struct wire_msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	switch (type) {
	case WIRE_PING: m.ping.cookie = rnd_to(UINT64_MAX - 1) + 1; break;
	case WIRE_PONG:
		m.pong.cookie = rnd_to(UINT64_MAX);
		m.pong.free_bytes = rnd_to(UINT64_MAX);
		m.pong.total_bytes = rnd_to(UINT64_MAX);
		m.pong.free_files = rnd_to(UINT64_MAX);
		m.pong.total_files = rnd_to(UINT64_MAX);
		m.pong.policy = (enum wire_policy)(1 + rnd_to(2));
		break;
	case WIRE_BYE: m.bye.code = rnd_code(0); break;
	case WIRE_ASK:
	case WIRE_ANSWER:
	case WIRE_UNASK:
	case WIRE_PAIR:
	case WIRE_UNPAIRED: rnd_asking(&m, bytes); break;
	case WIRE_OFFER:
		m.offer.tag = (uint32_t)rnd();
		rnd_id(m.offer.id);
		if (rnd() & 1)
			rnd_id(m.offer.parent);
		if (rnd() & 1)
			rnd_id(m.offer.base);
		m.offer.mode = (uint32_t)rnd_to(0777);
		m.offer.size = rnd() & 1 ? WIRE_SIZE_UNKNOWN : rnd_to(MAX_FILE);
		rnd_name(m.offer.name);
		break;
	case WIRE_MKDIR:
	case WIRE_PATCH:
	case WIRE_SYMLINK:
	case WIRE_SETXATTR:
	case WIRE_RENAME:
	case WIRE_SHOW:
	case WIRE_WITHDRAW: rnd_request(&m, bytes); break;
	case WIRE_ACCEPT:
	case WIRE_REFUSE:
	case WIRE_ACK:
	case WIRE_ABORT:
	case WIRE_DATA:
	case WIRE_RESULT: rnd_answer(&m, bytes); break;
	default: rnd_operation(&m, bytes);
	}
	return m;
}

static inline uint8_t *random_bytes(size_t len)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rnd();
	return p;
}

/* The whole message, its payload included. */
static inline size_t encode(const struct wire_msg *m, uint8_t *out)
{
	const uint8_t *payload;
	size_t len, more = wire_payload(m, &payload);

	assert_int_equal(wire_encode(m, out, WIRE_SMALL_MAX, &len), 0);
	if (more)
		memcpy(out + len, payload, more);
	return len + more;
}

/* Is this one message? */
static inline bool decodes(const uint8_t *buf, size_t len)
{
	/* An exact copy, so that a sanitizer sees any read beyond it. */
	uint8_t *copy = malloc(len ? len : 1);
	struct wire_msg m, before;
	int r;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	memset(&m, 0x5a, sizeof(m));
	before = m;
	r = wire_decode(copy, len, &m);
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		assert_memory_equal(&m, &before, sizeof(m));
	}
	free(copy);
	return r == 0;
}

#endif
