/*
 * The memory in which connections answer READs. A peer can have many
 * connections, and ask on each for as much as a record holds: all of them share
 * this, each key only a part of it, and who finds none waits.
 *
 * No wait is for ever: who has a share holds it while a disk is read and an
 * answer is sent, which ends after CONN_SEND_MS, and waits for nothing else.
 */
#ifndef INCOMING_ROOM_H
#define INCOMING_ROOM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
	INCOMING_ROOM_ALL = 4 * 1024 * 1024,
	INCOMING_ROOM_PER_KEY = 1024 * 1024,
};

struct incoming_room;

/* Of one answer; the caller's own, from take to give. */
struct incoming_share {
	LIST_ENTRY(incoming_share) entry;
	const uint8_t *key;
	size_t bytes;
};

/* NULL: out of memory. */
struct incoming_room *incoming_room_new(void);
/* NULL is fine. */
void incoming_room_free(struct incoming_room *room);

/*
 * At most INCOMING_ROOM_PER_KEY bytes, for that key, which stays as it is until
 * they are given back. Blocks until they are there.
 */
void incoming_room_take(struct incoming_room *room, struct incoming_share *s,
    const uint8_t *key, size_t bytes);
void incoming_room_give(struct incoming_room *room, struct incoming_share *s);

#endif
