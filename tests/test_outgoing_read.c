/*
 * Tests outgoing_read of net/outgoing.h: a program reads back what it has
 * written, from the spool of a peer that the test plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000, MIB = 1024 * 1024 };

struct reader {
	struct told t;
	uint8_t buf[256];
};

static void read_parks(
    struct outgoing *o, struct reader *r, size_t len, uint64_t offset)
{
	told_init(&r->t);
	memset(r->buf, 0xee, sizeof(r->buf));
	assert_int_equal(
	    outgoing_read(o, r->buf, len, offset, &r->t.w), OUTGOING_PARKED);
}

static void open_accepted(struct play *p, struct outgoing **ret, struct got *g)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	*ret = new_file(p, "a file");
	got_init(g, p->c);
	got_accept(g);
}

static void close_aborted(struct play *p, struct outgoing *o, struct got *g)
{
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	got_fini(g);
	play_close(p);
}

/* DATA that is no answer to m, but has its number. */
static void send_data(
    struct conn *c, uint64_t req, enum wire_code code, const char *bytes)
{
	struct wire_msg m = { .type = WIRE_DATA };

	m.data.req = req;
	m.data.code = code;
	m.data.bytes = (const uint8_t *)bytes;
	m.data.len = strlen(bytes);
	send_msg(c, &m);
}

static void a_read_stands_between_the_operations(void **state)
{
	struct outgoing *o;
	struct reader r;
	struct told commit;
	struct wire_msg m;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&commit);
	write_now(o, "hello", 5, 0);
	read_parks(o, &r, 3, 1);
	assert_int_equal(outgoing_truncate(o, 2), 0);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	assert_int_equal(m.read.offset, 1);
	assert_int_equal(m.read.len, 3);
	got_data(&g, &m);
	assert_int_equal(told_wait(&r.t), 3);
	assert_memory_equal(r.buf, "ell\xee", 4);
	/* It has no number among them, and is not hashed. */
	got_next(&g, WIRE_TRUNCATE);
	got_publish(&g);
	assert_int_equal(told_wait(&commit), 0);
	told_fini(&r.t);
	told_fini(&commit);
	close_aborted(&p, o, &g);
}

static void the_end_of_the_file_is_known_here(void **state)
{
	struct outgoing *o;
	struct reader r, none;
	struct wire_msg m;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&none.t);
	/* A new file is empty. */
	assert_int_equal(outgoing_read(o, none.buf, 9, 0, &none.t.w), 0);
	write_now(o, "hello", 5, 0);
	assert_int_equal(outgoing_read(o, none.buf, 9, 5, &none.t.w), 0);
	assert_int_equal(outgoing_read(o, none.buf, 9, 99, &none.t.w), 0);
	assert_int_equal(outgoing_read(o, none.buf, 0, 0, &none.t.w), 0);
	read_parks(o, &r, 200, 3);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	assert_int_equal(m.read.len, 2);
	got_data(&g, &m);
	assert_int_equal(told_wait(&r.t), 2);
	assert_memory_equal(r.buf, "lo", 2);
	told_fini(&r.t);
	told_fini(&none.t);
	close_aborted(&p, o, &g);
}

static void a_large_one_is_split(void **state)
{
	uint8_t *file = malloc(MIB), *buf = malloc(MIB);
	struct wire_msg m, data = { .type = WIRE_DATA };
	struct outgoing *o;
	struct told t;
	struct play p;
	struct got g;

	fill(file, MIB, 7);
	open_accepted(&p, &o, &g);
	told_init(&t);
	assert_int_equal(outgoing_truncate(o, MIB), 0);
	assert_int_equal(
	    outgoing_read(o, buf, MIB, 1000, &t.w), OUTGOING_PARKED);
	expect(p.c, WIRE_TRUNCATE);
	for (size_t at = 1000; at < MIB; at += m.read.len) {
		m = expect(p.c, WIRE_READ);
		assert_int_equal(m.read.offset, at);
		assert_in_range(m.read.len, 1, WIRE_WRITE_MAX);
		data.data.req = m.read.req;
		data.data.bytes = file + at;
		data.data.len = m.read.len;
		send_msg(p.c, &data);
	}
	assert_int_equal(told_wait(&t), MIB - 1000);
	assert_memory_equal(buf, file + 1000, MIB - 1000);
	told_fini(&t);
	free(file);
	free(buf);
	close_aborted(&p, o, &g);
}

/* Shorter there than it is here (a write failed meanwhile): that is the end. */
static void a_short_answer_ends_it(void **state)
{
	uint8_t *buf = malloc(MIB);
	struct outgoing *o;
	struct wire_msg m[2];
	struct told t;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&t);
	assert_int_equal(outgoing_truncate(o, WIRE_WRITE_MAX + 9), 0);
	assert_int_equal(outgoing_read(o, buf, MIB, 0, &t.w), OUTGOING_PARKED);
	expect(p.c, WIRE_TRUNCATE);
	m[0] = expect(p.c, WIRE_READ);
	m[1] = expect(p.c, WIRE_READ);
	send_data(p.c, m[0].read.req, WIRE_OK, "abc");
	assert_int_equal(told_wait(&t), 3);
	assert_memory_equal(buf, "abc", 3);
	send_data(p.c, m[1].read.req, WIRE_OK, "defghi");
	expect_quiet(p.c);
	assert_memory_equal(buf, "abc", 3);
	told_fini(&t);
	free(buf);
	close_aborted(&p, o, &g);
}

static void many_readers_and_none_is_overtaken(void **state)
{
	enum { MANY = 30 };
	struct reader *r = calloc(MANY, sizeof(*r));
	struct wire_msg m[MANY];
	struct outgoing *o;
	struct told commit;
	struct play p;
	unsigned i, seen;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&commit);
	write_now(o, "abcdefghijklmnopqrstuvwxyz0123456789", 36, 0);
	for (i = 0; i < MANY; i++)
		read_parks(o, &r[i], 4, i);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	/* Only some at a time, and the COMMIT after the last. */
	for (i = seen = 0; i < MANY; i++) {
		while (seen < MANY && seen < i + OUTGOING_READS_MAX) {
			m[seen] = expect(p.c, WIRE_READ);
			assert_int_equal(m[seen].read.offset, seen);
			seen++;
		}
		if (i == 0)
			expect_quiet(p.c);
		got_data(&g, &m[i]);
	}
	got_publish(&g);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(told_wait(&r[i].t), 4);
		assert_memory_equal(r[i].buf, g.bytes + i, 4);
		told_fini(&r[i].t);
	}
	assert_int_equal(told_wait(&commit), 0);
	told_fini(&commit);
	free(r);
	close_aborted(&p, o, &g);
}

static void a_failure_is_the_readers_alone(void **state)
{
	struct reader bad, good;
	struct outgoing *o;
	struct told commit;
	struct wire_msg m;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&commit);
	write_now(o, "hello", 5, 0);
	read_parks(o, &bad, 5, 0);
	read_parks(o, &good, 5, 0);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	send_data(p.c, m.read.req, WIRE_EIO, "");
	m = expect(p.c, WIRE_READ);
	got_data(&g, &m);
	assert_int_equal(told_wait(&bad.t), -EIO);
	assert_int_equal(told_wait(&good.t), 5);
	assert_int_equal(outgoing_error(o), 0);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	got_publish(&g);
	assert_int_equal(told_wait(&commit), 0);
	told_fini(&bad.t);
	told_fini(&good.t);
	told_fini(&commit);
	close_aborted(&p, o, &g);
}

static void who_gives_up_reading_is_not_written_to(void **state)
{
	struct reader r[2], late;
	struct outgoing *o;
	struct wire_msg m;
	int64_t none = 77;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	write_now(o, "hello", 5, 0);
	read_parks(o, &r[0], 5, 0);
	read_parks(o, &r[1], 2, 0);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	assert_true(outgoing_unpark(o, &r[0].t.w, &none));
	assert_false(outgoing_unpark(o, &r[0].t.w, &none));
	got_data(&g, &m);
	m = expect(p.c, WIRE_READ);
	got_data(&g, &m);
	assert_int_equal(told_wait(&r[1].t), 2);
	assert_int_equal(told_times(&r[0].t), 0);
	assert_int_equal(r[0].buf[0], 0xee);
	/* Interrupted before it could wait. */
	told_init(&late.t);
	assert_false(outgoing_unpark(o, &late.t.w, &none));
	assert_int_equal(outgoing_read(o, late.buf, 1, 0, &late.t.w), -EINTR);
	told_fini(&late.t);
	told_fini(&r[0].t);
	told_fini(&r[1].t);
	close_aborted(&p, o, &g);
}

static void a_cut_asks_again_what_was_not_answered(void **state)
{
	uint8_t *buf = malloc(MIB);
	struct reader r[3];
	struct outgoing *o;
	struct told large;
	struct wire_msg m;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&large);
	write_now(o, "hello", 5, 0);
	assert_int_equal(outgoing_truncate(o, 2 * WIRE_WRITE_MAX), 0);
	for (unsigned i = 0; i < 2; i++)
		read_parks(o, &r[i], 5, i);
	assert_int_equal(
	    outgoing_read(o, buf, MIB, 0, &large.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	expect(p.c, WIRE_TRUNCATE);
	/* Answered: the first, and half of the large one. */
	m = expect(p.c, WIRE_READ);
	send_data(p.c, m.read.req, WIRE_OK, "hello");
	assert_int_equal(told_wait(&r[0].t), 5);
	expect(p.c, WIRE_READ);
	got_fini(&g);
	play_cut(&p);
	read_parks(o, &r[2], 1, 4);
	play_again(&p);

	got_init(&g, p.c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	expect(p.c, WIRE_TRUNCATE);
	m = expect(p.c, WIRE_READ);
	assert_int_equal(m.read.offset, 1);
	got_data(&g, &m);
	for (unsigned i = 0; i < 2; i++) {
		struct wire_msg data = { .type = WIRE_DATA };
		static uint8_t zeros[WIRE_WRITE_MAX];

		m = expect(p.c, WIRE_READ);
		assert_int_equal(m.read.offset, i * WIRE_WRITE_MAX);
		data.data.req = m.read.req;
		data.data.bytes = zeros;
		data.data.len = sizeof(zeros);
		send_msg(p.c, &data);
	}
	m = expect(p.c, WIRE_READ);
	assert_int_equal(m.read.offset, 4);
	got_data(&g, &m);
	assert_int_equal(told_wait(&r[1].t), 4);
	assert_memory_equal(r[1].buf, "ello", 4);
	assert_int_equal(told_wait(&large), 2 * WIRE_WRITE_MAX);
	assert_int_equal(told_wait(&r[2].t), 1);
	for (unsigned i = 0; i < 3; i++)
		told_fini(&r[i].t);
	told_fini(&large);
	free(buf);
	close_aborted(&p, o, &g);
}

enum {
	NEVER_ASKED,
	TWICE,
	TOO_LONG,
	OUT_OF_TURN,
	BEFORE_ACCEPT,
	WHILE_IDLE,
	N_WRONG
};

static void data_that_was_not_asked_for_ends_the_connection(void **state)
{
	for (unsigned wrong = 0; wrong < N_WRONG; wrong++) {
		struct wire_msg m[2];
		struct outgoing *o;
		struct reader r[2];
		struct play p;
		struct got g;

		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		o = new_file(&p, "a file");
		got_init(&g, p.c);
		if (wrong != BEFORE_ACCEPT)
			got_accept(&g);
		write_now(o, "hello", 5, 0);
		read_parks(o, &r[0], 2, 0);
		read_parks(o, &r[1], 2, 0);
		got_next(&g, WIRE_WRITE);
		m[0] = expect(p.c, WIRE_READ);
		m[1] = expect(p.c, WIRE_READ);
		switch (wrong) {
		case NEVER_ASKED:
			send_data(p.c, m[1].read.req + 1, WIRE_OK, "");
			break;
		case TWICE:
			got_data(&g, &m[0]);
			got_data(&g, &m[0]);
			break;
		case BEFORE_ACCEPT: got_data(&g, &m[0]); break;
		case TOO_LONG:
			send_data(p.c, m[0].read.req, WIRE_OK, "abc");
			break;
		case OUT_OF_TURN: got_data(&g, &m[1]); break;
		default:
			outgoing_abort(o, -EIO);
			expect(p.c, WIRE_ABORT);
			EVENTUALLY(has_idle_link(p.peer));
			send_data(p.c, 99, WIRE_OK, "");
		}
		expect_end(p.c);
		EVENTUALLY(outgoing_error(o) == -EIO);
		assert_int_equal(told_wait(&r[1].t), -EIO);
		told_fini(&r[0].t);
		told_fini(&r[1].t);
		close_aborted(&p, o, &g);
	}
}

static void late_data_is_passed_over(void **state)
{
	struct outgoing *o, *next;
	struct reader r;
	struct wire_msg m;
	struct got g, h;
	struct play p;

	open_accepted(&p, &o, &g);
	write_now(o, "hello", 5, 0);
	read_parks(o, &r, 2, 0);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	outgoing_abort(o, -EINTR);
	assert_int_equal(told_wait(&r.t), -EINTR);
	expect(p.c, WIRE_ABORT);
	next = new_file(&p, "next");
	got_init(&h, p.c);
	got_accept(&h);
	got_data(&g, &m);
	assert_int_equal(r.buf[0], 0xee);
	told_fini(&r.t);
	told_init(&r.t);
	assert_int_equal(outgoing_commit(next, false, &r.t.w), OUTGOING_PARKED);
	got_publish(&h);
	assert_int_equal(told_wait(&r.t), 0);
	outgoing_put(next);
	told_fini(&r.t);
	got_fini(&h);
	close_aborted(&p, o, &g);
}

static void what_is_committed_is_the_peers(void **state)
{
	struct outgoing_plan plan = { .name = "v", .base_size = 5 };
	struct outgoing *o, *version;
	struct reader r;
	struct told commit;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	told_init(&r.t);
	told_init(&commit);
	write_now(o, "hello", 5, 0);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	assert_int_equal(outgoing_read(o, r.buf, 5, 0, &r.t.w), -EACCES);
	got_next(&g, WIRE_WRITE);
	got_publish(&g);
	assert_int_equal(told_wait(&commit), 0);
	assert_int_equal(outgoing_read(o, r.buf, 5, 0, &r.t.w), -EACCES);
	/* A version of it in which nothing is new. */
	plan.base = outgoing_id(o);
	assert_int_equal(outgoing_new(p.peer, &plan, &version), 0);
	assert_int_equal(outgoing_read(version, r.buf, 5, 0, &r.t.w), -EACCES);
	outgoing_abort(version, -ECANCELED);
	outgoing_put(version);
	told_fini(&r.t);
	told_fini(&commit);
	close_aborted(&p, o, &g);
}

static void a_stranger_is_asked_when_it_has_accepted(void **state)
{
	struct outgoing *o;
	struct reader r;
	struct told t;
	struct wire_msg m;
	struct play p;
	struct got g;
	size_t taken;

	play_open(&p, 0, PATIENCE_MS);
	told_init(&t);
	o = new_file(&p, "a file");
	assert_int_equal(
	    outgoing_write(o, "hello", 5, 0, &t.w, &taken), OUTGOING_PARKED);
	read_parks(o, &r, 5, 0);
	play_refuses(&p);
	got_init(&g, p.c);
	expect_quiet(p.c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	m = expect(p.c, WIRE_READ);
	got_data(&g, &m);
	assert_int_equal(told_wait(&r.t), 5);
	told_fini(&r.t);
	told_fini(&t);
	close_aborted(&p, o, &g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_stands_between_the_operations),
		cmocka_unit_test(the_end_of_the_file_is_known_here),
		cmocka_unit_test(a_large_one_is_split),
		cmocka_unit_test(a_short_answer_ends_it),
		cmocka_unit_test(many_readers_and_none_is_overtaken),
		cmocka_unit_test(a_failure_is_the_readers_alone),
		cmocka_unit_test(who_gives_up_reading_is_not_written_to),
		cmocka_unit_test(a_cut_asks_again_what_was_not_answered),
		cmocka_unit_test(
		    data_that_was_not_asked_for_ends_the_connection),
		cmocka_unit_test(late_data_is_passed_over),
		cmocka_unit_test(what_is_committed_is_the_peers),
		cmocka_unit_test(a_stranger_is_asked_when_it_has_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
