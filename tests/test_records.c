/* Tests fs/records.h, json.h, show.h and mounts.h: lines that anybody may have
 * written, and how they look. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "mounts.h"
#include "records.h"
#include "show.h"

static void mount_lines_are_parsed(void **state)
{
	static const char *const other[] = { "",
		"36 35 0:52 / /gt rw - ext4 /dev/x rw",
		"36 35 0:52 / /gt rw - fuse.sshfs x rw,user_id=0",
		"36 35 0:52 /peers /gt rw - fuse.gtfs gtfs rw,user_id=0",
		"36 35 0:52 / /gt rw - fuse.gtfs gtfs rw",
		"36 35 0:52 / /gt rw - fuse.gtfs gtfs",
		"36 35 x / /gt rw - fuse.gtfs gtfs rw,user_id=0",
		"36 35 0:52 / /gt rw - x - fuse.gtfs gtfs rw,user_id=0" };
	struct mount_entry e;

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_int_equal(mounts_parse(other[i], &e), MOUNTS_OTHER);
	assert_int_equal(
	    mounts_parse("36 35 0:52 / /a\\040b\\134\\012 rw,nosuid shared:1 "
			 "master:2 - fuse.gtfs gtfs rw,user_id=1000,group_id="
			 "1000\n",
		&e),
	    0);
	assert_int_equal(e.id, 36);
	assert_int_equal(e.minor, 52);
	assert_int_equal(e.user, 1000);
	assert_string_equal(e.path, "/a b\\\n");
	free(e.path);
}

static void escapes_are_undone_or_left(void **state)
{
	static const char *const pairs[][2] = {
		{ "plain", "plain" },
		{ "a\\nb\\tc\\\\d", "a\nb\tc\\d" },
		{ "\\x1b\\xff", "\x1b\xff" },
		{ "\\u{85}\\u{202e}\\u{10ffff}",
		    "\xc2\x85\xe2\x80\xae\xf4\x8f\xbf\xbf" },
		{ "\\", "\\" },
		{ "\\q", "\\q" },
		{ "\\x1", "\\x1" },
		{ "\\x00", "\\x00" },
		{ "\\u{}", "\\u{}" },
		{ "\\u{110000}", "\\u{110000}" },
		{ "\\u{12", "\\u{12" },
		{ "\\u12}", "\\u12}" },
		{ "\\u{0000041}", "\\u{0000041}" },
	};
	char text[64];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		strcpy(text, pairs[i][0]);
		records_unescape(text);
		assert_string_equal(text, pairs[i][1]);
	}
}

static void odd_lines_are_survived(void **state)
{
	static const char *const texts[] = { "", "\n", "a", "a\tb\n\n\t\t\n",
		"1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\n", "\t\t\t\t\t\t\t\t\t\n" };
	FILE *null = fopen("/dev/null", "we");
	struct records r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(records_parse(strdup(texts[i]), peers_columns,
				     PEERS_COLUMNS, &r),
		    0);
		assert_int_equal(show_peers(null, &r), 0);
		json_records(null, &r, peers_columns);
		records_fini(&r);
		assert_int_equal(records_parse(strdup(texts[i]),
				     transfers_columns, TRANSFERS_COLUMNS, &r),
		    0);
		assert_int_equal(show_transfers(null, &r), 0);
		records_fini(&r);
		assert_int_equal(records_parse(strdup(texts[i]),
				     requests_columns, REQUESTS_COLUMNS, &r),
		    0);
		assert_int_equal(show_requests(null, &r), 0);
		records_fini(&r);
		assert_int_equal(records_parse(strdup(texts[i]), why_columns,
				     WHY_COLUMNS, &r),
		    0);
		assert_int_equal(show_why(null, &r), 0);
		records_fini(&r);
		assert_int_equal(records_parse_pairs(strdup(texts[i]), &r), 0);
		show_self(null, &r);
		json_pairs(null, &r);
		assert_null(records_value(&r, "name"));
		records_fini(&r);
	}
	fclose(null);
}

static void json_strings_hold_anything(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\x01\x7f\n", "\"\\u0001\\u007f\\u000a\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
		{ "\xf3\xa0\x80\x81", "\"\\udb40\\udc01\"" }, /* a tag */
		{ "\xff\"", "\"\\\\xff\\\"\"" },
	};
	char *text;
	size_t len;
	FILE *f;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		f = open_memstream(&text, &len);
		json_string(f, pairs[i][0]);
		fclose(f);
		assert_string_equal(text, pairs[i][1]);
		free(text);
	}
}

static void units_are_short(void **state)
{
	static const struct {
		uint64_t n;
		const char *bytes, *age;
	} cases[] = {
		{ 0, "0 B", "now" },
		{ 999, "999 B", "16 min" },
		{ 1000, "1.0 kB", "16 min" },
		{ 9999, "9.9 kB", "2 h" },
		{ 10000, "10 kB", "2 h" },
		{ 999999, "999 kB", "11 d" },
		{ 1000000, "1.0 MB", "11 d" },
		{ UINT64_MAX, "18 EB", "213503982334601 d" },
	};
	char cell[SHOW_CELL_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		show_bytes(cases[i].n, cell);
		assert_string_equal(cell, cases[i].bytes);
		show_age(cases[i].n, cell);
		assert_string_equal(cell, cases[i].age);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_lines_are_parsed),
		cmocka_unit_test(escapes_are_undone_or_left),
		cmocka_unit_test(odd_lines_are_survived),
		cmocka_unit_test(json_strings_hold_anything),
		cmocka_unit_test(units_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
