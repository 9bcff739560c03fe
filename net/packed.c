/*
 * Messages in waiting: encoded when they are put away, decoded when they are
 * sent. The encoder asserts what the decoder checks, so that neither fails.
 */
#include "packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct packed *packed_new(const struct wire_msg *m)
{
	uint8_t head[WIRE_SMALL_MAX];
	const uint8_t *payload = NULL;
	size_t more = wire_payload(m, &payload);
	struct packed *p;
	size_t len;

	if (wire_encode(m, head, sizeof(head), &len))
		return NULL;
	p = malloc(sizeof(*p) + len + more);
	if (!p)
		return NULL;
	p->len = len + more;
	memcpy(p->bytes, head, len);
	if (more)
		memcpy(p->bytes + len, payload, more);
	return p;
}

void packed_get(const struct packed *p, struct wire_msg *ret)
{
	int r = wire_decode(p->bytes, p->len, ret);

	assert(r == 0);
	(void)r;
}
