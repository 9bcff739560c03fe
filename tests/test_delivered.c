/*
 * Tests of fs/delivered.h: who is remembered, who waits for whom, and what is
 * bounded.
 */
#include "inbox_fixture.h"

#include "delivered.h"
#include "sync.h"

static const uint8_t PLACE[DELIVERED_PLACE_BYTES] = { 1 };

static int make(void **state)
{
	return delivered_new(4, (struct delivered **)state);
}

static int drop(void **state)
{
	delivered_free(*state);
	return 0;
}

static struct delivered_file file_of(
    const uint8_t *sender, unsigned id, const char *want)
{
	struct delivered_file f = { .stamp = { .dev = 1, .ino = id } };

	memcpy(f.sender, sender, sizeof(f.sender));
	make_id(id, f.id);
	memcpy(f.place, PLACE, sizeof(f.place));
	snprintf(f.want, sizeof(f.want), "%s", want);
	snprintf(f.name, sizeof(f.name), "%s (%u)", want, id);
	snprintf(f.peer, sizeof(f.peer), "laptop");
	return f;
}

static int add(struct delivered *d, struct delivered_file f)
{
	int r = delivered_add(d, &f);

	if (!r)
		delivered_end(d, &f, NULL);
	return r;
}

/* The ino of what is known under that id; 0: nothing. */
static uint64_t known(struct delivered *d, const uint8_t *sender, unsigned id)
{
	struct delivered_file f;
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	return delivered_peek(d, sender, bytes, &f) ? 0 : f.stamp.ino;
}

static uint64_t claimed(
    struct delivered *d, const uint8_t *sender, const char *want)
{
	struct delivered_file f, claim;
	uint64_t ino;

	assert_int_equal(
	    delivered_begin_two(d, sender, NULL, PLACE, want, &f, &claim), 0);
	if (!claim.record)
		return 0;
	ino = claim.stamp.ino;
	delivered_end(d, &claim, NULL);
	return ino;
}

static void newest_shown_ones_are_remembered(void **state)
{
	struct delivered *d = *state;

	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(add(d, file_of(ALICE, i, "f")), 0);
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(known(d, ALICE, i), i <= 6 ? 0 : i);
	assert_int_equal(known(d, BOB, 10), 0);
	/* The newest one has the name, and only its sender. */
	assert_int_equal(claimed(d, ALICE, "f"), 10);
	assert_int_equal(claimed(d, BOB, "f"), 0);
	assert_int_equal(claimed(d, ALICE, "g"), 0);
}

static void strings_come_back_as_they_were(void **state)
{
	struct delivered *d = *state;
	struct delivered_file f = file_of(ALICE, 1, "want"), got;

	memset(f.name, 'n', WIRE_NAME_MAX);
	f.name[WIRE_NAME_MAX] = '\0';
	f.peer[0] = '\0';
	assert_int_equal(add(d, f), 0);
	assert_int_equal(delivered_begin(d, f.sender, f.id, &got), 0);
	assert_string_equal(got.want, "want");
	assert_string_equal(got.name, f.name);
	assert_string_equal(got.peer, "");
	assert_memory_equal(got.place, PLACE, sizeof(PLACE));
	/* It becomes another one: the new id, the new name, no old ones. */
	make_id(2, got.id);
	strcpy(got.want, "other");
	delivered_end(d, &got, &got);
	assert_int_equal(known(d, ALICE, 1), 0);
	assert_int_equal(known(d, ALICE, 2), 1);
	assert_int_equal(claimed(d, ALICE, "want"), 0);
	assert_int_equal(claimed(d, ALICE, "other"), 1);
}

static void held_ones_are_never_forgotten_but_bounded(void **state)
{
	struct delivered *d = *state;
	struct delivered_file f;
	struct delivered_key *keys;
	uint8_t key[IDENTITY_KEY_BYTES] = { 0 };
	unsigned n = 0, id = 0, total;

	for (unsigned i = 0; i < DELIVERED_HELD_PER_PEER; i++) {
		f = file_of(ALICE, ++id, "f");
		f.held = true;
		assert_int_equal(add(d, f), 0);
	}
	f = file_of(ALICE, ++id, "f");
	f.held = true;
	assert_false(delivered_may_hold(d, ALICE));
	assert_int_equal(add(d, f), -EDQUOT);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(add(d, file_of(ALICE, ++id, "g")), 0);
	assert_int_equal(known(d, ALICE, 1), 1);
	/* A held one's id is taken. */
	assert_int_equal(add(d, file_of(ALICE, 1, "g")), -EEXIST);
	assert_int_equal(add(d, file_of(BOB, 1, "g")), 0);
	for (total = DELIVERED_HELD_PER_PEER; total < DELIVERED_HELD_MAX;
	     total++) {
		memcpy(key, &(unsigned){ 1 + total / 1000 }, sizeof(unsigned));
		f = file_of(key, ++id, "f");
		f.held = true;
		assert_int_equal(add(d, f), 0);
	}
	assert_true(delivered_may_hold(d, BOB) == false);
	assert_int_equal(delivered_held(d, &keys, &n), 0);
	assert_int_equal(n, DELIVERED_HELD_MAX);
	free(keys);
	/* One that is shown makes room for another. */
	assert_int_equal(delivered_begin(d, f.sender, f.id, &f), 0);
	f.held = false;
	delivered_end(d, &f, &f);
	assert_true(delivered_may_hold(d, BOB));
}

static void same_id_again_hides_what_was_shown(void **state)
{
	struct delivered *d = *state;
	struct delivered_file f = file_of(ALICE, 1, "f"), old;

	assert_int_equal(add(d, f), 0);
	assert_int_equal(delivered_begin(d, f.sender, f.id, &old), 0);
	f.stamp.ino = 77;
	assert_int_equal(add(d, f), 0);
	assert_int_equal(known(d, ALICE, 1), 77);
	delivered_end(d, &old, &old);
	assert_int_equal(known(d, ALICE, 1), 77);
	assert_int_equal(claimed(d, ALICE, "f"), 77);
}

static void only_untouched_files_are_known(void **state)
{
	struct delivered *d = *state;
	struct delivered_file f = file_of(ALICE, 1, "f");
	struct stamp s = f.stamp;

	assert_int_equal(delivered_add(d, &f), 0);
	s.ctime.sec = 5; /* just being renamed */
	assert_true(delivered_knows(d, &s));
	delivered_end(d, &f, NULL);
	assert_false(delivered_knows(d, &s));
	s.ctime.sec = 0;
	assert_true(delivered_knows(d, &s));
	s.ino++;
	assert_false(delivered_knows(d, &s));
}

static void of_the_sender_with_the_most_the_oldest_goes(void **state)
{
	struct delivered *d = *state;
	struct delivered_file f = file_of(BOB, 1, "f"), busy[3];

	assert_int_equal(add(d, f), 0);
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(add(d, file_of(ALICE, i, "f")), 0);
	assert_int_equal(known(d, BOB, 1), 1);
	assert_int_equal(claimed(d, BOB, "f"), 1);
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(known(d, ALICE, i), i <= 7 ? 0 : i);
	/* Where all of those are busy, another one goes. */
	for (unsigned i = 8; i <= 10; i++) {
		make_id(i, f.id);
		assert_int_equal(
		    delivered_begin(d, ALICE, f.id, &busy[i - 8]), 0);
	}
	assert_int_equal(add(d, file_of(ALICE, 11, "f")), 0);
	assert_int_equal(known(d, BOB, 1), 0);
	for (unsigned i = 8; i <= 10; i++) {
		assert_int_equal(known(d, ALICE, i), i);
		delivered_end(d, &busy[i - 8], NULL);
	}
}

/* Another sender's file that is just being shown is no twin of anything. */
static void busy_files_are_known_wherever_they_are(void **state)
{
	struct delivered *d = *state;
	struct delivered_file held = file_of(ALICE, 1, "f"), old, f;
	struct stamp s = held.stamp;

	held.held = true;
	assert_int_equal(delivered_add(d, &held), 0);
	s.ctime.sec = 5; /* shown, and its record not yet ended */
	assert_true(delivered_knows(d, &s));
	delivered_end(d, &held, NULL);
	assert_false(delivered_knows(d, &s));

	assert_int_equal(add(d, file_of(BOB, 2, "f")), 0);
	f = file_of(BOB, 2, "f");
	assert_int_equal(delivered_begin(d, f.sender, f.id, &old), 0);
	s = f.stamp;
	s.ctime.sec = 5;
	f.stamp.ino = 77;
	assert_int_equal(add(d, f), 0); /* the old one is forgotten, busy */
	assert_true(delivered_knows(d, &s));
	delivered_end(d, &old, NULL);
	assert_false(delivered_knows(d, &s));
}

struct swap {
	struct delivered *d;
	unsigned id;
	const char *want;
	pthread_barrier_t *together;
	unsigned rounds;
};

/* Begins its own file and the other one's name, a thousand times. */
static void *take_both(void *arg)
{
	struct swap *s = arg;
	struct delivered_file f, claim;
	uint8_t id[WIRE_ID_BYTES];

	make_id(s->id, id);
	pthread_barrier_wait(s->together);
	for (; s->rounds < 1000; s->rounds++) {
		assert_int_equal(delivered_begin_two(s->d, ALICE, id, PLACE,
				     s->want, &f, &claim),
		    0);
		assert_non_null(claim.record);
		delivered_end(s->d, &claim, &claim);
		delivered_end(s->d, &f, NULL);
	}
	return NULL;
}

static void two_who_want_each_others_do_not_wait_for_ever(void **state)
{
	struct delivered *d = *state;
	pthread_barrier_t together;
	struct swap s[2] = { { d, 1, "b", &together, 0 },
		{ d, 2, "a", &together, 0 } };
	pthread_t t[2];

	assert_int_equal(add(d, file_of(ALICE, 1, "a")), 0);
	assert_int_equal(add(d, file_of(ALICE, 2, "b")), 0);
	pthread_barrier_init(&together, NULL, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
		    thread_start(&t[i], "both", take_both, &s[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&together);
	assert_int_equal(s[0].rounds + s[1].rounds, 2000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		T(newest_shown_ones_are_remembered),
		T(strings_come_back_as_they_were),
		T(held_ones_are_never_forgotten_but_bounded),
		T(same_id_again_hides_what_was_shown),
		T(of_the_sender_with_the_most_the_oldest_goes),
		T(only_untouched_files_are_known),
		T(busy_files_are_known_wherever_they_are),
		T(two_who_want_each_others_do_not_wait_for_ever),
	};

	return cmocka_run_group_tests_name("delivered", tests, NULL, NULL);
}
