/*
 * The question of one connection. Nothing else is sent on it meanwhile but what
 * keeps it alive, so a person may take minutes.
 */
#include "link_ask.h"

#include <errno.h>

#include "link.h"

/* A socket that takes not even that is of no use. */
static int send_small(struct link *l, const struct wire_msg *m)
{
	int r = link_queue(l, m);

	if (r)
		return r == -EAGAIN ? -ECONNABORTED : r;
	r = conn_flush(l->conn);
	return r == -EAGAIN ? 0 : r;
}

/* Until it is answered, nobody waits any more, or gtfs stops. */
static int await(struct link *l)
{
	struct wire_msg m;
	int r = 0;

	while (!r && peer_asks(l->peer)) {
		r = link_receive(l, true, false, &m);
		if (!r && !link_late_answer(l, &m))
			r = -EPROTO;
		if (r > 0 || r == -EAGAIN)
			r = 0;
	}
	/* The end of it all is said with a BYE. */
	return r == -ECANCELED ? 0 : r;
}

int link_ask(struct link *l)
{
	struct wire_msg ask = { .type = WIRE_ASK };
	struct wire_msg unask = { .type = WIRE_UNASK };
	bool asked = false;
	int r = 0;

	if (peer_ask_begin(l->peer, l, &ask)) {
		r = send_small(l, &ask);
		asked = !r;
		if (asked) {
			l->n_unanswered++;
			peer_ask_sent(l->peer);
			r = await(l);
		}
	}
	if (peer_ask_end(l->peer, l) && asked && !r)
		r = send_small(l, &unask);
	return r;
}

int link_answered(struct link *l, const struct wire_msg *m)
{
	int r = wire_code_to_errno(m->answer.code);

	if (!l->n_unanswered)
		return -EPROTO;
	l->n_unanswered--;
	/* Behind our UNASK it is nobody's: whoever has given up, perhaps for
	 * the words, lets nobody in. */
	if (l->asks)
		peer_answered(l->peer, conn_words(l->conn), r);
	return 0;
}
