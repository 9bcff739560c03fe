/* Tests net/trust.h: pins, their names, policies and addresses. */
#include "sync.h"
#include "trust_fixture.h"

static void pins_survive_a_restart(void **state)
{
	struct sockaddr_storage a = address_of("10.0.0.7:4717");
	struct sockaddr_storage b = address_of("[2001:db8::7]:4718");
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct trust_pin before, pin;
	uint8_t key[IDENTITY_KEY_BYTES];
	char name[WIRE_PEER_NAME_MAX + 1];

	make_key(1, key);
	assert_int_equal(trust_find(t, key, &pin), -ENOENT);
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_REFUSE, name), 0);
	assert_string_equal(name, "laptop");
	assert_int_equal(trust_note_address(t, key, (struct sockaddr *)&a), 0);
	assert_int_equal(trust_note_address(t, key, (struct sockaddr *)&b), 0);
	assert_int_equal(trust_find(t, key, &before), 0);
	assert_int_equal(before.n_addresses, 2);
	trust_close(t);

	t = reopen(p);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_same_pin(&pin, &before);
	assert_int_equal(trust_find_name(t, "laptop", &pin), 0);
	assert_memory_equal(pin.key, key, sizeof(key));
	assert_int_equal(pin.policy, TRUST_REFUSE);
	assert_true(address_equal(
	    (struct sockaddr *)&pin.addresses[0], (struct sockaddr *)&b));
	assert_int_equal(trust_find_name(t, "Laptop", &pin), -ENOENT);
	assert_int_equal(trust_forget(t, key), 0);
	assert_int_equal(trust_forget(t, key), -ENOENT);
	assert_int_equal(trust_find(t, key, &pin), -ENOENT);
	trust_close(t);

	t = reopen(p);
	assert_int_equal(trust_find(t, key, &pin), -ENOENT);
	trust_close(t);
}

static void the_same_key_stays_one_pin(void **state)
{
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct trust_pin pin;
	uint8_t key[IDENTITY_KEY_BYTES];
	char name[WIRE_PEER_NAME_MAX + 1];

	make_key(1, key);
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_pin(t, key, "other", TRUST_REFUSE, name), 0);
	assert_string_equal(name, "laptop");
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_int_equal(pin.policy, TRUST_REFUSE);
	assert_int_equal(trust_find_name(t, "other", &pin), -ENOENT);
	assert_int_equal(count(p, "-"), 1);
	trust_close(t);
}

static void names_are_unique(void **state)
{
	struct place *p = *state;
	struct trust *t = reopen(p);
	uint8_t key[IDENTITY_KEY_BYTES];
	char name[WIRE_PEER_NAME_MAX + 1], want[80];
	/* 62 bytes and a character of two: cut before it, and before (n). */
	char longest[80];

	for (unsigned i = 1; i <= 12; i++) {
		make_key(i, key);
		assert_int_equal(
		    trust_pin(t, key, "laptop", TRUST_ACCEPT, name), 0);
		snprintf(
		    want, sizeof(want), i > 1 ? "laptop (%u)" : "laptop", i);
		assert_string_equal(name, want);
	}
	memset(longest, 'x', 57);
	strcpy(longest + 57, "\xc3\xa9\xc3\xa9\xc3\xa9");
	make_key(100, key);
	assert_int_equal(trust_pin(t, key, longest, TRUST_ACCEPT, name), 0);
	assert_string_equal(name, longest);
	make_key(101, key);
	assert_int_equal(trust_pin(t, key, longest, TRUST_ACCEPT, name), 0);
	longest[59] = '\0';
	assert_true(strncmp(name, longest, 59) == 0);
	assert_string_equal(name + 59, " (2)");
	trust_close(t);
}

static void hostile_names_become_safe(void **state)
{
	static const char *const hostile[] = { "", ".", "..", "a/b", "../../x",
		"a\nkey: 00", "a\tb", "\x1b]52;c;x\x07", "\xff\xfe",
		"\xe2\x80\xaetxt.exe", ".gtfs", "  ", "a\\b", "a\001b" };
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct trust_pin pin;
	uint8_t key[IDENTITY_KEY_BYTES];
	char names[32][WIRE_PEER_NAME_MAX + 1];
	unsigned n = sizeof(hostile) / sizeof(hostile[0]);
	char safe[WIRE_PEER_NAME_MAX + 1];

	for (unsigned i = 0; i < n; i++) {
		make_key(i, key);
		assert_int_equal(
		    trust_pin(t, key, hostile[i], TRUST_ACCEPT, names[i]), 0);
		escape_name(names[i], strlen(names[i]), safe);
		assert_string_equal(names[i], safe);
		assert_null(strchr(names[i], '/'));
		assert_true(names[i][0] != '.');
	}
	trust_close(t);
	t = reopen(p);
	for (unsigned i = 0; i < n; i++) {
		make_key(i, key);
		assert_int_equal(trust_find(t, key, &pin), 0);
		assert_string_equal(pin.name, names[i]);
	}
	trust_close(t);
}

static void addresses_are_the_newest_four(void **state)
{
	static const char *const seen[] = { "10.0.0.1:1", "10.0.0.2:1",
		"10.0.0.3:1", "10.0.0.1:1", "10.0.0.2:9", "10.0.0.4:1",
		"10.0.0.5:1" };
	static const char *const want[] = { "10.0.0.5:1", "10.0.0.4:1",
		"10.0.0.2:9", "10.0.0.1:1" };
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct sockaddr_storage ss;
	struct stat before, after;
	char name[FINGERPRINT_CHARS], text[ADDRESS_TEXT_MAX];
	struct trust_pin pin;
	uint8_t key[IDENTITY_KEY_BYTES];

	make_key(1, key);
	identity_fingerprint(key, name);
	ss = address_of(seen[0]);
	assert_int_equal(
	    trust_note_address(t, key, (struct sockaddr *)&ss), -ENOENT);
	assert_int_equal(trust_pin(t, key, "x", TRUST_ACCEPT, NULL), 0);
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		assert_int_equal(fstatat(p->pins_fd, name, &before, 0), 0);
		ss = address_of(seen[i]);
		assert_int_equal(
		    trust_note_address(t, key, (struct sockaddr *)&ss), 0);
		assert_int_equal(fstatat(p->pins_fd, name, &after, 0), 0);
		/* The fourth is known: only its place changes. */
		assert_int_equal(before.st_ino == after.st_ino, i == 3);
	}
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_int_equal(pin.n_addresses, 4);
	for (size_t i = 0; i < 4; i++) {
		address_format((struct sockaddr *)&pin.addresses[i], text);
		assert_string_equal(text, want[i]);
	}
	ss.ss_family = AF_UNIX;
	assert_int_equal(
	    trust_note_address(t, key, (struct sockaddr *)&ss), -EAFNOSUPPORT);
	trust_close(t);
}

static void strangers_get_the_default(void **state)
{
	static const struct {
		enum trust_default strangers;
		int pinned; /* enum trust_policy, or -1 */
		enum wire_policy want;
	} cases[] = {
		{ TRUST_KNOWN, -1, WIRE_POLICY_REFUSE },
		{ TRUST_LAN, -1, WIRE_POLICY_ACCEPT },
		{ TRUST_KNOWN, TRUST_ACCEPT, WIRE_POLICY_ACCEPT },
		{ TRUST_LAN, TRUST_ACCEPT, WIRE_POLICY_ACCEPT },
		{ TRUST_KNOWN, TRUST_ASK, WIRE_POLICY_REFUSE },
		{ TRUST_LAN, TRUST_ASK, WIRE_POLICY_ACCEPT },
		{ TRUST_KNOWN, TRUST_REFUSE, WIRE_POLICY_REFUSE },
		{ TRUST_LAN, TRUST_REFUSE, WIRE_POLICY_REFUSE },
		{ TRUST_ASKED, -1, WIRE_POLICY_ASK },
		{ TRUST_ASKED, TRUST_ACCEPT, WIRE_POLICY_ACCEPT },
		{ TRUST_ASKED, TRUST_ASK, WIRE_POLICY_ASK },
		{ TRUST_ASKED, TRUST_REFUSE, WIRE_POLICY_REFUSE },
	};
	struct place *p = *state;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust *t = reopen(p);

	trust_close(t);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_key(i, key);
		assert_int_equal(
		    trust_open(p->state_fd, cases[i].strangers, &t), 0);
		if (cases[i].pinned >= 0)
			assert_int_equal(
			    trust_pin(t, key, "x",
				(enum trust_policy)cases[i].pinned, NULL),
			    0);
		assert_int_equal(trust_incoming(t, key), cases[i].want);
		trust_close(t);
	}
}

static void what_was_decided_survives(void **state)
{
	static const uint8_t words[TRUST_WORDS_BYTES] = { 0xab, 1, 0xcd };
	const struct trust_decision d = { .policy = TRUST_ACCEPT,
		.words = words };
	struct place *p = *state;
	struct trust *t = reopen(p);
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;

	make_key(1, key);
	assert_int_equal(trust_set_verified(t, key), -ENOENT);
	assert_int_equal(trust_set_quota(t, key, 1, 1), -ENOENT);
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_false(pin.verified);
	assert_int_equal(trust_set_verified(t, key), 0);
	assert_int_equal(trust_set_quota(t, key, UINT64_MAX, 0), 0);
	trust_close(t);

	t = reopen(p);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_true(pin.verified);
	assert_true(pin.has_words);
	assert_memory_equal(pin.words, words, sizeof(words));
	assert_true(pin.quota_bytes == UINT64_MAX);
	assert_int_equal(pin.quota_files, 0);
	/* A new policy is no new machine. */
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_REFUSE, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_true(pin.verified && pin.has_words && pin.quota_bytes);
	/* What was forgotten is. */
	assert_int_equal(trust_forget(t, key), 0);
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_false(pin.verified || pin.has_words || pin.quota_bytes);
	trust_close(t);
}

/* Whoever decides without our owner may have looked before he did. */
static void a_refusal_is_not_overruled(void **state)
{
	static const uint8_t words[TRUST_WORDS_BYTES] = { 1 };
	const struct trust_decision d = { .policy = TRUST_ACCEPT,
		.unless_refused = true,
		.verified = true,
		.words = words };
	struct place *p = *state;
	struct trust *t = reopen(p);
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;

	make_key(1, key);
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_REFUSE, NULL), 0);
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), -EACCES);
	assert_int_equal(trust_pin(t, key, "laptop", TRUST_ASK, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_int_equal(pin.policy, TRUST_REFUSE);
	assert_false(pin.verified || pin.has_words);
	assert_int_equal(trust_set_words(t, key, words), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_int_equal(pin.policy, TRUST_REFUSE);
	assert_true(pin.has_words);

	assert_int_equal(trust_pin(t, key, "laptop", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), 0);
	trust_close(t);
}

/* Two questions, one answered while the other was open. */
static void the_first_words_stay(void **state)
{
	static const uint8_t first[TRUST_WORDS_BYTES] = { 1 },
			     second[TRUST_WORDS_BYTES] = { 2 };
	struct trust_decision d = {
		.policy = TRUST_ACCEPT, .words = first, .since_ms = now_ms()
	};
	struct place *p = *state;
	struct trust *t = reopen(p);
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;

	make_key(1, key);
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), 0);
	d.words = second;
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_memory_equal(pin.words, first, sizeof(first));
	/* A question that was put after that is another matter. */
	d.since_ms = pin.words_ms + 1;
	assert_int_equal(trust_decide(t, key, "laptop", &d, NULL), 0);
	assert_int_equal(trust_find(t, key, &pin), 0);
	assert_memory_equal(pin.words, second, sizeof(second));
	trust_close(t);
}

static int stop_at(void *ctx, const struct trust_pin *pin)
{
	unsigned *left = ctx;

	return --*left == 0 ? 42 : 0;
}

static void each_sees_all_and_stops(void **state)
{
	struct place *p = *state;
	struct trust *t = reopen(p);
	uint8_t key[IDENTITY_KEY_BYTES];
	unsigned left = 10;

	assert_int_equal(trust_each(t, stop_at, &left), 0);
	assert_int_equal(left, 10);
	for (unsigned i = 0; i < 5; i++) {
		make_key(i, key);
		assert_int_equal(trust_pin(t, key, "x", TRUST_ASK, NULL), 0);
	}
	assert_int_equal(trust_each(t, stop_at, &left), 0);
	assert_int_equal(left, 5);
	left = 3;
	assert_int_equal(trust_each(t, stop_at, &left), 42);
	trust_close(t);
}

struct worker {
	pthread_t thread;
	struct trust *t;
	unsigned n;
};

static void *pin_and_forget(void *arg)
{
	struct worker *w = arg;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;
	intptr_t wrong = 0;

	for (unsigned i = 0; i < 50; i++) {
		make_key(w->n * 8 + i % 8, key);
		wrong += trust_pin(w->t, key, "same", TRUST_ACCEPT, NULL) != 0;
		wrong += trust_find(w->t, key, &pin) != 0;
		if (i % 3 == 0)
			wrong += trust_forget(w->t, key) != 0;
	}
	return (void *)wrong;
}

static void threads_do_not_lose_pins_or_names(void **state)
{
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct worker workers[4];
	struct trust_pin pin, same;
	unsigned n[2] = { 0 };
	uint8_t key[IDENTITY_KEY_BYTES];
	void *wrong;

	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .t = t, .n = i };
		assert_int_equal(pthread_create(&workers[i].thread, NULL,
				     pin_and_forget, &workers[i]),
		    0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, &wrong);
		assert_null(wrong);
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 32; i++) {
			make_key(i, key);
			if (trust_find(t, key, &pin))
				continue;
			n[round]++;
			/* By its name one finds it and no other. */
			assert_int_equal(
			    trust_find_name(t, pin.name, &same), 0);
			assert_memory_equal(same.key, key, sizeof(key));
		}
		trust_close(t);
		t = reopen(p);
	}
	assert_int_equal(n[0], n[1]);
	assert_true(n[0] > 0);
	trust_close(t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(pins_survive_a_restart),
		TEST(the_same_key_stays_one_pin),
		TEST(names_are_unique),
		TEST(hostile_names_become_safe),
		TEST(addresses_are_the_newest_four),
		TEST(strangers_get_the_default),
		TEST(what_was_decided_survives),
		TEST(a_refusal_is_not_overruled),
		TEST(the_first_words_stay),
		TEST(each_sees_all_and_stops),
		TEST(threads_do_not_lose_pins_or_names),
	};

	/* What is set aside is said; here it would only be noise. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
