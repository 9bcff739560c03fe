/*
 * Tests net/consent.h: who may ask, how often, and who hears the answer.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net_fixture.h"

#include "address.h"
#include "consent.h"

struct heard {
	enum consent_change last;
	unsigned n;
};

static void on_change(void *ctx, enum consent_change change,
    const struct consent_question *question)
{
	struct heard *h = ctx;

	(void)question;
	h->last = change;
	h->n++;
}

/* Key k, at 10.0.0.k. */
static struct consent_question from(uint8_t k)
{
	struct consent_question q = { .name = "laptop", .file = "f" };
	char text[32];

	memset(q.key, k, sizeof(q.key));
	snprintf(text, sizeof(text), "10.0.0.%u:4717", k);
	assert_int_equal(address_parse(text, 0, &q.address), 0);
	return q;
}

/* The k-th address of one IPv6 network. */
static struct consent_question from_crowd(uint8_t k)
{
	struct consent_question q = from(k);
	char text[64];

	snprintf(text, sizeof(text), "[2001:db8::%x]:4717", k);
	assert_int_equal(address_parse(text, 0, &q.address), 0);
	return q;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static int make(void **state)
{
	*state = calloc(1, sizeof(struct heard));
	return *state ? 0 : -1;
}

static int unmake(void **state)
{
	free(*state);
	return 0;
}

static void an_answer_is_heard_once(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, on_change, *state);
	struct heard *h = *state;
	struct consent_question q = from(1), got;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial;

	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	assert_int_equal(h->last, CONSENT_ASKED);
	assert_int_equal(consent_answer(c, serial), -EINPROGRESS);
	assert_false(readable(fd));
	assert_int_equal(consent_find(c, "laptop", &got), 0);
	assert_int_equal(got.serial, serial);
	assert_int_equal(got.deadline_ms - got.asked_ms, CONSENT_TIMEOUT_MS);
	assert_int_equal(consent_find_key(c, q.key, &got), 0);

	assert_int_equal(consent_settle(c, serial, true), 0);
	assert_int_equal(h->last, CONSENT_ACCEPTED);
	assert_true(readable(fd));
	assert_int_equal(consent_settle(c, serial, false), -ENOENT);
	assert_int_equal(consent_find(c, "laptop", &got), -ENOENT);
	assert_int_equal(consent_answer(c, serial), 0);
	assert_int_equal(consent_answer(c, serial), -EACCES);
	assert_false(consent_quiet(c, q.key, NULL));
	close(fd);
	consent_free(c);
}

static void one_a_key_and_one_an_address(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	struct consent_question q = from(1), same_key = from(2),
				same_host = from(3), other = from(4), *all;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial;

	(void)state;
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	memcpy(same_key.key, q.key, sizeof(q.key));
	assert_int_equal(consent_ask(c, &same_key, fd, &serial), -EACCES);
	same_host.address = q.address;
	address_set_port((struct sockaddr *)&same_host.address, 9);
	assert_int_equal(consent_ask(c, &same_host, fd, &serial), -EACCES);
	assert_int_equal(consent_ask(c, &other, fd, &serial), 0);
	assert_int_equal(consent_snapshot(c, &all), 2);
	assert_string_equal(all[0].name, "laptop");
	assert_string_equal(all[1].name, "laptop (2)");
	free(all);
	close(fd);
	consent_free(c);
}

static void a_name_stays_its_keys(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	struct consent_question q = from(1), other = from(2), got;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	char name[WIRE_PEER_NAME_MAX + 1];
	uint64_t serial, later;

	(void)state;
	assert_int_equal(consent_name(c, q.key, name), -ENOENT);
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	assert_true(consent_name_taken(c, other.key, "laptop"));
	assert_false(consent_name_taken(c, q.key, "laptop"));
	consent_withdraw(c, serial);
	assert_true(consent_name_taken(c, other.key, "laptop"));
	assert_int_equal(consent_name(c, q.key, name), 0);
	assert_string_equal(name, "laptop");
	assert_int_equal(consent_ask(c, &other, fd, &later), 0);
	assert_int_equal(consent_find(c, "laptop", &got), -ENOENT);
	assert_int_equal(consent_find_serial(c, serial, &got), -ENOENT);
	assert_int_equal(consent_find_serial(c, later, &got), 0);
	assert_string_equal(got.name, "laptop (2)");
	/* Whose question may not be put keeps no name by it. */
	other = from(2);
	strcpy(other.name, "more");
	assert_int_equal(consent_hold_name(c, other.key, "more"), 0);
	assert_true(consent_name_taken(c, q.key, "more"));
	assert_int_equal(consent_ask(c, &other, fd, &serial), -EACCES);
	assert_false(consent_name_taken(c, q.key, "more"));
	close(fd);
	consent_free(c);
}

static void who_was_declined_is_quiet(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	struct consent_question q = from(1), neighbour = from(2);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial;

	(void)state;
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	assert_int_equal(consent_settle(c, serial, false), 0);
	assert_true(readable(fd));
	assert_int_equal(consent_answer(c, serial), -EACCES);
	assert_true(consent_quiet(c, q.key, NULL));
	assert_int_equal(consent_ask(c, &q, fd, &serial), -EACCES);
	/* A new key costs nothing: its address will be quiet as well. */
	neighbour.address = q.address;
	assert_int_equal(consent_ask(c, &neighbour, fd, &serial), 0);
	assert_int_equal(consent_settle(c, serial, false), 0);
	assert_int_equal(consent_answer(c, serial), -EACCES);
	memset(neighbour.key, 99, sizeof(neighbour.key));
	assert_int_equal(consent_ask(c, &neighbour, fd, &serial), -EACCES);
	assert_false(consent_quiet(c, neighbour.key, NULL));
	assert_true(consent_quiet(c, neighbour.key, &neighbour.address));
	neighbour = from(3);
	assert_int_equal(consent_ask(c, &neighbour, fd, &serial), 0);
	consent_forgive(c, q.key);
	assert_false(consent_quiet(c, q.key, NULL));
	close(fd);
	consent_free(c);
}

static void nobody_at_home(void **state)
{
	struct consent *c = consent_new(0, on_change, *state);
	struct heard *h = *state;
	struct consent_question q = from(1), *all;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial;

	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	consent_tick(c);
	assert_int_equal(h->last, CONSENT_EXPIRED);
	assert_true(readable(fd));
	assert_int_equal(consent_snapshot(c, &all), 0);
	free(all);
	assert_int_equal(consent_answer(c, serial), -EACCES);
	/* Once more, at once; then there are pauses. */
	assert_false(consent_quiet(c, q.key, NULL));
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	consent_tick(c);
	assert_int_equal(consent_answer(c, serial), -EACCES);
	assert_true(consent_quiet(c, q.key, NULL));
	assert_int_equal(consent_ask(c, &q, fd, &serial), -EACCES);
	close(fd);
	consent_free(c);
}

static void who_gives_up_is_gone(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, on_change, *state);
	struct heard *h = *state;
	struct consent_question q = from(1), got;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial;

	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	consent_withdraw(c, serial);
	assert_int_equal(h->last, CONSENT_WITHDRAWN);
	assert_int_equal(consent_find(c, "laptop", &got), -ENOENT);
	consent_withdraw(c, serial);
	assert_int_equal(h->n, 2);
	close(fd);
	consent_free(c);
}

/* A no by mistake: who was declined may ask again at once, from there, too. */
static void who_is_forgiven_is_not_quiet(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	struct consent_question q = from(1);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint8_t key[IDENTITY_KEY_BYTES];
	uint64_t serial;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(
		    consent_find_declined(c, "laptop", key), -ENOENT);
		assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
		assert_int_equal(consent_settle(c, serial, false), 0);
		assert_true(consent_quiet(c, q.key, NULL));
		assert_int_equal(consent_find_declined(c, "laptop", key), 0);
		assert_memory_equal(key, q.key, sizeof(key));
		consent_forgive(c, q.key);
		assert_false(consent_quiet(c, q.key, &q.address));
		assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
		consent_withdraw(c, serial);
		consent_forgive(c, q.key);
		assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
		assert_int_equal(consent_settle(c, serial, true), 0);
		assert_int_equal(consent_answer(c, serial), 0);
	}
	close(fd);
	consent_free(c);
}

static int ask(
    struct consent *c, struct consent_question q, int fd, uint64_t *ret)
{
	return consent_ask(c, &q, fd, ret);
}

/* Who has as many addresses as he likes keeps nobody out. */
static void a_crowd_in_one_network_has_half_of_the_places(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, on_change, *state);
	struct heard *h = *state;
	uint64_t serials[CONSENT_OPEN_MAX + 1], others[CONSENT_OPEN_MAX];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const unsigned share = CONSENT_OPEN_NET_MAX;

	for (uint8_t k = 0; k < CONSENT_OPEN_MAX; k++)
		assert_int_equal(ask(c, from_crowd(k + 1), fd, &serials[k]), 0);
	/* The later ones have replaced each other. */
	for (unsigned k = 0; k < CONSENT_OPEN_MAX; k++) {
		bool open = k < share - 1 || k == CONSENT_OPEN_MAX - 1;

		assert_int_equal(consent_answer(c, serials[k]),
		    open ? -EINPROGRESS : -EACCES);
	}
	for (uint8_t k = 0; k < share; k++)
		assert_int_equal(ask(c, from(200 + k), fd, &others[k]), 0);
	/* All are taken. Whoever else comes gets the crowd's, not theirs. */
	h->n = 0;
	assert_int_equal(ask(c, from_crowd(100), fd, &serials[share]), 0);
	assert_int_equal(h->n, 2); /* one goes, one comes */
	for (uint8_t k = 0; k < share - 1; k++)
		assert_int_equal(ask(c, from(210 + k), fd, &others[share]), 0);
	for (unsigned k = 0; k < share; k++)
		assert_int_equal(consent_answer(c, others[k]), -EINPROGRESS);
	assert_int_equal(consent_answer(c, serials[0]), -EINPROGRESS);
	assert_int_equal(consent_answer(c, serials[1]), -EACCES);
	/* Who is alone stays. */
	assert_int_equal(ask(c, from(220), fd, &serials[1]), -EACCES);
	assert_int_equal(ask(c, from_crowd(101), fd, &serials[1]), -EACCES);
	close(fd);
	consent_free(c);
}

static void who_loses_the_place_is_told(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, on_change, *state);
	int first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int last = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t serial, gone;

	for (uint8_t k = 1; k < CONSENT_OPEN_NET_MAX; k++)
		assert_int_equal(ask(c, from_crowd(k), first, &serial), 0);
	assert_int_equal(ask(c, from_crowd(100), last, &gone), 0);
	assert_int_equal(ask(c, from_crowd(101), first, &serial), 0);
	assert_true(readable(last));
	assert_false(readable(first));
	assert_int_equal(consent_answer(c, gone), -EACCES);
	close(first);
	close(last);
	consent_free(c);
}

static void a_crowd_in_one_network_uses_up_no_rate(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unsigned asked = 0;
	uint64_t serial;

	(void)state;
	for (uint8_t k = 1; k < 100; k++)
		if (ask(c, from_crowd(k), fd, &serial) == 0) {
			consent_withdraw(c, serial);
			asked++;
		}
	assert_int_equal(asked, CONSENT_PER_MINUTE_NET);
	/* Others may change their minds. */
	for (uint8_t k = 200; k < 204; k++)
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(ask(c, from(k), fd, &serial), 0);
			consent_withdraw(c, serial);
		}
	/* But not for ever. */
	assert_int_equal(ask(c, from(200), fd, &serial), -EACCES);
	close(fd);
	consent_free(c);
}

static bool ours_counts(void *ctx, const uint8_t *key, uint8_t ret_words[32])
{
	const uint8_t *whom = ctx;

	if (*key == *whom)
		memset(ret_words, 7, 32);
	return *key == *whom;
}

static void crossing_questions_have_one_set_of_words(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	struct consent_question q = from(1), other = from(2), got, *all;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint8_t whom = 1, ours[32], theirs[32] = { 0 };
	uint64_t serial;

	(void)state;
	memset(ours, 7, sizeof(ours));
	consent_crosses(c, ours_counts, &whom);
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	assert_int_equal(consent_find(c, "laptop", &got), 0);
	assert_memory_equal(got.words, ours, sizeof(ours));
	assert_int_equal(consent_find_serial(c, serial, &got), 0);
	assert_memory_equal(got.words, ours, sizeof(ours));
	assert_int_equal(consent_find_key(c, q.key, &got), 0);
	assert_memory_equal(got.words, theirs, sizeof(ours));
	assert_int_equal(consent_ask(c, &other, fd, &serial), 0);
	assert_int_equal(consent_snapshot(c, &all), 2);
	assert_memory_equal(all[0].words, ours, sizeof(ours));
	assert_memory_equal(all[1].words, theirs, sizeof(ours));
	free(all);
	close(fd);
	consent_free(c);
}

/* Whatever strangers do, so many are open, and so many a minute. */
static void number_and_rate_are_bounded(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unsigned open = 0, asked = 0;
	uint64_t serial;

	(void)state;
	for (uint8_t k = 1; k < 100; k++) {
		struct consent_question q = from(k);

		open += consent_ask(c, &q, fd, &serial) == 0;
	}
	assert_int_equal(open, CONSENT_OPEN_MAX);
	consent_free(c);

	c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	for (uint8_t k = 1; k < 100; k++) {
		struct consent_question q = from(k);

		if (consent_ask(c, &q, fd, &serial) == 0) {
			consent_withdraw(c, serial);
			asked++;
		}
	}
	assert_int_equal(asked, CONSENT_PER_MINUTE_MAX);
	close(fd);
	consent_free(c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_heard_once),
		TEST(one_a_key_and_one_an_address),
		TEST(a_name_stays_its_keys),
		TEST(who_was_declined_is_quiet),
		TEST(nobody_at_home),
		TEST(who_gives_up_is_gone),
		TEST(who_is_forgiven_is_not_quiet),
		TEST(a_crowd_in_one_network_has_half_of_the_places),
		TEST(who_loses_the_place_is_told),
		TEST(a_crowd_in_one_network_uses_up_no_rate),
		TEST(crossing_questions_have_one_set_of_words),
		TEST(number_and_rate_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
