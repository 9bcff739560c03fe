/*
 * Tests of net/wire: every message there and back, and everything that is not
 * exactly one well-formed message refused.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_fixture.h"

#define BUF_MAX      (WIRE_WRITE_HEADER + WIRE_WRITE_MAX + 1)
#define ROUNDS       100000
#define SAMPLE_BYTES 512

/* Where a message says where its payload is, or NULL. */
static const uint8_t **payload_slot(struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_WRITE: return &m->write.bytes;
	case WIRE_DATA: return &m->data.bytes;
	case WIRE_PAIR: return &m->pair.bytes;
	case WIRE_XATTR: return &m->xattr.xattr.bytes;
	case WIRE_SETXATTR: return &m->setxattr.xattr.bytes;
	case WIRE_SYMLINK: return &m->symlink.bytes;
	default: return NULL;
	}
}

static void set_payload(struct wire_msg *m, const uint8_t *bytes)
{
	const uint8_t **slot = payload_slot(m);

	if (slot)
		*slot = bytes;
}

static void assert_same(struct wire_msg a, struct wire_msg b)
{
	const uint8_t *bytes_a, *bytes_b;
	size_t len = wire_payload(&a, &bytes_a);

	assert_int_equal(wire_payload(&b, &bytes_b), len);
	if (len)
		assert_memory_equal(bytes_a, bytes_b, len);
	assert_int_equal(a.type, b.type);
	set_payload(&a, NULL);
	set_payload(&b, NULL);
	assert_memory_equal(&a, &b, sizeof(a));
}

static void messages_come_back(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), *buf = malloc(BUF_MAX);
	struct wire_msg m, got;
	size_t len;

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < ROUNDS; i++) {
		m = rnd_message(types[i % N_OF(types)], bytes);
		len = encode(&m, buf);
		assert_int_equal(wire_decode(buf, len, &got), 0);
		assert_same(m, got);
	}
	free(buf);
	free(bytes);
}

/* May more or fewer bytes at its end be another message? */
static bool open_ended(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_WRITE:
	case WIRE_SYMLINK: return true;
	case WIRE_DATA: return m->data.code == WIRE_OK;
	case WIRE_XATTR: return !m->xattr.xattr.remove;
	case WIRE_SETXATTR: return !m->setxattr.xattr.remove;
	default: return false;
	}
}

/* A strict prefix, and one byte more, are no messages. */
static void length_is_exact(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), buf[8192];
	const uint8_t *payload;
	struct wire_msg m;
	size_t len, least;

	(void)state;
	for (size_t i = 0; i < 40 * N_OF(types); i++) {
		m = rnd_message(types[i % N_OF(types)], bytes);
		len = encode(&m, buf);
		/* A shorter payload is another one; two may not be empty. */
		least = len - wire_payload(&m, &payload);
		if (m.type == WIRE_WRITE || m.type == WIRE_SYMLINK)
			least++;
		for (size_t cut = 0; cut < least; cut++)
			assert_false(decodes(buf, cut));
		for (unsigned byte = 0; byte < 256 && !open_ended(&m); byte++) {
			buf[len] = (uint8_t)byte;
			assert_false(decodes(buf, len + 1));
		}
	}
	free(bytes);
}

static void encoding_needs_its_room(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), buf[WIRE_SMALL_MAX];
	struct wire_msg m;
	size_t len, ret;

	(void)state;
	for (size_t i = 0; i < 20 * N_OF(types); i++) {
		m = rnd_message(types[i % N_OF(types)], bytes);
		assert_int_equal(wire_encode(&m, buf, sizeof(buf), &len), 0);
		for (size_t cap = 0; cap < len; cap++) {
			ret = 77;
			assert_int_equal(
			    wire_encode(&m, buf, cap, &ret), -EMSGSIZE);
			assert_int_equal(ret, 77);
		}
		assert_int_equal(wire_encode(&m, buf, len, &ret), 0);
		assert_int_equal(ret, len);
	}
	free(bytes);
}

/* A message of this type with a payload of len bytes; what it has before. */
static size_t with_payload(
    enum wire_type type, const uint8_t *bytes, size_t len, uint8_t *buf)
{
	struct wire_msg m = { .type = type };
	size_t header;

	switch (type) {
	case WIRE_XATTR: strcpy(m.xattr.xattr.name, "user.a"); break;
	case WIRE_SETXATTR:
		strcpy(m.setxattr.xattr.name, "user.a");
		m.setxattr.id[0] = 1;
		break;
	case WIRE_SYMLINK:
		strcpy(m.symlink.name, "n");
		m.symlink.id[0] = m.symlink.parent[0] = 1;
		m.symlink.len = 1;
		break;
	case WIRE_WRITE: m.write.len = 1; break;
	default: break;
	}
	set_payload(&m, bytes); /* its length is not encoded */
	assert_int_equal(wire_encode(&m, buf, WIRE_SMALL_MAX, &header), 0);
	memcpy(buf + header, bytes, len);
	return header;
}

static void payloads_have_their_limits(void **state)
{
	static const struct {
		enum wire_type type;
		size_t header, min, max;
	} rows[] = {
		{ WIRE_WRITE, WIRE_WRITE_HEADER, 1, WIRE_WRITE_MAX },
		{ WIRE_DATA, 11, 0, WIRE_WRITE_MAX },
		{ WIRE_XATTR, 18, 0, WIRE_XATTR_MAX },
		{ WIRE_SETXATTR, 34, 0, WIRE_XATTR_MAX },
		{ WIRE_SYMLINK, 44, 1, WIRE_TARGET_MAX },
	};
	uint8_t *bytes = malloc(BUF_MAX), *buf = malloc(BUF_MAX);
	const uint8_t *got;
	struct wire_msg m;

	(void)state;
	assert_non_null(buf);
	memset(bytes, 't', BUF_MAX);
	for (size_t i = 0; i < N_OF(rows); i++) {
		const size_t good[] = { rows[i].min, 1, rows[i].max };
		size_t header;

		for (size_t k = 0; k < N_OF(good); k++) {
			header =
			    with_payload(rows[i].type, bytes, good[k], buf);
			assert_int_equal(header, rows[i].header);
			assert_int_equal(
			    wire_decode(buf, header + good[k], &m), 0);
			got = NULL;
			assert_int_equal(wire_payload(&m, &got), good[k]);
			if (good[k])
				assert_ptr_equal(got, buf + header);
		}
		header =
		    with_payload(rows[i].type, bytes, rows[i].max + 1, buf);
		assert_false(decodes(buf, header + rows[i].max + 1));
		if (rows[i].min)
			assert_false(decodes(buf, header));
	}
	free(buf);
	free(bytes);
}

/* What has no payload leaves the pointer alone. */
static void other_messages_have_no_payload(void **state)
{
	const uint8_t *mark = (const uint8_t *)&state, *got = mark;
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX);
	struct wire_msg m;

	(void)state;
	for (size_t i = 0; i < N_OF(types); i++) {
		m = rnd_message(types[i], bytes);
		if (payload_slot(&m))
			continue;
		assert_int_equal(wire_payload(&m, &got), 0);
		assert_ptr_equal(got, mark);
	}
	m.type = (enum wire_type)99;
	assert_int_equal(wire_payload(&m, &got), 0);
	free(bytes);
}

/* A removal has no value, a failure no bytes. */
static void nothing_comes_with_nothing(void **state)
{
	uint8_t buf[SAMPLE_BYTES], bytes[] = { 'v' };
	size_t header;

	(void)state;
	header = with_payload(WIRE_XATTR, bytes, 1, buf);
	buf[9] = 1;
	assert_false(decodes(buf, header + 1));
	assert_true(decodes(buf, header));
	header = with_payload(WIRE_SETXATTR, bytes, 1, buf);
	buf[25] = 1;
	assert_false(decodes(buf, header + 1));
	assert_true(decodes(buf, header));
	header = with_payload(WIRE_DATA, bytes, 1, buf);
	buf[10] = WIRE_EIO;
	assert_false(decodes(buf, header + 1));
	assert_true(decodes(buf, header));
	buf[9] = 0xff; /* a failure of a later version */
	assert_false(decodes(buf, header + 1));
	assert_true(decodes(buf, header));
}

static void only_known_types_decode(void **state)
{
	uint8_t buf[64] = { 0 };
	bool known;

	(void)state;
	for (unsigned t = 0; t < 256; t++) {
		known = false;
		for (size_t i = 0; i < N_OF(types); i++)
			known |= types[i] == t;
		assert_int_equal(
		    known, strcmp(wire_type_name((enum wire_type)t), "?") != 0);
		buf[0] = (uint8_t)t;
		for (size_t len = 1; !known && len < sizeof(buf); len++)
			assert_false(decodes(buf, len));
	}
	assert_string_equal(wire_type_name(WIRE_OFFER), "OFFER");
	assert_string_equal(wire_type_name((enum wire_type)100000), "?");
}

/* One whose fields can be changed without another's being in the way. */
static struct wire_msg sample(enum wire_type type, const uint8_t *bytes)
{
	struct wire_msg m = rnd_message(type, bytes);

	switch (type) {
	case WIRE_RESERVE: m.reserve.offset = 0; break;
	case WIRE_READ: m.read.offset = 0; break;
	case WIRE_ACK:
		m.ack.code = WIRE_EIO;
		m.ack.name[0] = '\0';
		break;
	default: break;
	}
	return m;
}

/* Two values for one field, at its limit and beyond; offsets are the page's. */
static void fields_have_their_limits(void **state)
{
	static const struct {
		enum wire_type type;
		size_t at, width;
		uint64_t good, bad;
	} rows[] = {
		{ WIRE_PING, 1, 8, 1, 0 },
		{ WIRE_PONG, 41, 1, 1, 0 },
		{ WIRE_PONG, 41, 1, 3, 4 },
		{ WIRE_OFFER, 53, 4, 0777, 01000 },
		{ WIRE_OFFER, 53, 4, 0, 04755 },
		{ WIRE_OFFER, 57, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_OFFER, 57, 8, UINT64_MAX, UINT64_MAX - 1 },
		{ WIRE_ACCEPT, 13, 4, 1, 0 },
		{ WIRE_ACCEPT, 13, 4, WIRE_WRITE_MAX, WIRE_WRITE_MAX + 1 },
		{ WIRE_REFUSE, 5, 2, 1, 0 },
		{ WIRE_TRUNCATE, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_TRUNCATE, 9, 8, 0, UINT64_MAX },
		{ WIRE_RESERVE, 17, 8, 1, 0 },
		{ WIRE_RESERVE, 17, 8, 1, UINT64_MAX },
		{ WIRE_RESERVE, 25, 1, 5, 6 },
		{ WIRE_RESERVE, 25, 1, 0, 255 },
		{ WIRE_META, 9, 4, 7, 8 },
		{ WIRE_META, 9, 4, 0, 0x80000000 },
		{ WIRE_META, 13, 4, 0777, 01000 },
		{ WIRE_META, 25, 4, 999999999, 1000000000 },
		{ WIRE_META, 37, 4, 999999999, 1000000000 },
		{ WIRE_CHECKPOINT, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_COMMIT, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_COMMIT, 41, 1, 1, 2 },
		{ WIRE_COMMIT, 41, 1, 0, 255 },
		{ WIRE_ACK, 13, 1, 1, 0 },
		{ WIRE_ACK, 13, 1, 5, 6 },
		{ WIRE_ABORT, 5, 2, 1, 0 },
		{ WIRE_XATTR, 9, 1, 0, 2 },
		{ WIRE_READ, 9, 8, MAX_FILE - WIRE_WRITE_MAX, MAX_FILE + 1 },
		{ WIRE_READ, 9, 8, 0, UINT64_MAX },
		{ WIRE_READ, 17, 4, 1, 0 },
		{ WIRE_READ, 17, 4, WIRE_WRITE_MAX, WIRE_WRITE_MAX + 1 },
		{ WIRE_MKDIR, 41, 4, 0777, 01000 },
		{ WIRE_PATCH, 25, 4, 7, 8 },
		{ WIRE_PATCH, 29, 4, 0777, 01000 },
		{ WIRE_PATCH, 41, 4, 999999999, 1000000000 },
		{ WIRE_PATCH, 53, 4, 999999999, 1000000000 },
		{ WIRE_SETXATTR, 25, 1, 0, 2 },
		{ WIRE_RENAME, 41, 1, 1, 2 },
		{ WIRE_RENAME, 41, 1, 0, 255 },
	};
	uint8_t *bytes = random_bytes(4096), buf[8192];
	struct wire_msg m;
	size_t len;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		m = sample(rows[i].type, bytes);
		len = encode(&m, buf);
		for (int bad = 0; bad < 2; bad++) {
			uint64_t v = bad ? rows[i].bad : rows[i].good;

			for (size_t k = rows[i].width; k-- > 0; v >>= 8)
				buf[rows[i].at + k] = (uint8_t)v;
			if (decodes(buf, len) == (bad != 0))
				fail_msg("row %zu, bad %d", i, bad);
		}
	}
	free(bytes);
}

static void ranges_end_within_a_file(void **state)
{
	struct wire_msg m = { .type = WIRE_RESERVE };
	uint8_t buf[SAMPLE_BYTES];
	size_t len;

	(void)state;
	m.reserve.offset = MAX_FILE - 10;
	m.reserve.len = 10;
	len = encode(&m, buf);
	assert_true(decodes(buf, len));
	buf[24]++; /* the length, by one */
	assert_false(decodes(buf, len));
	buf[24]--;
	buf[9] = 0x80; /* an offset beyond any file */
	assert_false(decodes(buf, len));

	m = (struct wire_msg){ .type = WIRE_READ };
	m.read.offset = MAX_FILE - 10;
	m.read.len = 10;
	len = encode(&m, buf);
	assert_true(decodes(buf, len));
	buf[20]++;
	assert_false(decodes(buf, len));

	m = (struct wire_msg){ .type = WIRE_WRITE };
	m.write.offset = MAX_FILE - 2;
	m.write.bytes = (const uint8_t *)"ab";
	m.write.len = 2;
	len = encode(&m, buf);
	assert_true(decodes(buf, len));
	assert_false(decodes(buf, len + 1));
}

/* The id of a thing is never the one that means "the top". */
static void ids_are_not_zero(void **state)
{
	static const struct {
		enum wire_type type;
		size_t at;
		bool allowed;
	} rows[] = {
		{ WIRE_OFFER, 5, false },
		{ WIRE_OFFER, 21, true },
		{ WIRE_OFFER, 37, true },
		{ WIRE_MKDIR, 9, false },
		{ WIRE_MKDIR, 25, true },
		{ WIRE_PATCH, 9, false },
		{ WIRE_COMMIT, 25, true },
		{ WIRE_MOVE, 9, true },
		{ WIRE_SYMLINK, 9, false },
		{ WIRE_SYMLINK, 25, false },
		{ WIRE_SETXATTR, 9, false },
		{ WIRE_RENAME, 9, false },
		{ WIRE_RENAME, 25, true },
		{ WIRE_SHOW, 9, false },
		{ WIRE_WITHDRAW, 9, false },
	};
	uint8_t *bytes = random_bytes(4096), buf[8192];
	struct wire_msg m;
	size_t len;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		m = rnd_message(rows[i].type, bytes);
		len = encode(&m, buf);
		memset(buf + rows[i].at, 0, WIRE_ID_BYTES);
		assert_int_equal(decodes(buf, len), rows[i].allowed);
	}
	free(bytes);
}

/* A name comes with success in the inbox, and never else. */
static void ack_names_what_it_published(void **state)
{
	uint8_t buf[SAMPLE_BYTES] = { WIRE_ACK };

	(void)state;
	for (unsigned st = 0; st < 7; st++) {
		for (unsigned code = 0; code < 30; code++) {
			bool named =
			    (st == WIRE_PUBLISHED || st == WIRE_RECEIVED) &&
			    code == 0;
			bool valid = st >= WIRE_APPLIED && st <= WIRE_HELD;

			buf[13] = (uint8_t)st;
			buf[15] = (uint8_t)code;
			buf[17] = 0;
			assert_int_equal(decodes(buf, 18), valid && !named);
			buf[17] = 1;
			buf[18] = 'n';
			assert_int_equal(decodes(buf, 19), valid && named);
		}
	}
}

static void unknown_codes_are_failures(void **state)
{
	static const struct {
		enum wire_type type;
		size_t at, len;
	} rows[] = { { WIRE_BYE, 1, 3 }, { WIRE_REFUSE, 5, 7 },
		{ WIRE_ABORT, 5, 7 }, { WIRE_RESULT, 9, 11 },
		{ WIRE_DATA, 9, 11 } };
	uint8_t buf[SAMPLE_BYTES] = { 0 };
	struct wire_msg m;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		for (unsigned code = 1; code < 65536; code++) {
			enum wire_code expected = code <= WIRE_EKEYREJECTED
						      ? (enum wire_code)code
						      : WIRE_EIO;
			enum wire_code got;

			buf[0] = (uint8_t)rows[i].type;
			buf[rows[i].at] = (uint8_t)(code >> 8);
			buf[rows[i].at + 1] = (uint8_t)code;
			assert_int_equal(wire_decode(buf, rows[i].len, &m), 0);
			got = m.type == WIRE_BYE      ? m.bye.code
			      : m.type == WIRE_REFUSE ? m.refuse.code
			      : m.type == WIRE_ABORT  ? m.abort.code
			      : m.type == WIRE_DATA   ? m.data.code
						      : m.result.code;
			assert_int_equal(got, expected);
		}
		memset(buf, 0, sizeof(buf));
	}
}

/* Damaged messages: refused, or read as another that encodes to those bytes. */
static void damage_is_harmless(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), buf[8192];
	uint8_t again[WIRE_SMALL_MAX];
	const uint8_t *payload;
	struct wire_msg m;
	size_t len, again_len;

	(void)state;
	for (size_t i = 0; i < ROUNDS / 4; i++) {
		m = rnd_message(types[i % N_OF(types)], bytes);
		len = encode(&m, buf);
		for (uint64_t n = 1 + rnd() % 3; n > 0; n--)
			buf[rnd() % len] ^= (uint8_t)(1u << rnd() % 8);
		if (wire_decode(buf, len, &m) < 0)
			continue;
		assert_int_equal(
		    wire_encode(&m, again, sizeof(again), &again_len), 0);
		assert_int_equal(again_len + wire_payload(&m, &payload), len);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_back),
		cmocka_unit_test(length_is_exact),
		cmocka_unit_test(encoding_needs_its_room),
		cmocka_unit_test(payloads_have_their_limits),
		cmocka_unit_test(other_messages_have_no_payload),
		cmocka_unit_test(nothing_comes_with_nothing),
		cmocka_unit_test(only_known_types_decode),
		cmocka_unit_test(fields_have_their_limits),
		cmocka_unit_test(ranges_end_within_a_file),
		cmocka_unit_test(ids_are_not_zero),
		cmocka_unit_test(ack_names_what_it_published),
		cmocka_unit_test(unknown_codes_are_failures),
		cmocka_unit_test(damage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
