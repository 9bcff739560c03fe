/*
 * Who is to be quiet: keys, and addresses, whose questions our owner has
 * declined or has not answered. For longer each time within an hour. Of a fixed
 * size: the quiet that would end first makes room. No lock of its own (it is
 * net/consent's), nothing blocks.
 */
#ifndef HUSH_H
#define HUSH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "identity.h"

enum { HUSH_MAX = 256 };

enum hush_what { HUSH_FREE, HUSH_KEY, HUSH_ADDRESS };
/* How a question ended without a yes; a person may think better of one. */
enum hush_weight { HUSH_WITHDRAWN = 1, HUSH_ENDED = 2 };

struct hush {
	struct hushed {
		enum hush_what what;
		/* Of HUSH_ADDRESS: the last one that has asked from there. */
		uint8_t key[IDENTITY_KEY_BYTES];
		struct sockaddr_storage address;
		int64_t since_ms, until_ms;
		unsigned strikes; /* the sum of the weights */
	} entries[HUSH_MAX];      /* zero: nobody */
};

/*
 * One more question without a yes: quiet for at_least ms, and from the second
 * one on for CONSENT_PAUSE_MS, doubled each time, up to CONSENT_DECLINED_MS. Of
 * HUSH_WITHDRAWN two count as one.
 */
void hush_add(struct hush *h, enum hush_what what,
    const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *address, enum hush_weight weight,
    int64_t at_least);

/* Is this key to be quiet now, or whoever is at this address (or NULL)? */
bool hush_stands(const struct hush *h, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *address);

/* This key, the addresses that were hushed for it, and this one (or NULL). */
void hush_forgive(struct hush *h, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *address);

#endif
