/* Tests net/ledger.h: what is kept of transfers, and for how long. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger.h"

struct seen {
	unsigned calls;
	struct ledger *ledger; /* asked again inside the call, if set */
	struct ledger_entry last;
};

static void changed(void *ctx, const struct ledger_entry *e)
{
	struct seen *s = ctx;
	struct ledger_entry *all;

	s->calls++;
	s->last = *e;
	if (s->ledger) { /* would hang if the lock were held */
		assert_true(ledger_snapshot(s->ledger, &all) >= 0);
		free(all);
	}
}

static void a_transfer_is_followed_to_its_end(void **state)
{
	struct seen seen = { 0 };
	struct ledger *l = ledger_new(changed, &seen);
	struct ledger_entry *all;
	uint64_t id;

	seen.ledger = l;
	id = ledger_begin(l, LEDGER_SEND, "laptop", "a file", 1000);
	assert_int_equal(id, 1);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.last.state, LEDGER_WAITING);
	ledger_state(l, id, LEDGER_ACTIVE);
	ledger_state(l, id, LEDGER_ACTIVE); /* no change */
	assert_int_equal(seen.calls, 2);
	ledger_progress(l, id, 500);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(ledger_snapshot(l, &all), 1);
	assert_int_equal(all[0].bytes, 500);
	assert_int_equal(all[0].ended_ms, 0);
	free(all);
	ledger_state(l, id, LEDGER_COMMITTING);
	ledger_end(l, id, LEDGER_FAILED, -ENOSPC, "the disk is full");
	assert_int_equal(seen.calls, 4);
	assert_int_equal(seen.last.error, -ENOSPC);
	/* Ended is ended. */
	ledger_end(l, id, LEDGER_DONE, 0, NULL);
	ledger_state(l, id, LEDGER_ACTIVE);
	ledger_progress(l, id, 7);
	assert_int_equal(seen.calls, 4);
	assert_int_equal(ledger_snapshot(l, &all), 1);
	assert_int_equal(all[0].id, id);
	assert_int_equal(all[0].direction, LEDGER_SEND);
	assert_int_equal(all[0].state, LEDGER_FAILED);
	assert_int_equal(all[0].bytes, 500);
	assert_int_equal(all[0].total, 1000);
	assert_string_equal(all[0].peer, "laptop");
	assert_string_equal(all[0].name, "a file");
	assert_string_equal(all[0].reason, "the disk is full");
	assert_true(all[0].ended_ms >= all[0].started_ms);
	free(all);
	ledger_free(l);
}

/* Whose limit it was, and who can do what about it. */
static void limits_are_said_in_full(void **state)
{
	struct seen seen = { 0 };
	struct ledger *l = ledger_new(changed, &seen);
	uint64_t id;

	(void)state;
	id = ledger_begin(l, LEDGER_SEND, "laptop", "a", 1000);
	ledger_end(l, id, LEDGER_FAILED, -EDQUOT, NULL);
	assert_non_null(strstr(seen.last.reason, "quota there"));
	assert_non_null(strstr(seen.last.reason, "out of the inbox"));
	id = ledger_begin(l, LEDGER_RECEIVE, "desk", "a", 1000);
	ledger_end(l, id, LEDGER_FAILED, -EDQUOT, NULL);
	assert_non_null(strstr(seen.last.reason, "--quota SIZE' changes it"));
	id = ledger_begin(l, LEDGER_SEND, "laptop", "a", 1000);
	ledger_end(l, id, LEDGER_FAILED, -ENOSPC, NULL);
	assert_string_equal(seen.last.reason,
	    "its disk is full, except for what gtfs leaves free");
	id = ledger_begin(l, LEDGER_SEND, "laptop", "a", 1000);
	ledger_end(l, id, LEDGER_FAILED, -ETIMEDOUT, NULL);
	assert_string_equal(seen.last.reason, strerror(ETIMEDOUT));
	ledger_free(l);
}

static void what_is_in_flight_outlives_the_recent(void **state)
{
	struct ledger *l = ledger_new(NULL, NULL);
	struct ledger_entry *all;
	uint64_t first, id = 0;

	first = ledger_begin(l, LEDGER_RECEIVE, "b", "slow", 1);
	for (unsigned i = 0; i < 3 * LEDGER_RECENT; i++) {
		id = ledger_begin(l, LEDGER_SEND, "b", "quick", 1);
		ledger_end(l, id, LEDGER_DONE, 0, NULL);
	}
	assert_int_equal(ledger_snapshot(l, &all), LEDGER_RECENT + 1);
	assert_int_equal(all[0].id, first);
	assert_string_equal(all[0].name, "slow");
	assert_int_equal(all[1].id, id - LEDGER_RECENT + 1);
	assert_int_equal(all[LEDGER_RECENT].id, id);
	for (unsigned i = 1; i <= LEDGER_RECENT; i++)
		assert_true(all[i - 1].id < all[i].id);
	free(all);
	ledger_free(l);
}

static void too_many_in_flight_have_no_id(void **state)
{
	struct seen seen = { 0 };
	struct ledger *l = ledger_new(changed, &seen);
	struct ledger_entry *all;

	for (unsigned i = 0; i < LEDGER_IN_FLIGHT_MAX; i++)
		assert_true(ledger_begin(l, LEDGER_SEND, "b", "x", 1) != 0);
	seen.calls = 0;
	assert_int_equal(ledger_begin(l, LEDGER_SEND, "b", "x", 1), 0);
	ledger_state(l, 0, LEDGER_ACTIVE);
	ledger_progress(l, 0, 1);
	ledger_end(l, 0, LEDGER_DONE, 0, NULL);
	ledger_end(l, 999999, LEDGER_DONE, 0, NULL);
	assert_int_equal(seen.calls, 0);
	ledger_end(l, 1, LEDGER_ABORTED, -ECANCELED, NULL);
	assert_int_equal(ledger_begin(l, LEDGER_SEND, "b", "x", 1),
	    LEDGER_IN_FLIGHT_MAX + 1);
	assert_int_equal(ledger_snapshot(l, &all), LEDGER_IN_FLIGHT_MAX + 1);
	free(all);
	ledger_free(l);
}

static void long_text_is_cut_between_characters(void **state)
{
	struct seen seen = { 0 };
	struct ledger *l = ledger_new(changed, &seen);
	char text[400];
	uint64_t id;

	memset(text, 'x', sizeof(text));
	memcpy(text + 62, "\xc3\xa9", 2); /* ends at byte 64 */
	memcpy(text + 254, "\xc3\xa9", 2);
	memcpy(text + 126, "\xc3\xa9", 2);
	text[sizeof(text) - 1] = '\0';
	id = ledger_begin(l, LEDGER_SEND, text, text, 1);
	ledger_end(l, id, LEDGER_FAILED, -EIO, text);
	assert_int_equal(strlen(seen.last.peer), 62);
	assert_int_equal(strlen(seen.last.name), 254);
	assert_int_equal(strlen(seen.last.reason), 126);
	ledger_free(l);
}

static void an_empty_ledger_has_no_entries(void **state)
{
	struct ledger *l = ledger_new(NULL, NULL);
	struct ledger_entry *all = NULL;

	assert_int_equal(ledger_snapshot(l, &all), 0);
	free(all);
	ledger_free(l);
	ledger_free(NULL);
}

static void *run_transfers(void *arg)
{
	struct ledger *l = arg;

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t id = ledger_begin(l, LEDGER_SEND, "b", "x", 2);

		ledger_state(l, id, LEDGER_ACTIVE);
		ledger_progress(l, id, 1);
		ledger_end(l, id, i % 2 ? LEDGER_DONE : LEDGER_FAILED, 0, NULL);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	struct ledger *l = ledger_new(NULL, NULL);
	struct ledger_entry *all;
	pthread_t threads[4];
	int n;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, run_transfers, l), 0);
	for (unsigned i = 0; i < 200; i++) {
		n = ledger_snapshot(l, &all);
		assert_in_range(n, 0, LEDGER_RECENT + 4);
		for (int j = 1; j < n; j++)
			assert_true(all[j - 1].id < all[j].id);
		free(all);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(ledger_snapshot(l, &all), LEDGER_RECENT);
	free(all);
	ledger_free(l);
}

static void states_have_names(void **state)
{
	assert_string_equal(ledger_state_name(LEDGER_WAITING), "waiting");
	assert_string_equal(ledger_state_name(LEDGER_COMMITTING), "committing");
	assert_string_equal(ledger_state_name(LEDGER_ABORTED), "aborted");
	assert_string_equal(ledger_state_name((enum ledger_state)99), "?");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_transfer_is_followed_to_its_end),
		cmocka_unit_test(limits_are_said_in_full),
		cmocka_unit_test(what_is_in_flight_outlives_the_recent),
		cmocka_unit_test(too_many_in_flight_have_no_id),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(an_empty_ledger_has_no_entries),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
