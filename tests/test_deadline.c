/* Tests fs/deadline.h: what is called when, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deadline.h"
#include "sync.h"

/* Enough for a machine under load; nothing waits for it in vain. */
enum { LONG_MS = 20000, AGAIN = 3 };

struct timed {
	struct deadline deadline; /* first */
	struct deadlines *all;
	unsigned number, again;
};

static struct mutex lock = MUTEX_INIT;
static struct cond called;
static unsigned order[8], n_calls;
static bool wrong; /* in the thread, where nothing can be asserted */

/* Once it has counted the last call, the test may have ended, and d with it. */
static void passed(struct deadline *d)
{
	struct timed *timed = (struct timed *)d;

	mutex_lock(&lock);
	wrong |= now_ms() < d->at_ms;
	if (timed->again) {
		timed->again--;
		wrong |= deadline_set(timed->all, d, now_ms() + 1) != 0;
	}
	order[n_calls++] = timed->number;
	cond_broadcast(&called);
	mutex_unlock(&lock);
}

static void wait_calls(unsigned n)
{
	int64_t until = now_ms() + LONG_MS;

	mutex_lock(&lock);
	while (n_calls < n)
		assert_int_equal(cond_wait_until(&called, &lock, until), 0);
	assert_false(wrong);
	mutex_unlock(&lock);
}

static int setup(void **state)
{
	*state = deadlines_new();
	cond_init(&called);
	n_calls = 0;
	wrong = false;
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	deadlines_free(*state);
	cond_fini(&called);
	return 0;
}

static void the_earliest_comes_first(void **state)
{
	struct timed t[3];
	int64_t now = now_ms();

	for (unsigned i = 0; i < 3; i++) {
		t[i] = (struct timed){ .deadline.passed = passed, .number = i };
		assert_int_equal(
		    deadline_set(*state, &t[i].deadline, now + 90 - 30 * i), 0);
	}
	wait_calls(3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(order[i], 2 - i);
	assert_false(deadline_clear(*state, &t[0].deadline));
}

static void what_is_cleared_is_not_called(void **state)
{
	struct timed gone = { .deadline.passed = passed, .number = 1 };
	struct timed stays = { .deadline.passed = passed, .number = 2 };
	int64_t now = now_ms();

	assert_false(deadline_clear(*state, &gone.deadline));
	assert_int_equal(deadline_set(*state, &gone.deadline, now + 10), 0);
	assert_true(deadline_clear(*state, &gone.deadline));
	assert_int_equal(deadline_set(*state, &stays.deadline, now + 30), 0);
	wait_calls(1);
	assert_int_equal(n_calls, 1);
	assert_int_equal(order[0], 2);
}

static void a_deadline_can_be_moved(void **state)
{
	struct timed far = { .deadline.passed = passed };
	int64_t now = now_ms();

	assert_int_equal(
	    deadline_set(*state, &far.deadline, now + 10 * LONG_MS), 0);
	assert_int_equal(deadline_set(*state, &far.deadline, now + 10), 0);
	wait_calls(1);
	assert_false(deadline_clear(*state, &far.deadline));
}

static void one_that_passes_can_set_itself_again(void **state)
{
	struct timed t = {
		.deadline.passed = passed, .all = *state, .again = AGAIN
	};

	assert_int_equal(deadline_set(*state, &t.deadline, now_ms()), 0);
	wait_calls(1 + AGAIN);
}

static void those_still_set_at_the_end_are_not_called(void **state)
{
	struct timed t = { .deadline.passed = passed };

	assert_int_equal(
	    deadline_set(*state, &t.deadline, now_ms() + LONG_MS), 0);
	deadlines_free(*state);
	*state = NULL;
	assert_int_equal(n_calls, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_earliest_comes_first),
		TEST(what_is_cleared_is_not_called),
		TEST(a_deadline_can_be_moved),
		TEST(one_that_passes_can_set_itself_again),
		TEST(those_still_set_at_the_end_are_not_called),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
