/*
 * Tests net/incoming.h: requests are answered in order and in every state, and
 * a transfer under way does not notice them.
 */
#include "incoming_fixture.h"

/* All kinds in a row, from that number on; none is waited for. */
static void put_requests(struct conn *c, uint64_t first, uint8_t id)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct wire_msg m = request_of(i, first + i, id);

		send_msg(c, &m);
	}
}

/* Their answers, where nothing has this id; or all of them the same error. */
static void expect_results(struct conn *c, uint64_t first, int all)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(expect_result(c, first + i), all ? all
							      : i < 4
								  ? 0
								  : -ENOENT);
}

static void each_comes_through_as_it_is(void **state)
{
	struct server *s = *state;

	for (unsigned i = 0; i < REQUESTS; i++) {
		struct wire_msg m = request_of(i, i + 9, 50);
		const uint8_t *bytes = NULL;
		size_t len = wire_payload(&m, &bytes);
		struct wire_msg *got = &s->sink.request;

		send_msg(s->pair.a, &m);
		assert_int_equal(
		    expect_result(s->pair.a, i + 9), i < 4 ? 0 : -ENOENT);
		assert_int_equal(got->type, m.type);
		if (len)
			assert_memory_equal(s->sink.payload, bytes, len);
	}
	assert_int_equal(s->sink.request.withdraw.id[0], 50);
	assert_int_equal(s->sink.meta.mode, 0700);
	assert_memory_equal(
	    s->sink.sender, s->sender.id.public, IDENTITY_KEY_BYTES);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.calls, REQUESTS);
}

static void they_are_answered_between_transfers(void **state)
{
	struct server *s = *state;
	struct conn *c = s->pair.a;
	struct wire_msg abort = abort_of(2);
	struct sending t;

	put_requests(c, 1, 99);
	begin(&t, c, 1);
	put_everything(&t);
	expect_results(c, 1, 0);
	expect(c, WIRE_ACCEPT);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	put_requests(c, 100, 99);
	expect_results(c, 100, 0);
	/* Behind a failure, and behind an ABORT. */
	s->sink.fail_at = s->sink.calls + 2;
	s->sink.fail_with = -EIO;
	begin(&t, c, 2);
	put_write(&t, "x", 0);
	put_requests(c, 200, 99);
	expect(c, WIRE_ACCEPT);
	assert_int_equal(ack(&t, WIRE_APPLIED).ack.code, WIRE_EIO);
	expect_results(c, 200, 0);
	send_msg(c, &abort);
	put_requests(c, 300, 99);
	expect_results(c, 300, 0);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.requests, 4 * REQUESTS);
}

/* One kind behind every operation; each either done or failing. */
static void send_among_requests(struct server *s, unsigned kind, bool failing)
{
	struct sending t;
	uint64_t req = 0;
	struct wire_msg m;

#define AMONG(put)                                                         \
	do {                                                               \
		put;                                                       \
		m = request_of(kind, ++req, 99);                           \
		if (failing) {                                             \
			ack(&t, WIRE_APPLIED);                             \
			s->sink.fail_at = s->sink.calls + 1;               \
			s->sink.fail_with = -EXDEV;                        \
		}                                                          \
		send_msg(t.c, &m);                                         \
		if (failing)                                               \
			assert_int_equal(expect_result(t.c, req), -EXDEV); \
	} while (0)

	begin(&t, s->pair.a, kind + 1);
	expect(s->pair.a, WIRE_ACCEPT);
	AMONG(put_write(&t, "hello world", 0));
	AMONG(put_truncate(&t, 7));
	AMONG(put_reserve(&t, 0, 100));
	AMONG(put_meta(&t, 0600));
	AMONG(put_xattr(&t, "user.colour", "red"));
	AMONG(put_write(&t, "there", 6));
	AMONG(put_move(&t, 0, "its name"));
#undef AMONG
	put_seal(&t, WIRE_COMMIT);
	for (uint64_t i = 1; i <= req && !failing; i++)
		assert_int_equal(expect_result(t.c, i), kind < 4 ? 0 : -ENOENT);
	m = ack(&t, WIRE_PUBLISHED);
	assert_int_equal(m.ack.code, WIRE_OK);
	assert_int_equal(m.ack.seq, 8);
	assert_published(s);
	end(&t);
}

static void a_transfer_does_not_notice_them(void **state)
{
	struct server *s = *state;

	for (unsigned kind = 0; kind < REQUESTS; kind++) {
		send_among_requests(s, kind, false);
		send_among_requests(s, kind, true);
	}
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.aborted, 0);
	assert_int_equal(s->sink.closed, 2 * REQUESTS);
}

static void every_error_is_told(void **state)
{
	static const int errors[] = { EACCES, ENOSPC, EDQUOT, EILSEQ,
		ENAMETOOLONG, ESTALE, ENOENT, EEXIST, ENOTDIR, EISDIR, EROFS,
		EPERM, EXDEV, ENOTEMPTY, EBUSY };
	struct server *s = *state;

	for (unsigned i = 0; i < N_OF(errors) * REQUESTS; i++) {
		struct wire_msg m = request_of(i % REQUESTS, i, 99);

		s->sink.fail_at = s->sink.calls + 1;
		s->sink.fail_with = -errors[i / REQUESTS];
		send_msg(s->pair.a, &m);
		assert_int_equal(
		    expect_result(s->pair.a, i), -errors[i / REQUESTS]);
	}
	assert_int_equal(server_end(s), CONN_EOF);
}

/* Refused from now on, a transfer under way or not. */
static void those_who_are_not_let_in_change_nothing(void **state)
{
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	put_write(&t, "x", 0);
	ack(&t, WIRE_APPLIED);
	assert_int_equal(
	    trust_pin(s->w.trust, s->sender.id.public, "x", TRUST_REFUSE, NULL),
	    0);
	put_requests(s->pair.a, 1, 99);
	expect_results(s->pair.a, 1, -EACCES);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.requests, 0);
	assert_int_equal(s->sink.calls, 2);
}

/* Put, held, renamed, shown, taken back: all over one connection. */
static void the_life_of_a_held_file(void **state)
{
	struct server *s = *state;
	struct wire_msg m;
	struct sending t;

	begin(&t, s->pair.a, 1);
	put_write(&t, "x", 0);
	put_hold(&t);
	m = request_of(4, 1, id_of(1));
	m.rename.hold = true;
	send_msg(s->pair.a, &m);
	expect(s->pair.a, WIRE_ACCEPT);
	m = ack(&t, WIRE_HELD);
	assert_string_equal(m.ack.name, "");
	assert_int_equal(expect_result(s->pair.a, 1), 0);
	assert_true(s->sink.published->held);
	assert_string_equal(s->sink.published->name, "renamed");
	m = request_of(5, 2, id_of(1));
	send_msg(s->pair.a, &m);
	assert_int_equal(expect_result(s->pair.a, 2), 0);
	assert_false(s->sink.published->held);
	m = request_of(6, 3, id_of(1));
	send_msg(s->pair.a, &m);
	assert_int_equal(expect_result(s->pair.a, 3), 0);
	assert_null(s->sink.published);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

/* The writer was killed when its COMMIT was on its way. */
static void an_abort_and_a_withdrawal_leave_nothing(void **state)
{
	struct wire_msg abort = abort_of(1), m = request_of(6, 1, id_of(1));
	struct server *s = *state;
	struct sending t;

	for (unsigned committed = 0; committed < 2; committed++) {
		abort.abort.tag = committed + 1;
		m.withdraw.id[0] = id_of(committed + 1);
		begin(&t, s->pair.a, committed + 1);
		put_write(&t, "x", 0);
		if (committed)
			put_seal(&t, WIRE_COMMIT);
		send_msg(s->pair.a, &abort);
		send_msg(s->pair.a, &m);
		expect(s->pair.a, WIRE_ACCEPT);
		assert_int_equal(
		    expect_result(s->pair.a, 1), committed ? 0 : -ENOENT);
		assert_null(s->sink.published);
		end(&t);
	}
	assert_int_equal(server_end(s), CONN_EOF);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(each_comes_through_as_it_is),
		TEST(they_are_answered_between_transfers),
		TEST(a_transfer_does_not_notice_them),
		TEST(every_error_is_told),
		TEST(those_who_are_not_let_in_change_nothing),
		TEST(the_life_of_a_held_file),
		TEST(an_abort_and_a_withdrawal_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
