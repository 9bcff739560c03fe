/*
 * Tests net/incoming.h: a sender that the test plays, over a real connection,
 * and a sink in memory that fails at any call it is told to.
 */
#include "incoming_fixture.h"

/* --- transfers ---------------------------------------------------------------
 */

static void a_file_is_published_whole(void **state)
{
	struct server *s = *state;
	struct trust_pin pin;
	struct sending t;
	struct wire_msg m;

	m = expect(s->pair.a, WIRE_PONG);
	assert_int_equal(m.pong.policy, WIRE_POLICY_ACCEPT);
	assert_int_equal(m.pong.free_bytes, 11);
	assert_int_equal(m.pong.total_bytes, 22);
	assert_int_equal(m.pong.free_files, 33);
	assert_int_equal(m.pong.total_files, 44);
	begin(&t, s->pair.a, 9);
	m = expect(s->pair.a, WIRE_ACCEPT);
	assert_int_equal(m.accept.tag, 9);
	assert_int_equal(m.accept.applied, 0);
	assert_int_equal(m.accept.max_write, WIRE_WRITE_MAX);
	/* Pinned before its first byte, under the name it says. */
	assert_int_equal(trust_find(s->w.trust, s->sender.id.public, &pin), 0);
	assert_int_equal(pin.policy, TRUST_ACCEPT);
	assert_string_equal(pin.name, "laptop");

	put_everything(&t);
	m = ack(&t, WIRE_DURABLE);
	assert_int_equal(m.ack.code, WIRE_OK);
	assert_int_equal(m.ack.seq, 6);
	m = ack(&t, WIRE_PUBLISHED);
	assert_int_equal(m.ack.code, WIRE_OK);
	assert_int_equal(m.ack.seq, 9);
	assert_string_equal(m.ack.name, "its name");
	end(&t);

	/* The connection carries the next one. */
	begin(&t, s->pair.a, 10);
	expect(s->pair.a, WIRE_ACCEPT);
	put_seal(&t, WIRE_COMMIT);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	assert_int_equal(s->sink.published->content.size, 0);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.closed, 2);
	assert_string_equal(s->sink.peer, "laptop");
	assert_memory_equal(
	    s->sink.sender, s->sender.id.public, IDENTITY_KEY_BYTES);
	assert_int_equal(s->w.n_ended, 2);
	assert_int_equal(s->w.ended.state, LEDGER_DONE);
	assert_int_equal(s->w.ended.direction, LEDGER_RECEIVE);
}

/* After a failure the connection is as good as new. */
static void assert_goes_on(struct server *s, struct sending *t)
{
	struct wire_msg m = abort_of(t->tag);

	send_msg(s->pair.a, &m);
	end(t);
	begin(t, s->pair.a, t->tag + 1);
	expect(s->pair.a, WIRE_ACCEPT);
	put_everything(t);
	m = ack(t, WIRE_PUBLISHED);
	assert_int_equal(m.ack.state, WIRE_PUBLISHED);
	assert_published(s);
}

static void every_failing_call_is_reported_and_publishes_nothing(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, EROFS, ESTALE,
		EMFILE, ENOMEM, EINVAL, EPERM };
	struct server s;
	struct sending t;
	struct wire_msg m;

	for (unsigned n = 1; n <= ALL_CALLS + 1; n++) {
		int error = -errors[n % N_OF(errors)];

		server_open(&s, TRUST_LAN);
		s.sink.fail_at = n;
		s.sink.fail_with = error;
		server_start(&s);
		begin(&t, s.pair.a, n);
		put_everything(&t);
		if (n == 1) {
			m = expect(s.pair.a, WIRE_REFUSE);
			assert_int_equal(m.refuse.tag, n);
			assert_int_equal(
			    wire_code_to_errno(m.refuse.code), error);
		} else {
			expect(s.pair.a, WIRE_ACCEPT);
			m = ack(&t, WIRE_PUBLISHED);
		}
		if (n > ALL_CALLS) {
			assert_int_equal(m.ack.code, WIRE_OK);
			assert_published(&s);
		} else if (n > 1) {
			assert_int_equal(wire_code_to_errno(m.ack.code), error);
		}
		if (n <= ALL_CALLS) {
			assert_null(s.sink.published);
			assert_int_equal(s.sink.aborted, n > 1);
			assert_int_equal(s.w.ended.error, n > 1 ? error : 0);
			assert_goes_on(&s, &t);
		}
		end(&t);
		assert_int_equal(server_end(&s), CONN_EOF);
		assert_int_equal(s.sink.aborted, n > 1 && n <= ALL_CALLS);
		server_close(&s);
	}
}

static void a_commit_that_does_not_match_is_refused(void **state)
{
	static const enum wire_type types[] = { WIRE_COMMIT, WIRE_CHECKPOINT };
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	for (uint32_t i = 0; i < 6; i++) {
		begin(&t, s->pair.a, i + 1);
		expect(s->pair.a, WIRE_ACCEPT);
		put_write(&t, "hello", 0);
		m = seal_of(&t, types[i % 2]);
		if (i / 2 == 0)
			m.commit.size++;
		else if (i / 2 == 1)
			m.commit.count--;
		else
			m.commit.hash[15] ^= 1;
		send_msg(s->pair.a, &m);
		m = ack(&t, WIRE_PUBLISHED);
		assert_int_equal(m.ack.code, WIRE_EBADMSG);
		/* What was in flight behind it is dropped. */
		put_write(&t, "more", 5);
		put_seal(&t, WIRE_COMMIT);
		end(&t);
	}
	begin(&t, s->pair.a, 99);
	expect(s->pair.a, WIRE_ACCEPT);
	put_everything(&t);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.aborted, 6);
	assert_int_equal(s->sink.commits, 1);
	assert_int_equal(s->sink.checkpoints, 1);
	assert_published(s);
}

/* What it says and what it is must agree on every kind of operation. */
static void an_operation_that_is_not_counted_shows(void **state)
{
	struct server *s = *state;
	struct wire_msg m;
	struct sending t;

	for (uint32_t i = 1; i <= 4; i++) {
		uint8_t hash[WIRE_HASH_BYTES];

		begin(&t, s->pair.a, i);
		ophash_digest(t.hash, hash);
		if (i % 2)
			put_xattr(&t, "user.x", NULL);
		else
			put_move(&t, 1, "there");
		m = seal_of(&t, WIRE_COMMIT);
		if (i <= 2)
			m.commit.count--;
		else
			memcpy(m.commit.hash, hash, sizeof(hash));
		send_msg(s->pair.a, &m);
		end(&t);
		expect(s->pair.a, WIRE_ACCEPT);
		m = ack(&t, WIRE_PUBLISHED);
		assert_int_equal(m.ack.code, WIRE_EBADMSG);
	}
	assert_int_equal(server_end(s), CONN_EOF);
	assert_null(s->sink.published);
}

static void each_way_to_reserve_comes_through(void **state)
{
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	for (enum wire_reserve how = WIRE_RESERVE_EXTEND;
	     how <= WIRE_RESERVE_ZERO_KEEP; how++) {
		struct wire_msg m = { .type = WIRE_RESERVE };

		m.reserve.seq = ++t.seq;
		m.reserve.len = 1;
		m.reserve.how = how;
		send_msg(s->pair.a, &m);
		assert_int_equal(ack(&t, WIRE_APPLIED).ack.seq, t.seq);
		assert_int_equal(s->sink.how, how);
	}
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

/* --- held, and versions ----------------------------------------------------
 */

static void a_commit_is_held_or_shown_as_the_sink_does(void **state)
{
	static const struct {
		bool hold, shows_all, unsynced;
		enum wire_state state;
	} cases[] = {
		{ false, false, false, WIRE_PUBLISHED },
		{ false, false, true, WIRE_RECEIVED },
		{ true, false, false, WIRE_HELD },
		{ true, false, true, WIRE_HELD },
		{ true, true, false, WIRE_PUBLISHED },
		{ true, true, true, WIRE_RECEIVED },
	};
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	for (uint32_t i = 0; i < N_OF(cases); i++) {
		bool held = cases[i].state == WIRE_HELD;

		s->sink.shows_all = cases[i].shows_all;
		s->sink.unsynced = cases[i].unsynced;
		begin(&t, s->pair.a, i + 1);
		expect(s->pair.a, WIRE_ACCEPT);
		put_write(&t, "x", 0);
		if (cases[i].hold)
			put_hold(&t);
		else
			put_seal(&t, WIRE_COMMIT);
		m = ack(&t, cases[i].state);
		assert_int_equal(m.ack.code, WIRE_OK);
		assert_int_equal(m.ack.seq, 2);
		assert_string_equal(m.ack.name, held ? "" : "a file");
		assert_int_equal(s->sink.published->held, held);
		world_wait(&s->w, &s->w.n_ended, i + 1);
		assert_int_equal(s->w.ended.state, LEDGER_DONE);
		end(&t);
	}
	assert_int_equal(server_end(s), CONN_EOF);
}

static void a_hold_that_fails_is_told(void **state)
{
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	s->sink.fail_at = 4; /* open, write, size, commit */
	s->sink.fail_with = -ENOSPC;
	begin(&t, s->pair.a, 1);
	put_write(&t, "x", 0);
	put_hold(&t);
	expect(s->pair.a, WIRE_ACCEPT);
	m = ack(&t, WIRE_HELD);
	assert_int_equal(m.ack.code, WIRE_ENOSPC);
	assert_int_equal(m.ack.state, WIRE_HELD);
	assert_null(s->sink.published);
	assert_goes_on(s, &t);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void a_version_takes_the_place_of_its_base(void **state)
{
	struct server *s = *state;
	struct memory_published *p;
	struct sending t;
	struct wire_msg m;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	put_write(&t, "hello", 0);
	put_seal(&t, WIRE_COMMIT);
	ack(&t, WIRE_PUBLISHED);
	end(&t);
	begin_version(&t, s->pair.a, 2, 1, 5);
	expect(s->pair.a, WIRE_ACCEPT);
	assert_int_equal(s->sink.offer.base[0], id_of(1));
	put_write(&t, " world", 5);
	/* Not before it is committed. */
	ack(&t, WIRE_APPLIED);
	assert_int_equal(s->sink.published->content.size, 5);
	put_seal(&t, WIRE_COMMIT);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	p = s->sink.published;
	assert_null(p->next);
	assert_int_equal(p->id[0], id_of(2));
	assert_int_equal(p->content.size, 11);
	assert_memory_equal(p->content.bytes, "hello world", 11);
	/* The old id is no file any more. */
	begin_version(&t, s->pair.a, 3, 1, 5);
	m = expect(s->pair.a, WIRE_REFUSE);
	assert_int_equal(m.refuse.tag, 3);
	assert_int_equal(m.refuse.code, WIRE_ESTALE);
	put_write(&t, "in flight", 0);
	put_seal(&t, WIRE_COMMIT);
	assert_goes_on(s, &t);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void what_is_applied_is_acknowledged(void **state)
{
	enum { BIG = 200 * 1024, SMALL = 1000 };
	struct server *s = *state;
	uint64_t acked = 0;
	struct wire_msg m;
	struct sending t;
	char *text = malloc(BIG + 1);

	memset(text, 'x', BIG);
	text[BIG] = '\0';
	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	/* At rest, everything is, without being asked. */
	put_write(&t, "x", 0);
	m = ack(&t, WIRE_APPLIED);
	assert_int_equal(m.ack.seq, 1);
	for (unsigned i = 0; i < SMALL; i++)
		put_write(&t, "x", i);
	for (unsigned i = 0; i < 9; i++)
		put_write(&t, text, i);
	while (acked < t.seq) {
		m = ack(&t, WIRE_APPLIED);
		assert_true(m.ack.seq > acked && m.ack.seq <= t.seq);
		acked = m.ack.seq;
	}
	m = abort_of(1);
	send_msg(s->pair.a, &m);
	world_wait(&s->w, &s->w.n_ended, 1);
	assert_int_equal(s->w.ended.state, LEDGER_ABORTED);
	assert_int_equal(s->w.ended.bytes, 1 + SMALL + 9 * BIG);
	end(&t);
	free(text);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_null(s->sink.published);
}

static void without_a_commit_nothing_appears(void **state)
{
	struct server s;
	struct sending t;
	struct wire_msg m;

	for (unsigned i = 0; i < 3; i++) {
		server_open(&s, TRUST_LAN);
		server_start(&s);
		begin(&t, s.pair.a, 1);
		expect(s.pair.a, WIRE_ACCEPT);
		put_write(&t, "hello", 0);
		put_seal(&t, WIRE_CHECKPOINT);
		assert_int_equal(ack(&t, WIRE_DURABLE).ack.code, WIRE_OK);
		m = i == 0 ? abort_of(1)
			   : (struct wire_msg){ .type = WIRE_BYE };
		if (i < 2)
			send_msg(s.pair.a, &m);
		assert_int_equal(server_end(&s), CONN_EOF);
		assert_null(s.sink.published);
		assert_int_equal(s.sink.aborted, 1);
		assert_int_equal(s.w.ended.error, i ? -ECONNRESET : -ECANCELED);
		end(&t);
		server_close(&s);
	}
}

static void who_watches_sees_a_slow_disk(void **state)
{
	struct server *s = *state;
	struct sending t;

	memory_sink_block(&s->sink, MEMORY_WRITE);
	begin(&t, s->pair.a, 1);
	put_write(&t, "x", 0);
	EVENTUALLY(memory_sink_read(&s->sink, &s->sink.waiting));
	assert_in_range(atomic_load(&s->watch.working), 1, now_ms());
	memory_sink_block(&s->sink, 0);
	expect(s->pair.a, WIRE_ACCEPT);
	ack(&t, WIRE_APPLIED);
	assert_int_equal(atomic_load(&s->watch.working), 0);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void an_offer_has_the_quota_of_its_pin(void **state)
{
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	assert_int_equal(s->sink.quota_bytes, 0);
	assert_int_equal(s->sink.quota_files, 0);
	send_msg(
	    s->pair.a, &(struct wire_msg){ .type = WIRE_ABORT,
			   .abort = { .tag = 1, .code = WIRE_ECANCELED } });
	end(&t);
	assert_int_equal(
	    trust_set_quota(s->w.trust, conn_remote_key(s->pair.b), 1000, 7),
	    0);
	begin(&t, s->pair.a, 2);
	expect(s->pair.a, WIRE_ACCEPT);
	assert_int_equal(s->sink.quota_bytes, 1000);
	assert_int_equal(s->sink.quota_files, 7);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

/* What takes long at its beginning ends when nobody waits for it. */
static void an_offer_is_over_with_its_connection(void **state)
{
	struct server *s = *state;
	struct sending t;

	memory_sink_block(&s->sink, MEMORY_OPEN);
	begin(&t, s->pair.a, 1);
	EVENTUALLY(memory_sink_read(&s->sink, &s->sink.waiting));
	atomic_store(&s->watch.turned_away, true);
	assert_int_equal(expect(s->pair.a, WIRE_REFUSE).refuse.tag, 1);
	end(&t);
	begin(&t, s->pair.a, 2);
	EVENTUALLY(memory_sink_read(&s->sink, &s->sink.waiting));
	end(&t);
	assert_int_not_equal(server_end(s), 0);
	assert_null(s->sink.published);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_file_is_published_whole),
		cmocka_unit_test(
		    every_failing_call_is_reported_and_publishes_nothing),
		TEST(a_commit_that_does_not_match_is_refused),
		TEST(an_operation_that_is_not_counted_shows),
		TEST(each_way_to_reserve_comes_through),
		TEST(a_commit_is_held_or_shown_as_the_sink_does),
		TEST(a_hold_that_fails_is_told),
		TEST(a_version_takes_the_place_of_its_base),
		TEST(what_is_applied_is_acknowledged),
		cmocka_unit_test(without_a_commit_nothing_appears),
		TEST(who_watches_sees_a_slow_disk),
		TEST(an_offer_has_the_quota_of_its_pin),
		TEST(an_offer_is_over_with_its_connection),
	};

	/* A COMMIT that does not match is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
