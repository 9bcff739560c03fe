/*
 * Tests of fs/linktable.h: whose records are forgotten when it is full. The
 * rest is tested through fs/links.h.
 */
#include "inbox_fixture.h"

#include "linktable.h"

static const uint8_t TOP[WIRE_ID_BYTES];

static int make(void **state)
{
	return linktable_new(4, (struct linktable **)state);
}

static int drop(void **state)
{
	linktable_free(*state);
	return 0;
}

static int begin(struct linktable *t, const uint8_t *sender, unsigned id,
    struct linkrec **ret)
{
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	return linktable_begin(t, sender, bytes, true, ret);
}

static void add(struct linktable *t, const uint8_t *sender, unsigned id)
{
	const struct stamp stamp = { .ino = id };
	struct linkrec *rec;

	assert_int_equal(begin(t, sender, id, &rec), 0);
	assert_int_equal(linktable_place(t, rec, TOP, "l", "l", &stamp), 0);
	linktable_end(t, rec);
}

static bool has(struct linktable *t, const uint8_t *sender, unsigned id)
{
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	return linktable_has(t, sender, bytes);
}

static void of_the_sender_with_the_most_the_oldest_goes(void **state)
{
	struct linktable *t = *state;
	struct linkrec *rec;

	add(t, BOB, 1);
	for (unsigned i = 1; i <= 10; i++)
		add(t, ALICE, i);
	assert_true(has(t, BOB, 1));
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(has(t, ALICE, i), i > 7);
	rec = linktable_begin_wanted(t, BOB, TOP, "l");
	assert_non_null(rec);
	assert_int_equal(rec->stamp.ino, 1);
	linktable_end(t, rec);
}

static void busy_ones_stay(void **state)
{
	struct linktable *t = *state;
	struct linkrec *recs[5];

	add(t, BOB, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(begin(t, ALICE, i, &recs[i]), 0);
	assert_int_equal(begin(t, ALICE, 3, &recs[3]), 0);
	assert_false(has(t, BOB, 1));
	assert_int_equal(begin(t, BOB, 2, &recs[4]), -EDQUOT);
	for (unsigned i = 0; i < 4; i++)
		linktable_end(t, recs[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		T(of_the_sender_with_the_most_the_oldest_goes),
		T(busy_ones_stay),
	};

	return cmocka_run_group_tests_name("linktable", tests, NULL, NULL);
}
