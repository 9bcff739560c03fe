/*
 * The primitives that the Noise code and the record layer are built from, as
 * tables of functions over libsodium: X25519, AEAD ciphers with a counter for
 * a nonce, hashes. Everything above takes a table and names no algorithm, so
 * that one Noise implementation passes the vectors of all of them.
 *
 * Pure functions: any thread, no blocking, no allocation. libsodium must have
 * been started (sodium_init()) by whoever made the keys.
 *
 * Source: Noise rev 34, sections 4.1 to 4.3 and 12.
 */
#ifndef SUITE_H
#define SUITE_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUITE_DH_BYTES  32
#define SUITE_KEY_BYTES 32
/* The tag of every Noise cipher; AEGIS-256 (records only) has 32. */
#define SUITE_TAG_BYTES 16
#define SUITE_TAG_MAX   32
#define SUITE_HASH_MAX  64
#define SUITE_BLOCK_MAX 128

/* The counter that no record has: REKEY() uses it (Noise 4.2). */
#define SUITE_COUNTER_MAX UINT64_MAX

struct suite_cipher {
	const char *name; /* as protocol names of Noise spell it */
	size_t tag_bytes;
	/* Whether this build on this processor has it. */
	bool (*available)(void);
	/*
	 * Writes len + tag_bytes bytes to out, which is plain itself or does
	 * not overlap it.
	 */
	void (*encrypt)(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
	    const void *ad, size_t ad_len, const uint8_t *plain, size_t len,
	    uint8_t *out);
	/*
	 * len includes the tag. Writes len - tag_bytes bytes to out (as
	 * above) and returns true, or returns false and leaves nothing of the
	 * plaintext there.
	 */
	bool (*decrypt)(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
	    const void *ad, size_t ad_len, const uint8_t *cipher, size_t len,
	    uint8_t *out);
};

extern const struct suite_cipher suite_chacha_poly;
extern const struct suite_cipher suite_aes_gcm;
extern const struct suite_cipher suite_aegis_256;

union suite_hash_state {
	crypto_hash_sha256_state sha256;
	crypto_hash_sha512_state sha512;
	crypto_generichash_blake2b_state blake2b;
};

struct suite_hash {
	const char *name;
	size_t hash_bytes;
	size_t block_bytes;
	void (*init)(union suite_hash_state *s);
	void (*update)(union suite_hash_state *s, const void *data, size_t len);
	/* Writes hash_bytes bytes. The state keeps its secrets: wipe it. */
	void (*final)(union suite_hash_state *s, uint8_t *ret_hash);
};

extern const struct suite_hash suite_sha256;
extern const struct suite_hash suite_sha512;
extern const struct suite_hash suite_blake2b;

/* REKEY(k) of Noise 4.2, in place. */
void suite_rekey(
    const struct suite_cipher *cipher, uint8_t key[SUITE_KEY_BYTES]);

/*
 * BLAKE2b-256 over a domain (its characters, without the NUL) and data; the
 * one-shot hash of all that gtfs adds to Noise.
 */
void suite_digest(
    const char *domain, const void *data, size_t len, uint8_t ret_digest[32]);

/* A new X25519 key pair, from the kernel's random numbers. */
void suite_dh_generate(
    uint8_t ret_secret[SUITE_DH_BYTES], uint8_t ret_public[SUITE_DH_BYTES]);

void suite_dh_public(
    const uint8_t secret[SUITE_DH_BYTES], uint8_t ret_public[SUITE_DH_BYTES]);

/*
 * DH() of Noise 12.1. Returns 0, or -EBADMSG where the public key is a point
 * of low order (the result would be zero whatever our secret is).
 */
int suite_dh(const uint8_t secret[SUITE_DH_BYTES],
    const uint8_t public[SUITE_DH_BYTES], uint8_t ret_shared[SUITE_DH_BYTES]);

#endif
