/*
 * XXH3-128 over the operations of a transfer, by libxxhash. Each side of a
 * transfer has one, on the thread that takes or applies the operations.
 */
#include "ophash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bytes.h"

#define TRAILER_BYTES (1 + 8 + 8 + 8)

_Static_assert(sizeof(XXH128_canonical_t) == WIRE_HASH_BYTES,
    "the canonical form is what goes over the wire");

struct ophash {
	XXH3_state_t *state; /* its size is the library's affair */
};

struct ophash *ophash_new(void)
{
	struct ophash *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	h->state = XXH3_createState();
	if (!h->state) {
		free(h);
		return NULL;
	}
	XXH3_128bits_reset(h->state);
	return h;
}

void ophash_free(struct ophash *h)
{
	if (!h)
		return;
	XXH3_freeState(h->state);
	free(h);
}

void ophash_bytes(struct ophash *h, const void *bytes, size_t len)
{
	if (len > 0)
		XXH3_128bits_update(h->state, bytes, len);
}

void ophash_trailer(
    struct ophash *h, enum wire_type type, uint64_t seq, uint64_t a, uint64_t b)
{
	uint8_t t[TRAILER_BYTES];

	assert(type == WIRE_WRITE || type == WIRE_TRUNCATE ||
	       type == WIRE_RESERVE || type == WIRE_META ||
	       type == WIRE_XATTR || type == WIRE_MOVE);
	t[0] = (uint8_t)type;
	put_be64(t + 1, seq);
	put_be64(t + 9, a);
	put_be64(t + 17, b);
	XXH3_128bits_update(h->state, t, sizeof(t));
}

void ophash_meta(struct ophash *h, uint64_t seq, const struct wire_meta *m)
{
	ophash_trailer(h, WIRE_META, seq, (uint64_t)m->mask << 32 | m->mode,
	    (uint64_t)m->mtime.sec);
}

void ophash_xattr(struct ophash *h, uint64_t seq, const struct wire_xattr *x)
{
	size_t name = strlen(x->name);

	ophash_bytes(h, x->name, name);
	ophash_bytes(h, x->bytes, x->len);
	ophash_trailer(h, WIRE_XATTR, seq, x->remove, name + x->len);
}

void ophash_move(struct ophash *h, uint64_t seq,
    const uint8_t parent[WIRE_ID_BYTES], const char *name)
{
	size_t len = strlen(name);

	ophash_bytes(h, parent, WIRE_ID_BYTES);
	ophash_bytes(h, name, len);
	ophash_trailer(h, WIRE_MOVE, seq, 0, WIRE_ID_BYTES + len);
}

void ophash_digest(const struct ophash *h, uint8_t ret[WIRE_HASH_BYTES])
{
	/* An array of bytes without padding, by definition of xxhash.h. */
	XXH128_canonicalFromHash(
	    (XXH128_canonical_t *)ret, XXH3_128bits_digest(h->state));
}
