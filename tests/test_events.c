/* Tests fs/events.h: lines, positions, and what is kept of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "events.h"

#define TIME_CHARS 24

/* What is to be read from position on, as a string. */
static char *read_all(struct events *e, uint64_t *position, size_t step)
{
	char *text = malloc(EVENTS_KEEP + 1);
	size_t n, len = 0;

	assert_non_null(text);
	do {
		n = EVENTS_KEEP - len < step ? EVENTS_KEEP - len : step;
		n = events_read(e, position, text + len, n);
		len += n;
	} while (n);
	text[len] = '\0';
	return text;
}

/* 2024-05-01T12:00:00.000Z */
static void assert_time(const char *line)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	for (size_t i = 0; i < TIME_CHARS; i++) {
		if (form[i] == 'd')
			assert_in_range(line[i], '0', '9');
		else
			assert_int_equal(line[i], form[i]);
	}
}

static void a_line_has_time_event_and_fields(void **state)
{
	struct events *e = events_new(NULL, NULL);
	uint64_t position = 0;
	char *text;

	assert_int_equal(events_read(e, &position, NULL, 0), 0);
	events_add(e, "started", NULL);
	events_add(e, "sent", "laptop", "a\tb\nc\x1b[31m", "", NULL);
	assert_int_equal(events_begin(e), 0);
	text = read_all(e, &position, 100);
	assert_int_equal(position, strlen(text));
	assert_int_equal(position, events_end(e));
	assert_time(text);
	assert_memory_equal(text + TIME_CHARS, "\tstarted\n", 9);
	assert_time(text + TIME_CHARS + 9);
	assert_string_equal(text + 2 * TIME_CHARS + 9,
	    "\tsent\tlaptop\ta\\tb\\nc\\x1b[31m\t\n");
	assert_true(memcmp(text, text + TIME_CHARS + 9, TIME_CHARS) <= 0);
	free(text);
	/* At the end there is nothing, until something comes. */
	text = read_all(e, &position, 1);
	assert_string_equal(text, "");
	free(text);
	events_add(e, "x", NULL);
	text = read_all(e, &position, 1);
	assert_int_equal(strlen(text), TIME_CHARS + 3);
	free(text);
	events_free(e);
	events_free(NULL);
}

static void beyond_the_end_is_nothing(void **state)
{
	struct events *e = events_new(NULL, NULL);
	uint64_t position = 1000;
	char c;

	events_add(e, "x", NULL);
	assert_int_equal(events_read(e, &position, &c, 1), 0);
	assert_int_equal(position, 1000);
	events_free(e);
}

static void too_long_a_line_is_cut_and_stays_a_line(void **state)
{
	struct events *e = events_new(NULL, NULL);
	char *longest = malloc(100001), *text;
	uint64_t position = 0;

	memset(longest, '\x01', 100000);
	longest[100000] = '\0';
	/* Whatever the length of the first field, the end is a newline. */
	for (size_t n = 0; n < 9000; n += n < 8100 ? 1000 : 1) {
		const char *newline;

		position = events_end(e);
		memset(longest, 'x', n);
		events_add(e, "long", longest + 100000 - n, longest, longest,
		    longest, NULL);
		text = read_all(e, &position, 100000);
		newline = strchr(text, '\n');
		assert_non_null(newline);
		assert_int_equal(newline[1], '\0');
		assert_true(strlen(text) > 8000 && strlen(text) <= 8192);
		free(text);
	}
	free(longest);
	events_free(e);
}

static void the_oldest_lines_go(void **state)
{
	struct events *e = events_new(NULL, NULL);
	uint64_t behind = 0, position = 0;
	unsigned last = 60000, first, n;
	char number[16], *text, *line, *at;

	for (unsigned i = 0; i <= last; i++) {
		snprintf(number, sizeof(number), "%u", i);
		events_add(e, "n", number, NULL);
		assert_true(events_end(e) - events_begin(e) <= EVENTS_KEEP);
		if (i == 10)
			behind = events_end(e);
	}
	assert_true(events_begin(e) > behind);
	/* Less than a line is missing of what could be kept. */
	assert_true(events_end(e) - events_begin(e) > EVENTS_KEEP - 64);
	text = read_all(e, &behind, 777); /* across the ring's end */
	assert_int_equal(behind, events_end(e));
	position = events_begin(e);
	assert_int_equal(strlen(text), behind - position);
	at = text;
	assert_time(at);
	assert_int_equal(sscanf(at + TIME_CHARS, "\tn\t%u\n", &first), 1);
	for (n = first; (line = strsep(&at, "\n")) && *line; n++) {
		assert_time(line);
		snprintf(number, sizeof(number), "\tn\t%u", n);
		assert_string_equal(line + TIME_CHARS, number);
	}
	assert_int_equal(n, last + 1);
	free(text);
	events_free(e);
}

struct seen {
	struct events *events;
	unsigned calls;
	uint64_t end;
};

static void added(void *ctx)
{
	struct seen *s = ctx;

	s->calls++;
	s->end = events_end(s->events); /* hangs if the lock were held */
}

static void each_line_is_told(void **state)
{
	struct seen seen = { 0 };

	seen.events = events_new(added, &seen);
	events_add(seen.events, "a", NULL);
	events_add(seen.events, "b", "c", NULL);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.end, events_end(seen.events));
	events_free(seen.events);
}

#define ADDERS 4
#define LINES  2000

static void *add_many(void *arg)
{
	char number[16];

	for (unsigned i = 0; i < LINES; i++) {
		snprintf(number, sizeof(number), "%u", i);
		events_add(arg, "many", number, NULL);
	}
	return NULL;
}

static void lines_of_threads_stay_whole(void **state)
{
	struct events *e = events_new(NULL, NULL);
	pthread_t threads[ADDERS];
	char *text, *at, *line, before[TIME_CHARS] = "";
	uint64_t position = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < ADDERS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, add_many, e), 0);
	while (events_end(e) < 1000) {
		char c[64];

		events_read(e, &position, c, sizeof(c));
	}
	for (unsigned i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	position = 0;
	text = read_all(e, &position, 4096);
	at = text;
	while ((line = strsep(&at, "\n")) && *line) {
		assert_time(line);
		assert_memory_equal(line + TIME_CHARS, "\tmany\t", 6);
		assert_true(memcmp(before, line, TIME_CHARS) <= 0);
		memcpy(before, line, TIME_CHARS);
		n++;
	}
	assert_int_equal(n, ADDERS * LINES);
	free(text);
	events_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_event_and_fields),
		cmocka_unit_test(beyond_the_end_is_nothing),
		cmocka_unit_test(too_long_a_line_is_cut_and_stays_a_line),
		cmocka_unit_test(the_oldest_lines_go),
		cmocka_unit_test(each_line_is_told),
		cmocka_unit_test(lines_of_threads_stay_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
