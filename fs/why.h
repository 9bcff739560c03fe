/*
 * Why a peer is missing, refused or slow, for people. Pure functions of what
 * is known of it: any thread, nothing blocks.
 *
 * Names in what is to be typed are quoted for a shell: peers choose their
 * names, and people paste.
 */
#ifndef WHY_H
#define WHY_H

#include <stdbool.h>
#include <stdint.h>

#include "peers.h"
#include "usage.h"

/* A quote inside takes five bytes, an escape four, and nothing both. */
#define WHY_QUOTED_MAX (5 * WIRE_PEER_NAME_MAX + 3)

/* As one word for a shell; escaped first, without other backslashes. */
void why_quote(const char *name, char ret[WHY_QUOTED_MAX]);

struct why {
	const struct peer_info *all; /* every peer that is listed */
	unsigned n;
	const char *own_name, *own_fingerprint;
	enum trust_default strangers; /* what those get here */
	int64_t now;                  /* now_ms() */
};

/*
 * One word for what copying to it meets: "online", "offline", "key-rejected",
 * "asking" (its owner is being asked), "asks" (will be), "refused", "stalled".
 */
const char *why_word(const struct peer_info *p, int64_t now);

/* What else is known here about one peer. */
struct why_here {
	bool asks;                       /* its question is open */
	bool quiet;                      /* it may put none for a while */
	const struct usage_share *share; /* in the inbox; NULL: not known */
};

/*
 * Lines for a person: what copying to p meets and what to do about it; what
 * becomes of its files here; whether its key is verified. *ret to be freed. 0
 * or -ENOMEM.
 */
int why_text(const struct why *w, const struct peer_info *p,
    const struct why_here *here, char **ret);

#endif
