/*
 * Files that are complete and not shown yet. Each stays in the spool under its
 * own name there, and beside it, as that name with HELD_SUFFIX, lies a record
 * of where it belongs: so that it is shown at the next start, whatever happens.
 * Both are always durable, also where the inbox is not: a file with a record is
 * believed to be whole.
 *
 * The record, all integers big-endian:
 *
 *     "gtfs-held 1\n"  sender (32)  id (16)  parent (16)
 *     want  peer  path  over  over      each: length (2), bytes
 *     digest (16)                       of all before it: net/ophash.h
 *
 * path: of the directory parent below the inbox; written anew when the sender
 * renames it. over: other names in the spool, of files that this one replaces;
 * or empty. They go with this record there, even if its own file is gone: so it
 * names none before this file is where it says. Mode, times and attributes are
 * the file's own.
 *
 * All functions block on the disk, keep no state, and run in any thread.
 */
#ifndef HELD_H
#define HELD_H

#include <limits.h>

#include "delivered.h"
#include "spool.h"

#define HELD_SUFFIX ".held"
#define HELD_OVER   2 /* files that one replaces */

struct held_record {
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	char want[WIRE_NAME_MAX + 1];
	char peer[WIRE_NAME_MAX + 1];
	char path[PATH_MAX];
	char over[HELD_OVER][SPOOL_NAME_BYTES];
};

/*
 * Writes the record of the file called name in the spool, in place of an
 * earlier one, in one step; durable on return, and the file's own name with it.
 * 0 or -errno: it is then unknown which of the two there is, and the caller
 * writes the earlier one again, or takes this one back.
 */
int held_write(
    const struct spool *sp, const char *name, const struct held_record *record);

/*
 * Reads the record of the file called name. 0, -EBADMSG (damaged: nothing in it
 * can be believed), or -errno.
 */
int held_read(
    const struct spool *sp, const char *name, struct held_record *ret);

/* Removes the record: the file is an orphan then, which nobody shows. */
int held_forget(const struct spool *sp, const char *name);
/* The same, durable: it must not come back to remove what it names in over. */
int held_take_back(const struct spool *sp, const char *name);
/* Removes both, first the record. */
void held_drop(const struct spool *sp, const char *name);

/* Of a file and the path of its parent; over is left empty. */
void held_record_of(const struct delivered_file *file, const char *path,
    struct held_record *ret);

#endif
