/*
 * How what has arrived gets a visible name without replacing anything: the
 * choice of the name, and the rename to it.
 *
 * All functions may block on the disk, keep no state, and run in any thread.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdbool.h>

#include "wire.h"

/* "name (10000)" is the last one in order; then some random numbers follow. */
#define PUBLISH_TRIES_MAX 10000

enum publish_kind { PUBLISH_FILE, PUBLISH_DIRECTORY };

/*
 * The n-th name to try for want (n from 1): want itself, then "name (2).ext"
 * and so on. The number stands before a file's extension (at most 32 bytes
 * without spaces; ".tar.gz" and its like stay together), at the end of a
 * directory's name; the stem is cut, between two UTF-8 characters, where the
 * whole would exceed WIRE_NAME_MAX.
 */
void publish_candidate(const char *want, enum publish_kind kind, unsigned n,
    char ret[WIRE_NAME_MAX + 1]);

/* Takes the name or returns -EEXIST: the next one is tried; or -errno. */
typedef int publish_take(void *arg, const char *name);

/*
 * The one place where a name is chosen: calls take with one candidate after
 * the other until it does not say -EEXIST. top: in the inbox itself, where the
 * spool's name is never given away. Returns what take said, -EEXIST where it
 * said so for all, or -EILSEQ (not one component of a path).
 */
int publish_choose(const char *want, enum publish_kind kind, bool top,
    publish_take *take, void *arg, char ret_name[WIRE_NAME_MAX + 1]);

/*
 * Moves a file from one directory to a name in another, in one step that
 * replaces nothing. -EEXIST, or -errno: then the file is where it was. Not
 * durable: the caller fsyncs.
 */
int publish_move(int from, const char *from_name, int to, const char *name);

/* The same to the first free name for want. */
int publish_file(int from, const char *from_name, int to, bool top,
    const char *want, char ret_name[WIRE_NAME_MAX + 1]);

#endif
