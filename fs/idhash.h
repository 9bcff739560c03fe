/*
 * The bucket of a transfer's id. Ids are chosen by peers, so the hash is keyed
 * with secrets of this process: nobody can aim many ids at one bucket.
 *
 * Source: Dietzfelbinger's multiply-shift for vectors (universal hashing).
 */
#ifndef IDHASH_H
#define IDHASH_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "wire.h"

#define IDHASH_BITS    12
#define IDHASH_BUCKETS (1u << IDHASH_BITS)

struct idhash {
	uint64_t key[WIRE_ID_BYTES / sizeof(uint32_t)];
};

/* 0 or -errno. */
static inline int idhash_init(struct idhash *h)
{
	ssize_t n = getrandom(h->key, sizeof(h->key), 0);

	return n == (ssize_t)sizeof(h->key) ? 0 : n < 0 ? -errno : -EIO;
}

static inline unsigned idhash_bucket(
    const struct idhash *h, const uint8_t id[WIRE_ID_BYTES])
{
	uint64_t sum = 0;
	uint32_t word;

	for (size_t i = 0; i < WIRE_ID_BYTES / sizeof(word); i++) {
		memcpy(&word, id + i * sizeof(word), sizeof(word));
		sum += h->key[i] * word;
	}
	return (unsigned)(sum >> (64 - IDHASH_BITS));
}

#endif
