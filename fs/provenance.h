/*
 * Where a received file comes from, kept with it as extended attributes:
 * user.gtfs.from (the sender's fingerprint), user.gtfs.name (as sent),
 * user.gtfs.id (hex), user.gtfs.received (UTC, ISO 8601).
 */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include "identity.h"
#include "wire.h"

/*
 * Best effort: a file system without room or support for attributes is no
 * reason to refuse a file. Blocks on the disk; any thread.
 */
void provenance_set(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const char *name);

#endif
