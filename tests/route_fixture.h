/*
 * Two machines with net/outgoing and net/incoming between them, over real
 * connections; what arrives goes into memory.
 */
#ifndef ROUTE_FIXTURE_H
#define ROUTE_FIXTURE_H

#include "memory_sink.h"
#include "net_fixture.h"

#include "listener.h"

/* Two machines: w sends, there receives into memory. */
struct route {
	struct world w, there;
	struct memory_sink sink;
	struct space *space;
	struct listener *listener;
	struct peer *peer;
};

static void no_caller(void *ctx, const struct sockaddr *from, uint16_t port)
{
}

static void route_open(
    struct route *r, int patience_ms, unsigned fail_at, int fail_with)
{
	struct listener_config config = { .caller = no_caller };
	struct sockaddr_storage where;
	struct conn *c;

	memset(r, 0, sizeof(*r));
	world_open(&r->w, "sender", TRUST_LAN, patience_ms);
	world_open(&r->there, "laptop", TRUST_LAN, patience_ms);
	memory_sink_init(&r->sink);
	r->sink.fail_at = fail_at;
	r->sink.fail_with = fail_with;
	assert_int_equal(address_parse("127.0.0.1:1", 0, &where), 0);
	address_set_port((struct sockaddr *)&where, 0);
	config.address = where;
	config.self = &r->there.me.self;
	r->space = space_new(&r->sink.base);
	assert_non_null(r->space);
	config.incoming = (struct incoming_config){ .sink = &r->sink.base,
		.space = r->space,
		.trust = r->there.trust,
		.ledger = r->there.ledger,
		.peers = r->there.peers,
		.patience_ms = patience_ms };
	assert_int_equal(listener_new(&config, &r->listener), 0);
	assert_int_equal(listener_start(r->listener), 0);
	address_set_port((struct sockaddr *)&where, listener_port(r->listener));
	assert_int_equal(conn_dial(&r->w.me.self, (struct sockaddr *)&where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	peers_adopt(r->w.peers, c, NULL);
	r->peer = peers_find_name(r->w.peers, "laptop");
	assert_non_null(r->peer);
	world_wait(&r->w, &r->w.changes[PEER_CHANGED], 1);
}

static void route_close(struct route *r)
{
	size_t bytes;

	EVENTUALLY(peers_busy(r->w.peers) == 0);
	EVENTUALLY(memory_sink_rests(&r->sink));
	peer_put(r->peer);
	peers_stop(r->w.peers);
	for (unsigned i = 0; i < POOL_LIMIT / POOL_CHUNK; i++)
		assert_non_null(pool_take(r->w.pool, POOL_CHUNK, &bytes));
	listener_free(r->listener);
	world_close(&r->w);
	world_close(&r->there);
	space_free(r->space);
	memory_sink_fini(&r->sink);
}

#endif
