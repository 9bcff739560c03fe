/*
 * Tests net/space.h: who only looks never waits for who asks.
 */
#include "memory_sink.h"
#include "net_fixture.h"

#include "space.h"

static int no_answer(struct sink *s, struct sink_space *ret)
{
	return -EIO;
}

static void the_last_answer_stays(void **state)
{
	struct sink_ops silent = { .space = no_answer };
	struct sink_space got;
	struct memory_sink sink;
	struct space *s;

	memory_sink_init(&sink);
	s = space_new(&sink.base);
	assert_non_null(s);
	space_last(s, &got);
	assert_int_equal(got.free_bytes, 0);
	assert_int_equal(got.total_files, 0);
	space_ask(s);
	sink.base.ops = &silent;
	space_ask(s);
	space_last(s, &got);
	assert_int_equal(got.free_bytes, 11);
	assert_int_equal(got.total_bytes, 22);
	assert_int_equal(got.free_files, 33);
	assert_int_equal(got.total_files, 44);
	space_free(s);
	space_free(NULL);
	memory_sink_fini(&sink);
}

static void *ask(void *arg)
{
	space_ask(arg);
	return NULL;
}

static void who_looks_does_not_wait(void **state)
{
	struct memory_sink sink;
	struct sink_space got;
	struct space *s;
	pthread_t asker;

	memory_sink_init(&sink);
	s = space_new(&sink.base);
	assert_non_null(s);
	memory_sink_block(&sink, MEMORY_SPACE);
	assert_int_equal(thread_start(&asker, "asker", ask, s), 0);
	EVENTUALLY(memory_sink_read(&sink, &sink.waiting));
	space_last(s, &got);
	assert_int_equal(got.free_bytes, 0);
	memory_sink_block(&sink, 0);
	pthread_join(asker, NULL);
	space_last(s, &got);
	assert_int_equal(got.free_bytes, 11);
	space_free(s);
	memory_sink_fini(&sink);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_answer_stays),
		cmocka_unit_test(who_looks_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
