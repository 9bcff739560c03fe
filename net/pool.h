/*
 * The memory of all windows: one region shared by every transfer, handed out
 * in runs of POOL_CHUNK bytes. What is held here is what the program has
 * written and no peer has acknowledged.
 *
 * The limit bounds what transfers may take together. Beyond it each transfer
 * that holds nothing at all may still take one chunk (pool_take_least), so
 * that none starves; that memory goes back to the system at once.
 *
 * Any thread; nothing blocks.
 */
#ifndef POOL_H
#define POOL_H

#include <stddef.h>

#define POOL_CHUNK   (64 * 1024)
#define POOL_LIMIT   (4 * 1024 * 1024)
#define POOL_RUN_MAX (256 * 1024)

struct pool;

/* NULL: out of memory (or of address space). */
struct pool *pool_new(void);
void pool_free(struct pool *p);

/*
 * A run of at least one and at most want bytes rounded up to chunks (want is
 * at most POOL_RUN_MAX), as long as one is free within the limit. Returns its
 * bytes in *ret_bytes, or NULL.
 */
void *pool_take(struct pool *p, size_t want, size_t *ret_bytes);

/* One chunk, beyond the limit if need be; NULL where even that is gone. */
void *pool_take_least(struct pool *p);

/* bytes: as it was taken. */
void pool_give(struct pool *p, void *run, size_t bytes);

#endif
