/*
 * How a file gets its name in the inbox: a free one; or the one of its sender's
 * own earlier, untouched delivery, which it replaces in one step; or none,
 * where a file with the very same bytes stands there already. And the way back,
 * and out of the inbox again.
 *
 * What is not ours is never replaced: the two are exchanged, what came out is
 * looked at, and exchanged back where somebody was faster.
 *
 * All functions may block on the disk, keep no state, and run in any thread.
 * Not durable by themselves: the caller fsyncs between place_take and
 * place_settle.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>

#include "delivered.h"
#include "stamp.h"

struct inbox;

enum place_how {
	PLACE_FREE, /* a free name */
	PLACE_OVER, /* that of over, which is where the file was now */
	PLACE_TWIN, /* there is such a file; ours is where it was */
};

struct place {
	/* What is asked: */
	struct inbox *in;
	int from; /* where the ready file is: the spool, or a directory */
	const char *from_name;
	struct stamp stamp; /* what it has to be */
	int dir;            /* where it goes */
	bool top;           /* that is the inbox itself */
	const uint8_t *sender;
	const char *want;
	/* An earlier delivery of this sender, busy, shown in dir; or NULL. */
	const struct delivered_file *over;
	bool exact; /* over, or nothing */
	/*
	 * Its sender does not ask for it now: the times that it has given to
	 * dir stay.
	 */
	bool unasked;
	/* Its sender relies on it: what cannot be taken back stays visible. */
	bool promised;

	unsigned compared; /* files in the way, with this one */

	/* What became of it: */
	enum place_how how;
	char name[WIRE_NAME_MAX + 1];
	struct stamp now; /* of what stands there */
	struct stamp old; /* PLACE_OVER: of over's file, where it is now */
};

/*
 * 0; -ESTALE (exact: over is no longer what it was; or the file itself is not),
 * -EOPNOTSUPP (exact: this file system exchanges nothing), or -errno. After a
 * failure everything is as it was.
 */
int place_take(struct place *p);

/*
 * Takes place_take back, unless somebody has touched the file. Where over is in
 * its place again, *over is given the stamp that it has now.
 */
void place_undo(struct place *p, struct delivered_file *over);

/*
 * Drops what is left where the file was (nothing for PLACE_FREE). Where that is
 * visible only if nobody has touched it, and durable where the inbox is.
 */
void place_settle(struct place *p);

/*
 * Moves the file called name in dir, if it is still expected, out of sight,
 * into the spool under spool_name. 0, or -ESTALE (touched or gone: it stays
 * where it was, or gets the next free name there), or -errno.
 */
int place_out(struct inbox *in, int dir, const char *name,
    const struct stamp *expected, const char *spool_name);

/*
 * Removes a file from the inbox if it is still expected; durable where the
 * inbox is. As place_out.
 */
int place_remove(
    struct inbox *in, int dir, const char *name, const struct stamp *expected);

#endif
