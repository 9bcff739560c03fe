/*
 * Tests of fs/publish.h: the names that are tried one after the other.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "publish.h"

static void expect(
    const char *want, enum publish_kind kind, unsigned n, const char *name)
{
	char got[WIRE_NAME_MAX + 1];

	publish_candidate(want, kind, n, got);
	assert_string_equal(got, name);
}

static void number_stands_before_extension(void **state)
{
	(void)state;
	expect("a.txt", PUBLISH_FILE, 1, "a.txt");
	expect("a.txt", PUBLISH_FILE, 2, "a (2).txt");
	expect("a.b.txt", PUBLISH_FILE, 10, "a.b (10).txt");
	expect("a", PUBLISH_FILE, 2, "a (2)");
	expect("a.", PUBLISH_FILE, 2, "a. (2)");
	expect("a (2).txt", PUBLISH_FILE, 2, "a (2) (2).txt");
	expect(".bashrc", PUBLISH_FILE, 2, ".bashrc (2)");
	expect("..x", PUBLISH_FILE, 2, "..x (2)");
	expect(".config.json", PUBLISH_FILE, 2, ".config (2).json");
	expect("x.tar.gz", PUBLISH_FILE, 3, "x (3).tar.gz");
	expect("x.1.TAR.zst", PUBLISH_FILE, 3, "x.1 (3).TAR.zst");
	expect("x.tar", PUBLISH_FILE, 3, "x (3).tar");
	expect(".tar.gz", PUBLISH_FILE, 3, ".tar (3).gz");
	expect(
	    "Mr. Smith goes home", PUBLISH_FILE, 2, "Mr. Smith goes home (2)");
	expect("photos.2024", PUBLISH_DIRECTORY, 2, "photos.2024 (2)");
}

static void long_names_are_cut_between_characters(void **state)
{
	char want[WIRE_NAME_MAX + 1], got[WIRE_NAME_MAX + 1];

	(void)state;
	memset(want, 'a', 255);
	memcpy(want + 251, ".txt", 5);
	publish_candidate(want, PUBLISH_FILE, 1, got);
	assert_string_equal(got, want);
	publish_candidate(want, PUBLISH_FILE, 10000, got);
	assert_int_equal(strlen(got), 255);
	assert_string_equal(got + 255 - 12, " (10000).txt");

	/* 85 characters of 3 bytes: the cut must fall between two. */
	for (size_t i = 0; i < 255; i += 3)
		memcpy(want + i, "\xe2\x82\xac", 3);
	want[255] = '\0';
	for (unsigned n = 2; n < 20000; n = n * 3 + 1) {
		size_t stem;

		publish_candidate(want, PUBLISH_FILE, n, got);
		stem = strcspn(got, " ");
		assert_true(strlen(got) <= 255 && strlen(got) > 250);
		assert_int_equal(stem % 3, 0);
		assert_memory_equal(got, want, stem);
	}

	/* Not UTF-8 at all: cut somewhere, and never too long. */
	memset(want, 0x80, 255);
	publish_candidate(want, PUBLISH_DIRECTORY, 2, got);
	assert_int_equal(strlen(got), 255);
}

static int take_from_fifth(void *arg, const char *name)
{
	unsigned *calls = arg;

	assert_non_null(name);
	return ++*calls < 5 ? -EEXIST : 0;
}

static int take_none(void *arg, const char *name)
{
	++*(unsigned *)arg;
	assert_true(strlen(name) <= WIRE_NAME_MAX);
	return -EEXIST;
}

static void first_free_name_is_taken(void **state)
{
	char got[WIRE_NAME_MAX + 1] = "untouched";
	unsigned calls = 0;

	(void)state;
	assert_int_equal(publish_choose("a.c", PUBLISH_FILE, true,
			     take_from_fifth, &calls, got),
	    0);
	assert_string_equal(got, "a (5).c");

	calls = 0;
	strcpy(got, "untouched");
	assert_int_equal(
	    publish_choose("a.c", PUBLISH_FILE, true, take_none, &calls, got),
	    -EEXIST);
	assert_in_range(calls, PUBLISH_TRIES_MAX + 1, PUBLISH_TRIES_MAX + 8);
	assert_string_equal(got, "untouched");
}

static int take_no_number_in_order(void *arg, const char *name)
{
	return ++*(unsigned *)arg <= PUBLISH_TRIES_MAX ? -EEXIST : 0;
}

static void where_all_are_taken_one_at_random_is(void **state)
{
	char got[2][WIRE_NAME_MAX + 1];
	unsigned calls;

	(void)state;
	for (int i = 0; i < 2; i++) {
		calls = 0;
		assert_int_equal(publish_choose("a.c", PUBLISH_FILE, true,
				     take_no_number_in_order, &calls, got[i]),
		    0);
		assert_int_equal(strlen(got[i]), strlen("a (4294967295).c"));
	}
	assert_string_not_equal(got[0], got[1]);
}

static void no_path_is_ever_tried(void **state)
{
	static const char *const bad[] = { "", ".", "..", "/", "a/b", "/a",
		"../a", "a/", "a/../../b", "a//b" };
	char got[WIRE_NAME_MAX + 1], spool[] = ".gtfs-spool";
	unsigned calls = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(publish_choose(bad[i], PUBLISH_FILE, false,
				     take_none, &calls, got),
		    -EILSEQ);
	assert_int_equal(calls, 5);
	/* The spool's name is given away below the top only. */
	assert_int_equal(publish_choose(spool, PUBLISH_DIRECTORY, true,
			     take_from_fifth, &calls, got),
	    0);
	assert_string_equal(got, ".gtfs-spool (2)");
	assert_int_equal(publish_choose(spool, PUBLISH_DIRECTORY, false,
			     take_from_fifth, &calls, got),
	    0);
	assert_string_equal(got, ".gtfs-spool");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(number_stands_before_extension),
		cmocka_unit_test(long_names_are_cut_between_characters),
		cmocka_unit_test(first_free_name_is_taken),
		cmocka_unit_test(where_all_are_taken_one_at_random_is),
		cmocka_unit_test(no_path_is_ever_tried),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
