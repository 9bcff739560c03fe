/*
 * Checks of what is heard on the link. Runs on the discovery thread, holds no
 * state; what to do with a hint that passes is net/peers's business.
 */
#include "hint.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "escape.h"

#define VERSION_MAX     255
#define PRIVILEGED_PORT 1024 /* ports below it are other services' */

bool hint_id_valid(const char *id, size_t len)
{
	if (len != DISCOVERY_ID_CHARS)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(id[i] >= '0' && id[i] <= '9') &&
		    !(id[i] >= 'a' && id[i] <= 'f'))
			return false;
	return true;
}

bool hint_instance_valid(const char *name)
{
	size_t len = strnlen(name, DISCOVERY_INSTANCE_MAX + 1);

	return len >= 1 && len <= DISCOVERY_INSTANCE_MAX &&
	       escape_is_utf8(name, len);
}

/* Returns 1 to 255, or 0 for anything else. */
static unsigned version_parse(const char *text, size_t len)
{
	unsigned v = 0;

	if (len < 1 || len > 3 || text[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	return v <= VERSION_MAX ? v : 0;
}

void hint_txt_init(struct hint_txt *t)
{
	*t = (struct hint_txt){ 0 };
}

/* Keys are compared without regard to case: RFC 6763 6.4. */
static bool key_is(const char *key, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(key, wanted, len) == 0;
}

void hint_txt_add(struct hint_txt *t, const void *text, size_t len)
{
	const char *key = text, *value, *equals;
	size_t key_len, value_len;

	/* Each string is led by a byte of length on the wire. */
	if (t->bad || len >= HINT_TXT_BYTES_MAX - t->bytes) {
		t->bad = true;
		return;
	}
	t->bytes += len + 1;
	if (len == 0)
		return;
	equals = memchr(key, '=', len);
	key_len = equals ? (size_t)(equals - key) : len;
	value = equals ? equals + 1 : key + len;
	value_len = (size_t)(key + len - value);

	if (key_is(key, key_len, "v")) {
		t->versions++;
		t->version = version_parse(value, value_len);
	} else if (key_is(key, key_len, "id")) {
		t->ids++;
		if (hint_id_valid(value, value_len))
			memcpy(t->id, value, value_len);
		else
			t->bad = true;
	}
}

int hint_txt_check(const struct hint_txt *t)
{
	if (t->bad || t->versions != 1 || t->version == 0 || t->ids != 1)
		return -EBADMSG;
	return 0;
}

static int address_v4(
    const void *address, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	uint32_t host;

	memcpy(&sin.sin_addr, address, sizeof(sin.sin_addr));
	host = ntohl(sin.sin_addr.s_addr);
	/* "This network", loopback, multicast, reserved and broadcast. */
	if (host >> 24 == 0 || host >> 24 == 127 || host >> 28 >= 0xe)
		return -EADDRNOTAVAIL;
	*ret = (struct sockaddr_storage){ 0 };
	memcpy(ret, &sin, sizeof(sin));
	return 0;
}

static int address_v6(const void *address, uint16_t port, int ifindex,
    struct sockaddr_storage *ret)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };
	static const uint8_t zero[10];

	memcpy(&sin6.sin6_addr, address, sizeof(sin6.sin6_addr));
	/*
	 * Ten bytes of zero lead the unspecified address, loopback, and IPv4
	 * in disguise (mapped, compatible): none of them is a host's address
	 * on a link (RFC 4291 2.5).
	 */
	if (memcmp(&sin6.sin6_addr, zero, sizeof(zero)) == 0 ||
	    IN6_IS_ADDR_MULTICAST(&sin6.sin6_addr))
		return -EADDRNOTAVAIL;
	if (IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr))
		sin6.sin6_scope_id = (uint32_t)ifindex;
	*ret = (struct sockaddr_storage){ 0 };
	memcpy(ret, &sin6, sizeof(sin6));
	return 0;
}

int hint_address(int family, const void *address, uint16_t port, int ifindex,
    struct sockaddr_storage *ret)
{
	if (port < PRIVILEGED_PORT || ifindex <= 0)
		return -EADDRNOTAVAIL;
	switch (family) {
	case AF_INET: return address_v4(address, port, ret);
	case AF_INET6: return address_v6(address, port, ifindex, ret);
	default: return -EADDRNOTAVAIL;
	}
}
