/*
 * Wires the parts of net to each other: what discovery hears goes to the
 * prober, what the prober proves to the peers table, who calls us is dialled
 * back, and the keeper ("keeper", once a second) moves everybody's clock. The
 * sink has one of its own ("inbox"): it may wait for its disk, and must not
 * keep the keeper from saying that we live.
 */
#include "network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "listener.h"
#include "log.h"
#include "pairer.h"
#include "pool.h"
#include "prober.h"
#include "random.h"
#include "space.h"
#include "sync.h"

enum { TICK_MS = 1000 };

struct network {
	struct network_config config;
	struct conn_self self;
	struct trust *trust;
	struct ledger *ledger;
	struct consent *consent;
	struct pool *pool;
	struct peers *peers;
	struct pairer *pairer;
	struct prober *prober;
	struct space *space;
	struct listener *listener;
	struct discovery *discovery;
	pthread_t keeper, inbox;
	bool keeping, ticking;

	struct mutex lock;
	struct cond wake;
	bool stopping GUARDED_BY(lock);
	char discovery_state[256] GUARDED_BY(lock);
};

/* --- discovery --------------------------------------------------------------
 */

static void on_lost(void *ctx, const struct peer_info *info)
{
	struct network *n = ctx;

	if (n->prober)
		prober_lost(n->prober, info);
}

static void on_changed(
    void *ctx, enum peer_change change, const struct peer_info *info)
{
	struct network *n = ctx;

	/* Perhaps it has let us in, and may send to us from now on. */
	if (change == PEER_CHANGED && info->pinned)
		listener_policy_changed(n->listener, info->key, false);
	if (n->config.peer_changed)
		n->config.peer_changed(n->config.ctx, change, info);
}

static void on_caller(void *ctx, const struct sockaddr *from, uint16_t port)
{
	struct network *n = ctx;

	if (n->prober)
		prober_caller(n->prober, from, port);
}

static void set_discovery_state(struct network *n, const char *text)
{
	mutex_lock(&n->lock);
	snprintf(n->discovery_state, sizeof(n->discovery_state), "%s", text);
	mutex_unlock(&n->lock);
}

void network_discovery_state(struct network *n, char *ret, size_t cap)
{
	mutex_lock(&n->lock);
	snprintf(ret, cap, "%s", n->discovery_state);
	mutex_unlock(&n->lock);
}

#ifdef HAVE_AVAHI
static void on_found(void *ctx, const struct discovery_hint *hint)
{
	struct network *n = ctx;

	prober_hint(n->prober, hint);
}

/* Anybody can say that somebody has gone: connections know better. */
static void on_withdrawn(void *ctx, const char *id)
{
	(void)ctx;
	log_debug("discovery: %s was withdrawn", id);
}

static void on_discovery(void *ctx, enum discovery_state state, const char *why)
{
	struct network *n = ctx;

	if (state == DISCOVERY_FAILED)
		log_warning("%s", why);
	set_discovery_state(n, state == DISCOVERY_RUNNING ? "avahi"
			       : state == DISCOVERY_STARTING
				   ? "avahi (starting)"
				   : why);
}

static int start_discovery(struct network *n)
{
	static const struct discovery_events events = {
		.found = on_found,
		.lost = on_withdrawn,
		.state = on_discovery,
	};
	struct discovery_config config = { .name = n->config.name,
		.port = listener_port(n->listener) };
	uint8_t id[DISCOVERY_ID_CHARS / 2];
	unsigned i;

	random_bytes(id, sizeof(id));
	for (i = 0; i < sizeof(id); i++)
		snprintf(config.id + 2 * i, 3, "%02x", id[i]);
	return discovery_start(&config, &events, n, &n->discovery);
}
#else
static int start_discovery(struct network *n)
{
	log_warning("this build has no discovery: name peers with --peer");
	set_discovery_state(n, "not built in");
	return 0;
}

void discovery_stop(struct discovery *d)
{
	(void)d;
}
#endif

/* --- clocks -----------------------------------------------------------------
 */

/* Calls tick every second until the end; the lock is not held. */
static void every_second(struct network *n, void (*tick)(struct network *n))
{
	int64_t next = now_ms() + TICK_MS;

	mutex_lock(&n->lock);
	while (!n->stopping) {
		if (cond_wait_until(&n->wake, &n->lock, next) == 0)
			continue;
		mutex_unlock(&n->lock);
		tick(n);
		next += TICK_MS;
		if (now_ms() > next)
			next = now_ms();
		mutex_lock(&n->lock);
	}
	mutex_unlock(&n->lock);
}

static void keeper_tick(struct network *n)
{
	listener_tick(n->listener);
	peers_tick(n->peers);
	consent_tick(n->consent);
}

static void *keeper_run(void *arg)
{
	every_second(arg, keeper_tick);
	return NULL;
}

/*
 * Can this sender still say what becomes of what is held for it? One whom our
 * owner has turned away since cannot, connected or not.
 */
static bool here(void *ctx, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct network *n = ctx;

	return listener_here(n->listener, key) &&
	       trust_incoming(n->trust, key) == WIRE_POLICY_ACCEPT;
}

static void inbox_tick(struct network *n)
{
	n->config.sink->ops->tick(n->config.sink, here, n);
}

static void *inbox_run(void *arg)
{
	every_second(arg, inbox_tick);
	return NULL;
}

/* --- what is known of a key -------------------------------------------------
 */

/* Where a new pin's key was last proven, so that a restart finds it. */
static void note_address(struct network *n, const uint8_t *key)
{
	struct peer *p = peers_find_key(n->peers, key);
	struct peer_info info;

	if (!p)
		return;
	peer_info(p, &info);
	peer_put(p);
	if (info.n_addresses)
		trust_note_address(
		    n->trust, key, (const struct sockaddr *)&info.addresses[0]);
}

/*
 * What trust knows of a key has changed: its question and its connections.
 * forgiven: it may ask, whatever it was told before.
 */
static void decided(
    struct network *n, const uint8_t *key, bool accepted, bool forgiven)
{
	struct consent_question q;

	if (consent_find_key(n->consent, key, &q) == 0)
		consent_settle(n->consent, q.serial, accepted);
	if (forgiven)
		consent_forgive(n->consent, key);
	listener_policy_changed(n->listener, key, !accepted);
	if (accepted)
		note_address(n, key);
}

/* The pins are there; the rest hears of it. Any thread, no lock held. */
static void on_paired(void *ctx, const uint8_t *key, const char *name)
{
	struct network *n = ctx;

	decided(n, key, true, true);
	if (n->config.paired)
		n->config.paired(n->config.ctx, name);
}

/* --- the whole
 * ------------------------------------------------------------------ */

static int new_pairer(struct network *n)
{
	struct pairer_config config = {
		.self = &n->self,
		.trust = n->trust,
		.peers = n->peers,
		.state_fd = n->config.state_fd,
		.group = n->config.group,
		.group_len = n->config.group_len,
		.paired = on_paired,
		.ctx = n,
	};

	return pairer_new(&config, &n->pairer);
}

static int new_listener(struct network *n)
{
	struct listener_config config = {
		.address = n->config.listen,
		.exact = n->config.listen_exact,
		.self = &n->self,
		.incoming = {
			.sink = n->config.sink,
			.space = n->space,
			.trust = n->trust,
			.ledger = n->ledger,
			.consent = n->consent,
			.peers = n->peers,
			.pairer = n->pairer,
			.patience_ms = n->config.patience_ms,
		},
		.caller = on_caller,
		.ctx = n,
	};

	return listener_new(&config, &n->listener);
}

static int new_peers(struct network *n)
{
	struct peers_config config = {
		.self = &n->self,
		.trust = n->trust,
		.consent = n->consent,
		.ledger = n->ledger,
		.pool = n->pool,
		.patience_ms = n->config.patience_ms,
		.changed = on_changed,
		.lost = on_lost,
		.ctx = n,
	};
	int r;

	r = peers_new(&config, &n->peers);
	if (!r)
		consent_crosses(n->consent, peers_crossing, n->peers);
	return r;
}

int network_new(
    const struct network_config *config, struct network **ret, bool *ret_port)
{
	struct network *n = calloc(1, sizeof(*n));
	int r = -ENOMEM;

	if (ret_port)
		*ret_port = false;
	if (!n)
		return -ENOMEM;
	n->config = *config;
	mutex_init(&n->lock);
	cond_init(&n->wake);
	n->self.identity = config->identity;
	n->self.hello.minor = WIRE_MINOR;
	n->self.hello.group = config->group_len > 0;
	snprintf(
	    n->self.hello.name, sizeof(n->self.hello.name), "%s", config->name);
	n->config.name = n->self.hello.name;
	set_discovery_state(n, "off");
	n->ledger = ledger_new(config->transfer_changed, config->ctx);
	n->consent = consent_new(config->ask_timeout_ms ? config->ask_timeout_ms
							: CONSENT_TIMEOUT_MS,
	    config->asked, config->ctx);
	n->pool = pool_new();
	n->space = space_new(config->sink);
	if (n->ledger && n->consent && n->pool && n->space)
		r = trust_open(config->state_fd, config->accept, &n->trust);
	if (!r)
		r = new_peers(n);
	if (!r)
		r = new_pairer(n);
	if (!r) {
		r = new_listener(n);
		if (ret_port)
			*ret_port = r != 0;
	}
	if (r)
		network_free(n);
	else
		*ret = n;
	return r;
}

static void tell_damaged(struct network *n)
{
	char fingerprint[FINGERPRINT_CHARS], name[WIRE_PEER_NAME_MAX + 1];

	for (unsigned i = 0;
	     n->config.damaged && trust_damaged(n->trust, i, fingerprint, name);
	     i++)
		n->config.damaged(n->config.ctx, fingerprint, name);
}

int network_start(struct network *n)
{
	int r;

	tell_damaged(n);
	n->self.hello.port = listener_port(n->listener);
	r = prober_start(n->peers, n->pairer, &n->self, &n->prober);
	if (!r)
		r = listener_start(n->listener);
	if (!r)
		r = thread_start(&n->keeper, "keeper", keeper_run, n);
	n->keeping = r == 0;
	if (!r)
		r = thread_start(&n->inbox, "inbox", inbox_run, n);
	n->ticking = r == 0;
	if (!r && n->config.discovery)
		r = start_discovery(n);
	return r;
}

int network_add_peer(
    struct network *n, const char *name, const char *host, uint16_t port)
{
	return prober_named(n->prober, name, host, port);
}

struct peers *network_peers(struct network *n)
{
	return n->peers;
}

struct ledger *network_ledger(struct network *n)
{
	return n->ledger;
}

struct consent *network_consent(struct network *n)
{
	return n->consent;
}

uint16_t network_port(const struct network *n)
{
	return listener_port(n->listener);
}

/* --- decisions --------------------------------------------------------------
 */

int network_set_policy(
    struct network *n, const char *name, enum trust_policy policy)
{
	uint8_t key[IDENTITY_KEY_BYTES];
	bool accepted = policy == TRUST_ACCEPT;
	int r = peers_set_policy(n->peers, name, policy, key);

	if (!r)
		decided(n, key, accepted, accepted);
	return r;
}

int network_forget(struct network *n, const char *name)
{
	uint8_t key[IDENTITY_KEY_BYTES];
	int r = peers_forget(n->peers, name, key);

	if (!r || r == -ENODATA)
		decided(n, key, false, true);
	return r;
}

/* The pin is durable before anybody hears of it. */
static int let_in(struct network *n, const struct consent_question *q)
{
	const struct trust_decision d = { .policy = TRUST_ACCEPT,
		.words = q->words,
		.since_ms = q->asked_ms };
	int r = peers_pin_as(n->peers, q->key, q->name, &d);

	/* Where it is too late for the question, the pin is what counts. */
	if (!r)
		decided(n, q->key, true, true);
	return r;
}

int network_answer(struct network *n, uint64_t serial, bool accept)
{
	struct consent_question q;
	int r = consent_find_serial(n->consent, serial, &q);

	if (!r && accept)
		return let_in(n, &q);
	if (!r)
		r = consent_settle(n->consent, serial, false);
	if (!r)
		decided(n, q.key, false, false);
	return r;
}

int network_decide(struct network *n, const char *name, bool accept)
{
	const struct trust_decision accepted = { .policy = TRUST_ACCEPT };
	struct consent_question q;
	int r = consent_find(n->consent, name, &q);

	if (!r)
		r = network_answer(n, q.serial, accept);
	if (r != -ENOENT)
		return r;
	r = network_set_policy(n, name, accept ? TRUST_ACCEPT : TRUST_REFUSE);
	/* A no that was a mistake: it may have no folder here. */
	if (r == -ENOENT && accept &&
	    consent_find_declined(n->consent, name, q.key) == 0) {
		r = peers_pin_as(n->peers, q.key, name, &accepted);
		if (!r)
			decided(n, q.key, true, true);
	}
	return r;
}

/* Of the folder, which is what people were shown. */
static int find_pin(struct network *n, const char *name, struct trust_pin *ret)
{
	struct peer *p = peers_find_name(n->peers, name);
	struct peer_info info;

	if (!p)
		return -ENOENT;
	peer_info(p, &info);
	peer_put(p);
	return trust_find(n->trust, info.key, ret);
}

int network_set_quota(
    struct network *n, const char *name, uint64_t bytes, uint64_t files)
{
	struct trust_pin pin;
	int r = find_pin(n, name, &pin);

	if (!r)
		r = trust_set_quota(n->trust, pin.key, bytes, files);
	if (!r)
		peers_pinned(n->peers, pin.key);
	return r;
}

int network_set_verified(struct network *n, const char *name)
{
	struct trust_pin pin;
	int r = find_pin(n, name, &pin);

	if (r)
		return r;
	if (!pin.has_words)
		return -ENODATA;
	r = trust_set_verified(n->trust, pin.key);
	if (!r)
		peers_pinned(n->peers, pin.key);
	return r;
}

int network_pair_begin(struct network *n, char ret_code[WORDS_CODE_MAX])
{
	pairer_open_code(n->pairer, ret_code);
	return 0;
}

int network_pair(struct network *n, const char *name, const char *typed,
    void (*done)(void *ctx, int result), void *ctx, uint64_t *ret_serial)
{
	return pairer_dial(n->pairer, name, typed, done, ctx, ret_serial);
}

void network_pair_cancel(struct network *n, uint64_t serial)
{
	pairer_cancel(n->pairer, serial);
}

unsigned network_busy(struct network *n)
{
	return peers_busy(n->peers) + listener_busy(n->listener);
}

void network_stop(struct network *n)
{
	mutex_lock(&n->lock);
	n->stopping = true;
	cond_broadcast(&n->wake);
	mutex_unlock(&n->lock);
	discovery_stop(n->discovery);
	n->discovery = NULL;
	if (n->keeping)
		pthread_join(n->keeper, NULL);
	n->keeping = false;
	pairer_stop(n->pairer);
	peers_stop(n->peers);
	listener_stop(n->listener); /* fs still asks for the port */
	/* After the goodbyes: its disk may hang. */
	if (n->ticking)
		pthread_join(n->inbox, NULL);
	n->ticking = false;
	prober_stop(n->prober);
	n->prober = NULL;
	peers_stop(n->peers); /* a probe may have adopted one in between */
}

void network_free(struct network *n)
{
	if (!n)
		return;
	listener_free(n->listener);
	pairer_free(n->pairer);
	space_free(n->space);
	peers_free(n->peers);
	trust_close(n->trust);
	consent_free(n->consent);
	ledger_free(n->ledger);
	pool_free(n->pool);
	cond_fini(&n->wake);
	mutex_fini(&n->lock);
	free(n);
}
