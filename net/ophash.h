/*
 * The running hash over the operations of one transfer (gtfs-protocol(7),
 * section INTEGRITY). The sender feeds it where a program's bytes enter, the
 * receiver where they are handed to the disk; COMMIT and CHECKPOINT compare
 * the two. XXH3-128 is no defence against a peer (records are): it catches our
 * own slips between the two places.
 *
 * For each operation in order: its bytes as they come (of a WRITE; the name and
 * then the value of an XATTR; the parent and then the name of a MOVE), and a
 * trailer of 25 bytes: type (1), seq (8), a (8), b (8), where a and b are
 *     WRITE     offset, length        TRUNCATE  size, 0
 *     RESERVE   offset, length        META      mask << 32 | mode, mtime.sec
 *     XATTR     remove, bytes         MOVE      0, bytes
 *
 * One thread at a time; no allocation after ophash_new.
 */
#ifndef OPHASH_H
#define OPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct ophash; /* about 600 bytes in all */

struct ophash *ophash_new(void); /* NULL: out of memory */
void ophash_free(struct ophash *h);
void ophash_bytes(struct ophash *h, const void *bytes, size_t len);
void ophash_trailer(struct ophash *h, enum wire_type type, uint64_t seq,
    uint64_t a, uint64_t b);
/* Trailer of a META. */
void ophash_meta(struct ophash *h, uint64_t seq, const struct wire_meta *m);
/* All of an XATTR and of a MOVE. */
void ophash_xattr(struct ophash *h, uint64_t seq, const struct wire_xattr *x);
void ophash_move(struct ophash *h, uint64_t seq,
    const uint8_t parent[WIRE_ID_BYTES], const char *name);
/* The hash so far; more may follow. */
void ophash_digest(const struct ophash *h, uint8_t ret[WIRE_HASH_BYTES]);

#endif
