/*
 * The record layer (record.h): framing, counters, rekeying. The counter of a
 * direction moves here and nowhere else. Runs on the thread that uses the
 * direction; the ciphers themselves are suite.c's.
 */
#include "record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "hmac.h"
#include "suite.h"

#define LIMIT_BYTES   (UINT64_C(1) << 36)
#define LIMIT_RECORDS (UINT64_C(1) << 32)

#define KEY_LABEL     "gtfs record v1 "

/* Best first. */
static const struct {
	enum record_cipher cipher;
	const char *name;
	const struct suite_cipher *suite;
} ciphers[] = {
	{ RECORD_AEGIS_256, "AEGIS-256", &suite_aegis_256 },
	{ RECORD_AES_256_GCM, "AES-256-GCM", &suite_aes_gcm },
	{ RECORD_CHACHA20_POLY1305, "ChaCha20-Poly1305", &suite_chacha_poly },
};

#define CIPHERS (sizeof(ciphers) / sizeof(ciphers[0]))

_Static_assert(RECORD_TAG_MAX == SUITE_TAG_MAX, "one bound for tags");
_Static_assert(RECORD_CIPHER_MAX < 1 << 24, "lengths have three bytes");

static const struct suite_cipher *suite_of(enum record_cipher c)
{
	for (size_t i = 0; i < CIPHERS; i++) {
		if (ciphers[i].cipher == c)
			return ciphers[i].suite;
	}
	return NULL;
}

unsigned record_ciphers(void)
{
	unsigned mask = 0;

	/* Before it libsodium does not know what the processor has. */
	if (sodium_init() < 0)
		return 0;
	for (size_t i = 0; i < CIPHERS; i++) {
		if (ciphers[i].suite->available())
			mask |= ciphers[i].cipher;
	}
	return mask;
}

int record_cipher_choose(
    unsigned ours, unsigned theirs, enum record_cipher *ret)
{
	for (size_t i = 0; i < CIPHERS; i++) {
		if (ours & theirs & ciphers[i].cipher) {
			*ret = ciphers[i].cipher;
			return 0;
		}
	}
	return -EPROTO;
}

const char *record_cipher_name(enum record_cipher c)
{
	for (size_t i = 0; i < CIPHERS; i++) {
		if (ciphers[i].cipher == c)
			return ciphers[i].name;
	}
	return "unknown";
}

size_t record_tag_bytes(enum record_cipher c)
{
	const struct suite_cipher *suite = suite_of(c);

	return suite ? suite->tag_bytes : RECORD_TAG_MAX;
}

void record_key_init(struct record_key *k, const uint8_t split_key[32],
    enum record_cipher cipher)
{
	const char *name = record_cipher_name(cipher);
	struct hmac m;

	assert(record_ciphers() & cipher);
	memset(k, 0, sizeof(*k));
	k->cipher = cipher;
	k->limit_bytes = LIMIT_BYTES;
	k->limit_records = LIMIT_RECORDS;
	hmac_init(&m, &suite_sha256, split_key, 32);
	hmac_update(&m, KEY_LABEL, strlen(KEY_LABEL));
	hmac_update(&m, name, strlen(name));
	hmac_final(&m, k->key);
}

void record_key_limits(struct record_key *k, uint64_t bytes, uint64_t records)
{
	if (bytes && bytes < k->limit_bytes)
		k->limit_bytes = bytes;
	if (records && records < k->limit_records)
		k->limit_records = records;
}

void record_key_fini(struct record_key *k)
{
	sodium_memzero(k, sizeof(*k));
	k->failed = true;
}

/*
 * Readies k for a record of len plaintext bytes: a new key where this one
 * would go past a limit. Both sides come here with the same numbers, so they
 * agree on when without a word on the wire.
 */
static int next_record(
    struct record_key *k, const struct suite_cipher *suite, size_t len)
{
	if (k->counter == SUITE_COUNTER_MAX)
		return -EKEYEXPIRED;
	if (k->counter > 0 && (k->counter >= k->limit_records ||
				  k->bytes + len > k->limit_bytes)) {
		suite_rekey(suite, k->key);
		k->counter = 0;
		k->bytes = 0;
	}
	return 0;
}

int record_seal(struct record_key *k, const void *plain, size_t len,
    uint8_t *out, size_t out_cap, size_t *ret_len)
{
	const struct suite_cipher *suite = suite_of(k->cipher);
	size_t cipher_len;
	int r;

	if (k->failed || !suite)
		return -ECONNABORTED;
	if (len > RECORD_PLAIN_MAX)
		return -EMSGSIZE;
	cipher_len = len + suite->tag_bytes;
	if (out_cap < RECORD_HEADER_BYTES + cipher_len)
		return -EMSGSIZE;
	r = next_record(k, suite, len);
	if (r < 0)
		return r;

	put_be24(out, (uint32_t)cipher_len);
	suite->encrypt(k->key, k->counter++, out, RECORD_HEADER_BYTES, plain,
	    len, out + RECORD_HEADER_BYTES);
	k->bytes += len;
	*ret_len = RECORD_HEADER_BYTES + cipher_len;
	return 0;
}

int record_header(const struct record_key *k,
    const uint8_t header[RECORD_HEADER_BYTES], size_t max_plain,
    size_t *ret_cipher_len)
{
	const struct suite_cipher *suite = suite_of(k->cipher);
	size_t len = get_be24(header);

	if (k->failed || !suite || len < suite->tag_bytes)
		return -EBADMSG;
	if (max_plain > RECORD_PLAIN_MAX)
		max_plain = RECORD_PLAIN_MAX;
	if (len - suite->tag_bytes > max_plain)
		return -EBADMSG;
	*ret_cipher_len = len;
	return 0;
}

static int fail(struct record_key *k)
{
	record_key_fini(k);
	return -EBADMSG;
}

int record_open(struct record_key *k, uint8_t *buf, size_t len,
    uint8_t **ret_plain, size_t *ret_len)
{
	const struct suite_cipher *suite = suite_of(k->cipher);
	uint8_t *cipher = buf + RECORD_HEADER_BYTES;
	size_t cipher_len;
	size_t plain_len;
	int r;

	if (k->failed || !suite)
		return -EBADMSG;
	if (len < RECORD_HEADER_BYTES ||
	    record_header(k, buf, RECORD_PLAIN_MAX, &cipher_len) < 0 ||
	    len != RECORD_HEADER_BYTES + cipher_len)
		return fail(k);
	plain_len = cipher_len - suite->tag_bytes;
	r = next_record(k, suite, plain_len);
	if (r < 0)
		return r;

	if (!suite->decrypt(k->key, k->counter, buf, RECORD_HEADER_BYTES,
		cipher, cipher_len, cipher))
		return fail(k);
	k->counter++;
	k->bytes += plain_len;
	*ret_plain = cipher;
	*ret_len = plain_len;
	return 0;
}
