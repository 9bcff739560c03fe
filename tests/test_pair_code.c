/*
 * Tests net/pair_code.h: how often, how long and by whom a code is used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "pair_code.h"

enum { START = 1000 };

static int setup(void **state)
{
	*state = pair_code_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	pair_code_free(*state);
	return 0;
}

static uint64_t begun(struct pair_code *c, const char *expected)
{
	char code[WORDS_CODE_MAX];
	uint64_t x;

	assert_int_equal(pair_code_begin(c, START, &x, code), 0);
	assert_string_equal(code, expected);
	return x;
}

static void assert_closed(struct pair_code *c, int64_t now)
{
	char code[WORDS_CODE_MAX];
	uint64_t x;

	assert_int_equal(pair_code_begin(c, now, &x, code), -EACCES);
}

static void none_is_open_at_first(void **state)
{
	assert_closed(*state, START);
	assert_int_equal(pair_code_guess(*state, START, 0), -EACCES);
	assert_int_equal(pair_code_guess(*state, START, 1), -EACCES);
}

static void three_wrong_guesses_and_it_is_gone(void **state)
{
	char code[WORDS_CODE_MAX];
	uint64_t x = 0;

	pair_code_renew(*state, START, code);
	for (unsigned left = PAIR_CODE_GUESSES; left-- > 0;) {
		x = begun(*state, code);
		assert_int_equal(pair_code_guess(*state, START, x), 0);
		assert_int_equal(pair_code_looked(*state, x, false), left);
	}
	assert_int_equal(pair_code_guess(*state, START, x), -EACCES);
	assert_closed(*state, START);
}

static void it_lasts_ten_minutes(void **state)
{
	char code[WORDS_CODE_MAX], again[WORDS_CODE_MAX];
	const int64_t end = START + PAIR_CODE_MS;
	uint64_t x, y;

	pair_code_renew(*state, START, code);
	assert_int_equal(pair_code_begin(*state, end - 1, &x, again), 0);
	assert_int_equal(pair_code_guess(*state, end, x), -EACCES);
	assert_closed(*state, end);
	assert_closed(*state, START); /* it does not come back */
	pair_code_renew(*state, START, code);
	assert_int_equal(pair_code_begin(*state, end - 1, &y, again), 0);
	assert_int_equal(pair_code_guess(*state, end - 1, y), 0);
}

/* Neither those that come after nor those that were there before. */
static void who_begins_keeps_nobody_out(void **state)
{
	char code[WORDS_CODE_MAX];
	uint64_t first, last = 0;

	pair_code_renew(*state, START, code);
	first = begun(*state, code);
	for (unsigned i = 0; i < 100; i++)
		last = begun(*state, code);
	assert_int_equal(pair_code_guess(*state, START, last), 0);
	/* One at a time; and those that came to no guess have cost none. */
	assert_int_equal(pair_code_guess(*state, START, first), -EACCES);
	assert_int_equal(
	    pair_code_looked(*state, last, false), PAIR_CODE_GUESSES - 1);
	assert_int_equal(pair_code_guess(*state, START, first), 0);
	assert_int_equal(pair_code_looked(*state, first, true), 0);
	assert_closed(*state, START);
}

static void the_right_one_is_used_up(void **state)
{
	char code[WORDS_CODE_MAX];
	uint64_t x;

	pair_code_renew(*state, START, code);
	x = begun(*state, code);
	assert_int_equal(pair_code_guess(*state, START, x), 0);
	assert_closed(*state, START); /* while it is looked at */
	assert_int_equal(pair_code_looked(*state, x, true), 0);
	assert_closed(*state, START);
}

static void a_new_code_ends_what_the_old_one_began(void **state)
{
	char code[WORDS_CODE_MAX], other[WORDS_CODE_MAX];
	uint64_t x, y;

	pair_code_renew(*state, START, code);
	x = begun(*state, code);
	pair_code_renew(*state, START, other);
	assert_string_not_equal(code, other);
	assert_int_equal(pair_code_guess(*state, START, x), -EACCES);
	y = begun(*state, other);
	assert_int_equal(pair_code_guess(*state, START, y), 0);
	pair_code_renew(*state, START, code);
	assert_int_equal(pair_code_looked(*state, y, true), PAIR_CODE_GUESSES);
	begun(*state, code);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(none_is_open_at_first),
		TEST(three_wrong_guesses_and_it_is_gone),
		TEST(it_lasts_ten_minutes),
		TEST(who_begins_keeps_nobody_out),
		TEST(the_right_one_is_used_up),
		TEST(a_new_code_ends_what_the_old_one_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
