/*
 * Memory for secrets: never swapped out, in no core dump, wiped when it is
 * freed. There are LOCKED_BYTES of it in all, little enough for the smallest
 * usual limit (RLIMIT_MEMLOCK, 64 KiB); what finds no room there gets ordinary
 * memory, which is wiped too, and so does everything where the system locks
 * nothing, and in builds for the sanitizers.
 *
 * Any thread; does not block.
 */
#ifndef LOCKED_H
#define LOCKED_H

#include <stdbool.h>
#include <stddef.h>

#define LOCKED_BYTES ((size_t)48 * 1024)

/* len bytes of 0, aligned as by malloc(3). NULL: out of memory. */
void *locked_alloc(size_t len);

/* p with its len, or NULL. */
void locked_free(void *p, size_t len);

/* Whether the system has locked that memory (made for this if need be). */
bool locked_works(void);

#endif
