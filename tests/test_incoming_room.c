/*
 * Tests net/incoming_room.h: who finds no memory for an answer waits, and not
 * for other keys than it must.
 */
#include "net_fixture.h"

#include <stdatomic.h>

#include "incoming_room.h"

enum {
	ONE = 512 * 1024,
	OF_A_KEY = INCOMING_ROOM_PER_KEY / ONE,
	KEYS = INCOMING_ROOM_ALL / INCOMING_ROOM_PER_KEY,
};

/* A thread that takes one share, and keeps it until its end. */
struct taker {
	struct incoming_room *room;
	struct incoming_share share;
	const uint8_t *key;
	pthread_t thread;
	_Atomic bool has;
};

static void *take_run(void *arg)
{
	struct taker *t = arg;

	incoming_room_take(t->room, &t->share, t->key, ONE);
	atomic_store(&t->has, true);
	return NULL;
}

static void taker_start(
    struct taker *t, struct incoming_room *room, const uint8_t *key)
{
	memset(t, 0, sizeof(*t));
	t->room = room;
	t->key = key;
	assert_int_equal(thread_start(&t->thread, "take", take_run, t), 0);
}

static void taker_end(struct taker *t)
{
	pthread_join(t->thread, NULL);
	incoming_room_give(t->room, &t->share);
}

static void each_key_has_a_part(void **state)
{
	struct incoming_room *room = incoming_room_new();
	struct incoming_share share[KEYS][OF_A_KEY];
	uint8_t key[KEYS + 1][IDENTITY_KEY_BYTES] = { 0 };
	struct taker same, other;

	assert_non_null(room);
	for (unsigned k = 0; k <= KEYS; k++)
		key[k][0] = (uint8_t)k;
	for (unsigned i = 0; i < OF_A_KEY; i++)
		incoming_room_take(room, &share[0][i], key[0], ONE);
	taker_start(&same, room, key[0]);
	/* The others do not notice, until there is no more for anybody. */
	for (unsigned k = 1; k < KEYS; k++)
		for (unsigned i = 0; i < OF_A_KEY; i++)
			incoming_room_take(room, &share[k][i], key[k], ONE);
	taker_start(&other, room, key[KEYS]);
	poll(NULL, 0, QUIET_MS);
	assert_false(atomic_load(&same.has));
	assert_false(atomic_load(&other.has));
	/* What another key gives back is no help to the first. */
	incoming_room_give(room, &share[1][0]);
	EVENTUALLY(atomic_load(&other.has));
	taker_end(&other);
	assert_false(atomic_load(&same.has));
	incoming_room_give(room, &share[0][0]);
	EVENTUALLY(atomic_load(&same.has));
	taker_end(&same);
	for (unsigned k = 0; k < KEYS; k++)
		for (unsigned i = k < 2; i < OF_A_KEY; i++)
			incoming_room_give(room, &share[k][i]);
	incoming_room_take(room, &share[0][0], key[0], INCOMING_ROOM_PER_KEY);
	incoming_room_give(room, &share[0][0]);
	incoming_room_free(room);
	incoming_room_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_has_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
