/*
 * One mapping, handed out in runs of units, first fit: what is kept here is
 * small (connections, for their keys, and handshakes under way). A page each,
 * as sodium_malloc() has it, would be more than may be locked.
 */
#include "locked.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sanitized.h"

#define UNIT  ((size_t)64)
#define UNITS (LOCKED_BYTES / UNIT)

/* All but the lock is guarded by it; base never changes once it is set. */
static struct {
	pthread_mutex_t lock;
	uint8_t *base;
	bool tried, locked;
	bool used[UNITS];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void begin_locked(void)
{
	void *p;

	if (pool.tried)
		return;
	pool.tried = true;
	if (SANITIZED)
		return;
	p = mmap(NULL, LOCKED_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return;
	pool.base = p;
	/* It also keeps the pages out of core dumps (madvise(2)). Where it
	 * fails, they are as good as any others. */
	pool.locked = sodium_mlock(p, LOCKED_BYTES) == 0;
}

/* The first of n free units in a row, or UNITS. */
static size_t find_locked(size_t n)
{
	size_t run = 0;

	for (size_t i = 0; i < UNITS; i++) {
		run = pool.used[i] ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return UNITS;
}

static size_t units_of(size_t len)
{
	return len ? (len + UNIT - 1) / UNIT : 1;
}

void *locked_alloc(size_t len)
{
	size_t n = units_of(len), at = UNITS;

	pthread_mutex_lock(&pool.lock);
	begin_locked();
	if (pool.base && len <= LOCKED_BYTES)
		at = find_locked(n);
	if (at < UNITS)
		memset(pool.used + at, true, n);
	pthread_mutex_unlock(&pool.lock);
	/* What was there before has been wiped. */
	return at < UNITS ? pool.base + at * UNIT : calloc(1, len);
}

void locked_free(void *p, size_t len)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)pool.base;

	if (!p)
		return;
	sodium_memzero(p, len);
	if (!pool.base || at >= LOCKED_BYTES) {
		free(p);
		return;
	}
	assert(at % UNIT == 0);
	pthread_mutex_lock(&pool.lock);
	memset(pool.used + at / UNIT, false, units_of(len));
	pthread_mutex_unlock(&pool.lock);
}

bool locked_works(void)
{
	bool works;

	pthread_mutex_lock(&pool.lock);
	begin_locked();
	works = pool.locked;
	pthread_mutex_unlock(&pool.lock);
	return works;
}
