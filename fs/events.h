/*
 * .gtfs/events: one line an event, the last EVENTS_KEEP bytes kept. Any thread
 * adds; readers have a cursor of their own. Lines are tab-separated fields,
 * each escaped: time (RFC 3339 UTC with milliseconds), event, and what belongs
 * to it.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define EVENTS_KEEP (1024 * 1024)

struct events;

/* added (or NULL) is called after each line, with no lock held. */
struct events *events_new(void (*added)(void *ctx), void *ctx);
void events_free(struct events *e);

/* Adds a line: the event's name, then fields up to NULL (escaped here). */
void events_add(struct events *e, const char *event, ...)
    __attribute__((sentinel));

/* Absolute positions of the first byte kept and of the end. */
uint64_t events_begin(struct events *e);
uint64_t events_end(struct events *e);

/*
 * Copies from *position on (moved forward to the oldest line kept if that has
 * gone). Returns the bytes copied, 0 at the end.
 */
size_t events_read(struct events *e, uint64_t *position, char *ret, size_t cap);

#endif
