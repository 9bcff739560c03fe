/*
 * Notes about what comes out of the inbox into the spool. A name in the inbox
 * can be given to another file between a look at it and the rename that takes
 * it away or exchanges it; so for a moment somebody else's file may be in the
 * spool. Before such a rename a note is laid beside the name in the spool, that
 * name with ".was": what may come there, and what the file was called. After a
 * death in between, what the note does not speak of goes back to the inbox.
 *
 * So whatever has the form of gtfs's names and no note is gtfs's own. A note is
 * as durable as the rename that it precedes where the file system keeps the
 * order of the two; one whose content is lost says: somebody else's, unless the
 * file itself says that it is what the spool has that name for.
 *
 * All functions block on the disk, keep no state, and run in any thread.
 */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdbool.h>

#include "stamp.h"

struct spool;

/*
 * Before name in the spool gets what is called visible in the inbox, which is
 * expected to be that; there is ours now (NULL: nothing), which gets the place
 * of the other. An earlier note is replaced. 0 or -errno.
 */
int aside_note(int spool, const char *name, const struct stamp *ours,
    const struct stamp *expected, const char *visible);

/* It has been looked at: there is gtfs's own file, or nothing. */
void aside_done(int spool, const char *name);

/* Removes what is there and its note, unless it is somebody else's. */
void aside_drop(int spool, const char *name);

/*
 * At start: what is not gtfs's own is given a name at the top of the inbox, its
 * own one or "recovered file"; gtfs's links are removed. What cannot be given
 * back stays, and its note too. 0 or -errno.
 */
int aside_rescue(const struct spool *sp, int top);

/* Is name, or what it is the note of, waiting to be given back? */
bool aside_waits(int spool, const char *name);

#endif
