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

static bool decodes(const uint8_t *buf, size_t len)
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

static void assert_same(struct wire_msg a, struct wire_msg b)
{
	if (a.type == WIRE_WRITE && b.type == WIRE_WRITE) {
		assert_int_equal(a.write.len, b.write.len);
		assert_memory_equal(a.write.bytes, b.write.bytes, a.write.len);
		a.write.bytes = b.write.bytes = NULL;
	}
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

/* A strict prefix, and one byte more, are no messages. */
static void length_is_exact(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), buf[8192];
	struct wire_msg m;
	size_t len, least;

	(void)state;
	for (size_t i = 0; i < 40 * N_OF(types); i++) {
		m = rnd_message(types[i % N_OF(types)], bytes);
		len = encode(&m, buf);
		/* A shorter WRITE is another WRITE, but not without bytes. */
		least = m.type == WIRE_WRITE ? WIRE_WRITE_HEADER + 1 : len;
		for (size_t cut = 0; cut < least; cut++)
			assert_false(decodes(buf, cut));
		if (m.type == WIRE_WRITE)
			continue;
		for (unsigned byte = 0; byte < 256; byte++) {
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

static void write_has_its_limits(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), *buf = malloc(BUF_MAX);
	struct wire_msg m = { .type = WIRE_WRITE }, got;

	(void)state;
	assert_non_null(buf);
	m.write.bytes = bytes;
	m.write.len = WIRE_WRITE_MAX;
	m.write.offset = MAX_FILE - WIRE_WRITE_MAX;
	assert_int_equal(encode(&m, buf), BUF_MAX - 1);
	assert_int_equal(wire_decode(buf, BUF_MAX - 1, &got), 0);
	assert_ptr_equal(got.write.bytes, buf + WIRE_WRITE_HEADER);
	assert_int_equal(got.write.len, WIRE_WRITE_MAX);
	/* An offset further by one, with room for one byte less. */
	m.write.len--;
	m.write.offset++;
	encode(&m, buf);
	assert_true(decodes(buf, BUF_MAX - 2));
	assert_false(decodes(buf, BUF_MAX - 1));

	m.write.offset = 0;
	m.write.len = WIRE_WRITE_MAX;
	encode(&m, buf);
	buf[BUF_MAX - 1] = 0;
	assert_false(decodes(buf, BUF_MAX));
	free(buf);
	free(bytes);
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
		{ WIRE_OFFER, 37, 4, 0777, 01000 },
		{ WIRE_OFFER, 37, 4, 0, 04755 },
		{ WIRE_OFFER, 41, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_OFFER, 41, 8, UINT64_MAX, UINT64_MAX - 1 },
		{ WIRE_ACCEPT, 13, 4, 1, 0 },
		{ WIRE_ACCEPT, 13, 4, WIRE_WRITE_MAX, WIRE_WRITE_MAX + 1 },
		{ WIRE_REFUSE, 5, 2, 1, 0 },
		{ WIRE_TRUNCATE, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_TRUNCATE, 9, 8, 0, UINT64_MAX },
		{ WIRE_RESERVE, 17, 8, 1, 0 },
		{ WIRE_RESERVE, 17, 8, 1, UINT64_MAX },
		{ WIRE_RESERVE, 25, 1, 1, 2 },
		{ WIRE_RESERVE, 25, 1, 0, 255 },
		{ WIRE_META, 9, 4, 7, 8 },
		{ WIRE_META, 9, 4, 0, 0x80000000 },
		{ WIRE_META, 13, 4, 0777, 01000 },
		{ WIRE_META, 25, 4, 999999999, 1000000000 },
		{ WIRE_META, 37, 4, 999999999, 1000000000 },
		{ WIRE_CHECKPOINT, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_COMMIT, 9, 8, MAX_FILE, MAX_FILE + 1 },
		{ WIRE_ABORT, 5, 2, 1, 0 },
		{ WIRE_MKDIR, 41, 4, 0777, 01000 },
		{ WIRE_PATCH, 25, 4, 7, 8 },
		{ WIRE_PATCH, 29, 4, 0777, 01000 },
		{ WIRE_PATCH, 41, 4, 999999999, 1000000000 },
		{ WIRE_PATCH, 53, 4, 999999999, 1000000000 },
	};
	uint8_t buf[SAMPLE_BYTES];
	struct wire_msg m;
	size_t len;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		m = rnd_message(rows[i].type, NULL);
		len = encode(&m, buf);
		for (int bad = 0; bad < 2; bad++) {
			uint64_t v = bad ? rows[i].bad : rows[i].good;

			for (size_t k = rows[i].width; k-- > 0; v >>= 8)
				buf[rows[i].at + k] = (uint8_t)v;
			/* RESERVE's two numbers have one limit. */
			if (rows[i].type == WIRE_RESERVE)
				memset(buf + 9, 0, 8);
			if (decodes(buf, len) == (bad != 0))
				fail_msg("row %zu, bad %d", i, bad);
		}
	}
}

static void reserve_ends_within_a_file(void **state)
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
		{ WIRE_MKDIR, 9, false },
		{ WIRE_MKDIR, 25, true },
		{ WIRE_PATCH, 9, false },
		{ WIRE_COMMIT, 25, true },
	};
	uint8_t buf[SAMPLE_BYTES];
	struct wire_msg m;
	size_t len;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		m = rnd_message(rows[i].type, NULL);
		len = encode(&m, buf);
		memset(buf + rows[i].at, 0, WIRE_ID_BYTES);
		assert_int_equal(decodes(buf, len), rows[i].allowed);
	}
}

static char too_long[65535];

static const struct {
	const char *name;
	size_t len;
	bool ok;
} names[] = {
	{ "a", 1, true },
	{ "...", 3, true },
	{ ".hidden", 7, true },
	{ ".gtfs", 5, true },
	{ "a\nb\x1b[m", 6, true },
	{ "\xff\xfe", 2, true },
	{ "..a", 3, true },
	{ "", 0, false },
	{ ".", 1, false },
	{ "..", 2, false },
	{ "/", 1, false },
	{ "/etc/passwd", 11, false },
	{ "../b", 4, false },
	{ "a/../../b", 9, false },
	{ "a//b", 4, false },
	{ "a/", 2, false },
	{ "\0", 1, false },
	{ "a\0b", 3, false },
	{ "a\0", 2, false },
	{ "..\0x", 4, false },
	{ too_long, 255, true },
	{ too_long, 256, false },
	{ too_long, 65535, false },
};

static void hostile_names_are_refused(void **state)
{
	static uint8_t buf[SAMPLE_BYTES + sizeof(too_long)];
	static const enum wire_type named[] = { WIRE_OFFER, WIRE_MKDIR,
		WIRE_ACK };
	struct wire_msg m;
	size_t len;

	(void)state;
	memset(too_long, 'n', sizeof(too_long));
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(
		    wire_name_ok(names[i].name, names[i].len), names[i].ok);
	for (size_t i = 0; i < N_OF(named) * N_OF(names); i++) {
		size_t k = i / N_OF(named), n = names[k].len;

		m = rnd_message(named[i % N_OF(named)], NULL);
		if (m.type == WIRE_OFFER)
			strcpy(m.offer.name, "x");
		else if (m.type == WIRE_MKDIR)
			strcpy(m.mkdir.name, "x");
		else
			m.ack.state = WIRE_PUBLISHED, m.ack.code = WIRE_OK,
			strcpy(m.ack.name, "x");
		/* In the place of "x", which ends the message. */
		len = encode(&m, buf) - 3;
		buf[len] = (uint8_t)(n >> 8);
		buf[len + 1] = (uint8_t)n;
		memcpy(buf + len + 2, names[k].name, n);
		assert_int_equal(decodes(buf, len + 2 + n), names[k].ok);
		/* A length that lies. */
		buf[len + 1]++;
		assert_false(decodes(buf, len + 2 + n));
		buf[len] = buf[len + 1] = 255;
		if (n != 65535)
			assert_false(decodes(buf, len + 2 + n));
	}
}

/* A name comes with success in the inbox, and never else. */
static void ack_names_what_it_published(void **state)
{
	uint8_t buf[SAMPLE_BYTES] = { WIRE_ACK };

	(void)state;
	for (unsigned st = 0; st < 6; st++) {
		for (unsigned code = 0; code < 30; code++) {
			bool named = st >= WIRE_PUBLISHED && code == 0;
			bool valid = st >= WIRE_APPLIED && st <= WIRE_RECEIVED;

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
		{ WIRE_ABORT, 5, 7 }, { WIRE_RESULT, 9, 11 } };
	uint8_t buf[SAMPLE_BYTES] = { 0 };
	struct wire_msg m;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		for (unsigned code = 1; code < 65536; code++) {
			enum wire_code expected = code <= WIRE_EPROTO
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
						      : m.result.code;
			assert_int_equal(got, expected);
		}
		memset(buf, 0, sizeof(buf));
	}
}

static void codes_and_errnos_match(void **state)
{
	(void)state;
	for (int c = WIRE_OK; c <= WIRE_EPROTO; c++) {
		int err = wire_code_to_errno((enum wire_code)c);

		assert_true(c == WIRE_OK ? err == 0 : err < 0);
		assert_int_equal(wire_code_from_errno(err), c);
		assert_int_equal(wire_code_from_errno(-err), c);
	}
	assert_int_equal(wire_code_to_errno((enum wire_code)26), -EIO);
	assert_int_equal(wire_code_to_errno((enum wire_code)65535), -EIO);
	assert_int_equal(wire_code_from_errno(-EUCLEAN), WIRE_EIO);
	assert_int_equal(wire_code_from_errno(123456), WIRE_EIO);
	assert_int_equal(wire_code_from_errno(INT32_MIN), WIRE_EIO);
	assert_int_equal(wire_code_to_errno(WIRE_ENOSPC), -ENOSPC);
}

static void preamble_is_told_apart(void **state)
{
	static const uint8_t ours[] = { 'g', 't', 'f', 's', 1, 0, 0, 0 };
	uint8_t p[WIRE_PREAMBLE_BYTES], major, minor;

	(void)state;
	wire_preamble_encode(p);
	assert_memory_equal(p, ours, sizeof(ours));
	assert_int_equal(wire_preamble_decode(p, &major, &minor), 0);
	assert_int_equal(major, WIRE_MAJOR);
	assert_int_equal(minor, WIRE_MINOR);
	p[4] = 9;
	p[5] = 8;
	p[6] = 7; /* reserved: a later version's affair */
	assert_int_equal(wire_preamble_decode(p, &major, &minor), 0);
	assert_int_equal(major, 9);
	assert_int_equal(minor, 8);
	for (size_t i = 0; i < 4; i++) {
		wire_preamble_encode(p);
		p[i] ^= 0x20;
		assert_int_equal(
		    wire_preamble_decode(p, &major, &minor), -EPROTO);
	}
}

static bool hello_decodes(const char *bytes, size_t len, struct wire_hello *h)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = wire_hello_decode(copy, len, h);
	free(copy);
	if (r < 0)
		assert_int_equal(r, -EBADMSG);
	return r == 0;
}

static void hello_comes_back(void **state)
{
	struct wire_hello h = { .minor = 3, .port = 47808 }, got;
	uint8_t buf[128];
	size_t len, ret;

	(void)state;
	for (size_t n = 1; n <= WIRE_PEER_NAME_MAX; n++) {
		memset(h.name, 'h', n);
		assert_int_equal(
		    wire_hello_encode(&h, buf, sizeof(buf), &len), 0);
		assert_int_equal(len, 4 + n);
		memset(&got, 0, sizeof(got));
		assert_true(hello_decodes((char *)buf, len, &got));
		assert_int_equal(got.minor, 3);
		assert_int_equal(got.port, 47808);
		assert_string_equal(got.name, h.name);
		for (size_t cut = 0; cut < len; cut++) {
			assert_false(hello_decodes((char *)buf, cut, &got));
			assert_int_equal(
			    wire_hello_encode(&h, buf, cut, &ret), -EMSGSIZE);
		}
	}
}

#define HELLO(s) hello_decodes(s, sizeof(s) - 1, &h)

static void hello_is_checked(void **state)
{
	char buf[4 + 255] = { 0, 0, 0, 64 };
	struct wire_hello h = { .port = 5 };

	(void)state;
	memset(buf + 4, 'h', 255);
	assert_false(hello_decodes(buf, 4 + 64, &h));
	buf[3] = (char)255;
	assert_false(hello_decodes(buf, 4 + 255, &h));
	assert_false(HELLO("\0\0\0\0"));
	assert_false(HELLO("\0\0\0\2h"));
	assert_false(HELLO("\0\0\0\2h\0"));
	assert_false(HELLO("\0\0\0\1\xff"));
	assert_false(HELLO("\0\0\0\3\xed\xa0\x80"));
	assert_int_equal(h.port, 5);
	/* Ugly, but a name; net/escape makes a folder of it. */
	assert_true(HELLO("\0\0\0\4../x"));
	/* Extensions: skipped whole, or refused. */
	assert_true(HELLO("\0\1\0\1h\x09\0\0"));
	assert_true(HELLO("\0\1\0\1h\x09\0\2ab\x09\0\1c"));
	assert_int_equal(h.port, 256);
	assert_string_equal(h.name, "h");
	assert_false(HELLO("\0\1\0\1h\x09"));
	assert_false(HELLO("\0\1\0\1h\x09\0"));
	assert_false(HELLO("\0\1\0\1h\x09\0\3ab"));
	assert_false(HELLO("\0\1\0\1h\x09\xff\xff"));
	assert_false(HELLO("\0\1\0\1h\x09\0\2abc"));
}

/* gtfs-protocol(7), MESSAGES: one of each, byte for byte. */
static void bytes_are_the_page_s(void **state)
{
	static const uint8_t ack[] = { 25, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3,
		3, 0, 0, 0, 9, 'h', 'e', 'l', 'l', 'o', '.', 't', 'x', 't' };
	static const uint8_t reserve[] = { 21, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
		0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1 };
	static const uint8_t patch[] = { 33, 0, 0, 0, 0, 0, 0, 0, 5, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 6, 0, 0, 1, 0xed,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 0,
		0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4 };
	struct wire_msg m;
	uint8_t buf[SAMPLE_BYTES];

	(void)state;
	m = (struct wire_msg){ .type = WIRE_ACK };
	m.ack.tag = 7;
	m.ack.seq = 3;
	m.ack.state = WIRE_PUBLISHED;
	strcpy(m.ack.name, "hello.txt");
	assert_int_equal(encode(&m, buf), sizeof(ack));
	assert_memory_equal(buf, ack, sizeof(ack));

	m = (struct wire_msg){ .type = WIRE_RESERVE };
	m.reserve.seq = 1;
	m.reserve.offset = 2;
	m.reserve.len = 3;
	m.reserve.keep_size = true;
	assert_int_equal(encode(&m, buf), sizeof(reserve));
	assert_memory_equal(buf, reserve, sizeof(reserve));

	m = (struct wire_msg){ .type = WIRE_PATCH };
	m.patch.req = 5;
	memset(m.patch.id, 1, sizeof(m.patch.id));
	m.patch.meta.mask = WIRE_META_MTIME | WIRE_META_ATIME;
	m.patch.meta.mode = 0755;
	m.patch.meta.atime = (struct wire_time){ -1, 2 };
	m.patch.meta.mtime = (struct wire_time){ 3, 4 };
	assert_int_equal(encode(&m, buf), sizeof(patch));
	assert_memory_equal(buf, patch, sizeof(patch));
}

/* Damaged messages: refused, or read as another that encodes to those bytes. */
static void damage_is_harmless(void **state)
{
	uint8_t *bytes = random_bytes(WIRE_WRITE_MAX), buf[8192];
	uint8_t again[WIRE_SMALL_MAX];
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
		if (m.type == WIRE_WRITE)
			again_len += m.write.len;
		assert_int_equal(again_len, len);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_back),
		cmocka_unit_test(length_is_exact),
		cmocka_unit_test(encoding_needs_its_room),
		cmocka_unit_test(write_has_its_limits),
		cmocka_unit_test(only_known_types_decode),
		cmocka_unit_test(fields_have_their_limits),
		cmocka_unit_test(reserve_ends_within_a_file),
		cmocka_unit_test(ids_are_not_zero),
		cmocka_unit_test(hostile_names_are_refused),
		cmocka_unit_test(ack_names_what_it_published),
		cmocka_unit_test(unknown_codes_are_failures),
		cmocka_unit_test(codes_and_errnos_match),
		cmocka_unit_test(preamble_is_told_apart),
		cmocka_unit_test(hello_comes_back),
		cmocka_unit_test(hello_is_checked),
		cmocka_unit_test(bytes_are_the_page_s),
		cmocka_unit_test(damage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
