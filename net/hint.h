/*
 * What is heard of a service on the link, checked before anything believes it:
 * TXT strings (RFC 6763 section 6), instance names, addresses. Anybody on the
 * link can send any of it. Pure functions, any thread.
 */
#ifndef HINT_H
#define HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "discovery.h"

/* RFC 6763 6.2: a TXT record should fit in one Ethernet packet. */
#define HINT_TXT_BYTES_MAX 1300

/* The TXT strings read so far; the fields are valid after hint_txt_check. */
struct hint_txt {
	unsigned version;
	char id[DISCOVERY_ID_CHARS + 1];
	/* private */
	size_t bytes;
	unsigned versions, ids; /* times each key was there */
	bool bad;
};

void hint_txt_init(struct hint_txt *t);

/* Reads one string of the record; other keys than v and id are passed over. */
void hint_txt_add(struct hint_txt *t, const void *text, size_t len);

/*
 * Was it a record of gtfs's? Exactly one v (1 to 255, decimal, no leading
 * zero), exactly one id (lower-case hexadecimal), not too long altogether.
 * Returns 0 or -EBADMSG.
 */
int hint_txt_check(const struct hint_txt *t);

/*
 * May this be offered for dialling? family is AF_INET or AF_INET6, address its
 * 4 or 16 bytes in network order, port and ifindex in host order. Link-local
 * IPv6 gets ifindex as its scope.
 * Returns 0, or -EADDRNOTAVAIL for what discovery.h rules out.
 */
int hint_address(int family, const void *address, uint16_t port, int ifindex,
    struct sockaddr_storage *ret);

/* 1 to DISCOVERY_INSTANCE_MAX bytes of well-formed UTF-8? */
bool hint_instance_valid(const char *name);

/* Exactly DISCOVERY_ID_CHARS lower-case hexadecimal digits? */
bool hint_id_valid(const char *id, size_t len);

#endif
