/*
 * Exchanges, on the threads of their connections ("in", "probe", "pair"). One
 * at a time with a key: where both sides begin one at once, the lesser key's is
 * the one that goes on, or each would pin the words of another connection.
 *
 * A group's are one at a time with an address as well, because that is what
 * guesses are counted by. Of two the later one would be turned away at step 3,
 * when an honest initiator has counted it, and nothing will ever tell it that
 * it was right. Turned away at step 1 it has cost nobody anything.
 */
#include "pairer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "escape.h"
#include "log.h"
#include "pairer_internal.h"

int pairer_new(const struct pairer_config *config, struct pairer **ret)
{
	struct pairer *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->config = *config;
	mutex_init(&p->lock);
	cond_init(&p->looked);
	mutex_lock(&p->lock);
	LIST_INIT(&p->exchanges);
	LIST_INIT(&p->attempts);
	mutex_unlock(&p->lock);
	p->code = pair_code_new();
	if (!p->code)
		r = -ENOMEM;
	if (!r && config->group_len)
		r = guess_open(config->state_fd, &p->guess);
	if (r)
		pairer_free(p);
	else
		*ret = p;
	return r;
}

void pairer_stop(struct pairer *p)
{
	pairer_stop_attempts(p);
}

void pairer_free(struct pairer *p)
{
	if (!p)
		return;
	pairer_stop(p);
	guess_close(p->guess);
	pair_code_free(p->code);
	cond_fini(&p->looked);
	mutex_fini(&p->lock);
	free(p);
}

void pairer_open_code(struct pairer *p, char ret_code[WORDS_CODE_MAX])
{
	pair_code_renew(p->code, now_ms(), ret_code);
}

/* --- who exchanges with whom ------------------------------------------------
 */

static bool ours_goes_first(struct pairer *p, const uint8_t *key)
{
	return memcmp(p->config.self->identity->public, key,
		   IDENTITY_KEY_BYTES) < 0;
}

static const struct sockaddr *from(const struct exchange *x)
{
	return (const struct sockaddr *)conn_remote_address(x->conn);
}

static bool same_key(const struct exchange *x, const struct exchange *other)
{
	return !memcmp(conn_remote_key(x->conn), conn_remote_key(other->conn),
	    IDENTITY_KEY_BYTES);
}

/* May this one go on beside the other? */
static bool beside(
    struct pairer *p, const struct exchange *x, const struct exchange *other)
{
	if (same_key(x, other))
		return x->role == HANDSHAKE_RESPONDER &&
		       other->role == HANDSHAKE_INITIATOR &&
		       !ours_goes_first(p, conn_remote_key(x->conn));
	return x->kind != PAIRING_GROUP || other->kind != PAIRING_GROUP ||
	       !address_same_host(from(x), from(other));
}

/*
 * 0, or -EBUSY: there is another one, after which this may be tried again;
 * -EAGAIN: no guess may be made now.
 */
static int begin(struct pairer *p, struct exchange *x)
{
	struct exchange *i;
	int r = 0;

	mutex_lock(&p->lock);
	LIST_FOREACH(i, &p->exchanges, entry)
		if (!beside(p, x, i))
			r = -EBUSY;
	if (!r && x->kind == PAIRING_GROUP && p->guess &&
	    guess_wait(p->guess, from(x), time(NULL)) > 0)
		r = -EAGAIN;
	if (!r)
		LIST_INSERT_HEAD(&p->exchanges, x, entry);
	x->listed = !r;
	mutex_unlock(&p->lock);
	return r;
}

/* No guess can come of it any more. */
static void leave(struct pairer *p, struct exchange *x)
{
	mutex_lock(&p->lock);
	if (x->listed)
		LIST_REMOVE(x, entry);
	x->listed = false;
	mutex_unlock(&p->lock);
}

static void end(struct pairer *p, struct exchange *x)
{
	leave(p, x);
	pairing_free(x->pairing);
	x->pairing = NULL;
}

static bool refused(struct pairer *p, const struct conn *conn)
{
	struct trust_pin pin;

	return trust_find(p->config.trust, conn_remote_key(conn), &pin) == 0 &&
	       pin.policy == TRUST_REFUSE;
}

/* Durable on return. */
static int pin(struct pairer *p, const struct exchange *x, const char *name,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	const uint8_t *key = conn_remote_key(x->conn);
	const struct trust_decision d = { .policy = TRUST_ACCEPT,
		.unless_refused = true,
		.verified = true,
		.words = conn_words(x->conn) };
	int r = peers_pin(p->config.peers, key, name, &d, ret_name);

	if (r)
		log_warning("%s has paired, and cannot be remembered: %s", name,
		    strerror(-r));
	return r;
}

static void tell(struct pairer *p, const struct exchange *x, const char *name)
{
	log_info("paired with %s", name);
	if (p->config.paired)
		p->config.paired(p->config.ctx, conn_remote_key(x->conn), name);
}

/* --- messages ---------------------------------------------------------------
 */

static int send_step(struct exchange *x)
{
	uint8_t bytes[PAIRING_BYTES_MAX];
	struct wire_msg m = { .type = WIRE_PAIR };
	int r = pairing_write(x->pairing, &m.pair.step, bytes, &m.pair.len);

	if (r)
		return r;
	m.pair.kind = (enum wire_pair)x->kind;
	m.pair.bytes = bytes;
	return conn_send(x->conn, &m);
}

static int send_unpaired(struct conn *conn, int why)
{
	struct wire_msg m = { .type = WIRE_UNPAIRED };

	m.unpaired.code = wire_code_from_errno(why);
	return conn_send(conn, &m);
}

/* The next PAIR, or why there is none. */
static int receive_step(struct exchange *x, struct wire_msg *ret)
{
	bool ours = x->role == HANDSHAKE_INITIATOR;
	int64_t left;
	int r;

	do {
		left = x->deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		r = conn_receive(x->conn, (int)left, x->wake_fd, ret);
	} while (
	    r == CONN_DRAINED || (ours && r == 0 && ret->type == WIRE_PONG));
	if (r)
		return r == CONN_WOKEN ? -ECANCELED
		       : r == CONN_EOF ? -ECONNRESET
				       : r;
	if (ret->type == WIRE_PAIR)
		return 0;
	if (ret->type == WIRE_BYE)
		return -ECONNRESET;
	if (!ours || ret->type != WIRE_UNPAIRED)
		return -EPROTO;
	x->over = true;
	return wire_code_to_errno(ret->unpaired.code);
}

static int read_step(struct exchange *x, const struct wire_msg *m)
{
	return pairing_read(x->pairing, (enum pairing_kind)m->pair.kind,
	    m->pair.step, m->pair.bytes, m->pair.len);
}

static int prepare(
    struct pairer *p, struct exchange *x, const char *secret, size_t secret_len)
{
	x->pairing = pairing_new(x->role, x->kind, secret, secret_len,
	    conn_channel(x->conn), p->config.self->identity->public,
	    conn_remote_key(x->conn));
	return x->pairing ? 0 : -ENOMEM;
}

/* --- as the initiator -------------------------------------------------------
 */

/* A code is typed for each exchange: there the person counts. */
static int count_ours(struct pairer *p, struct exchange *x)
{
	int r = 0;

	if (x->kind == PAIRING_GROUP)
		r = guess_take(p->guess, from(x), time(NULL));
	/* Whoever has two exchanges with us has used the other one. */
	return r == -EAGAIN ? -EACCES : r;
}

static int four_steps(struct pairer *p, struct exchange *x, const char *name)
{
	char pinned[WIRE_PEER_NAME_MAX + 1];
	struct wire_msg m;
	int r = send_step(x);

	if (!r)
		r = receive_step(x, &m);
	if (!r)
		r = read_step(x, &m);
	if (!r)
		r = count_ours(p, x);
	if (!r)
		r = send_step(x);
	if (!r)
		r = receive_step(x, &m);
	if (!r)
		r = read_step(x, &m);
	if (r)
		return r;
	x->over = true;
	/* The file says one wrong guess too many where this fails. */
	if (x->kind == PAIRING_GROUP)
		guess_right(p->guess, from(x));
	r = pin(p, x, name, pinned);
	if (!r)
		tell(p, x, pinned);
	return r;
}

int pairer_initiate(struct pairer *p, struct exchange *x, const char *secret,
    size_t secret_len, const char *name)
{
	int r;

	x->role = HANDSHAKE_INITIATOR;
	r = begin(p, x);
	if (r)
		return r;
	r = prepare(p, x, secret, secret_len);
	if (!r)
		r = four_steps(p, x, name);
	end(p, x);
	return r;
}

/* Is the passphrase all that is missing? */
static bool to_be_greeted(struct pairer *p, const struct conn *conn)
{
	struct trust_pin pin;

	if (!p->guess || !conn_remote_hello(conn)->group)
		return false;
	return trust_find(p->config.trust, conn_remote_key(conn), &pin) != 0 ||
	       pin.policy == TRUST_ASK;
}

int pairer_greet(
    struct pairer *p, struct conn *conn, const char *wanted, int wake_fd)
{
	struct exchange x = {
		.conn = conn,
		.kind = PAIRING_GROUP,
		.deadline_ms = now_ms() + PAIRER_EXCHANGE_MS,
		.wake_fd = wake_fd,
	};
	const struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 1 };
	const char *heard = conn_remote_hello(conn)->name;
	char name[WIRE_PEER_NAME_MAX + 1];
	int r;

	if (!to_be_greeted(p, conn))
		return 0;
	escape_name(heard, strlen(heard), name);
	r = pairer_initiate(p, &x, p->config.group, p->config.group_len,
	    wanted ? wanted : name);
	if (r == -EKEYREJECTED)
		log_info("%s is in another group", name);
	else if (r)
		log_debug("no passphrase from %s: %s", name, strerror(-r));
	if ((r == -EBUSY || r == -EAGAIN) && !x.over)
		return -EAGAIN; /* nothing has been sent */
	if (!x.over)
		return r;
	/* What the receiver says first has been read over. */
	conn_try_send(conn, &ping);
	return r == -EACCES || r == -EBUSY ? -EAGAIN : 0;
}

int64_t pairer_wait(struct pairer *p, const struct sockaddr *to)
{
	return p->guess ? guess_wait(p->guess, to, time(NULL)) : 0;
}

/* --- as the responder -------------------------------------------------------
 */

static int secret_for(struct pairer *p, struct exchange *x)
{
	char code[WORDS_CODE_MAX];
	int r;

	if (x->kind == PAIRING_GROUP)
		return p->guess
			   ? prepare(p, x, p->config.group, p->config.group_len)
			   : -EACCES;
	r = pair_code_begin(p->code, now_ms(), &x->code, code);
	if (r)
		return r;
	r = prepare(p, x, code, strlen(code));
	explicit_bzero(code, sizeof(code));
	return r;
}

/* Before anybody looks at it. 0, or -EACCES: nobody may. */
static int count_theirs(struct pairer *p, struct exchange *x)
{
	if (x->kind == PAIRING_CODE)
		return pair_code_guess(p->code, now_ms(), x->code);
	return guess_take(p->guess, from(x), time(NULL)) ? -EACCES : 0;
}

static void looked(
    struct pairer *p, struct exchange *x, const char *name, bool right)
{
	unsigned left;

	if (x->kind == PAIRING_CODE) {
		left = pair_code_looked(p->code, x->code, right);
		if (!right)
			log_warning("%s has tried a wrong code: %s", name,
			    left ? "the right one still works"
				 : "the right one works no more");
	} else if (right) {
		guess_right(p->guess, from(x));
	} else {
		log_info("%s does not know the group's passphrase", name);
	}
}

/* While one is looked at it counts as wrong: the next must not see that. */
static void take_turn(struct pairer *p)
{
	mutex_lock(&p->lock);
	while (p->looking)
		cond_wait(&p->looked, &p->lock);
	p->looking = true;
	mutex_unlock(&p->lock);
}

static void end_turn(struct pairer *p)
{
	mutex_lock(&p->lock);
	p->looking = false;
	cond_signal(&p->looked);
	mutex_unlock(&p->lock);
}

/* Step 3: who is right is pinned. 0, or the errno of UNPAIRED. */
static int look(struct pairer *p, struct exchange *x, const struct wire_msg *m,
    const char *name, char ret_pinned[WIRE_PEER_NAME_MAX + 1], bool *ret_wrong)
{
	int r;

	take_turn(p);
	r = count_theirs(p, x);
	if (!r) {
		r = read_step(x, m);
		looked(p, x, name, r == 0);
		*ret_wrong = r != 0;
	}
	end_turn(p);
	return r ? r : pin(p, x, name, ret_pinned);
}

/* Step 3, and the answer to it. */
static int judge(struct pairer *p, struct exchange *x, const struct wire_msg *m,
    const char *name, bool *ret_wrong)
{
	char pinned[WIRE_PEER_NAME_MAX + 1];
	int r;

	if ((enum pairing_kind)m->pair.kind != x->kind || m->pair.step != 3)
		return -EPROTO;
	r = look(p, x, m, name, pinned, ret_wrong);
	leave(p, x); /* before they know that another one may begin */
	if (r)
		return send_unpaired(x->conn, r);
	r = send_step(x);
	tell(p, x, pinned);
	return r;
}

int pairer_serve(struct pairer *p, struct conn *conn,
    const struct wire_msg *first, const char *name, bool *ret_wrong)
{
	struct exchange x = {
		.conn = conn,
		.role = HANDSHAKE_RESPONDER,
		.kind = (enum pairing_kind)first->pair.kind,
		.deadline_ms = now_ms() + PAIRER_EXCHANGE_MS,
		.wake_fd = -1,
	};
	struct wire_msg m;
	int r;

	if (first->pair.step != 1)
		return -EPROTO;
	if (refused(p, conn))
		return send_unpaired(conn, -EACCES);
	r = begin(p, &x);
	if (r)
		return send_unpaired(conn, r == -EAGAIN ? -EACCES : r);
	r = secret_for(p, &x);
	if (r) {
		r = send_unpaired(conn, r);
		goto out;
	}
	r = read_step(&x, first);
	if (!r)
		r = send_step(&x);
	if (!r)
		r = receive_step(&x, &m);
	if (!r)
		r = judge(p, &x, &m, name, ret_wrong);
out:
	end(p, &x);
	return r;
}
