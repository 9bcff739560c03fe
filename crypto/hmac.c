/*
 * HMAC and HKDF for noise.c (key derivation) and record.c (one key per
 * cipher). Runs on the caller's thread.
 */
#include "hmac.h"

#include <assert.h>
#include <string.h>

void hmac_init(struct hmac *m, const struct suite_hash *hash, const void *key,
    size_t key_len)
{
	uint8_t pad[SUITE_BLOCK_MAX] = { 0 };

	assert(key_len <= hash->block_bytes);
	m->hash = hash;
	memcpy(pad, key, key_len);
	for (size_t i = 0; i < hash->block_bytes; i++)
		pad[i] ^= 0x36;
	hash->init(&m->inner);
	hash->update(&m->inner, pad, hash->block_bytes);
	for (size_t i = 0; i < hash->block_bytes; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash->init(&m->outer);
	hash->update(&m->outer, pad, hash->block_bytes);
	sodium_memzero(pad, sizeof(pad));
}

void hmac_update(struct hmac *m, const void *data, size_t len)
{
	m->hash->update(&m->inner, data, len);
}

void hmac_final(struct hmac *m, uint8_t *ret_mac)
{
	uint8_t inner[SUITE_HASH_MAX];

	m->hash->final(&m->inner, inner);
	m->hash->update(&m->outer, inner, m->hash->hash_bytes);
	m->hash->final(&m->outer, ret_mac);
	sodium_memzero(inner, sizeof(inner));
	sodium_memzero(m, sizeof(*m));
}

/* HMAC(key, previous || number): one output of the HKDF. */
static void expand(const struct suite_hash *hash, const uint8_t *key,
    const uint8_t *previous, size_t previous_len, uint8_t number,
    uint8_t *ret_output)
{
	struct hmac m;

	hmac_init(&m, hash, key, hash->hash_bytes);
	hmac_update(&m, previous, previous_len);
	hmac_update(&m, &number, 1);
	hmac_final(&m, ret_output);
}

void hmac_hkdf(const struct suite_hash *hash, const uint8_t *chaining_key,
    const void *input, size_t input_len, uint8_t ret_first[SUITE_HASH_MAX],
    uint8_t ret_second[SUITE_HASH_MAX], uint8_t *ret_third)
{
	uint8_t key[SUITE_HASH_MAX];
	struct hmac m;

	hmac_init(&m, hash, chaining_key, hash->hash_bytes);
	hmac_update(&m, input, input_len);
	hmac_final(&m, key);

	expand(hash, key, key, 0, 1, ret_first);
	expand(hash, key, ret_first, hash->hash_bytes, 2, ret_second);
	if (ret_third)
		expand(hash, key, ret_second, hash->hash_bytes, 3, ret_third);
	sodium_memzero(key, sizeof(key));
}
