/*
 * Tests net/penalty.h: what adds up, for whom it counts, and that a crowd does
 * not make it forget.
 */
#include "net_fixture.h"

#include "address.h"
#include "penalty.h"

static struct sockaddr_storage at(const char *text)
{
	struct sockaddr_storage a;

	assert_int_equal(address_parse(text, 4717, &a), 0);
	return a;
}

static void add(struct penalty *p, const char *from, unsigned times,
    enum penalty_reason reason)
{
	struct sockaddr_storage a = at(from);

	while (times--)
		penalty_add(p, (struct sockaddr *)&a, reason);
}

static bool stands(struct penalty *p, const char *from)
{
	struct sockaddr_storage a = at(from);

	return penalty_stands(p, (struct sockaddr *)&a);
}

static void it_adds_up(void **state)
{
	struct penalty *p = penalty_new();
	struct sockaddr_storage a = at("10.0.0.7:1");

	(void)state;
	assert_false(stands(p, "10.0.0.7"));
	add(p, "10.0.0.7:5000", 1, PENALTY_PROTOCOL);
	assert_false(stands(p, "10.0.0.7"));
	add(p, "10.0.0.7:6000", 2, PENALTY_PROTOCOL);
	assert_true(stands(p, "10.0.0.7:7000"));
	assert_false(stands(p, "10.0.0.8"));
	penalty_forgive(p, (struct sockaddr *)&a);
	assert_false(stands(p, "10.0.0.7"));
	penalty_free(p);
	penalty_free(NULL);
}

static void a_network_of_ipv6_pays_later(void **state)
{
	struct penalty *p = penalty_new();
	char from[64];

	(void)state;
	/* One host does not shut out its neighbours, */
	add(p, "[2001:db8:1:2::7]", 12, PENALTY_NO_HANDSHAKE);
	assert_true(stands(p, "[2001:db8:1:2::7]:80"));
	assert_false(stands(p, "[2001:db8:1:2::8]:80"));
	/* but who changes addresses is not listened to in the end. */
	for (unsigned i = 1; i <= 200; i++) {
		snprintf(from, sizeof(from), "[2001:db8:1:2::1:%x]:5000", i);
		assert_true(i > 180 || !stands(p, from));
		add(p, from, 1, PENALTY_NO_HANDSHAKE);
	}
	assert_true(stands(p, "[2001:db8:1:2:ffff::1]:80"));
	assert_false(stands(p, "[2001:db8:1:3::1]:80"));
	penalty_free(p);
}

static void link_local_hosts_pay_each_for_itself(void **state)
{
	struct penalty *p = penalty_new();

	(void)state;
	add(p, "[fe80::7%lo]", 1000, PENALTY_PROTOCOL);
	assert_true(stands(p, "[fe80::7%lo]"));
	assert_false(stands(p, "[fe80::8%lo]"));
	penalty_free(p);
}

static void a_crowd_pays_too(void **state)
{
	struct penalty *p = penalty_new();
	unsigned standing = 0;
	char from[64];

	(void)state;
	add(p, "10.0.0.7", 100, PENALTY_PROTOCOL);
	for (unsigned i = 0; i < 2 * PENALTY_TABLE; i++) {
		snprintf(from, sizeof(from), "10.1.%u.%u", i >> 8, i & 0xff);
		add(p, from, 20, PENALTY_NO_HANDSHAKE);
	}
	for (unsigned i = 0; i < 2 * PENALTY_TABLE; i++) {
		snprintf(from, sizeof(from), "10.1.%u.%u", i >> 8, i & 0xff);
		standing += stands(p, from);
	}
	assert_true(stands(p, "10.0.0.7"));
	assert_int_equal(standing, PENALTY_TABLE - 1);
	penalty_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_adds_up),
		cmocka_unit_test(a_network_of_ipv6_pays_later),
		cmocka_unit_test(link_local_hosts_pay_each_for_itself),
		cmocka_unit_test(a_crowd_pays_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
