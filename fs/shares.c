/*
 * A list of senders: few, as each has records. Called by the threads that
 * receive, through fs/delivered and fs/linktable.
 */
#include "shares.h"

#include <stdlib.h>
#include <string.h>

void shares_init(struct shares *sh)
{
	LIST_INIT(sh);
}

struct share *shares_get(
    struct shares *sh, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	struct share *s;

	LIST_FOREACH(s, sh, entry)
		if (!memcmp(s->sender, sender, IDENTITY_KEY_BYTES))
			break;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		memcpy(s->sender, sender, IDENTITY_KEY_BYTES);
		LIST_INSERT_HEAD(sh, s, entry);
	}
	s->refs++;
	return s;
}

void shares_put(struct shares *sh, struct share *s)
{
	(void)sh;
	if (!s || --s->refs)
		return;
	LIST_REMOVE(s, entry);
	free(s);
}

const struct share *shares_most(const struct shares *sh)
{
	const struct share *s, *most = NULL;

	LIST_FOREACH(s, sh, entry)
		if (!most || s->n > most->n)
			most = s;
	return most;
}
