/*
 * Fuzz target of net/wire: bytes of a peer as a message, and as a hello. What
 * decodes is canonical: encoded again it gives the same bytes (an unknown code
 * has become WIRE_EIO, which is the one exception).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the code of a message is, or 0. */
static size_t code_offset(enum wire_type t)
{
	switch (t) {
	case WIRE_BYE: return 1;
	case WIRE_REFUSE:
	case WIRE_ABORT: return 1 + 4;
	case WIRE_DATA:
	case WIRE_RESULT: return 1 + 8;
	case WIRE_ACK: return 1 + 4 + 8 + 1;
	default: return 0;
	}
}

static void check_message(const uint8_t *data, size_t size)
{
	uint8_t out[WIRE_SMALL_MAX], expected[WIRE_SMALL_MAX];
	const uint8_t *payload = NULL;
	struct wire_msg m;
	size_t len, code, more;

	if (wire_decode(data, size, &m) < 0)
		return;
	if (wire_encode(&m, out, sizeof(out), &len) < 0)
		abort();
	more = wire_payload(&m, &payload);
	if (len + more != size || (more && payload != data + len))
		abort();
	size = len;
	memcpy(expected, data, size);
	code = code_offset(m.type);
	if (code &&
	    (expected[code] || expected[code + 1] > WIRE_EKEYREJECTED)) {
		expected[code] = 0;
		expected[code + 1] = WIRE_EIO;
	}
	if (memcmp(out, expected, size) != 0)
		abort();
}

static void check_hello(const uint8_t *data, size_t size)
{
	uint8_t out[WIRE_SMALL_MAX];
	struct wire_hello h;
	size_t len;

	if (wire_hello_decode(data, size, &h) < 0)
		return;
	if (wire_hello_encode(&h, out, sizeof(out), &len) < 0 || len > size ||
	    memcmp(out, data, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_message(data, size);
	check_hello(data, size);
	return 0;
}
