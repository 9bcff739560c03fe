/*
 * gtfs's handshake: Noise_XX_25519_ChaChaPoly_SHA256 with the payloads of
 * gtfs-protocol(7). A state machine of bytes in and bytes out; who reads and
 * writes sockets is net/conn.
 *
 *     message 1  initiator -> responder   commitment (32)
 *     message 2  initiator <- responder   nonce (32), cipher mask (2), app
 *     message 3  initiator -> responder   nonce (32), cipher mask (2), app
 *
 * The commitment is BLAKE2b-256("gtfs commitment v1" || the initiator's
 * nonce || its long-term public key), checked when message 3 shows both: an
 * attacker in the middle has one guess at the words that people compare, not a
 * search. "app" is opaque here (net: names, ports, capabilities).
 *
 * Source: Noise rev 34, section 5 (processing rules), 7.5 (XX), 11.1
 * (prologue).
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity.h"
#include "record.h"

#define HANDSHAKE_APP_MAX 512
/* e, s, two tags, nonce, mask, app. */
#define HANDSHAKE_MESSAGE_MAX   (32 + 48 + 32 + 2 + HANDSHAKE_APP_MAX + 16)
#define HANDSHAKE_WORDS_BYTES   32
#define HANDSHAKE_CHANNEL_BYTES 32

enum handshake_role { HANDSHAKE_INITIATOR, HANDSHAKE_RESPONDER };

struct handshake;

/*
 * identity is borrowed and must outlive the handshake; the prologue is mixed
 * in at once. NULL when out of memory.
 */
struct handshake *handshake_new(enum handshake_role role,
    const struct identity *identity, const void *prologue, size_t prologue_len);
void handshake_free(struct handshake *h);

/*
 * Writes the next message, with app as its application part (message 1 has
 * none: app_len must be 0). Returns 0, -EPROTO (not our turn or already
 * failed), -EMSGSIZE (app or out_cap: nothing happened, try again), or
 * -EBADMSG (message 1 brought a point of low order, which shows only here:
 * the handshake has failed).
 */
int handshake_write(struct handshake *h, const void *app, size_t app_len,
    uint8_t *out, size_t out_cap, size_t *ret_len);

/*
 * Reads the next message; its application part is copied to ret_app, at most
 * app_cap bytes. Returns 0, -EBADMSG (truncated, trailing bytes, forged,
 * commitment not kept, a low-order point: all one answer, and the handshake
 * has failed), -EMSGSIZE (app_cap too small: failed), -EPROTO (not our turn or
 * already failed).
 */
int handshake_read(struct handshake *h, const uint8_t *msg, size_t len,
    uint8_t *ret_app, size_t app_cap, size_t *ret_app_len);

bool handshake_complete(const struct handshake *h);

/*
 * The other side's long-term key, valid as long as h; NULL unless complete.
 * Nothing is known of it yet but that the other side holds its secret.
 */
const uint8_t *handshake_remote_key(const struct handshake *h);

/*
 * Only when complete, and once (a second pair would repeat the nonces of the
 * first): agrees the cipher, the best one in both masks, and starts both
 * directions. Returns 0 or -EPROTO.
 */
int handshake_split(struct handshake *h, struct record_key *ret_send,
    struct record_key *ret_receive);

/*
 * The mask to offer, less what record_ciphers() does not have; default all of
 * that. Before the first message.
 */
void handshake_set_ciphers(struct handshake *h, unsigned mask);

/*
 * The seed of the words to compare: BLAKE2b-256("gtfs words v1" || the
 * handshake hash after message 2 || initiator's nonce || responder's nonce).
 * Only when complete. Equal on both sides.
 *
 * Not the hash after message 3: its app and ciphers are the initiator's to
 * choose when it knows the responder's nonce, and so it could search for words
 * there. What it sends in message 3 and the seed does cover (nonce and key) it
 * is committed to; the rest is authenticated with that key.
 */
void handshake_words(
    const struct handshake *h, uint8_t ret_seed[HANDSHAKE_WORDS_BYTES]);

/*
 * What names this connection and no other, for proofs that are to hold here
 * alone (pairing.h): BLAKE2b-256("gtfs channel v1" || the handshake hash after
 * message 3). Only when complete. Equal on both sides.
 */
void handshake_channel(
    const struct handshake *h, uint8_t ret_channel[HANDSHAKE_CHANNEL_BYTES]);

#endif
