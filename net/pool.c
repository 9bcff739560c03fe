/*
 * First fit from the low end over a bitmap of chunks: what was used last is
 * used next and stays in the caches. Chunks beyond the limit are returned to
 * the system when they are given back.
 */
#include "pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sync.h"

enum {
	LIMIT_CHUNKS = POOL_LIMIT / POOL_CHUNK,
	REGION_CHUNKS = 1024,
};

struct pool {
	uint8_t *region;
	struct mutex lock;
	bool taken[REGION_CHUNKS] GUARDED_BY(lock);
};

struct pool *pool_new(void)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->region = mmap(NULL, (size_t)REGION_CHUNKS * POOL_CHUNK,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	    -1, 0);
	if (p->region == MAP_FAILED) {
		free(p);
		return NULL;
	}
	madvise(p->region, (size_t)REGION_CHUNKS * POOL_CHUNK, MADV_NOHUGEPAGE);
	mutex_init(&p->lock);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	munmap(p->region, (size_t)REGION_CHUNKS * POOL_CHUNK);
	mutex_fini(&p->lock);
	free(p);
}

/* The first run of n free chunks below end, or -1. */
static int find_locked(struct pool *p, unsigned n, unsigned end)
    REQUIRES(p->lock)
{
	unsigned i, len = 0;

	for (i = 0; i < end; i++) {
		len = p->taken[i] ? 0 : len + 1;
		if (len == n)
			return (int)(i + 1 - n);
	}
	return -1;
}

static void *take_locked(struct pool *p, int first, unsigned n)
    REQUIRES(p->lock)
{
	memset(p->taken + first, true, n);
	return p->region + (size_t)first * POOL_CHUNK;
}

void *pool_take(struct pool *p, size_t want, size_t *ret_bytes)
{
	unsigned n = (unsigned)((want + POOL_CHUNK - 1) / POOL_CHUNK);
	void *run = NULL;
	int first = -1;

	assert(want > 0 && want <= POOL_RUN_MAX);
	mutex_lock(&p->lock);
	for (; n && first < 0; n -= first < 0)
		first = find_locked(p, n, LIMIT_CHUNKS);
	if (first >= 0)
		run = take_locked(p, first, n);
	mutex_unlock(&p->lock);
	if (run)
		*ret_bytes = (size_t)n * POOL_CHUNK;
	return run;
}

void *pool_take_least(struct pool *p)
{
	void *run = NULL;
	int first;

	mutex_lock(&p->lock);
	first = find_locked(p, 1, REGION_CHUNKS);
	if (first >= 0)
		run = take_locked(p, first, 1);
	mutex_unlock(&p->lock);
	return run;
}

void pool_give(struct pool *p, void *run, size_t bytes)
{
	size_t first = (size_t)((uint8_t *)run - p->region) / POOL_CHUNK;
	size_t n = bytes / POOL_CHUNK;

	assert(first + n <= REGION_CHUNKS && bytes % POOL_CHUNK == 0);
	if (first + n > LIMIT_CHUNKS)
		madvise(run, bytes, MADV_DONTNEED);
	mutex_lock(&p->lock);
	memset(p->taken + first, false, n);
	mutex_unlock(&p->lock);
}
