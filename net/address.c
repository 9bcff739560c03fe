/*
 * Socket addresses. Pure functions but for the names of interfaces, which the
 * kernel is asked for. Any thread; keeps nothing.
 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define PRIVILEGED_PORT 1024 /* ports below it are other services' */
#define PORT_DIGITS     5

/* The sockaddr may stand anywhere: copied out, for alignment. */
static struct sockaddr_in v4_of(const struct sockaddr *a)
{
	struct sockaddr_in sin;

	memcpy(&sin, a, sizeof(sin));
	return sin;
}

static struct sockaddr_in6 v6_of(const struct sockaddr *a)
{
	struct sockaddr_in6 sin6;

	memcpy(&sin6, a, sizeof(sin6));
	return sin6;
}

/*
 * The kernel lets an interface be called almost anything; only such names as
 * cannot be taken for something else stand in an address.
 */
static bool plain_interface(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(name);

	return len > 0 && len < IF_NAMESIZE && strspn(name, allowed) == len &&
	       strspn(name, "0123456789") != len;
}

static void format_v6(
    const struct sockaddr_in6 *sin6, char ret[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE] = "", scope[24] = "";
	uint32_t index = sin6->sin6_scope_id;

	inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
	if (index && if_indextoname(index, name) && plain_interface(name))
		snprintf(scope, sizeof(scope), "%%%s", name);
	else if (index)
		snprintf(scope, sizeof(scope), "%%%u", (unsigned)index);
	snprintf(ret, ADDRESS_TEXT_MAX, "[%s%s]:%u", host, scope,
	    (unsigned)ntohs(sin6->sin6_port));
}

void address_format(const struct sockaddr *a, char ret[ADDRESS_TEXT_MAX])
{
	char host[INET_ADDRSTRLEN];
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin;

	switch (a->sa_family) {
	case AF_INET:
		sin = v4_of(a);
		inet_ntop(AF_INET, &sin.sin_addr, host, sizeof(host));
		snprintf(ret, ADDRESS_TEXT_MAX, "%s:%u", host,
		    (unsigned)ntohs(sin.sin_port));
		break;
	case AF_INET6:
		sin6 = v6_of(a);
		format_v6(&sin6, ret);
		break;
	default: strcpy(ret, "?"); break;
	}
}

/* Decimal digits and nothing else, at most max. */
static int parse_number(
    const char *text, size_t digits, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;
	size_t len = strlen(text);

	if (len == 0 || len > digits || strspn(text, "0123456789") != len)
		return -EINVAL;
	for (; *text; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	if (n == 0 || n > max)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

static int parse_scope(const char *text, uint32_t *ret)
{
	if (parse_number(text, 10, INT32_MAX, ret) == 0)
		return 0;
	if (!plain_interface(text))
		return -EINVAL;
	*ret = if_nametoindex(text);
	return *ret ? 0 : -ENODEV;
}

/* host is cut at its scope. */
static int parse_v6(char *host, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };
	char *scope = strchr(host, '%');
	int r = 0;

	if (scope)
		*scope++ = '\0';
	if (inet_pton(AF_INET6, host, &sin6.sin6_addr) != 1)
		return -EINVAL;
	if (scope)
		r = parse_scope(scope, &sin6.sin6_scope_id);
	if (r)
		return r;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &sin6, sizeof(sin6));
	return 0;
}

static int parse_v4(
    const char *host, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &sin, sizeof(sin));
	return 0;
}

int address_parse(
    const char *text, uint16_t default_port, struct sockaddr_storage *ret)
{
	char copy[ADDRESS_TEXT_MAX], *host = copy, *end, *port_text;
	uint32_t port = default_port;
	bool v6 = true;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	port_text = strchr(copy, ':');
	if (copy[0] == '[') {
		host = copy + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		port_text = end[1] ? end + 1 : NULL;
		*end = '\0';
	} else if (port_text && strchr(port_text + 1, ':')) {
		port_text = NULL; /* a bare IPv6 address: all of it */
	} else {
		v6 = false;
	}
	if (port_text) {
		*port_text++ = '\0';
		if (parse_number(port_text, PORT_DIGITS, UINT16_MAX, &port))
			return -EINVAL;
	}
	if (port == 0)
		return -EINVAL;
	return v6 ? parse_v6(host, (uint16_t)port, ret)
		  : parse_v4(host, (uint16_t)port, ret);
}

socklen_t address_len(const struct sockaddr *a)
{
	switch (a->sa_family) {
	case AF_INET: return sizeof(struct sockaddr_in);
	case AF_INET6: return sizeof(struct sockaddr_in6);
	default: return 0;
	}
}

uint16_t address_port(const struct sockaddr *a)
{
	switch (a->sa_family) {
	case AF_INET: return ntohs(v4_of(a).sin_port);
	case AF_INET6: return ntohs(v6_of(a).sin6_port);
	default: return 0;
	}
}

void address_set_port(struct sockaddr *a, uint16_t port)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin;

	switch (a->sa_family) {
	case AF_INET:
		sin = v4_of(a);
		sin.sin_port = htons(port);
		memcpy(a, &sin, sizeof(sin));
		break;
	case AF_INET6:
		sin6 = v6_of(a);
		sin6.sin6_port = htons(port);
		memcpy(a, &sin6, sizeof(sin6));
		break;
	default: break;
	}
}

bool address_same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	struct sockaddr_in6 a6, b6;

	if (a->sa_family != b->sa_family)
		return false;
	switch (a->sa_family) {
	case AF_INET:
		return v4_of(a).sin_addr.s_addr == v4_of(b).sin_addr.s_addr;
	case AF_INET6:
		a6 = v6_of(a);
		b6 = v6_of(b);
		return IN6_ARE_ADDR_EQUAL(&a6.sin6_addr, &b6.sin6_addr) &&
		       a6.sin6_scope_id == b6.sin6_scope_id;
	default: return false;
	}
}

bool address_same_source(const struct sockaddr *a, const struct sockaddr *b)
{
	struct sockaddr_in6 a6, b6;

	if (a->sa_family != AF_INET6 || b->sa_family != AF_INET6)
		return address_same_host(a, b);
	a6 = v6_of(a);
	b6 = v6_of(b);
	return !memcmp(&a6.sin6_addr, &b6.sin6_addr, 8) &&
	       a6.sin6_scope_id == b6.sin6_scope_id;
}

bool address_equal(const struct sockaddr *a, const struct sockaddr *b)
{
	return address_same_host(a, b) && address_port(a) == address_port(b);
}

void address_normalise(struct sockaddr_storage *a)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin = { .sin_family = AF_INET };

	if (a->ss_family != AF_INET6)
		return;
	sin6 = v6_of((const struct sockaddr *)a);
	if (!IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr))
		return;
	sin.sin_port = sin6.sin6_port;
	memcpy(
	    &sin.sin_addr, &sin6.sin6_addr.s6_addr[12], sizeof(sin.sin_addr));
	memset(a, 0, sizeof(*a));
	memcpy(a, &sin, sizeof(sin));
}

static bool forbidden_v4(uint32_t host)
{
	/* "This network", loopback, multicast, reserved and broadcast. */
	return host >> 24 == 0 || host >> 24 == 127 || host >> 28 >= 0xe;
}

bool address_forbidden(const struct sockaddr *a)
{
	static const uint8_t zero[10];
	struct sockaddr_in6 sin6;

	if (address_port(a) < PRIVILEGED_PORT)
		return true;
	switch (a->sa_family) {
	case AF_INET: return forbidden_v4(ntohl(v4_of(a).sin_addr.s_addr));
	case AF_INET6:
		/*
		 * Ten bytes of zero lead the unspecified address, loopback,
		 * and IPv4 in disguise: no host's own (RFC 4291 2.5).
		 */
		sin6 = v6_of(a);
		return memcmp(&sin6.sin6_addr, zero, sizeof(zero)) == 0 ||
		       IN6_IS_ADDR_MULTICAST(&sin6.sin6_addr);
	default: return true;
	}
}
