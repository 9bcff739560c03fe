/*
 * crypto/locked.h: secrets have memory of their own, which is empty again when
 * the next one gets it; beyond its end there is ordinary memory.
 */
#include "locked.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sanitized.h"
#include "sync.h"

static long locked_kb(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmLck: %ld kB", &kb);
	fclose(f);
	return kb;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p++)
		len--;
	return len == 0;
}

static void test_what_is_freed_is_wiped_before_it_is_used_again(void **state)
{
	uint8_t *a, *b, *c;

	if (SANITIZED)
		return; /* ordinary memory */
	a = locked_alloc(100);
	b = locked_alloc(600);
	assert_true(is_zero(a, 100) && is_zero(b, 600));
	memset(a, 1, 100);
	memset(b, 2, 600);
	locked_free(a, 100);
	assert_true(is_zero(a, 100)); /* it is still mapped */
	assert_int_equal(b[0], 2);
	c = locked_alloc(128);
	assert_ptr_equal(c, a);
	assert_int_equal((uintptr_t)c % 16, 0);
	locked_free(c, 128);
	locked_free(b, 600);
	locked_free(NULL, 600);
}

static void test_it_is_locked_and_no_more_than_it(void **state)
{
	uint8_t *a = locked_alloc(1);

	if (SANITIZED) {
		locked_free(a, 1);
		return;
	}
	if (!locked_works()) {
		print_message("this system locks no memory\n");
		locked_free(a, 1);
		skip();
	}
	assert_int_equal(locked_kb(), LOCKED_BYTES / 1024);
	locked_free(a, 1);
}

static void test_beyond_its_end_there_is_ordinary_memory(void **state)
{
	enum { N = LOCKED_BYTES / 600 + 20 };
	uint8_t *all[N], *large;

	for (unsigned i = 0; i < N; i++) {
		all[i] = locked_alloc(600);
		assert_non_null(all[i]);
		assert_true(is_zero(all[i], 600));
		memset(all[i], (int)i, 600);
	}
	large = locked_alloc(2 * LOCKED_BYTES);
	assert_true(is_zero(large, 2 * LOCKED_BYTES));
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(all[i][0], (uint8_t)i);
		assert_int_equal(all[i][599], (uint8_t)i);
		locked_free(all[i], 600);
	}
	locked_free(large, 2 * LOCKED_BYTES);
	if (SANITIZED)
		return;
	/* All of it is there again. */
	large = locked_alloc(LOCKED_BYTES);
	assert_ptr_equal(large, all[0]);
	locked_free(large, LOCKED_BYTES);
}

static void *use(void *arg)
{
	unsigned id = *(unsigned *)arg;
	uint8_t *p;

	*(unsigned *)arg = 0;
	for (unsigned i = 0; i < 2000; i++) {
		size_t len = 1 + (i * 37 + id) % 700;

		p = locked_alloc(len);
		if (!p || !is_zero(p, len))
			return NULL;
		memset(p, (int)id, len);
		if (p[len / 2] != id || p[len - 1] != id)
			return NULL;
		locked_free(p, len);
	}
	*(unsigned *)arg = id;
	return NULL;
}

static void test_threads_get_memory_of_their_own(void **state)
{
	unsigned ids[4] = { 1, 2, 3, 4 };
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(thread_start(&t[i], "user", use, &ids[i]), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(ids[i], i + 1);
	}
}

static void test_a_system_that_locks_nothing_does_without(void **state)
{
	const struct rlimit none = { 0, 0 };
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		/* Root locks beyond its limit. */
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		setrlimit(RLIMIT_MEMLOCK, &none);
		_exit(locked_alloc(10) && !locked_works() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* The first, in a process that has no such memory yet. */
		cmocka_unit_test(test_a_system_that_locks_nothing_does_without),
		cmocka_unit_test(
		    test_what_is_freed_is_wiped_before_it_is_used_again),
		cmocka_unit_test(test_it_is_locked_and_no_more_than_it),
		cmocka_unit_test(test_beyond_its_end_there_is_ordinary_memory),
		cmocka_unit_test(test_threads_get_memory_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
