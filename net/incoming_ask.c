/*
 * Asking to be let in (gtfs-protocol(7), section of that name): a stranger's
 * ASK becomes a question to our owner (net/consent), whose answer wakes the
 * connection's thread, which alone sends it. A question ends with its
 * connection: its words are of that handshake and no other.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "incoming_internal.h"

enum wire_policy incoming_policy(
    const struct incoming_config *config, const struct conn *conn)
{
	const uint8_t *key = conn_remote_key(conn);
	enum wire_policy policy = trust_incoming(config->trust, key);

	if (policy == WIRE_POLICY_ASK &&
	    consent_quiet(config->consent, key, conn_remote_address(conn)))
		return WIRE_POLICY_REFUSE;
	return policy;
}

static int answer(struct incoming *in, int err)
{
	struct wire_msg m = { .type = WIRE_ANSWER };
	int r;

	if (!err) {
		incoming_find_name(in); /* it has a folder now */
		conn_limit_input(in->conn, 0);
	}
	m.answer.code = err ? wire_code_from_errno(err) : WIRE_OK;
	r = conn_send(in->conn, &m);
	if (r || !err)
		return r;
	/* It may be to be quiet from now on, and should know that. */
	incoming_pong(in->config, in->conn, 0, &m);
	return conn_send(in->conn, &m);
}

/* The eventfd is ours again: consent has answered, or was told. */
static void asks_no_more(struct incoming *in)
{
	in->asking = false;
	atomic_store(&in->watch->asking, false);
	if (in->answered_fd >= 0)
		close(in->answered_fd);
	in->answered_fd = -1;
}

static int put_question(struct incoming *in, const struct wire_msg *m)
{
	struct consent_question q = { .size = m->ask.size };
	int r;

	memcpy(q.key, conn_remote_key(in->conn), sizeof(q.key));
	memcpy(q.words, conn_words(in->conn), sizeof(q.words));
	strcpy(q.file, m->ask.name);
	q.address = *conn_remote_address(in->conn);
	/* Our owner answers by this name: it is nobody else's. */
	peers_await_claim(in->config->peers, in->conn);
	incoming_find_name(in);
	r = peers_hold_name(in->config->peers, q.key, in->name, q.name);
	if (r)
		return r;
	in->answered_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->answered_fd < 0)
		return -errno;
	/* Before anybody hears of it: it may be answered at once. */
	in->asking = true;
	atomic_store(&in->watch->asking, true);
	r = consent_ask(
	    in->config->consent, &q, in->answered_fd, &in->question);
	if (r)
		asks_no_more(in);
	return r;
}

int incoming_ask(struct incoming *in, const struct wire_msg *m)
{
	int r = -EACCES;

	in->asked = true;
	switch (incoming_policy(in->config, in->conn)) {
	case WIRE_POLICY_ACCEPT: return answer(in, 0);
	case WIRE_POLICY_ASK: r = put_question(in, m); break;
	case WIRE_POLICY_REFUSE: break;
	}
	return r ? answer(in, -EACCES) : 0;
}

int incoming_ask_answered(struct incoming *in)
{
	struct consent *consent = in->config->consent;
	int r;

	if (!in->asking)
		return 0;
	/* Let in some other way meanwhile: the question is answered by that. */
	if (trust_incoming(in->config->trust, conn_remote_key(in->conn)) ==
	    WIRE_POLICY_ACCEPT)
		consent_settle(consent, in->question, true);
	r = consent_answer(consent, in->question);
	if (r == -EINPROGRESS)
		return 0;
	asks_no_more(in);
	return answer(in, r);
}

int incoming_unask(struct incoming *in)
{
	if (!in->asked)
		return -EPROTO;
	in->asked = false; /* where an answer has crossed it, that was it */
	incoming_ask_ends(in);
	return 0;
}

void incoming_ask_ends(struct incoming *in)
{
	if (!in->asking)
		return;
	consent_withdraw(in->config->consent, in->question);
	asks_no_more(in);
}
