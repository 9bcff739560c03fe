/*
 * Fuzz target of crypto/record. The first byte picks the cipher and the mode:
 * bytes of a stranger as records (with any bound for the header), or records
 * of our own, sealed from the input under low limits, then opened as they are
 * and with one bit changed.
 */
#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t split_key[32] = "one key serves all of the inputs";

static uint8_t work[RECORD_PLAIN_MAX + RECORD_OVERHEAD];

/* A stranger's stream: headers are read, bodies opened, nothing opens. */
static void open_stream(
    enum record_cipher c, size_t max_plain, const uint8_t *data, size_t size)
{
	struct record_key k;
	size_t cipher_len, len;
	uint8_t *plain;

	record_key_init(&k, split_key, c);
	while (size >= RECORD_HEADER_BYTES &&
	       record_header(&k, data, max_plain, &cipher_len) == 0) {
		if (cipher_len > max_plain + record_tag_bytes(c) ||
		    cipher_len > RECORD_CIPHER_MAX)
			abort();
		len = RECORD_HEADER_BYTES + cipher_len;
		if (len > size)
			len = size;
		memcpy(work, data, len);
		if (record_open(&k, work, len, &plain, &len) == 0)
			abort();
		if (!k.failed)
			abort();
	}
	record_key_fini(&k);
}

/* Lengths, limits and contents are the input's; flip is a bit to change. */
static void pass_records(
    enum record_cipher c, uint16_t flip, const uint8_t *data, size_t size)
{
	struct record_key sealer, opener, spoilt;
	uint8_t copy[255 + RECORD_OVERHEAD], *plain;
	size_t len, back;

	record_key_init(&sealer, split_key, c);
	record_key_init(&opener, split_key, c);
	record_key_limits(&sealer, flip, flip % 7);
	record_key_limits(&opener, flip, flip % 7);
	while (size > 0) {
		size_t n = data[0];
		size_t bit;

		data++;
		size--;
		if (n > size)
			n = size;
		if (record_seal(&sealer, data, n, work, sizeof(work), &len) < 0)
			abort();
		/* A copy of a key, never to be made outside of tests. */
		spoilt = opener;
		memcpy(copy, work, len);
		bit = flip % (len * 8);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (record_open(&spoilt, copy, len, &plain, &back) != -EBADMSG)
			abort();
		if (record_open(&opener, work, len, &plain, &back) < 0 ||
		    back != n || memcmp(plain, data, n) != 0)
			abort();
		data += n;
		size -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum record_cipher ciphers[] = { RECORD_CHACHA20_POLY1305,
		RECORD_AES_256_GCM, RECORD_AEGIS_256 };
	enum record_cipher c;
	uint16_t number;

	if (size < 3)
		return 0;
	c = ciphers[data[0] % 3];
	if (!(record_ciphers() & c))
		c = RECORD_CHACHA20_POLY1305;
	number = get_be16(data + 1);
	if (data[0] & 0x80)
		pass_records(c, number, data + 3, size - 3);
	else
		open_stream(c, number, data + 3, size - 3);
	return 0;
}
