/*
 * Two machines prove to each other that they know the same secret: a one-time
 * code that a person carried over, or the passphrase of a group. A state
 * machine of bytes in and bytes out inside an established connection; net
 * carries the four messages (PAIR of gtfs-protocol(7), with kind and step).
 *
 *     step 1  initiator -> responder   Ya (32)
 *     step 2  initiator <- responder   Yb (32)
 *     step 3  initiator -> responder   Ta (64)
 *     step 4  initiator <- responder   Tb (64)
 *
 * It is CPace (cpace.h) with
 *
 *     PRS  the secret
 *     sid  the channel binding of the handshake (handshake_channel())
 *     CI   "gtfs pair v1" || kind (1) || initiator's key || responder's key
 *     ADa  "gtfs pair initiator"       ADb  "gtfs pair responder"
 *
 * so that the proof holds for this connection and these two long-term keys
 * alone: whoever sits between two connections cannot carry it from one to the
 * other. Reflected messages prove nothing, since the roles are in the tags.
 *
 * Who learns what, and when. Nobody ever gets anything to search offline.
 * Shares (steps 1 and 2) are random points and tell nothing; an exchange that
 * ends before step 3 has cost and told nothing. The responder learns at step 3
 * whether the initiator knows the secret, and shows nothing before. So
 *
 *     - a hostile initiator has one guess for each step 3 that it sends. The
 *       responder counts it (durably, and across all connections at once)
 *       before it lets pairing_read() look, or exchanges that run side by side
 *       would have more guesses than are counted;
 *     - a hostile responder has one guess for each step 3 that it is sent: it
 *       may have made its share from a guess, and sees whether the tag fits.
 *       The initiator counts it before it writes step 3.
 *
 * The initiator learns at step 4. When that one is lost the responder is
 * convinced and the initiator is not: it has to ask again.
 *
 * Any thread, one at a time; no blocking.
 */
#ifndef PAIRING_H
#define PAIRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handshake.h"

#define PAIRING_SHARE_BYTES 32 /* steps 1 and 2 */
#define PAIRING_TAG_BYTES   64 /* steps 3 and 4 */
#define PAIRING_BYTES_MAX   PAIRING_TAG_BYTES
#define PAIRING_STEPS       4

/* As on the wire. */
enum pairing_kind { PAIRING_CODE = 1, PAIRING_GROUP = 2 };

struct pairing;

/*
 * The initiator is the side that dialed. secret has at least one byte: the
 * code as words_code_normalise() gives it, or the passphrase; it is used at
 * once and not kept. NULL when out of memory.
 */
struct pairing *pairing_new(enum handshake_role role, enum pairing_kind kind,
    const void *secret, size_t secret_len,
    const uint8_t channel[HANDSHAKE_CHANNEL_BYTES],
    const uint8_t own_key[IDENTITY_KEY_BYTES],
    const uint8_t remote_key[IDENTITY_KEY_BYTES]);
/* Wipes everything. */
void pairing_free(struct pairing *p);

/*
 * Writes the bytes of the next message. Returns 0, or -EPROTO (not our turn,
 * done, or failed).
 */
int pairing_write(struct pairing *p, unsigned *ret_step,
    uint8_t ret_bytes[PAIRING_BYTES_MAX], size_t *ret_len);

/*
 * Reads the next message. Returns 0; -EKEYREJECTED (step 3 or 4: the other
 * side does not know the secret, or somebody is in the middle); -EBADMSG
 * (another kind, step or length, not a point, the identity, our own share sent
 * back); -EPROTO (not our turn, done, or failed). After -EKEYREJECTED and
 * -EBADMSG the exchange has failed and holds no secret any more.
 */
int pairing_read(struct pairing *p, enum pairing_kind kind, unsigned step,
    const uint8_t *bytes, size_t len);

/*
 * Whether the other side has proven that it knows the secret: at the responder
 * from step 3 on (step 4 is still to be written), at the initiator after
 * step 4.
 */
bool pairing_proven(const struct pairing *p);

#endif
