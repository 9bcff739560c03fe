/*
 * `gtfs pair NAME`: a thread ("pair") for each, which dials the addresses of
 * that folder's peer until one of them proves its key. It is joined when the
 * next one begins, or at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "locked.h"
#include "log.h"
#include "pairer_internal.h"

struct attempt {
	LIST_ENTRY(attempt) entry;
	uint64_t serial;
	struct pairer *pairer;
	pthread_t thread;
	bool finished; /* guarded by the pairer's lock */
	int wake_fd;
	struct peer_info peer;
	char code[WORDS_CODE_MAX];
	void (*done)(void *ctx, int result);
	void *ctx;
};

static void attempt_free(struct attempt *a)
{
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	locked_free(a, sizeof(*a));
}

/* One address. 0, or why not; *ret_final: no other one is to be tried. */
static int try(struct attempt *a, const struct sockaddr *to, int64_t deadline,
    bool *ret_final)
{
	struct pairer *p = a->pairer;
	struct wire_msg bye = { .type = WIRE_BYE };
	struct exchange x = {
		.kind = PAIRING_CODE,
		.deadline_ms = deadline,
		.wake_fd = a->wake_fd,
	};
	int64_t left = deadline - now_ms();
	int r;

	if (left <= 0)
		return -ETIMEDOUT;
	r = conn_dial(p->config.self, to,
	    left < CONN_HANDSHAKE_MS ? (int)left : CONN_HANDSHAKE_MS,
	    a->wake_fd, &x.conn, NULL);
	if (r) {
		*ret_final = r == -ECANCELED;
		return r == -ECANCELED ? r : -EHOSTUNREACH;
	}
	r = -EKEYREJECTED;
	if (!memcmp(conn_remote_key(x.conn), a->peer.key, IDENTITY_KEY_BYTES)) {
		*ret_final = true;
		r = pairer_initiate(
		    p, &x, a->code, strlen(a->code), a->peer.name);
	}
	conn_try_send(x.conn, &bye);
	conn_free(x.conn);
	return r;
}

static int all_addresses(struct attempt *a)
{
	int64_t deadline = now_ms() + PAIRER_DIAL_MS;
	bool final = false;
	int r, result = -EHOSTUNREACH;

	if (a->peer.pinned && a->peer.pin_policy == TRUST_REFUSE)
		return -EACCES;
	for (unsigned i = 0; i < a->peer.n_addresses && !final; i++) {
		r = try(a, (const struct sockaddr *)&a->peer.addresses[i],
		    deadline, &final);
		/* Another machine's key says more than silence. */
		if (final || result != -EKEYREJECTED)
			result = r;
	}
	return result == -ECONNRESET || result == -EPIPE ? -EHOSTUNREACH
							 : result;
}

static void *attempt_run(void *arg)
{
	struct attempt *a = arg;
	struct pairer *p = a->pairer;
	int r = all_addresses(a);

	explicit_bzero(a->code, sizeof(a->code));
	log_debug("pairing with %s: %s", a->peer.name, strerror(-r));
	a->done(a->ctx, r);
	mutex_lock(&p->lock);
	a->finished = true;
	p->n_attempts--;
	mutex_unlock(&p->lock);
	return NULL;
}

/* One that may be joined at once; with wait, any one. */
static struct attempt *take(struct pairer *p, bool wait)
{
	struct attempt *a;

	mutex_lock(&p->lock);
	LIST_FOREACH(a, &p->attempts, entry)
		if (wait || a->finished)
			break;
	if (a)
		LIST_REMOVE(a, entry);
	mutex_unlock(&p->lock);
	return a;
}

static void reap(struct pairer *p, bool wait)
{
	struct attempt *a;

	while ((a = take(p, wait))) {
		pthread_join(a->thread, NULL);
		attempt_free(a);
	}
}

static int attempt_new(
    struct pairer *p, const char *name, const char *typed, struct attempt **ret)
{
	struct attempt *a = locked_alloc(sizeof(*a));
	struct peer *peer;
	int r;

	if (!a)
		return -ENOMEM;
	a->pairer = p;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = a->wake_fd < 0 ? -errno : words_code_normalise(typed, a->code);
	peer = r ? NULL : peers_find_name(p->config.peers, name);
	if (peer) {
		peer_info(peer, &a->peer);
		peer_put(peer);
		*ret = a;
		return 0;
	}
	attempt_free(a);
	return r ? r : -ENOENT;
}

int pairer_dial(struct pairer *p, const char *name, const char *typed,
    void (*done)(void *ctx, int result), void *ctx, uint64_t *ret_serial)
{
	struct attempt *a = NULL;
	int r = attempt_new(p, name, typed, &a);

	if (r)
		return r;
	reap(p, false);
	a->done = done;
	a->ctx = ctx;
	mutex_lock(&p->lock);
	a->serial = ++p->last_serial;
	*ret_serial = a->serial;
	if (p->stopping || p->n_attempts == PAIRER_DIALS_MAX)
		r = -EBUSY;
	else
		r = thread_start(&a->thread, "pair", attempt_run, a);
	if (!r) {
		LIST_INSERT_HEAD(&p->attempts, a, entry);
		p->n_attempts++;
	}
	mutex_unlock(&p->lock);
	if (r)
		attempt_free(a);
	return r;
}

static void wake(struct attempt *a)
{
	const uint64_t one = 1;

	if (write(a->wake_fd, &one, sizeof(one)) < 0)
		log_debug("pairing: %s", strerror(errno));
}

void pairer_cancel(struct pairer *p, uint64_t serial)
{
	struct attempt *a;

	mutex_lock(&p->lock);
	LIST_FOREACH(a, &p->attempts, entry)
		if (a->serial == serial)
			wake(a);
	mutex_unlock(&p->lock);
}

void pairer_stop_attempts(struct pairer *p)
{
	struct attempt *a;

	mutex_lock(&p->lock);
	p->stopping = true;
	LIST_FOREACH(a, &p->attempts, entry)
		wake(a);
	mutex_unlock(&p->lock);
	reap(p, true);
}
