/*
 * Tests net/pairer.h: who trusts whom after an exchange, and what guesses cost
 * callers who play it wrong.
 */
#include "pairer_fixture.h"

struct place {
	struct side s;
	struct machine caller;
	char code[WORDS_CODE_MAX];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	side_open(&p->s, "here", NULL);
	machine_init(&p->caller, "caller", 0);
	pairer_open_code(p->s.pairer, p->code);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	side_close(&p->s);
	free(p);
	return 0;
}

static int wrong_guess(struct place *p, struct conn *c)
{
	char code[WORDS_CODE_MAX];

	other_code(p->code, code);
	return exchange(&p->caller, c, PAIRING_CODE, code);
}

static void the_right_code_pins(void **state)
{
	struct place *p = *state;
	struct conn *c = served(&p->s, &p->caller);

	assert_int_equal(exchange(&p->caller, c, PAIRING_CODE, p->code), 0);
	/* Durably, and before step 4 was sent. */
	assert_true(trusts(&p->s, &p->caller, conn_words(c)));
	EVENTUALLY(p->s.paired == 1);
	assert_int_equal(
	    world_info(&p->s.w, "caller").pin_policy, TRUST_ACCEPT);
	/* It is used up. */
	assert_int_equal(
	    exchange(&p->caller, c, PAIRING_CODE, p->code), -EACCES);
	conn_free(c);
}

static void three_wrong_ones_lock_it(void **state)
{
	struct place *p = *state;
	struct conn *c = served(&p->s, &p->caller);

	for (unsigned i = 0; i < PAIR_CODE_GUESSES; i++)
		assert_int_equal(wrong_guess(p, c), -EKEYREJECTED);
	assert_int_equal(
	    exchange(&p->caller, c, PAIRING_CODE, p->code), -EACCES);
	assert_false(knows(&p->s, &p->caller));
	assert_int_equal(p->s.paired, 0);
	conn_free(c);
}

/* All of them have come to step 3 before the first of them takes it. */
static void twenty_connections_have_three_guesses_in_all(void **state)
{
	enum { N = 20 };
	struct place *p = *state;
	struct machine m[N];
	struct conn *c[N];
	struct pairing *x[N];
	char code[WORDS_CODE_MAX];
	struct wire_msg answer;
	unsigned looked = 0;

	other_code(p->code, code);
	for (unsigned i = 0; i < N; i++) {
		machine_init(&m[i], "stranger", 0);
		c[i] = served(&p->s, &m[i]);
	}
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < N; i++) {
			x[i] = caller_pairing(&m[i], c[i], PAIRING_CODE, code);
			if (begin_exchange(c[i], x[i], PAIRING_CODE)) {
				pairing_free(x[i]);
				x[i] = NULL;
			}
		}
		for (unsigned i = 0; i < N; i++) {
			if (!x[i])
				continue;
			put_step(c[i], x[i], PAIRING_CODE);
			answer = pair_answer(c[i]);
			assert_int_equal(answer.type, WIRE_UNPAIRED);
			looked += answer.unpaired.code == WIRE_EKEYREJECTED;
			pairing_free(x[i]);
		}
	}
	assert_int_equal(looked, PAIR_CODE_GUESSES);
	for (unsigned i = 0; i < N; i++)
		conn_free(c[i]);
}

/* Hangs up after the first step, or after the answer to it. */
static int broken_off(struct place *p, bool answered)
{
	struct conn *c = served(&p->s, &p->caller);
	struct pairing *x =
	    caller_pairing(&p->caller, c, PAIRING_CODE, p->code);
	int r = 0;

	if (answered)
		r = begin_exchange(c, x, PAIRING_CODE);
	else
		put_step(c, x, PAIRING_CODE);
	pairing_free(x);
	conn_free(c);
	return r;
}

static void what_is_broken_off_costs_nothing(void **state)
{
	struct place *p = *state;
	struct conn *c;
	int r;

	/* -EBUSY: it has not seen yet that the one before has gone. */
	for (unsigned i = 0; i < 2 * PAIR_CODE_GUESSES; i++) {
		EVENTUALLY((r = broken_off(p, i % 2)) != -EBUSY);
		assert_int_equal(r, 0);
	}
	c = served(&p->s, &p->caller);
	EVENTUALLY((r = wrong_guess(p, c)) != -EBUSY);
	assert_int_equal(r, -EKEYREJECTED);
	assert_int_equal(wrong_guess(p, c), -EKEYREJECTED);
	assert_int_equal(exchange(&p->caller, c, PAIRING_CODE, p->code), 0);
	conn_free(c);
}

/* Out of order, of another kind, repeated: the connection ends, uncounted. */
static void what_is_out_of_turn_ends_the_connection(void **state)
{
	static const struct {
		unsigned step;
		enum pairing_kind kind;
	} wrong[] = {
		{ 1, PAIRING_CODE },
		{ 2, PAIRING_CODE },
		{ 4, PAIRING_CODE },
		{ 3, PAIRING_GROUP },
		{ 1, PAIRING_GROUP },
	};
	struct place *p = *state;
	uint8_t bytes[PAIRING_BYTES_MAX];
	struct pairing *x;
	struct wire_msg m;
	struct conn *c;

	for (unsigned i = 0; i < N_OF(wrong); i++) {
		struct machine other;

		machine_init(&other, "other", 0);
		c = served(&p->s, &other);
		x = caller_pairing(&other, c, PAIRING_CODE, p->code);
		assert_int_equal(begin_exchange(c, x, PAIRING_CODE), 0);
		m = step_of(x, wrong[i].kind, bytes);
		m.pair.step = wrong[i].step;
		m.pair.len = m.pair.step <= 2 ? WIRE_PAIR_SHARE : WIRE_PAIR_TAG;
		send_msg(c, &m);
		expect_end(c);
		pairing_free(x);
		conn_free(c);
		/* Somebody else's live session is what keeps penalties off. */
		side_stop(&p->s);
		side_start(&p->s, NULL);
		pairer_open_code(p->s.pairer, p->code);
	}
	c = served(&p->s, &p->caller);
	m = (struct wire_msg){ .type = WIRE_PAIR };
	m.pair.kind = WIRE_PAIR_CODE;
	m.pair.step = 3;
	m.pair.bytes = bytes;
	m.pair.len = WIRE_PAIR_TAG;
	send_msg(c, &m);
	expect_end(c);
	conn_free(c);
	assert_false(knows(&p->s, &p->caller));
}

/* Step 3 of one connection says nothing on another, though it counts. */
static void a_step_of_another_connection_proves_nothing(void **state)
{
	struct place *p = *state;
	struct machine thief;
	struct conn *c = served(&p->s, &p->caller), *d;
	struct pairing *x, *y;
	uint8_t bytes[PAIRING_BYTES_MAX];
	struct wire_msg m;

	machine_init(&thief, "thief", 0);
	d = served(&p->s, &thief);
	x = caller_pairing(&p->caller, c, PAIRING_CODE, p->code);
	y = caller_pairing(&thief, d, PAIRING_CODE, "1-abandon-abandon");
	assert_int_equal(begin_exchange(c, x, PAIRING_CODE), 0);
	m = step_of(x, PAIRING_CODE, bytes);
	assert_int_equal(begin_exchange(d, y, PAIRING_CODE), 0);
	send_msg(d, &m);
	m = pair_answer(d);
	assert_int_equal(take_step(y, &m), -EKEYREJECTED);
	assert_false(knows(&p->s, &thief));
	/* Nor has it cost the one whose it is anything but that guess. */
	m = (struct wire_msg){ .type = WIRE_PAIR };
	m.pair.kind = WIRE_PAIR_CODE;
	m.pair.step = 3;
	m.pair.bytes = bytes;
	m.pair.len = WIRE_PAIR_TAG;
	send_msg(c, &m);
	m = pair_answer(c);
	assert_int_equal(take_step(x, &m), 0);
	assert_true(knows(&p->s, &p->caller));
	pairing_free(x);
	pairing_free(y);
	conn_free(c);
	conn_free(d);
}

static void what_is_not_open_is_said(void **state)
{
	struct place *p = *state;
	struct conn *c = served(&p->s, &p->caller);

	assert_int_equal(
	    exchange(&p->caller, c, PAIRING_GROUP, "a passphrase"), -EACCES);
	assert_int_equal(trust_pin(p->s.w.trust, p->caller.id.public, "caller",
			     TRUST_REFUSE, NULL),
	    0);
	assert_int_equal(
	    exchange(&p->caller, c, PAIRING_CODE, p->code), -EACCES);
	/* No guess was made: the code is as good as before. */
	assert_int_equal(trust_forget(p->s.w.trust, p->caller.id.public), 0);
	assert_int_equal(exchange(&p->caller, c, PAIRING_CODE, p->code), 0);
	assert_true(trusts(&p->s, &p->caller, conn_words(c)));
	conn_free(c);
}

/* While one connection lives and is not accepted, another one may pair only. */
static void a_second_connection_is_there_to_pair(void **state)
{
	struct wire_msg ask = { .type = WIRE_ASK };
	struct place *p = *state;
	struct conn *c = served(&p->s, &p->caller), *d, *e;

	strcpy(ask.ask.name, "f");
	d = served(&p->s, &p->caller);
	send_msg(d, &ask);
	expect_end(d);
	conn_free(d);
	d = served(&p->s, &p->caller);
	assert_int_equal(
	    conn_dial(&p->caller.self, (struct sockaddr *)&p->s.where,
		CONN_HANDSHAKE_MS, -1, &e, NULL),
	    0);
	expect_end(e); /* and no third one */
	conn_free(e);
	assert_int_equal(exchange(&p->caller, d, PAIRING_CODE, p->code), 0);
	assert_true(trusts(&p->s, &p->caller, conn_words(d)));
	conn_free(d);
	conn_free(c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_right_code_pins),
		TEST(three_wrong_ones_lock_it),
		TEST(twenty_connections_have_three_guesses_in_all),
		TEST(what_is_broken_off_costs_nothing),
		TEST(what_is_out_of_turn_ends_the_connection),
		TEST(a_step_of_another_connection_proves_nothing),
		TEST(what_is_not_open_is_said),
		TEST(a_second_connection_is_there_to_pair),
	};

	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
