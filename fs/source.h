/*
 * What a program copies from, guessed from its descriptors, so that a copy that
 * cannot fit fails before its bytes are sent.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* From here on a first write may be a copy's: what cp, cat and dd read at
 * once. */
#define SOURCE_LEAST (64 * 1024)

/*
 * Thread tid has just handed over the first `written` bytes of a file: the size
 * of the file that it reads them from. 0: not known; that is a regular file on
 * a local disk, not on the mount of device own, not sparse, open for reading
 * only, and read as far as was written or a little further. Any thread; never
 * waits for a disk or a network.
 */
uint64_t source_size(pid_t tid, dev_t own, uint64_t written);

/*
 * Is tid of a program that copies a file to its end (cp, mv, cat, install)?
 * Others may want no more than its beginning: dd count=1.
 */
bool source_copies_whole(pid_t tid);

#endif
