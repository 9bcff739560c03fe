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

#include "wire.h"

#define MAX_FILE ((uint64_t)INT64_MAX)

#define N_OF(a)  (sizeof(a) / sizeof((a)[0]))

static const enum wire_type types[] = { WIRE_PING, WIRE_PONG, WIRE_BYE,
	WIRE_OFFER, WIRE_ACCEPT, WIRE_REFUSE, WIRE_WRITE, WIRE_TRUNCATE,
	WIRE_RESERVE, WIRE_META, WIRE_CHECKPOINT, WIRE_COMMIT, WIRE_ACK,
	WIRE_ABORT, WIRE_MKDIR, WIRE_PATCH, WIRE_RESULT };

static uint64_t seed = 42;

static uint64_t rnd(void)
{
	/* splitmix64 */
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Up to max, both ends often. */
static uint64_t rnd_to(uint64_t max)
{
	switch (rnd() % 8) {
	case 0: return 0;
	case 1: return max;
	case 2: return max < 16 ? rnd() % (max + 1) : rnd() % 16;
	default: return max == UINT64_MAX ? rnd() : rnd() % (max + 1);
	}
}

static void rnd_id(uint8_t id[WIRE_ID_BYTES])
{
	for (size_t i = 0; i < WIRE_ID_BYTES; i++)
		id[i] = (uint8_t)rnd();
	id[0] |= 1;
}

static void rnd_name(char name[WIRE_NAME_MAX + 1])
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

static void rnd_meta(struct wire_meta *m)
{
	m->mask = (uint32_t)rnd_to(7);
	m->mode = (uint32_t)rnd_to(0777);
	m->atime.sec = (int64_t)rnd();
	m->atime.nsec = (uint32_t)rnd_to(999999999);
	m->mtime.sec = (int64_t)rnd();
	m->mtime.nsec = (uint32_t)rnd_to(999999999);
}

static enum wire_code rnd_code(int least)
{
	int code = (int)rnd_to(WIRE_EPROTO);

	return (enum wire_code)(code < least ? least : code);
}

static void rnd_operation(struct wire_msg *m, const uint8_t *bytes)
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
		m->reserve.keep_size = rnd() & 1;
		break;
	case WIRE_META:
		m->meta.seq = rnd_to(UINT64_MAX);
		rnd_meta(&m->meta.meta);
		break;
	default: /* CHECKPOINT, COMMIT */
		m->commit.seq = rnd_to(UINT64_MAX);
		m->commit.size = rnd_to(MAX_FILE);
		m->commit.count = rnd_to(UINT64_MAX);
		rnd_id(m->commit.hash);
	}
}

static void rnd_answer(struct wire_msg *m)
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
		m->ack.state = (enum wire_state)(1 + rnd_to(3));
		m->ack.code = rnd_code(0);
		if (m->ack.state >= WIRE_PUBLISHED && m->ack.code == WIRE_OK)
			rnd_name(m->ack.name);
		break;
	case WIRE_ABORT:
		m->abort.tag = (uint32_t)rnd();
		m->abort.code = rnd_code(1);
		break;
	default: /* RESULT */
		m->result.req = rnd_to(UINT64_MAX);
		m->result.code = rnd_code(0);
	}
}

/* A message of this type that is allowed, and touches its limits often. */
static struct wire_msg rnd_message(enum wire_type type, const uint8_t *bytes)
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
	case WIRE_OFFER:
		m.offer.tag = (uint32_t)rnd();
		rnd_id(m.offer.id);
		if (rnd() & 1)
			rnd_id(m.offer.parent);
		m.offer.mode = (uint32_t)rnd_to(0777);
		m.offer.size = rnd() & 1 ? WIRE_SIZE_UNKNOWN : rnd_to(MAX_FILE);
		rnd_name(m.offer.name);
		break;
	case WIRE_MKDIR:
		m.mkdir.req = rnd_to(UINT64_MAX);
		rnd_id(m.mkdir.id);
		if (rnd() & 1)
			rnd_id(m.mkdir.parent);
		m.mkdir.mode = (uint32_t)rnd_to(0777);
		rnd_name(m.mkdir.name);
		break;
	case WIRE_PATCH:
		m.patch.req = rnd_to(UINT64_MAX);
		rnd_id(m.patch.id);
		rnd_meta(&m.patch.meta);
		break;
	case WIRE_ACCEPT:
	case WIRE_REFUSE:
	case WIRE_ACK:
	case WIRE_ABORT:
	case WIRE_RESULT: rnd_answer(&m); break;
	default: rnd_operation(&m, bytes);
	}
	return m;
}

static uint8_t *random_bytes(size_t len)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rnd();
	return p;
}

/* The whole message, a WRITE's bytes included. */
static size_t encode(const struct wire_msg *m, uint8_t *out)
{
	size_t len;

	assert_int_equal(wire_encode(m, out, WIRE_SMALL_MAX, &len), 0);
	if (m->type == WIRE_WRITE) {
		assert_int_equal(len, WIRE_WRITE_HEADER);
		memcpy(out + len, m->write.bytes, m->write.len);
		len += m->write.len;
	}
	return len;
}

#endif
