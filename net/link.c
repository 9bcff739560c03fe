/*
 * The thread of one connection to a peer. It ends when the connection breaks,
 * when the peer says BYE, when it has been idle for long beside others, or
 * when gtfs stops; the table learns of it and decides what that means.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "address.h"
#include "link_ask.h"
#include "log.h"
#include "outgoing_run.h"
#include "treeop.h"

void link_wake(struct link *l)
{
	uint64_t one = 1;

	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: awake already */
}

static void wake_consume(struct link *l)
{
	uint64_t n;

	if (read(l->wake_fd, &n, sizeof(n)) < 0)
		return; /* somebody else's wake was consumed with it */
}

static int send_ping(struct link *l)
{
	struct wire_msg m = { .type = WIRE_PING };
	int r;

	m.ping.cookie = (uint64_t)now_ms() | 1; /* 0 means unasked */
	r = conn_try_send(l->conn, &m);
	return r == -EAGAIN ? 0 : r;
}

/* For how long nothing has come that should have. */
static int64_t silence(struct link *l, bool owed, int64_t now)
{
	int64_t since = conn_heard_ms(l->conn);

	if (!owed)
		l->owed_ms = 0;
	else if (!l->owed_ms)
		l->owed_ms = now;
	/* Before the question there was no reason to speak. */
	return now - (since > l->owed_ms ? since : l->owed_ms);
}

/*
 * What silence means now: sends a PING when it is time, *ret_wait is how long
 * to wait for the next look.
 */
static int check_silence(struct link *l, bool owed, bool busy, int *ret_wait)
{
	int64_t now = now_ms();
	int64_t silent = silence(l, owed, now);
	int64_t unheard = now - conn_heard_ms(l->conn);
	int64_t since_ping = now - l->pinged_ms;
	int64_t ping_after = owed ? LINK_BUSY_PING_MS : LINK_PING_MS;
	/* Never before a PING had its time to be answered. */
	int64_t least = owed ? LINK_STALLED_MS : LINK_DEAD_MS;
	int64_t patience = l->peer->table->config.patience_ms;
	int64_t dead = busy && patience > least ? patience : least;
	int64_t due;
	int r;

	if (silent >= dead)
		return -ETIMEDOUT;
	if ((silent >= least) != l->stalled)
		peer_link_stalled(l->peer, l, silent >= least);
	if (unheard >= ping_after && since_ping >= ping_after) {
		r = send_ping(l);
		if (r)
			return r;
		l->pinged_ms = now;
		since_ping = 0;
	}
	due = ping_after - (unheard < since_ping ? unheard : since_ping);
	*ret_wait = (int)(due < 1 ? 1 : due);
	return 0;
}

/* Sends what is to be asked, as far as the socket takes it. */
static int ask(struct link *l)
{
	int r = treeop_ask(l);

	if (!r)
		r = conn_flush(l->conn);
	return r == -EAGAIN ? 0 : r;
}

/* What every caller would do with m: an outcome or error, or 0: it is theirs.
 * -EAGAIN: none of theirs, go on. */
static int common(struct link *l, const struct wire_msg *m)
{
	int r;

	switch (m->type) {
	case WIRE_BYE: l->said_bye = true; return -ECONNRESET;
	case WIRE_PONG: peer_heard_pong(l->peer, m); return -EAGAIN;
	case WIRE_RESULT: r = treeop_result(l, m); return r ? r : LINK_ANSWERED;
	case WIRE_ANSWER: r = link_answered(l, m); return r ? r : LINK_ANSWERED;
	default: return 0;
	}
}

static int receive(
    struct link *l, bool owed, bool busy, bool poll_only, struct wire_msg *ret)
{
	int wait = 0;
	int r = ask(l);

	owed |= l->n_asked > 0;
	while (!r) {
		if (!poll_only) {
			r = check_silence(l, owed, busy, &wait);
			if (r)
				return r;
		}
		r = conn_receive(
		    l->conn, poll_only ? 0 : wait, l->wake_fd, ret);
		if (r == CONN_WOKEN)
			wake_consume(l);
		if (r == CONN_EOF)
			return -ECONNRESET;
		/* The idle loop has other duties. */
		if (r == -ETIMEDOUT && (poll_only || !busy))
			return -EAGAIN;
		if (r == -ETIMEDOUT) {
			r = 0;
			continue;
		}
		if (r)
			return r;
		if (l->stalled)
			peer_link_stalled(l->peer, l, false);
		r = common(l, ret);
		if (r != -EAGAIN)
			return r;
		r = 0;
	}
	return r;
}

int link_receive(
    struct link *l, bool owed, bool poll_only, struct wire_msg *ret)
{
	if (peers_stopping(l->peer->table))
		return -ECANCELED;
	return receive(l, owed, true, poll_only, ret);
}

int link_queue(struct link *l, const struct wire_msg *m)
{
	int r = conn_queue(l->conn, m);

	if (r != -EAGAIN)
		return r;
	r = conn_flush(l->conn);
	return r ? r : conn_queue(l->conn, m);
}

bool link_late_answer(const struct link *l, const struct wire_msg *m)
{
	uint32_t tag;

	switch (m->type) {
	case WIRE_ACCEPT: tag = m->accept.tag; break;
	case WIRE_REFUSE: tag = m->refuse.tag; break;
	case WIRE_ACK: tag = m->ack.tag; break;
	case WIRE_ABORT: tag = m->abort.tag; break;
	case WIRE_DATA: return m->data.req > 0 && m->data.req <= l->stale_req;
	default: return false;
	}
	return tag > 0 && tag <= l->last_tag;
}

/* Tries the peer's addresses in turn. */
static int dial(struct link *l)
{
	struct peer_info info;
	int r = -EHOSTUNREACH;
	unsigned i;

	peer_info(l->peer, &info);
	for (i = 0; i < info.n_addresses; i++) {
		r = conn_dial(l->peer->table->config.self,
		    (struct sockaddr *)&info.addresses[i], CONN_HANDSHAKE_MS,
		    l->wake_fd, &l->conn, NULL);
		if (r)
			continue;
		if (!memcmp(
			conn_remote_key(l->conn), info.key, IDENTITY_KEY_BYTES))
			return 0;
		conn_free(l->conn); /* another machine has the address now */
		l->conn = NULL;
		r = -EKEYREJECTED;
	}
	return r;
}

/* Waits for a job; handles what comes meanwhile. */
static int idle(struct link *l)
{
	struct wire_msg m;
	int r = receive(l, false, false, false, &m);

	if (r > 0 || r == -EAGAIN)
		return 0;
	if (!r && !link_late_answer(l, &m))
		r = -EPROTO;
	return r;
}

/* Until the connection ends; why, as a negative errno. */
static int serve(struct link *l)
{
	int64_t idle_since = now_ms();
	int r = 0;

	while (!r && !peer_is_over(l->peer)) {
		if (peer_take_job(l->peer, l)) {
			if (l->job) {
				struct outgoing *o = l->job;

				l->job = NULL;
				r = outgoing_run(o, l);
			} else if (l->asks) {
				r = link_ask(l);
			} else {
				r = treeop_run(l);
			}
			idle_since = now_ms();
			continue;
		}
		r = idle(l);
		if (!r && now_ms() - idle_since > LINK_SPARE_MS &&
		    peer_link_superfluous(l->peer, l))
			return 0;
	}
	return r;
}

static void *link_run(void *arg)
{
	struct link *l = arg;
	struct wire_msg bye = { .type = WIRE_BYE };
	int r = 0;

	if (!l->conn) {
		r = dial(l);
		if (!r)
			peer_link_up(l->peer, l);
	}
	if (!r) {
		r = serve(l);
		if (!r)
			conn_try_send(l->conn, &bye);
		else if (r == -ETIMEDOUT)
			conn_drop_output(l->conn);
	}
	if (r)
		log_debug("link: connection ended: %s", strerror(-r));
	treeop_return(l);
	peer_link_down(l->peer, l, r);
	return NULL;
}

int link_start_locked(struct peers *t, struct peer *p, struct conn *conn)
{
	struct link *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0) {
		r = -errno;
		goto free_l;
	}
	l->conn = conn;
	l->started_ms = now_ms();
	l->peer = p;
	STAILQ_INIT(&l->asking);
	STAILQ_INIT(&l->asked);
	p->refs++;
	LIST_INSERT_HEAD(&p->links, l, entry);
	p->n_links++;
	t->n_links++;
	l->dialled = conn == NULL;
	p->n_dialing += l->dialled;
	r = thread_start(&l->thread, "link", link_run, l);
	if (r)
		goto unlink;
	return 0;
unlink:
	LIST_REMOVE(l, entry);
	p->n_links--;
	t->n_links--;
	p->n_dialing -= l->dialled;
	p->refs--;
	close(l->wake_fd);
free_l:
	free(l);
	return r;
}
