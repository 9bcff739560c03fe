/*
 * How what has arrived gets a visible name without replacing anything: the
 * choice of the name, the rename out of the spool, and the way back.
 *
 * All functions may block on the disk, keep no state, and run in any thread.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdbool.h>

#include "stamp.h"
#include "wire.h"

/* "name (10000)" is the last name that is tried. */
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
 * spool's name is never given away. Returns what take said, -EEXIST after
 * PUBLISH_TRIES_MAX, or -EILSEQ (not one component of a path).
 */
int publish_choose(const char *want, enum publish_kind kind, bool top,
    publish_take *take, void *arg, char ret_name[WIRE_NAME_MAX + 1]);

/*
 * Moves the file spool_name of the directory spool to a name of the directory
 * dir, in one step that replaces nothing. Not durable: the caller fsyncs.
 * Returns 0 or -errno; after a failure the file is still in the spool.
 */
int publish_file(int spool, const char *spool_name, int dir, bool top,
    const char *want, char ret_name[WIRE_NAME_MAX + 1]);

/*
 * Takes publish_file back, if what stands at name is still ours: into the
 * spool again, else away. 0 or -errno (it is still visible).
 */
int publish_undo(int dir, const char *name, const struct stamp *ours, int spool,
    const char *spool_name);

#endif
