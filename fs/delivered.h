/*
 * The files that arrived lately: where each went and what it was when gtfs last
 * changed it, under (sender, id). The newest DELIVERED_MAX are remembered, in
 * memory only. Any thread; nothing here touches the disk, but delivered_begin
 * waits for another thread's delivered_end on the same file.
 */
#ifndef DELIVERED_H
#define DELIVERED_H

#include "identity.h"
#include "stamp.h"
#include "wire.h"

#define DELIVERED_MAX 4096

struct delivered_file {
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	char name[WIRE_NAME_MAX + 1];
	struct stamp stamp;
};

struct delivered;

/* max: how many are remembered (tests lower it). 0 or -errno. */
int delivered_new(unsigned max, struct delivered **ret);
void delivered_free(struct delivered *d);

/*
 * Remembers a copy of *file; where memory is short it is not remembered, and
 * late changes of it are then answered with -ENOENT.
 */
void delivered_add(struct delivered *d, const struct delivered_file *file);

/*
 * Looks a file up in order to change it: until delivered_end other callers for
 * the same file wait. 0, or -ENOENT (then no delivered_end).
 */
int delivered_begin(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret);
/* now: what it is after the change, or NULL where it has not been changed. */
void delivered_end(struct delivered *d, const struct delivered_file *file,
    const struct stamp *now);

#endif
