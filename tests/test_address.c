/* Tests net/address.h: addresses as text, and what they are compared by. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "address.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct sockaddr *sa(const struct sockaddr_storage *ss)
{
	return (const struct sockaddr *)ss;
}

static struct sockaddr_storage parsed(const char *text)
{
	struct sockaddr_storage ss;

	assert_int_equal(address_parse(text, 4717, &ss), 0);
	return ss;
}

static void text_round_trips(void **state)
{
	static const char *const same[] = { "10.0.0.7:4717", "0.0.0.0:1",
		"255.255.255.255:65535", "[::]:4717", "[fe80::1%lo]:4717",
		"[2001:db8::1]:80", "[::ffff:10.0.0.1]:4717",
		"[fe80::1%4294967]:4717",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" };
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < N(same); i++) {
		struct sockaddr_storage ss;

		assert_int_equal(address_parse(same[i], 0, &ss), 0);
		address_format(sa(&ss), text);
		assert_string_equal(text, same[i]);
	}
}

static void a_missing_port_is_the_default(void **state)
{
	static const char *const bare[] = { "10.0.0.7", "[fe80::1%lo]",
		"fe80::1%lo", "::1", "[::1]" };
	struct sockaddr_storage ss;

	for (size_t i = 0; i < N(bare); i++) {
		assert_int_equal(address_parse(bare[i], 0, &ss), -EINVAL);
		assert_int_equal(address_parse(bare[i], 4717, &ss), 0);
		assert_int_equal(address_port(sa(&ss)), 4717);
	}
	ss = parsed("10.0.0.7:99");
	assert_int_equal(address_port(sa(&ss)), 99);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = { "", ":", ":4717",
		"10.0.0.7:", "10.0.0.7:0", "10.0.0.7:65536", "10.0.0.7:-1",
		"10.0.0.7:+1", "10.0.0.7: 1", "10.0.0.7:1 ", "10.0.0.7:123456",
		"10.0.0", "010.0.0.7:1", "10.0.0.256", " 10.0.0.7",
		"laptop:4717", "localhost", "[10.0.0.7]:1", "[::1", "[::1]x",
		"[::1]:", "[::1]:0", "::1]:4", "[]:4717", "[:]:4717",
		"[fe80::1%]:1", "[fe80::1%0]:1", "[fe80::1%a b]:1",
		"[fe80::1%lo%lo]:1", "[fe80::1%99999999999]:1", "fe80::1%lo]:1",
		"[fe80::1%an-interface-with-a-long-name]:1" };
	struct sockaddr_storage ss, before;
	char longest[ADDRESS_TEXT_MAX + 1];

	memset(longest, '1', ADDRESS_TEXT_MAX);
	longest[ADDRESS_TEXT_MAX] = '\0';
	memset(&ss, 0x5a, sizeof(ss));
	before = ss;
	for (size_t i = 0; i < N(bad); i++)
		assert_int_equal(address_parse(bad[i], 4717, &ss), -EINVAL);
	assert_int_equal(address_parse(longest, 4717, &ss), -EINVAL);
	assert_memory_equal(&ss, &before, sizeof(ss));
}

static void an_interface_that_is_not_here_is_told_apart(void **state)
{
	struct sockaddr_storage ss;

	assert_int_equal(
	    address_parse("[fe80::1%nosuch0]:4717", 0, &ss), -ENODEV);
	assert_int_equal(
	    address_parse("[fe80::x%nosuch0]:4717", 0, &ss), -EINVAL);
}

static void hosts_and_ports_compare(void **state)
{
	static const struct {
		const char *a, *b;
		int same_source, same_host, equal;
	} pairs[] = {
		{ "10.0.0.7:1", "10.0.0.7:1", 1, 1, 1 },
		{ "10.0.0.7:1", "10.0.0.7:2", 1, 1, 0 },
		{ "10.0.0.7:1", "10.0.0.8:1", 0, 0, 0 },
		{ "[::1]:1", "[::1]:1", 1, 1, 1 },
		{ "[::1]:1", "[::1]:2", 1, 1, 0 },
		{ "[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:1", 1, 0, 0 },
		{ "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", 0, 0, 0 },
		{ "[fe80::1%1]:1", "[fe80::2%1]:1", 1, 0, 0 },
		{ "[fe80::1%1]:1", "[fe80::1%2]:1", 0, 0, 0 },
		{ "[::ffff:10.0.0.7]:1", "10.0.0.7:1", 0, 0, 0 },
	};

	for (size_t i = 0; i < N(pairs); i++) {
		struct sockaddr_storage a = parsed(pairs[i].a);
		struct sockaddr_storage b = parsed(pairs[i].b);

		assert_int_equal(
		    address_same_source(sa(&a), sa(&b)), pairs[i].same_source);
		assert_int_equal(
		    address_same_host(sa(&a), sa(&b)), pairs[i].same_host);
		assert_int_equal(address_equal(sa(&a), sa(&b)), pairs[i].equal);
	}
}

static void mapped_ipv4_becomes_plain(void **state)
{
	struct sockaddr_storage a = parsed("[::ffff:10.0.0.7]:99");
	struct sockaddr_storage b = parsed("10.0.0.7:99");
	struct sockaddr_storage c = parsed("[::1]:99"), before = c;

	address_normalise(&a);
	assert_true(address_equal(sa(&a), sa(&b)));
	assert_memory_equal(&a, &b, sizeof(a));
	address_normalise(&b);
	assert_memory_equal(&a, &b, sizeof(a));
	address_normalise(&c);
	assert_memory_equal(&c, &before, sizeof(c));
}

static void ports_are_set(void **state)
{
	struct sockaddr_storage a = parsed("10.0.0.7:99");
	struct sockaddr_storage b = parsed("[::1]:99");

	address_set_port((struct sockaddr *)&a, 65535);
	address_set_port((struct sockaddr *)&b, 1);
	assert_int_equal(address_port(sa(&a)), 65535);
	assert_int_equal(address_port(sa(&b)), 1);
	assert_int_equal(address_len(sa(&a)), sizeof(struct sockaddr_in));
	assert_int_equal(address_len(sa(&b)), sizeof(struct sockaddr_in6));
}

static void no_host_lives_at_forbidden_addresses(void **state)
{
	static const char *const bad[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1",
		"127.255.255.255", "224.0.0.251", "240.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::10.0.0.1",
		"ff02::fb", "ff0e::1", "10.0.0.1:1023", "[fe80::1]:22" };
	static const char *const good[] = { "10.0.0.1", "192.168.1.1",
		"fe80::1%lo", "2001:db8::1", "10.0.0.1:1024" };
	struct sockaddr_storage ss;

	for (size_t i = 0; i < N(bad); i++) {
		ss = parsed(bad[i]);
		assert_true(address_forbidden(sa(&ss)));
	}
	for (size_t i = 0; i < N(good); i++) {
		ss = parsed(good[i]);
		assert_false(address_forbidden(sa(&ss)));
	}
}

static void other_families_are_harmless(void **state)
{
	struct sockaddr_storage a = { .ss_family = AF_UNIX }, b = a;
	char text[ADDRESS_TEXT_MAX];

	address_format(sa(&a), text);
	assert_string_equal(text, "?");
	assert_int_equal(address_len(sa(&a)), 0);
	assert_int_equal(address_port(sa(&a)), 0);
	address_set_port((struct sockaddr *)&a, 1);
	address_normalise(&a);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_false(address_same_host(sa(&a), sa(&b)));
	assert_true(address_forbidden(sa(&a)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_round_trips),
		cmocka_unit_test(a_missing_port_is_the_default),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(an_interface_that_is_not_here_is_told_apart),
		cmocka_unit_test(hosts_and_ports_compare),
		cmocka_unit_test(mapped_ipv4_becomes_plain),
		cmocka_unit_test(ports_are_set),
		cmocka_unit_test(no_host_lives_at_forbidden_addresses),
		cmocka_unit_test(other_families_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
