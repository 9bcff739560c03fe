/*
 * The four messages of pairing.h on top of cpace.c. All that is secret is
 * derived as soon as it can be and wiped as soon as it has been used. Runs on
 * the connection's thread; which secret is asked for, and how many guesses
 * there are, is the caller's.
 */
#include "pairing.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cpace.h"

#define CI_DOMAIN    "gtfs pair v1"
#define CI_BYTES     (sizeof(CI_DOMAIN) - 1 + 1 + 2 * IDENTITY_KEY_BYTES)

#define AD_INITIATOR "gtfs pair initiator"
#define AD_RESPONDER "gtfs pair responder"

_Static_assert(PAIRING_SHARE_BYTES == CPACE_POINT_BYTES, "a share is a point");
_Static_assert(PAIRING_TAG_BYTES == CPACE_TAG_BYTES, "a tag is CPace's");

struct pairing {
	bool initiator;
	bool failed;
	bool proven;
	enum pairing_kind kind;
	unsigned done; /* steps */
	uint8_t sid[HANDSHAKE_CHANNEL_BYTES];
	uint8_t scalar[CPACE_SCALAR_BYTES];
	uint8_t own_share[CPACE_POINT_BYTES];
	uint8_t own_tag[CPACE_TAG_BYTES];
	uint8_t their_tag[CPACE_TAG_BYTES]; /* what theirs has to be */
};

static void wipe(struct pairing *p)
{
	sodium_memzero(p->scalar, sizeof(p->scalar));
	sodium_memzero(p->own_tag, sizeof(p->own_tag));
	sodium_memzero(p->their_tag, sizeof(p->their_tag));
}

static int fail(struct pairing *p, int r)
{
	p->failed = true;
	wipe(p);
	return r;
}

static void context(const struct pairing *p, const uint8_t *own_key,
    const uint8_t *remote_key, uint8_t ret_ci[CI_BYTES])
{
	uint8_t *at = ret_ci;

	memcpy(at, CI_DOMAIN, sizeof(CI_DOMAIN) - 1);
	at += sizeof(CI_DOMAIN) - 1;
	*at++ = (uint8_t)p->kind;
	memcpy(at, p->initiator ? own_key : remote_key, IDENTITY_KEY_BYTES);
	at += IDENTITY_KEY_BYTES;
	memcpy(at, p->initiator ? remote_key : own_key, IDENTITY_KEY_BYTES);
}

struct pairing *pairing_new(enum handshake_role role, enum pairing_kind kind,
    const void *secret, size_t secret_len,
    const uint8_t channel[HANDSHAKE_CHANNEL_BYTES],
    const uint8_t own_key[IDENTITY_KEY_BYTES],
    const uint8_t remote_key[IDENTITY_KEY_BYTES])
{
	uint8_t g[CPACE_POINT_BYTES];
	uint8_t ci[CI_BYTES];
	struct pairing *p;
	int r;

	assert(secret_len > 0);
	if (sodium_init() < 0)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->initiator = role == HANDSHAKE_INITIATOR;
	p->kind = kind;
	memcpy(p->sid, channel, sizeof(p->sid));
	context(p, own_key, remote_key, ci);
	cpace_generator((struct cpace_bytes){ secret, secret_len },
	    (struct cpace_bytes){ ci, sizeof(ci) },
	    (struct cpace_bytes){ p->sid, sizeof(p->sid) }, g);
	cpace_scalar(p->scalar);
	r = cpace_multiply(p->scalar, g, p->own_share);
	sodium_memzero(g, sizeof(g));
	if (r < 0) { /* g is the identity: a hash that nobody will find */
		pairing_free(p);
		return NULL;
	}
	return p;
}

void pairing_free(struct pairing *p)
{
	if (!p)
		return;
	sodium_memzero(p, sizeof(*p));
	free(p);
}

bool pairing_proven(const struct pairing *p)
{
	return p->proven;
}

/* Odd steps are the initiator's to write. */
static bool turn(const struct pairing *p, bool writing)
{
	bool initiator_writes = p->done % 2 == 0;

	return !p->failed && p->done < PAIRING_STEPS &&
	       (p->initiator == initiator_writes) == writing;
}

/* Both shares are known: the scalar has done its work. */
static int derive_tags(struct pairing *p, const uint8_t *their_share)
{
	const struct cpace_bytes sid = { p->sid, sizeof(p->sid) };
	struct cpace_share a = { .ad = {
				     AD_INITIATOR, sizeof(AD_INITIATOR) - 1 } };
	struct cpace_share b = { .ad = {
				     AD_RESPONDER, sizeof(AD_RESPONDER) - 1 } };
	uint8_t k[CPACE_POINT_BYTES];
	uint8_t isk[CPACE_ISK_BYTES];
	int r;

	a.point = p->initiator ? p->own_share : their_share;
	b.point = p->initiator ? their_share : p->own_share;
	if (sodium_memcmp(a.point, b.point, CPACE_POINT_BYTES) == 0)
		return -EBADMSG;
	r = cpace_multiply(p->scalar, their_share, k);
	if (r < 0)
		return r;
	cpace_isk(sid, k, &a, &b, isk);
	cpace_tag(sid, isk, p->initiator ? &a : &b, p->own_tag);
	cpace_tag(sid, isk, p->initiator ? &b : &a, p->their_tag);
	sodium_memzero(p->scalar, sizeof(p->scalar));
	sodium_memzero(k, sizeof(k));
	sodium_memzero(isk, sizeof(isk));
	return 0;
}

int pairing_write(struct pairing *p, unsigned *ret_step,
    uint8_t ret_bytes[PAIRING_BYTES_MAX], size_t *ret_len)
{
	if (!turn(p, true))
		return -EPROTO;
	p->done++;
	if (p->done <= 2) {
		memcpy(ret_bytes, p->own_share, PAIRING_SHARE_BYTES);
		*ret_len = PAIRING_SHARE_BYTES;
	} else {
		memcpy(ret_bytes, p->own_tag, PAIRING_TAG_BYTES);
		*ret_len = PAIRING_TAG_BYTES;
	}
	*ret_step = p->done;
	if (p->done == PAIRING_STEPS)
		wipe(p);
	return 0;
}

int pairing_read(struct pairing *p, enum pairing_kind kind, unsigned step,
    const uint8_t *bytes, size_t len)
{
	bool share = p->done < 2;
	int r = 0;

	if (!turn(p, false))
		return -EPROTO;
	if (kind != p->kind || step != p->done + 1 ||
	    len != (share ? PAIRING_SHARE_BYTES : PAIRING_TAG_BYTES))
		return fail(p, -EBADMSG);
	if (share)
		r = derive_tags(p, bytes);
	else if (sodium_memcmp(bytes, p->their_tag, PAIRING_TAG_BYTES) != 0)
		r = -EKEYREJECTED;
	if (r < 0)
		return fail(p, r);
	p->done++;
	p->proven = !share;
	if (p->done == PAIRING_STEPS)
		wipe(p);
	return 0;
}
