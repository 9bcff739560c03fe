/*
 * Where a received file comes from, kept with it as extended attributes:
 * user.gtfs.from (the sender's fingerprint), user.gtfs.name (as sent),
 * user.gtfs.id (hex), user.gtfs.received (UTC, ISO 8601).
 */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include <stdbool.h>

#include "identity.h"
#include "wire.h"

/*
 * Best effort: a file system without room or support for attributes is no
 * reason to refuse a file. Blocks on the disk; any thread.
 */
void provenance_set(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const char *name);

/* Does the file say that it is from another transfer than id? */
bool provenance_differs(int fd, const uint8_t id[WIRE_ID_BYTES]);

/* Another user.gtfs.name, for a file that its sender has renamed. */
void provenance_rename(int fd, const char *name);

#endif
