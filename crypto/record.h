/*
 * The record layer: what is on the wire after the handshake.
 *
 *     record = length (3 bytes, big-endian, of the ciphertext) | ciphertext
 *
 * The ciphertext is the AEAD of one message, its associated data the three
 * length bytes, its nonce the count of records sealed under this key. Each
 * direction has its own key and its own counter, which only record.c moves and
 * which never goes back. Before a record that would take a key past its limit
 * both sides apply Noise's REKEY() (rev 34, section 4.2) and start from 0.
 *
 * Bytes in, bytes out: no I/O, no allocation, no logging. One thread at a time
 * uses one direction.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_BYTES 3
/* The tag of the widest cipher (AEGIS-256: 32); others use 16. */
#define RECORD_TAG_MAX 32
/* Largest plaintext of one record: 256 KiB of file and its message header. */
#define RECORD_PLAIN_MAX  (256 * 1024 + 256)
#define RECORD_CIPHER_MAX (RECORD_PLAIN_MAX + RECORD_TAG_MAX)
/* What a sealed record takes at most beyond its plaintext. */
#define RECORD_OVERHEAD (RECORD_HEADER_BYTES + RECORD_TAG_MAX)

/* Bits of a cipher mask; the order of preference is record_cipher_choose's. */
enum record_cipher {
	RECORD_CHACHA20_POLY1305 = 1,
	RECORD_AES_256_GCM = 2,
	RECORD_AEGIS_256 = 4,
};

/* Never copied: two copies would seal twice under one counter. */
struct record_key {
	uint8_t key[32];
	uint64_t counter; /* records sealed or opened under this key */
	uint64_t bytes;   /* plaintext bytes under this key */
	uint64_t limit_bytes;
	uint64_t limit_records;
	enum record_cipher cipher;
	bool failed; /* nothing works any more: the connection must end */
};

/* The ciphers that this build on this processor can use, as a mask. */
unsigned record_ciphers(void);

/*
 * The best cipher in both masks (AEGIS-256, else AES-256-GCM, else ChaCha20-
 * Poly1305). Returns 0, or -EPROTO where there is none in common.
 */
int record_cipher_choose(
    unsigned ours, unsigned theirs, enum record_cipher *ret);

/* A display name such as "AES-256-GCM". */
const char *record_cipher_name(enum record_cipher c);

/*
 * Starts one direction from a key of the handshake's Split(). The key used is
 * HMAC-SHA256(key, "gtfs record v1 " || name of the cipher), so that one
 * Split() output never serves two ciphers. Limits are 2^36 bytes and 2^32
 * records.
 */
void record_key_init(struct record_key *k, const uint8_t split_key[32],
    enum record_cipher cipher);

/*
 * Lowers the limits (tests; both sides must agree), never raises them. 0
 * leaves one as it is.
 */
void record_key_limits(struct record_key *k, uint64_t bytes, uint64_t records);

void record_key_fini(struct record_key *k);

size_t record_tag_bytes(enum record_cipher c);

/*
 * Seals len bytes of plain into out: header and ciphertext. out and plain do
 * not overlap, except that plain may be exactly out + RECORD_HEADER_BYTES
 * (sealed in place). Returns 0 and the bytes written in *ret_len, -EMSGSIZE
 * (len > RECORD_PLAIN_MAX or out_cap too small), -EKEYEXPIRED (the counter is
 * used up and cannot be rekeyed), or -ECONNABORTED after a failure.
 */
int record_seal(struct record_key *k, const void *plain, size_t len,
    uint8_t *out, size_t out_cap, size_t *ret_len);

/*
 * The length of the ciphertext that follows this header. Returns 0 or
 * -EBADMSG where it is shorter than a tag or longer than allowed; max_plain
 * bounds it further (a peer before it is accepted gets little room).
 */
int record_header(const struct record_key *k,
    const uint8_t header[RECORD_HEADER_BYTES], size_t max_plain,
    size_t *ret_cipher_len);

/*
 * Opens a record in place: buf holds header and ciphertext. *ret_plain points
 * into buf. Returns 0, -EBADMSG (forged, damaged, out of order: k is failed
 * for good and every later call says so), or -EKEYEXPIRED.
 */
int record_open(struct record_key *k, uint8_t *buf, size_t len,
    uint8_t **ret_plain, size_t *ret_len);

#endif
