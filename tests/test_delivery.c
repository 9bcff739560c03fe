/*
 * Tests net/outgoing and net/incoming with each other, over net/listener and
 * net/link: many transfers at once, and a disk that fails at every call.
 */
#include "memory_sink.h"
#include "net_fixture.h"

#include "listener.h"

enum { PATIENCE_MS = 15000, SHORT_MS = 500 };

/* Two machines: w sends, there receives into memory. */
struct route {
	struct world w, there;
	struct memory_sink sink;
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
	config.incoming = (struct incoming_config){ .sink = &r->sink.base,
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
	memory_sink_fini(&r->sink);
}

/*
 * A program's calls, each waited for, until one fails: its errno, and the
 * sticky one, and that of close are the same. Ten calls of the sink.
 */
static int send_everything(struct peer *peer)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE, .mode = 0600 };
	struct told t[5];
	struct outgoing *o;
	size_t taken;
	int64_t r[5];

	assert_int_equal(
	    outgoing_new(peer, NULL, "a file", 0640, WIRE_SIZE_UNKNOWN, &o), 0);
	for (unsigned i = 0; i < 5; i++)
		told_init(&t[i]);
	r[0] = told_result(
	    &t[0], outgoing_write(o, "hello world", 11, 0, &t[0].w, &taken));
	outgoing_truncate(o, 7);
	r[1] = told_result(&t[1], outgoing_reserve(o, 0, 100, true, &t[1].w));
	outgoing_meta(o, &meta);
	r[2] = told_result(&t[2], outgoing_checkpoint(o, &t[2].w));
	r[3] = told_result(
	    &t[3], outgoing_write(o, "there", 5, 6, &t[3].w, &taken));
	r[4] = told_result(&t[4], outgoing_commit(o, &t[4].w));
	for (unsigned i = 0; i < 5; i++) {
		/* Once an error, always this error. */
		if (i && r[i - 1] < 0)
			assert_int_equal(r[i], r[i - 1]);
		assert_in_range(told_times(&t[i]), 0, 1);
		told_fini(&t[i]);
	}
	assert_int_equal(outgoing_error(o), r[4]);
	assert_int_equal(outgoing_published(o), r[4] == 0);
	outgoing_put(o);
	return (int)r[4];
}

static void every_failing_call_is_the_errno_of_close(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, EROFS, ESTALE,
		EMFILE, ENOMEM, EINVAL, EPERM };
	enum { ALL_CALLS = 10 };
	struct memory_published *p;
	struct route r;

	for (unsigned n = 1; n <= ALL_CALLS + 1; n++) {
		int error = -errors[n % N_OF(errors)];

		route_open(&r, PATIENCE_MS, n, error);
		assert_int_equal(
		    send_everything(r.peer), n <= ALL_CALLS ? error : 0);
		if (n <= ALL_CALLS) {
			assert_null(r.sink.published);
			/* The same connection carries the next one. */
			assert_int_equal(send_everything(r.peer), 0);
		}
		p = r.sink.published;
		assert_non_null(p);
		assert_null(p->next);
		assert_int_equal(p->mode, 0600);
		assert_int_equal(p->size, 11);
		assert_memory_equal(p->bytes, "hello there", 11);
		route_close(&r);
	}
}

enum { PROGRAMS = 4, FILES = 12, FILE_BYTES = 700 * 1000 };

struct program {
	struct peer *peer;
	unsigned n;
	pthread_t thread;
	int result;
};

/* As cp: short writes are gone on with, parked ones waited for. */
static int copy(struct peer *peer, uint64_t what)
{
	uint8_t *bytes = malloc(FILE_BYTES);
	struct outgoing *o;
	uint64_t at = 0;
	char name[32];
	int64_t r;

	fill(bytes, FILE_BYTES, what * FILE_BYTES);
	snprintf(name, sizeof(name), "%u", (unsigned)what);
	r = outgoing_new(peer, NULL, name, 0640, FILE_BYTES, &o);
	while (!r && at <= FILE_BYTES) {
		size_t taken = 0;
		struct told t;

		told_init(&t);
		if (at < FILE_BYTES) {
			r = told_result(
			    &t, outgoing_write(o, bytes + at, FILE_BYTES - at,
				    at, &t.w, &taken));
			at += r > 0 ? (uint64_t)r : taken;
			r = r < 0 ? r : 0;
		} else {
			r = told_result(&t, outgoing_commit(o, &t.w));
			at++;
		}
		told_fini(&t);
	}
	outgoing_put(o);
	free(bytes);
	return (int)r;
}

static void *copy_files(void *arg)
{
	struct program *p = arg;

	for (unsigned i = 0; i < FILES && !p->result; i++)
		p->result = copy(p->peer, p->n * FILES + i);
	return NULL;
}

static void many_files_arrive_whole(void **state)
{
	struct program programs[PROGRAMS];
	bool seen[PROGRAMS * FILES] = { false };
	uint8_t *want = malloc(FILE_BYTES);
	struct memory_published *p;
	unsigned n = 0;
	struct route r;

	route_open(&r, PATIENCE_MS, 0, 0);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		programs[i] = (struct program){ .peer = r.peer, .n = i };
		assert_int_equal(thread_start(&programs[i].thread, "program",
				     copy_files, &programs[i]),
		    0);
	}
	for (unsigned i = 0; i < PROGRAMS; i++) {
		pthread_join(programs[i].thread, NULL);
		assert_int_equal(programs[i].result, 0);
	}
	for (p = r.sink.published; p; p = p->next, n++) {
		unsigned long what = strtoul(p->name, NULL, 10);

		assert_in_range(what, 0, PROGRAMS * FILES - 1);
		assert_false(seen[what]);
		seen[what] = true;
		assert_int_equal(p->size, FILE_BYTES);
		fill(want, FILE_BYTES, what * FILE_BYTES);
		assert_memory_equal(p->bytes, want, FILE_BYTES);
	}
	assert_int_equal(n, PROGRAMS * FILES);
	free(want);
	route_close(&r);
}

static void many_empty_files_at_once(void **state)
{
	enum { MANY = 200 };
	struct outgoing *o[MANY];
	struct told t[MANY];
	struct route r;

	route_open(&r, PATIENCE_MS, 0, 0);
	for (unsigned i = 0; i < MANY; i++) {
		told_init(&t[i]);
		assert_int_equal(
		    outgoing_new(r.peer, NULL, "empty", 0600, 0, &o[i]), 0);
		assert_int_equal(
		    outgoing_commit(o[i], &t[i].w), OUTGOING_PARKED);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(told_wait(&t[i]), 0);
		outgoing_put(o[i]);
		told_fini(&t[i]);
	}
	assert_int_equal(memory_sink_read(&r.sink, &r.sink.commits), MANY);
	route_close(&r);
}

static void the_receiver_ends_in_the_middle(void **state)
{
	struct outgoing *o;
	struct told t;
	struct route r;
	size_t taken;

	route_open(&r, SHORT_MS, 0, 0);
	told_init(&t);
	memory_sink_hold(&r.sink, true);
	assert_int_equal(outgoing_new(r.peer, NULL, "x", 0600, 9, &o), 0);
	assert_int_equal(outgoing_write(o, "x", 1, 0, &t.w, &taken), 0);
	EVENTUALLY(memory_sink_read(&r.sink, &r.sink.waiting));
	assert_int_equal(outgoing_commit(o, &t.w), OUTGOING_PARKED);
	memory_sink_hold(&r.sink, false);
	listener_stop(r.listener);
	/* The keeper's clock ends what waits for its return. */
	EVENTUALLY((peers_tick(r.w.peers), told_times(&t)));
	/* Published, and then it is there; or an error, and it may not be. */
	assert_true(told_wait(&t) == 0 ||
		    (t.result == -ETIMEDOUT && !outgoing_published(o)));
	if (t.result == 0)
		assert_non_null(r.sink.published);
	outgoing_put(o);
	told_fini(&t);
	route_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failing_call_is_the_errno_of_close),
		cmocka_unit_test(many_files_arrive_whole),
		cmocka_unit_test(many_empty_files_at_once),
		cmocka_unit_test(the_receiver_ends_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
