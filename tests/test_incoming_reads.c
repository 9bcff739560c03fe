/*
 * Tests net/incoming.h: a file that is being written is read back, in order
 * with its writes, and without any trace in the transfer.
 */
#include "incoming_fixture.h"

/* Nothing is waited for until all of it has been asked. */
static void a_read_sees_what_was_written_before_it(void **state)
{
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	put_read(s->pair.a, 1, 0, 10);
	put_write(&t, "hello", 0);
	put_read(s->pair.a, 2, 0, 10);
	put_write(&t, "J", 0);
	put_read(s->pair.a, 3, 0, 10);
	put_truncate(&t, 2);
	put_read(s->pair.a, 4, 0, 10);
	put_write(&t, "!", 4); /* behind a hole */
	put_read(s->pair.a, 5, 1, 10);
	put_seal(&t, WIRE_CHECKPOINT);
	put_read(s->pair.a, UINT64_MAX, 4, 1);
	put_write(&t, "never", 0);
	put_seal(&t, WIRE_COMMIT);
	expect(s->pair.a, WIRE_ACCEPT);
	expect_data(s->pair.a, 1, "", 0);
	expect_data(s->pair.a, 2, "hello", 5);
	expect_data(s->pair.a, 3, "Jello", 5);
	expect_data(s->pair.a, 4, "Je", 2);
	expect_data(s->pair.a, 5, "e\0\0!", 4);
	expect_data(s->pair.a, UINT64_MAX, "!", 1);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_memory_equal(s->sink.published->content.bytes, "never", 5);
}

static void a_version_reads_what_it_began_with(void **state)
{
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	put_write(&t, "hello", 0);
	put_hold(&t);
	expect(s->pair.a, WIRE_ACCEPT);
	ack(&t, WIRE_HELD);
	end(&t);
	begin_version(&t, s->pair.a, 2, 1, 5);
	expect(s->pair.a, WIRE_ACCEPT);
	put_read(s->pair.a, 1, 0, 100);
	expect_data(s->pair.a, 1, "hello", 5);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void reads_of_every_length(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t len;
		size_t want;
	} reads[] = { { 0, 1, 1 }, { 0, WIRE_WRITE_MAX, WIRE_WRITE_MAX },
		{ 5, WIRE_WRITE_MAX, WIRE_WRITE_MAX - 5 },
		{ WIRE_WRITE_MAX - 1, WIRE_WRITE_MAX, 1 },
		{ WIRE_WRITE_MAX, 1, 0 },
		{ INT64_MAX - WIRE_WRITE_MAX, WIRE_WRITE_MAX, 0 } };
	uint8_t *bytes = malloc(WIRE_WRITE_MAX);
	struct wire_msg m = { .type = WIRE_WRITE };
	struct server *s = *state;
	struct sending t;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	fill(bytes, WIRE_WRITE_MAX, 0);
	m.write.seq = 1;
	m.write.bytes = bytes;
	m.write.len = WIRE_WRITE_MAX;
	send_msg(s->pair.a, &m);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < N_OF(reads); i++) {
			put_read(s->pair.a, i, reads[i].offset, reads[i].len);
			expect_data(s->pair.a, i, bytes + reads[i].offset,
			    reads[i].want);
		}
	free(bytes);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void what_was_applied_is_acknowledged_before_the_data(void **state)
{
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	begin(&t, s->pair.a, 1);
	put_write(&t, "x", 0);
	put_write(&t, "y", 1);
	put_read(s->pair.a, 1, 0, 1);
	put_read(s->pair.a, 2, 1, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	do
		m = expect(s->pair.a, WIRE_ACK);
	while (m.ack.seq < 2);
	assert_int_equal(m.ack.state, WIRE_APPLIED);
	/* And once only. */
	m = expect(s->pair.a, WIRE_DATA);
	assert_int_equal(m.data.req, 1);
	m = expect(s->pair.a, WIRE_DATA);
	assert_int_equal(m.data.req, 2);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
}

static void a_failing_read_fails_nothing_else(void **state)
{
	static const int errors[] = { EIO, ENOMEM, EPERM, EOPNOTSUPP };
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	put_write(&t, "hello", 0);
	ack(&t, WIRE_APPLIED);
	for (unsigned i = 0; i < N_OF(errors); i++) {
		s->sink.fail_at = s->sink.calls + 1;
		s->sink.fail_with = -errors[i];
		put_read(s->pair.a, i, 0, 10);
		m = answer(s->pair.a);
		assert_int_equal(m.type, WIRE_DATA);
		assert_int_equal(m.data.req, i);
		assert_int_equal(wire_code_to_errno(m.data.code), -errors[i]);
		assert_int_equal(m.data.len, 0);
		put_read(s->pair.a, 100 + i, 0, 10);
		expect_data(s->pair.a, 100 + i, "hello", 5);
	}
	put_seal(&t, WIRE_COMMIT);
	assert_int_equal(ack(&t, WIRE_PUBLISHED).ack.code, WIRE_OK);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.aborted, 0);
}

/* The sender could not know yet. */
static void reads_of_a_failed_transfer_are_dropped(void **state)
{
	struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 77 };
	struct server *s = *state;
	struct sending t;
	struct wire_msg m;

	s->sink.fail_at = 2;
	s->sink.fail_with = -ENOSPC;
	begin(&t, s->pair.a, 1);
	put_write(&t, "hello", 0);
	put_read(s->pair.a, 1, 0, 10);
	expect(s->pair.a, WIRE_ACCEPT);
	assert_int_equal(ack(&t, WIRE_APPLIED).ack.code, WIRE_ENOSPC);
	put_read(s->pair.a, 2, 0, 10);
	send_msg(s->pair.a, &ping);
	do
		assert_int_equal(
		    conn_receive(s->pair.a, DEADLINE_MS, -1, &m), 0);
	while (m.type == WIRE_PONG && !m.pong.cookie);
	assert_int_equal(m.type, WIRE_PONG);
	end(&t);
	assert_int_equal(server_end(s), CONN_EOF);
	assert_int_equal(s->sink.calls, 2);
}

/* One who asks and never takes costs one answer's memory, and not for long. */
static void a_reader_who_takes_nothing_is_left(void **state)
{
	struct wire_msg write = { .type = WIRE_WRITE };
	struct server *s = *state;
	struct sending t;
	uint8_t *bytes = calloc(1, WIRE_WRITE_MAX);
	int64_t began;
	int small = 4096;

	assert_int_equal(setsockopt(conn_fd(s->pair.a), SOL_SOCKET, SO_RCVBUF,
			     &small, sizeof(small)),
	    0);
	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	write.write.seq = 1;
	write.write.bytes = bytes;
	write.write.len = WIRE_WRITE_MAX;
	send_msg(s->pair.a, &write);
	for (unsigned i = 0; i < 200; i++)
		put_read(s->pair.a, i, 0, WIRE_WRITE_MAX);
	began = now_ms();
	pthread_join(s->thread, NULL);
	assert_in_range(now_ms() - began, 0, DEADLINE_MS);
	assert_int_equal(s->result, -ETIMEDOUT);
	assert_true(memory_sink_rests(&s->sink));
	pair_close(&s->pair);
	free(bytes);
	end(&t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_read_sees_what_was_written_before_it),
		TEST(a_version_reads_what_it_began_with),
		TEST(reads_of_every_length),
		TEST(what_was_applied_is_acknowledged_before_the_data),
		TEST(a_failing_read_fails_nothing_else),
		TEST(reads_of_a_failed_transfer_are_dropped),
		TEST(a_reader_who_takes_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
