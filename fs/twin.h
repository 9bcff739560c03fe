/*
 * Is the file that stands in the way the very same one? Then a second copy of
 * it helps nobody. Any thread; reads both files.
 */
#ifndef TWIN_H
#define TWIN_H

#include <stdbool.h>

#include "stamp.h"

struct inbox;

/* Larger files are not compared: that would take too long for a close(). */
#define TWIN_BYTES_MAX (16u << 20)
/* But for those of the very same transfer, whose ACK was lost with us. */
#define TWIN_AGAIN_MAX (4ull << 30)

/*
 * Has the regular file called name in dir the same bytes as the one called
 * from_name in from, whose stamp is ready? Durable then (with its bytes; its
 * name is the caller's to fsync) where the inbox is. One that was delivered
 * earlier and is untouched belongs to that delivery and is no twin, but for
 * that with the stamp own (or NULL).
 */
bool twin_find(struct inbox *in, int from, const char *from_name,
    const struct stamp *ready, int dir, const char *name,
    const struct stamp *own);

#endif
