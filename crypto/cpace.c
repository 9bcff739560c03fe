/*
 * CPace over libsodium's ristretto255 and SHA-512. Strings are hashed as they
 * are encoded, so that none has to be put together first. Runs on the caller's
 * thread.
 */
#include "cpace.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "hmac.h"

#define DSI     "CPaceRistretto255"
#define DSI_ISK DSI "_ISK"
#define DSI_MAC "CPaceMac"
/* s_in_bytes of SHA-512: what its first block takes. */
#define BLOCK_BYTES 128
/* LEB128 of a size_t. */
#define LENGTH_MAX 10

static struct cpace_bytes text(const char *s)
{
	return (struct cpace_bytes){ s, strlen(s) };
}

/* The length of an encoded string (appendix A: LEB128), and its size. */
static size_t encode_length(size_t len, uint8_t ret[LENGTH_MAX])
{
	size_t n = 0;

	while (len >= 0x80) {
		ret[n++] = (uint8_t)(len | 0x80);
		len >>= 7;
	}
	ret[n++] = (uint8_t)len;
	return n;
}

static size_t encoded_size(struct cpace_bytes b)
{
	uint8_t length[LENGTH_MAX];

	return encode_length(b.len, length) + b.len;
}

static void put(crypto_hash_sha512_state *h, struct cpace_bytes b)
{
	uint8_t length[LENGTH_MAX];

	crypto_hash_sha512_update(h, length, encode_length(b.len, length));
	crypto_hash_sha512_update(h, b.data, b.len);
}

static void put_share(
    crypto_hash_sha512_state *h, const struct cpace_share *share)
{
	put(h, (struct cpace_bytes){ share->point, CPACE_POINT_BYTES });
	put(h, share->ad);
}

/*
 * The zeros let the secret fill the first block of the hash, whatever its
 * length: what varies behind it does not show in the time taken.
 */
void cpace_generator(struct cpace_bytes prs, struct cpace_bytes ci,
    struct cpace_bytes sid, uint8_t ret_g[CPACE_POINT_BYTES])
{
	static const uint8_t zeros[BLOCK_BYTES];
	const size_t used = encoded_size(prs) + encoded_size(text(DSI)) + 1;
	struct cpace_bytes padding = { zeros, 0 };
	uint8_t digest[crypto_hash_sha512_BYTES];
	crypto_hash_sha512_state h;

	if (used < BLOCK_BYTES)
		padding.len = BLOCK_BYTES - used;
	crypto_hash_sha512_init(&h);
	put(&h, text(DSI));
	put(&h, prs);
	put(&h, padding);
	put(&h, ci);
	put(&h, sid);
	crypto_hash_sha512_final(&h, digest);
	crypto_core_ristretto255_from_hash(ret_g, digest);
	sodium_memzero(digest, sizeof(digest));
	sodium_memzero(&h, sizeof(h));
}

void cpace_scalar(uint8_t ret_scalar[CPACE_SCALAR_BYTES])
{
	crypto_core_ristretto255_scalar_random(ret_scalar);
}

int cpace_multiply(const uint8_t scalar[CPACE_SCALAR_BYTES],
    const uint8_t point[CPACE_POINT_BYTES],
    uint8_t ret_point[CPACE_POINT_BYTES])
{
	uint8_t product[CPACE_POINT_BYTES];

	/* libsodium refuses what does not decode, and the identity. */
	if (crypto_scalarmult_ristretto255(product, scalar, point) != 0)
		return -EBADMSG;
	memcpy(ret_point, product, sizeof(product));
	sodium_memzero(product, sizeof(product));
	return 0;
}

void cpace_isk(struct cpace_bytes sid, const uint8_t k[CPACE_POINT_BYTES],
    const struct cpace_share *initiator, const struct cpace_share *responder,
    uint8_t ret_isk[CPACE_ISK_BYTES])
{
	crypto_hash_sha512_state h;

	crypto_hash_sha512_init(&h);
	put(&h, text(DSI_ISK));
	put(&h, sid);
	put(&h, (struct cpace_bytes){ k, CPACE_POINT_BYTES });
	put_share(&h, initiator);
	put_share(&h, responder);
	crypto_hash_sha512_final(&h, ret_isk);
	sodium_memzero(&h, sizeof(h));
}

void cpace_tag(struct cpace_bytes sid, const uint8_t isk[CPACE_ISK_BYTES],
    const struct cpace_share *share, uint8_t ret_tag[CPACE_TAG_BYTES])
{
	uint8_t key[crypto_hash_sha512_BYTES];
	crypto_hash_sha512_state h;
	uint8_t length[LENGTH_MAX];
	struct hmac m;

	crypto_hash_sha512_init(&h);
	crypto_hash_sha512_update(
	    &h, (const uint8_t *)DSI_MAC, sizeof(DSI_MAC) - 1);
	crypto_hash_sha512_update(&h, sid.data, sid.len);
	crypto_hash_sha512_update(&h, isk, CPACE_ISK_BYTES);
	crypto_hash_sha512_final(&h, key);

	hmac_init(&m, &suite_sha512, key, sizeof(key));
	hmac_update(&m, length, encode_length(CPACE_POINT_BYTES, length));
	hmac_update(&m, share->point, CPACE_POINT_BYTES);
	hmac_update(&m, length, encode_length(share->ad.len, length));
	hmac_update(&m, share->ad.data, share->ad.len);
	hmac_final(&m, ret_tag);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(&h, sizeof(h));
}
