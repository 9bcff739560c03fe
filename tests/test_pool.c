/* Tests net/pool.h: the memory of all windows. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pool.h"

enum { ALL = POOL_LIMIT / POOL_CHUNK, REGION = 1024 };

static void runs_are_whole_chunks_and_apart(void **state)
{
	static const size_t wants[] = { 1, POOL_CHUNK - 1, POOL_CHUNK,
		POOL_CHUNK + 1, POOL_RUN_MAX - 1, POOL_RUN_MAX };
	enum { N = sizeof(wants) / sizeof(wants[0]) };
	struct pool *p = pool_new();
	uint8_t *run[N];
	size_t bytes[N];

	assert_non_null(p);
	for (unsigned i = 0; i < N; i++) {
		run[i] = pool_take(p, wants[i], &bytes[i]);
		assert_non_null(run[i]);
		assert_int_equal(bytes[i] % POOL_CHUNK, 0);
		assert_in_range(bytes[i], wants[i], wants[i] + POOL_CHUNK - 1);
		memset(run[i], (int)i + 1, bytes[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		for (size_t j = 0; j < bytes[i]; j++)
			assert_int_equal(run[i][j], i + 1);
		pool_give(p, run[i], bytes[i]);
	}
	pool_free(p);
}

static void the_limit_holds_and_what_is_given_comes_back(void **state)
{
	struct pool *p = pool_new();
	void *chunk[ALL], *run;
	size_t bytes = 77;

	for (unsigned i = 0; i < ALL; i++) {
		chunk[i] = pool_take(p, POOL_CHUNK, &bytes);
		assert_non_null(chunk[i]);
	}
	bytes = 77;
	assert_null(pool_take(p, 1, &bytes));
	assert_int_equal(bytes, 77);

	/* Only pieces are left: a smaller run than was wanted. */
	pool_give(p, chunk[10], POOL_CHUNK);
	pool_give(p, chunk[20], POOL_CHUNK);
	pool_give(p, chunk[21], POOL_CHUNK);
	run = pool_take(p, POOL_RUN_MAX, &bytes);
	assert_ptr_equal(run, chunk[20]);
	assert_int_equal(bytes, 2 * POOL_CHUNK);
	run = pool_take(p, POOL_RUN_MAX, &bytes);
	assert_ptr_equal(run, chunk[10]);
	assert_int_equal(bytes, POOL_CHUNK);
	assert_null(pool_take(p, 1, &bytes));
	pool_free(p);
}

static void the_least_is_there_beyond_the_limit(void **state)
{
	struct pool *p = pool_new();
	void *chunk[REGION];
	uint8_t *again;
	size_t bytes;

	for (unsigned i = 0; i < REGION; i++) {
		chunk[i] = pool_take_least(p);
		assert_non_null(chunk[i]);
		memset(chunk[i], 0xff, POOL_CHUNK);
	}
	assert_null(pool_take_least(p));
	assert_null(pool_take(p, 1, &bytes));
	/* What lies beyond goes back to the system at once. */
	pool_give(p, chunk[REGION - 1], POOL_CHUNK);
	again = pool_take_least(p);
	assert_ptr_equal(again, chunk[REGION - 1]);
	for (unsigned i = 0; i < POOL_CHUNK; i++)
		assert_int_equal(again[i], 0);
	/* Beyond the limit nothing is for pool_take. */
	pool_give(p, again, POOL_CHUNK);
	assert_null(pool_take(p, 1, &bytes));
	for (unsigned i = 0; i < REGION - 1; i++)
		pool_give(p, chunk[i], POOL_CHUNK);
	assert_ptr_equal(pool_take(p, 1, &bytes), chunk[0]);
	pool_free(p);
	pool_free(NULL);
}

struct user {
	struct pool *pool;
	pthread_t thread;
	uint8_t mark;
	bool wrong;
};

static void *use(void *arg)
{
	struct user *u = arg;

	for (unsigned i = 0; i < 2000 && !u->wrong; i++) {
		size_t bytes = POOL_CHUNK;
		uint8_t *run = i % 7 ? pool_take(u->pool,
					   1 + i * 977 % POOL_RUN_MAX, &bytes)
				     : pool_take_least(u->pool);

		if (!run)
			continue;
		for (size_t j = 0; j < bytes; j += 4096)
			run[j] = u->mark;
		for (size_t j = 0; j < bytes; j += 4096)
			u->wrong |= run[j] != u->mark;
		pool_give(u->pool, run, bytes);
	}
	return NULL;
}

static void threads_never_share_a_chunk(void **state)
{
	struct pool *p = pool_new();
	struct user users[4];
	size_t bytes;

	for (unsigned i = 0; i < 4; i++) {
		users[i] = (struct user){ .pool = p, .mark = (uint8_t)(i + 1) };
		assert_int_equal(
		    pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(users[i].thread, NULL);
		assert_false(users[i].wrong);
	}
	for (unsigned i = 0; i < ALL; i++)
		assert_non_null(pool_take(p, 1, &bytes));
	assert_null(pool_take(p, 1, &bytes));
	pool_free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_are_whole_chunks_and_apart),
		cmocka_unit_test(the_limit_holds_and_what_is_given_comes_back),
		cmocka_unit_test(the_least_is_there_beyond_the_limit),
		cmocka_unit_test(threads_never_share_a_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
