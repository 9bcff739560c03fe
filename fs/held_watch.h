/*
 * Shows what is held for senders that have gone, and what could not be shown
 * when it was to be: nobody else would.
 */
#ifndef HELD_WATCH_H
#define HELD_WATCH_H

#include "sink.h"

/* So long a sender may be without any connection. */
#define HELD_PATIENCE_MS 10000

struct inbox;
struct held_watch;

/* patience_ms: HELD_PATIENCE_MS; tests lower it. 0 or -errno. */
int held_watch_new(int patience_ms, struct held_watch **ret);
void held_watch_free(struct held_watch *w);

/*
 * That file is to be shown, whether its sender is here or not: the next ticks
 * try until it is, or no longer held. Any thread; does not block.
 */
void held_watch_soon(struct held_watch *w,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES]);

/* The sink's tick. One thread at a time; blocks on the disk. */
void held_watch_tick(struct inbox *in, sink_here *here, void *ctx);

#endif
