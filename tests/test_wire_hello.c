/*
 * Tests of what net/wire.h has beside the messages: the preamble, the hello of
 * the handshake, and the codes of errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "wire.h"

static void codes_and_errnos_match(void **state)
{
	(void)state;
	for (int c = WIRE_OK; c <= WIRE_EKEYREJECTED; c++) {
		int err = wire_code_to_errno((enum wire_code)c);

		assert_true(c == WIRE_OK ? err == 0 : err < 0);
		assert_int_equal(wire_code_from_errno(err), c);
		assert_int_equal(wire_code_from_errno(-err), c);
	}
	assert_int_equal(wire_code_to_errno((enum wire_code)27), -EIO);
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

static void hello_says_whether_there_is_a_group(void **state)
{
	struct wire_hello h = { .name = "h", .group = true }, got;
	uint8_t buf[16];
	size_t len, ret;

	(void)state;
	assert_int_equal(wire_hello_encode(&h, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 4 + 1 + 3);
	assert_true(hello_decodes((char *)buf, len, &got));
	assert_true(got.group);
	for (size_t cut = 0; cut < len; cut++) {
		/* Without the extension it is a hello, too. */
		assert_int_equal(
		    hello_decodes((char *)buf, cut, &got), cut == 5);
		assert_int_equal(
		    wire_hello_encode(&h, buf, cut, &ret), -EMSGSIZE);
	}
}

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
	assert_false(h.group);
	assert_true(HELLO("\0\1\0\1h\x09\0\1c\1\0\0"));
	assert_true(h.group);
	assert_false(HELLO("\0\1\0\1h\x09"));
	assert_false(HELLO("\0\1\0\1h\x09\0"));
	assert_false(HELLO("\0\1\0\1h\x09\0\3ab"));
	assert_false(HELLO("\0\1\0\1h\x09\xff\xff"));
	assert_false(HELLO("\0\1\0\1h\x09\0\2abc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_and_errnos_match),
		cmocka_unit_test(preamble_is_told_apart),
		cmocka_unit_test(hello_comes_back),
		cmocka_unit_test(hello_says_whether_there_is_a_group),
		cmocka_unit_test(hello_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
