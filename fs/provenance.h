/*
 * Where a received file, or directory, comes from, kept with it as extended
 * attributes: user.gtfs.from (the sender's fingerprint), user.gtfs.name (as
 * sent), user.gtfs.id (hex), user.gtfs.received (UTC, ISO 8601).
 */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include <stdbool.h>

#include "identity.h"
#include "wire.h"

/*
 * To be called before any attribute of the sender's is taken, so that those
 * cannot take the room: quotas count what says whose it is. 0, as well on a
 * file system that keeps no attributes, or -errno: it does not say so. Blocks
 * on the disk; any thread.
 */
int provenance_set(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const char *name);

/*
 * The name and the time, now that they are known. They are as they were where a
 * new one does not fit.
 */
void provenance_arrived(int fd, const char *name);

/* Does it say so of any transfer? */
bool provenance_any(int fd);

/* Does it say that it is from the transfer with this id, in hex? */
bool provenance_names(int fd, const char *hex);

/* Does the file say that it is from another transfer than id? */
bool provenance_differs(int fd, const uint8_t id[WIRE_ID_BYTES]);

/* Does it say that it has this id, and from this sender? */
bool provenance_is(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES]);

/* Do both say that they are of the same transfer of the same sender? */
bool provenance_same(int a, int b);

/*
 * The name, and the time, that it says: as it was sent or renamed last, and in
 * seconds since the epoch. 0, or -ENODATA.
 */
int provenance_read(
    int fd, char ret_name[WIRE_NAME_MAX + 1], int64_t *ret_received);

/* Another user.gtfs.name, for a file that its sender has renamed. */
void provenance_rename(int fd, const char *name);

#endif
