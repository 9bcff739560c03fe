/*
 * Socket addresses as text and their comparison. Pure functions.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* "[fe80::1%eth0]:4717", "10.0.0.7:4717"; always NUL-terminated. */
#define ADDRESS_TEXT_MAX 80
void address_format(const struct sockaddr *a, char ret[ADDRESS_TEXT_MAX]);

/*
 * Parses what address_format writes (numeric only; no name lookup), and IPv6
 * without brackets. A missing port is default_port; 0 forbids that; port 0 is
 * refused. 0, -EINVAL, or -ENODEV: well-formed, but this machine has no such
 * interface now.
 */
int address_parse(
    const char *text, uint16_t default_port, struct sockaddr_storage *ret);

socklen_t address_len(const struct sockaddr *a);
uint16_t address_port(const struct sockaddr *a);
void address_set_port(struct sockaddr *a, uint16_t port);
bool address_equal(const struct sockaddr *a, const struct sockaddr *b);
/* The same without the port. */
bool address_same_host(const struct sockaddr *a, const struct sockaddr *b);
/* Are both where one machine may have all addresses: the same host, or (IPv6)
 * the same network of 64 bits? */
bool address_same_source(const struct sockaddr *a, const struct sockaddr *b);
/* IPv4 in IPv6 (::ffff:a.b.c.d) becomes plain IPv4. */
void address_normalise(struct sockaddr_storage *a);
/* Loopback, multicast, broadcast, unspecified, or a port below 1024. */
bool address_forbidden(const struct sockaddr *a);

#endif
