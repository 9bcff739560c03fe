/*
 * What comes before the records of gtfs-protocol(7): the preamble, and the
 * hello inside the handshake. Pure functions, any thread.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "escape.h"
#include "wire.h"

static const uint8_t magic[4] = { 'g', 't', 'f', 's' };

void wire_preamble_encode(uint8_t out[WIRE_PREAMBLE_BYTES])
{
	memcpy(out, magic, sizeof(magic));
	out[4] = WIRE_MAJOR;
	out[5] = WIRE_MINOR;
	out[6] = 0;
	out[7] = 0;
}

int wire_preamble_decode(const uint8_t in[WIRE_PREAMBLE_BYTES],
    uint8_t *ret_major, uint8_t *ret_minor)
{
	/* The two reserved bytes belong to later versions. */
	if (memcmp(in, magic, sizeof(magic)) != 0)
		return -EPROTO;
	*ret_major = in[4];
	*ret_minor = in[5];
	return 0;
}

/* An extension: type (1), length (2), value. */
#define EXTENSION_HEADER 3
/* Of no length: the speaker is in a group. */
#define EXTENSION_GROUP 1

/* Before a hello's name: minor (1), port (2), length of the name (1). */
#define HELLO_HEADER 4

static bool peer_name_ok(const char *name, size_t len)
{
	return len >= 1 && len <= WIRE_PEER_NAME_MAX &&
	       !memchr(name, '\0', len) && escape_is_utf8(name, len);
}

int wire_hello_encode(
    const struct wire_hello *h, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t name_len = strnlen(h->name, WIRE_PEER_NAME_MAX);
	size_t len = HELLO_HEADER + name_len;

	assert(peer_name_ok(h->name, strnlen(h->name, sizeof(h->name))));
	if (cap < len + (h->group ? EXTENSION_HEADER : 0))
		return -EMSGSIZE;
	out[0] = h->minor;
	put_be16(out + 1, h->port);
	out[3] = (uint8_t)name_len;
	memcpy(out + HELLO_HEADER, h->name, name_len);
	if (h->group) {
		out[len] = EXTENSION_GROUP;
		put_be16(out + len + 1, 0);
		len += EXTENSION_HEADER;
	}
	*ret_len = len;
	return 0;
}

/* Whole, or refused; types of later minor versions are skipped. */
static int extensions_decode(
    const uint8_t *buf, size_t len, struct wire_hello *ret)
{
	size_t value;

	for (; len > 0; buf += value, len -= value) {
		if (len < EXTENSION_HEADER)
			return -EBADMSG;
		value = get_be16(buf + 1);
		if (value > len - EXTENSION_HEADER)
			return -EBADMSG;
		if (buf[0] == EXTENSION_GROUP)
			ret->group = true;
		value += EXTENSION_HEADER;
	}
	return 0;
}

int wire_hello_decode(const uint8_t *buf, size_t len, struct wire_hello *ret)
{
	struct wire_hello hello = { 0 };
	size_t name_len;
	int r;

	if (len < HELLO_HEADER)
		return -EBADMSG;
	name_len = buf[3];
	if (name_len > len - HELLO_HEADER ||
	    !peer_name_ok((const char *)buf + HELLO_HEADER, name_len))
		return -EBADMSG;
	r = extensions_decode(buf + HELLO_HEADER + name_len,
	    len - HELLO_HEADER - name_len, &hello);
	if (r)
		return r;
	hello.minor = buf[0];
	hello.port = get_be16(buf + 1);
	memcpy(hello.name, buf + HELLO_HEADER, name_len);
	*ret = hello;
	return 0;
}
