/* Tests net/hint.h: what is believed of a record heard on the link. */
#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hint.h"

#define ID "0123456789abcdef"

/* The strings up to a NULL, checked; ret is filled whatever the result. */
static int txt_read(const char *const *strings, struct hint_txt *ret)
{
	hint_txt_init(ret);
	for (; *strings; strings++)
		hint_txt_add(ret, *strings, strlen(*strings));
	return hint_txt_check(ret);
}

static void txt_accepts_gtfs_records(void **state)
{
	static const char *const good[][6] = {
		{ "v=1", "id=" ID },
		{ "id=" ID, "v=1" },
		{ "V=1", "ID=" ID },
		{ "v=1", "", "id=" ID, "note=v=2", "flag" },
		{ "v=1", "id=" ID, "=v", "id2=x", "vv=9" },
	};
	struct hint_txt t;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(txt_read(good[i], &t), 0);
		assert_int_equal(t.version, 1);
		assert_string_equal(t.id, ID);
	}
}

static void txt_refuses_what_is_missing_twice_or_malformed(void **state)
{
	static const char *const bad[][4] = {
		{ NULL },
		{ "v=1" },
		{ "id=" ID },
		{ "v=1", "v=1", "id=" ID },
		{ "v=1", "V=2", "id=" ID },
		{ "v=1", "id=" ID, "id=" ID },
		{ "v", "id=" ID },
		{ "v=1", "id" },
		{ "v=1", "id=" },
		{ "v=1", "id=" ID "0" },
		{ "v=1", "id=0123456789abcde" },
		{ "v=1", "id=0123456789ABCDEF" },
		{ "v=1", "id=0123456789abcdeg" },
		{ "v=1", "id= 123456789abcdef" },
		{ "v=1", " id=" ID },
	};
	struct hint_txt t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(txt_read(bad[i], &t), -EBADMSG);
}

static void version_is_1_to_255(void **state)
{
	static const char *const bad[] = { "v=", "v=0", "v=01", "v=256",
		"v=1000", "v=+1", "v=-1", "v= 1", "v=1 ", "v=0x1", "v=1.0",
		"v=4294967297" };
	struct hint_txt t;
	char text[16];

	for (unsigned v = 1; v <= 255; v++) {
		snprintf(text, sizeof(text), "v=%u", v);
		assert_int_equal(
		    txt_read((const char *[]){ text, "id=" ID, NULL }, &t), 0);
		assert_int_equal(t.version, v);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    txt_read((const char *[]){ bad[i], "id=" ID, NULL }, &t),
		    -EBADMSG);
}

static void txt_is_bounded_and_binary_safe(void **state)
{
	struct hint_txt t;
	char filler[255];
	size_t bytes;

	memset(filler, 'x', sizeof(filler));
	hint_txt_init(&t);
	hint_txt_add(&t, "v=1", 3);
	hint_txt_add(&t, "id=" ID, 3 + sizeof(ID) - 1);
	bytes = 4 + 4 + sizeof(ID) - 1;
	for (; bytes + 256 <= HINT_TXT_BYTES_MAX; bytes += 256)
		hint_txt_add(&t, filler, 255);
	assert_int_equal(hint_txt_check(&t), 0);
	/* Exactly full, then one byte more. */
	hint_txt_add(&t, filler, HINT_TXT_BYTES_MAX - bytes - 1);
	assert_int_equal(hint_txt_check(&t), 0);
	hint_txt_add(&t, filler, 0);
	assert_int_equal(hint_txt_check(&t), -EBADMSG);

	/* A NUL ends nothing: this id is not 16 hexadecimal digits. */
	hint_txt_init(&t);
	hint_txt_add(&t, "v=1\0", 4);
	hint_txt_add(&t, "id=" ID, 3 + sizeof(ID) - 1);
	assert_int_equal(hint_txt_check(&t), -EBADMSG);
	hint_txt_init(&t);
	hint_txt_add(&t, "v=1", 3);
	hint_txt_add(&t, "id=" ID, 4 + sizeof(ID) - 1);
	assert_int_equal(hint_txt_check(&t), -EBADMSG);
}

static void instance_is_utf8_of_1_to_63_bytes(void **state)
{
	char name[80];

	assert_true(hint_instance_valid("laptop"));
	assert_true(hint_instance_valid("B\xc3\xbcro #2"));
	assert_false(hint_instance_valid(""));
	assert_false(hint_instance_valid("a\xff"));
	assert_false(hint_instance_valid("\xc3"));
	assert_false(hint_instance_valid("\xed\xa0\x80"));
	memset(name, 'n', sizeof(name));
	name[63] = '\0';
	assert_true(hint_instance_valid(name));
	name[63] = 'n';
	name[64] = '\0';
	assert_false(hint_instance_valid(name));
}

static int address_check(
    const char *text, uint16_t port, int ifindex, struct sockaddr_storage *ret)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16];

	assert_int_equal(inet_pton(family, text, bytes), 1);
	return hint_address(family, bytes, port, ifindex, ret);
}

static void addresses_of_hosts_pass(void **state)
{
	static const char *const good[] = { "10.0.0.1", "192.168.1.255",
		"169.254.3.4", "100.64.0.1", "8.8.8.8", "223.255.255.255",
		"fd00::1", "2001:db8::1", "::1:0:0:1:2" };
	struct sockaddr_storage ss;
	const struct sockaddr_in *sin = (const struct sockaddr_in *)&ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&ss;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(address_check(good[i], 1024, 3, &ss), 0);
	assert_int_equal(address_check("10.0.0.1", 4000, 3, &ss), 0);
	assert_int_equal(sin->sin_family, AF_INET);
	assert_int_equal(ntohs(sin->sin_port), 4000);
	assert_int_equal(ntohl(sin->sin_addr.s_addr), 0x0a000001);

	assert_int_equal(address_check("fe80::1", 65535, 7, &ss), 0);
	assert_int_equal(sin6->sin6_family, AF_INET6);
	assert_int_equal(ntohs(sin6->sin6_port), 65535);
	assert_int_equal(sin6->sin6_scope_id, 7);
	assert_int_equal(address_check("fd00::1", 4000, 7, &ss), 0);
	assert_int_equal(sin6->sin6_scope_id, 0);
}

static void addresses_of_no_host_are_refused(void **state)
{
	static const char *const bad[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1",
		"127.255.255.255", "224.0.0.251", "239.1.2.3", "240.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:10.0.0.1",
		"::ffff:127.0.0.1", "::10.0.0.1", "ff02::fb", "ff0e::1" };
	struct sockaddr_storage ss, before;
	uint8_t bytes[16] = { 10, 0, 0, 1 };

	memset(&ss, 0x5a, sizeof(ss));
	before = ss;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    address_check(bad[i], 4000, 3, &ss), -EADDRNOTAVAIL);
	assert_int_equal(address_check("10.0.0.1", 0, 3, &ss), -EADDRNOTAVAIL);
	assert_int_equal(address_check("10.0.0.1", 22, 3, &ss), -EADDRNOTAVAIL);
	assert_int_equal(
	    address_check("10.0.0.1", 1023, 3, &ss), -EADDRNOTAVAIL);
	assert_int_equal(
	    address_check("fe80::1", 4000, 0, &ss), -EADDRNOTAVAIL);
	assert_int_equal(
	    address_check("10.0.0.1", 4000, -1, &ss), -EADDRNOTAVAIL);
	assert_int_equal(
	    hint_address(AF_UNIX, bytes, 4000, 3, &ss), -EADDRNOTAVAIL);
	assert_memory_equal(&ss, &before, sizeof(ss));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(txt_accepts_gtfs_records),
		cmocka_unit_test(
		    txt_refuses_what_is_missing_twice_or_malformed),
		cmocka_unit_test(version_is_1_to_255),
		cmocka_unit_test(txt_is_bounded_and_binary_safe),
		cmocka_unit_test(instance_is_utf8_of_1_to_63_bytes),
		cmocka_unit_test(addresses_of_hosts_pass),
		cmocka_unit_test(addresses_of_no_host_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
