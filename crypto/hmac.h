/*
 * HMAC over a hash of suite.h, and the HKDF that Noise builds from it.
 *
 * Source: RFC 2104; Noise rev 34, section 4.3.
 */
#ifndef HMAC_H
#define HMAC_H

#include <stddef.h>
#include <stdint.h>

#include "suite.h"

struct hmac {
	const struct suite_hash *hash;
	union suite_hash_state inner;
	union suite_hash_state outer;
};

/* key_len is at most the hash's block: Noise never has longer keys. */
void hmac_init(struct hmac *m, const struct suite_hash *hash, const void *key,
    size_t key_len);
void hmac_update(struct hmac *m, const void *data, size_t len);
/* Writes hash_bytes bytes and wipes m. */
void hmac_final(struct hmac *m, uint8_t *ret_mac);

/*
 * HKDF(chaining key, input key material): 2 or 3 outputs (ret_third NULL for
 * 2) of hash_bytes each. chaining_key has hash_bytes bytes; outputs may
 * overwrite it.
 */
void hmac_hkdf(const struct suite_hash *hash, const uint8_t *chaining_key,
    const void *input, size_t input_len, uint8_t ret_first[SUITE_HASH_MAX],
    uint8_t ret_second[SUITE_HASH_MAX], uint8_t *ret_third);

#endif
