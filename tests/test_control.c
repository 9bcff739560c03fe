/* Tests fs/control.h: quotas as people write them. What the commands do is
 * tested through a mount (tests/e2e). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void quotas_are_sizes_and_counts(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, files;
	} good[] = {
		{ "0", 0, 0 },
		{ "7", 7, 0 },
		{ "1k", 1000, 0 },
		{ "20G", UINT64_C(20000000000), 0 },
		{ "500M,1000", 500000000, 1000 },
		{ "3T,2k", UINT64_C(3000000000000), 2000 },
		{ "18446744073709551615", UINT64_MAX, 0 },
	};
	uint64_t bytes, files;

	for (size_t i = 0; i < N(good); i++) {
		assert_int_equal(
		    control_quota(good[i].text, &bytes, &files), 0);
		assert_int_equal(bytes, good[i].bytes);
		assert_int_equal(files, good[i].files);
	}
}

static void other_texts_are_refused(void **state)
{
	static const char *const bad[] = { "", "G", "-1", "+1", " 1", "1 ",
		"1.5G", "1g", "1KB", "1,", ",1", "1,2,3", "1,x", "1G2",
		"18446744073709551616", "18446745T", "0x10", "1\n" };
	uint64_t bytes = 5, files = 6;

	for (size_t i = 0; i < N(bad); i++)
		assert_int_equal(
		    control_quota(bad[i], &bytes, &files), -EINVAL);
	assert_int_equal(bytes, 5);
	assert_int_equal(files, 6);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(quotas_are_sizes_and_counts),
		cmocka_unit_test(other_texts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
