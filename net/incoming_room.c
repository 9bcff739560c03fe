/*
 * A list of the shares that are out; there are never more of them than
 * connections. Any thread.
 */
#include "incoming_room.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "identity.h"
#include "sync.h"

struct incoming_room {
	struct mutex lock;
	struct cond given;
	LIST_HEAD(, incoming_share) shares GUARDED_BY(lock);
};

struct incoming_room *incoming_room_new(void)
{
	struct incoming_room *room = calloc(1, sizeof(*room));

	if (!room)
		return NULL;
	mutex_init(&room->lock);
	cond_init(&room->given);
	return room;
}

void incoming_room_free(struct incoming_room *room)
{
	if (!room)
		return;
	cond_fini(&room->given);
	mutex_fini(&room->lock);
	free(room);
}

static bool fits_locked(struct incoming_room *room,
    const struct incoming_share *s) REQUIRES(room->lock)
{
	size_t all = s->bytes, same = s->bytes;
	struct incoming_share *i;

	LIST_FOREACH(i, &room->shares, entry) {
		all += i->bytes;
		if (!memcmp(i->key, s->key, IDENTITY_KEY_BYTES))
			same += i->bytes;
	}
	return all <= INCOMING_ROOM_ALL && same <= INCOMING_ROOM_PER_KEY;
}

void incoming_room_take(struct incoming_room *room, struct incoming_share *s,
    const uint8_t *key, size_t bytes)
{
	assert(bytes <= INCOMING_ROOM_PER_KEY);
	s->key = key;
	s->bytes = bytes;
	mutex_lock(&room->lock);
	while (!fits_locked(room, s))
		cond_wait(&room->given, &room->lock);
	LIST_INSERT_HEAD(&room->shares, s, entry);
	mutex_unlock(&room->lock);
}

void incoming_room_give(struct incoming_room *room, struct incoming_share *s)
{
	mutex_lock(&room->lock);
	LIST_REMOVE(s, entry);
	cond_broadcast(&room->given);
	mutex_unlock(&room->lock);
}
