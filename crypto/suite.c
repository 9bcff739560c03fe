/*
 * The tables of suite.h: thin adapters from libsodium's functions to ours,
 * and the one place that lays out nonces. Runs on the caller's thread; counters
 * and lengths are the caller's to check.
 */
#include "suite.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"

/* ChaChaPoly: 32 zero bits, then the counter, little-endian (Noise 12.3). */
static void chacha_nonce(
    uint64_t counter, uint8_t ret[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	memset(ret, 0, 4);
	for (int i = 0; i < 8; i++)
		ret[4 + i] = (uint8_t)(counter >> (8 * i));
}

static bool chacha_available(void)
{
	return true;
}

static void chacha_encrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *plain, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	chacha_nonce(counter, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    out, NULL, plain, len, ad, ad_len, NULL, nonce, key);
}

static bool chacha_decrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *cipher, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	chacha_nonce(counter, nonce);
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		   out, NULL, NULL, cipher, len, ad, ad_len, nonce, key) == 0;
}

const struct suite_cipher suite_chacha_poly = {
	.name = "ChaChaPoly",
	.tag_bytes = crypto_aead_chacha20poly1305_ietf_ABYTES,
	.available = chacha_available,
	.encrypt = chacha_encrypt,
	.decrypt = chacha_decrypt,
};

/* AESGCM: 32 zero bits, then the counter, big-endian (Noise 12.4). */
static void aes_nonce(
    uint64_t counter, uint8_t ret[crypto_aead_aes256gcm_NPUBBYTES])
{
	memset(ret, 0, 4);
	put_be64(ret + 4, counter);
}

static bool aes_available(void)
{
	return crypto_aead_aes256gcm_is_available() != 0;
}

static void aes_encrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *plain, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_aes256gcm_NPUBBYTES];

	aes_nonce(counter, nonce);
	crypto_aead_aes256gcm_encrypt(
	    out, NULL, plain, len, ad, ad_len, NULL, nonce, key);
}

static bool aes_decrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *cipher, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_aes256gcm_NPUBBYTES];

	aes_nonce(counter, nonce);
	return crypto_aead_aes256gcm_decrypt(
		   out, NULL, NULL, cipher, len, ad, ad_len, nonce, key) == 0;
}

const struct suite_cipher suite_aes_gcm = {
	.name = "AESGCM",
	.tag_bytes = crypto_aead_aes256gcm_ABYTES,
	.available = aes_available,
	.encrypt = aes_encrypt,
	.decrypt = aes_decrypt,
};

#ifdef crypto_aead_aegis256_KEYBYTES

/* As AESGCM, in AEGIS-256's 32 bytes of nonce. */
static void aegis_nonce(
    uint64_t counter, uint8_t ret[crypto_aead_aegis256_NPUBBYTES])
{
	memset(ret, 0, crypto_aead_aegis256_NPUBBYTES - 8);
	put_be64(ret + crypto_aead_aegis256_NPUBBYTES - 8, counter);
}

/*
 * libsodium computes AEGIS-256 without AES instructions too, slower than
 * ChaCha20: it is offered only where the processor has them.
 */
static bool aegis_available(void)
{
	return aes_available();
}

static void aegis_encrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *plain, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_aegis256_NPUBBYTES];

	aegis_nonce(counter, nonce);
	crypto_aead_aegis256_encrypt(
	    out, NULL, plain, len, ad, ad_len, NULL, nonce, key);
}

static bool aegis_decrypt(const uint8_t key[SUITE_KEY_BYTES], uint64_t counter,
    const void *ad, size_t ad_len, const uint8_t *cipher, size_t len,
    uint8_t *out)
{
	uint8_t nonce[crypto_aead_aegis256_NPUBBYTES];

	aegis_nonce(counter, nonce);
	return crypto_aead_aegis256_decrypt(
		   out, NULL, NULL, cipher, len, ad, ad_len, nonce, key) == 0;
}

const struct suite_cipher suite_aegis_256 = {
	.name = "AEGIS256",
	.tag_bytes = crypto_aead_aegis256_ABYTES,
	.available = aegis_available,
	.encrypt = aegis_encrypt,
	.decrypt = aegis_decrypt,
};

_Static_assert(crypto_aead_aegis256_ABYTES <= SUITE_TAG_MAX, "room for tags");
_Static_assert(crypto_aead_aegis256_KEYBYTES == SUITE_KEY_BYTES, "one key");

#else /* libsodium before 1.0.19 */

static bool aegis_available(void)
{
	return false;
}

const struct suite_cipher suite_aegis_256 = {
	.name = "AEGIS256",
	.tag_bytes = SUITE_TAG_MAX,
	.available = aegis_available,
};

#endif

static void sha256_init(union suite_hash_state *s)
{
	crypto_hash_sha256_init(&s->sha256);
}

static void sha256_update(
    union suite_hash_state *s, const void *data, size_t len)
{
	crypto_hash_sha256_update(&s->sha256, data, len);
}

static void sha256_final(union suite_hash_state *s, uint8_t *ret_hash)
{
	crypto_hash_sha256_final(&s->sha256, ret_hash);
}

const struct suite_hash suite_sha256 = {
	.name = "SHA256",
	.hash_bytes = crypto_hash_sha256_BYTES,
	.block_bytes = 64,
	.init = sha256_init,
	.update = sha256_update,
	.final = sha256_final,
};

static void sha512_init(union suite_hash_state *s)
{
	crypto_hash_sha512_init(&s->sha512);
}

static void sha512_update(
    union suite_hash_state *s, const void *data, size_t len)
{
	crypto_hash_sha512_update(&s->sha512, data, len);
}

static void sha512_final(union suite_hash_state *s, uint8_t *ret_hash)
{
	crypto_hash_sha512_final(&s->sha512, ret_hash);
}

const struct suite_hash suite_sha512 = {
	.name = "SHA512",
	.hash_bytes = crypto_hash_sha512_BYTES,
	.block_bytes = 128,
	.init = sha512_init,
	.update = sha512_update,
	.final = sha512_final,
};

static void blake2b_init(union suite_hash_state *s)
{
	crypto_generichash_blake2b_init(
	    &s->blake2b, NULL, 0, crypto_generichash_blake2b_BYTES_MAX);
}

static void blake2b_update(
    union suite_hash_state *s, const void *data, size_t len)
{
	crypto_generichash_blake2b_update(&s->blake2b, data, len);
}

static void blake2b_final(union suite_hash_state *s, uint8_t *ret_hash)
{
	crypto_generichash_blake2b_final(
	    &s->blake2b, ret_hash, crypto_generichash_blake2b_BYTES_MAX);
}

const struct suite_hash suite_blake2b = {
	.name = "BLAKE2b",
	.hash_bytes = crypto_generichash_blake2b_BYTES_MAX,
	.block_bytes = 128,
	.init = blake2b_init,
	.update = blake2b_update,
	.final = blake2b_final,
};

void suite_rekey(
    const struct suite_cipher *cipher, uint8_t key[SUITE_KEY_BYTES])
{
	uint8_t block[SUITE_KEY_BYTES + SUITE_TAG_MAX] = { 0 };

	cipher->encrypt(
	    key, SUITE_COUNTER_MAX, NULL, 0, block, SUITE_KEY_BYTES, block);
	memcpy(key, block, SUITE_KEY_BYTES);
	sodium_memzero(block, sizeof(block));
}

void suite_digest(
    const char *domain, const void *data, size_t len, uint8_t ret_digest[32])
{
	crypto_generichash_blake2b_state s;

	crypto_generichash_blake2b_init(&s, NULL, 0, 32);
	crypto_generichash_blake2b_update(
	    &s, (const uint8_t *)domain, strlen(domain));
	crypto_generichash_blake2b_update(&s, data, len);
	crypto_generichash_blake2b_final(&s, ret_digest, 32);
	sodium_memzero(&s, sizeof(s));
}

void suite_dh_generate(
    uint8_t ret_secret[SUITE_DH_BYTES], uint8_t ret_public[SUITE_DH_BYTES])
{
	randombytes_buf(ret_secret, SUITE_DH_BYTES);
	suite_dh_public(ret_secret, ret_public);
}

void suite_dh_public(
    const uint8_t secret[SUITE_DH_BYTES], uint8_t ret_public[SUITE_DH_BYTES])
{
	int r = crypto_scalarmult_curve25519_base(ret_public, secret);

	/* Cannot fail: the base point is not of low order. */
	assert(r == 0);
	(void)r;
}

int suite_dh(const uint8_t secret[SUITE_DH_BYTES],
    const uint8_t public[SUITE_DH_BYTES], uint8_t ret_shared[SUITE_DH_BYTES])
{
	uint8_t shared[SUITE_DH_BYTES];

	if (crypto_scalarmult_curve25519(shared, secret, public) != 0 ||
	    sodium_is_zero(shared, sizeof(shared)))
		return -EBADMSG;
	memcpy(ret_shared, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return 0;
}
