/*
 * CPace, a balanced PAKE: two sides that know the same weak secret agree on a
 * strong key, and whoever does not know it gets one guess for each exchange
 * that it takes part in, and nothing to search afterwards. The ciphersuite is
 * CPACE-RISTR255-SHA512, in the order initiator, responder. Only the
 * arithmetic: who sends what, when, and what becomes of guesses is pairing.h.
 *
 * Names are the draft's: PRS the secret, CI what both know of the channel and
 * of each other, sid the session, AD what a side says with its share, Y a
 * share, K the shared point, ISK the key.
 *
 * Pure functions: any thread, no blocking, no allocation.
 *
 * Source: draft-irtf-cfrg-cpace, sections 6 (protocol), 7.2 and 7.3 (group
 * abstraction, Ristretto255), 10.4 (key confirmation), appendix A (encoding of
 * strings).
 */
#ifndef CPACE_H
#define CPACE_H

#include <stddef.h>
#include <stdint.h>

#define CPACE_SCALAR_BYTES 32
#define CPACE_POINT_BYTES  32
#define CPACE_ISK_BYTES    64
#define CPACE_TAG_BYTES    64

struct cpace_bytes {
	const void *data;
	size_t len;
};

/* What one side sends: its share Y and its associated data. */
struct cpace_share {
	const uint8_t *point;
	struct cpace_bytes ad;
};

/* calculate_generator(): the point g that only PRS, CI and sid lead to. */
void cpace_generator(struct cpace_bytes prs, struct cpace_bytes ci,
    struct cpace_bytes sid, uint8_t ret_g[CPACE_POINT_BYTES]);

/* sample_scalar(): uniform, never zero. */
void cpace_scalar(uint8_t ret_scalar[CPACE_SCALAR_BYTES]);

/*
 * scalar_mult_vfy(): our share (from g) and the shared point K (from the other
 * side's share). Returns 0, or -EBADMSG where point is not the one encoding of
 * an element, or the product is the identity.
 */
int cpace_multiply(const uint8_t scalar[CPACE_SCALAR_BYTES],
    const uint8_t point[CPACE_POINT_BYTES],
    uint8_t ret_point[CPACE_POINT_BYTES]);

/* The key ISK, over transcript_ir: the initiator's share comes first. */
void cpace_isk(struct cpace_bytes sid, const uint8_t k[CPACE_POINT_BYTES],
    const struct cpace_share *initiator, const struct cpace_share *responder,
    uint8_t ret_isk[CPACE_ISK_BYTES]);

/*
 * The tag by which the side that sent this share proves that it has ISK. The
 * two shares of an exchange must differ (in their associated data), or the one
 * tag would be the other.
 */
void cpace_tag(struct cpace_bytes sid, const uint8_t isk[CPACE_ISK_BYTES],
    const struct cpace_share *share, uint8_t ret_tag[CPACE_TAG_BYTES]);

#endif
