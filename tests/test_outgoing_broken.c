/*
 * Tests net/outgoing.h where things break: the connection at any moment, a
 * peer that answers what cannot be, memory, gtfs itself ending.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

/* A file in six operations, COMMIT the last. */
enum { STEPS = 6 };

static const enum wire_type steps[STEPS] = { WIRE_WRITE, WIRE_WRITE,
	WIRE_TRUNCATE, WIRE_META, WIRE_CHECKPOINT, WIRE_COMMIT };

/* The i-th call of the program. */
static int step(struct outgoing *o, unsigned i, struct told *t)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE, .mode = 0600 };
	size_t taken;

	switch (i) {
	case 0: return outgoing_write(o, "hello", 5, 10, &t[i].w, &taken);
	case 1: return outgoing_write(o, "HELLO", 5, 0, &t[i].w, &taken);
	case 2: return outgoing_truncate(o, 12);
	case 3: return outgoing_meta(o, &meta);
	case 4: return outgoing_checkpoint(o, &t[i].w);
	default: return outgoing_commit(o, false, &t[i].w);
	}
}

static void assert_whole(const struct got *g)
{
	assert_int_equal(g->size, 12);
	assert_memory_equal(g->bytes, "HELLO\0\0\0\0\0he", 12);
}

/* Cut after k operations were read and none was answered. */
static void cut_unanswered(unsigned k)
{
	struct told t[STEPS];
	struct outgoing *o;
	struct got g;
	struct play p;
	unsigned i;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	for (i = 0; i < STEPS; i++)
		told_init(&t[i]);
	o = new_file(&p, "x");
	got_init(&g, p.c);
	got_accept(&g);
	for (i = 0; i < k; i++) {
		assert_int_equal(step(o, i, t), i < 4 ? 0 : OUTGOING_PARKED);
		got_next(&g, steps[i]);
	}
	got_fini(&g);
	play_cut(&p);
	if (k == STEPS) {
		/* Published or not: nobody knows, so it is an error. */
		assert_int_equal(told_wait(&t[4]), -ETIMEDOUT);
		assert_int_equal(told_wait(&t[5]), -ETIMEDOUT);
	} else {
		/* The program does not notice. */
		play_again(&p);
		got_init(&g, p.c);
		got_accept(&g);
		assert_memory_equal(g.offer.id, outgoing_id(o), WIRE_ID_BYTES);
		for (; i < STEPS; i++)
			assert_int_equal(
			    step(o, i, t), i < 4 ? 0 : OUTGOING_PARKED);
		for (i = 0; i < STEPS; i++)
			got_next(&g, steps[i]);
		got_ack(&g, 5, WIRE_DURABLE, WIRE_OK);
		got_ack(&g, 6, WIRE_PUBLISHED, WIRE_OK);
		assert_int_equal(told_wait(&t[4]), 0);
		assert_int_equal(told_wait(&t[5]), 0);
		assert_whole(&g);
		got_fini(&g);
	}
	outgoing_put(o);
	for (i = 0; i < STEPS; i++)
		told_fini(&t[i]);
	play_close(&p);
}

static void a_cut_before_any_answer_is_not_noticed(void **state)
{
	for (unsigned k = 0; k <= STEPS; k++)
		cut_unanswered(k);
}

static uint64_t acked_seq(struct outgoing *o)
{
	uint64_t seq;

	mutex_lock(&o->lock);
	seq = o->acked_seq;
	mutex_unlock(&o->lock);
	return seq;
}

/* What was acknowledged is gone here: it cannot be sent again. */
static void a_cut_after_an_answer_is_an_error(void **state)
{
	struct told t[STEPS];
	struct outgoing *o;
	struct got g;
	struct play p;
	unsigned i;

	for (unsigned k = 1; k < STEPS; k++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		for (i = 0; i < STEPS; i++)
			told_init(&t[i]);
		o = new_file(&p, "x");
		got_init(&g, p.c);
		got_accept(&g);
		for (i = 0; i < k; i++) {
			assert_int_equal(
			    step(o, i, t), i < 4 ? 0 : OUTGOING_PARKED);
			got_next(&g, steps[i]);
		}
		got_ack(&g, 1, WIRE_APPLIED, WIRE_OK);
		EVENTUALLY(acked_seq(o) == 1);
		got_fini(&g);
		play_cut(&p);
		EVENTUALLY(outgoing_error(o));
		assert_int_equal(outgoing_error(o), -ETIMEDOUT);
		if (k > 4)
			assert_int_equal(told_wait(&t[4]), -ETIMEDOUT);
		for (i = k; i < STEPS; i++)
			assert_int_equal(step(o, i, t), -ETIMEDOUT);
		outgoing_put(o);
		for (i = 0; i < STEPS; i++)
			told_fini(&t[i]);
		play_close(&p);
	}
}

/* ACKs that an honest receiver never sends, after WRITE 1, 2, COMMIT 3. */
static void answers_that_cannot_be_publish_nothing(void **state)
{
	static const struct {
		uint64_t seq;
		enum wire_state state;
	} wrong[] = { { 4, WIRE_APPLIED }, { 4, WIRE_PUBLISHED },
		{ UINT64_MAX, WIRE_PUBLISHED }, { 3, WIRE_APPLIED },
		{ 3, WIRE_DURABLE } };
	struct outgoing *o;
	struct told t;
	struct got g;
	struct play p;

	for (unsigned i = 0; i < N_OF(wrong); i++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		told_init(&t);
		o = new_file(&p, "x");
		write_now(o, "a", 1, 0);
		write_now(o, "b", 1, 10);
		assert_int_equal(
		    outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
		got_init(&g, p.c);
		got_accept(&g);
		got_next(&g, WIRE_WRITE);
		got_next(&g, WIRE_WRITE);
		got_next(&g, WIRE_COMMIT);
		got_ack(&g, wrong[i].seq, wrong[i].state, WIRE_OK);
		assert_int_equal(told_wait(&t), -EIO);
		assert_false(outgoing_published(o));
		expect_end(p.c);
		outgoing_put(o);
		got_fini(&g);
		told_fini(&t);
		play_close(&p);
	}
}

/* Late answers to a transfer that was given up, or twice, or old. */
static void late_answers_are_passed_over(void **state)
{
	struct outgoing *o, *given_up;
	struct got old, g;
	struct told t;
	struct play p;

	play_open(&p, 0, PATIENCE_MS);
	told_init(&t);
	given_up = new_file(&p, "given up");
	o = new_file(&p, "x");
	play_refuses(&p);
	got_init(&old, p.c);
	outgoing_abort(given_up, -ECANCELED);
	outgoing_put(given_up);
	expect(p.c, WIRE_ABORT);
	got_refuse(&old, WIRE_EIO);

	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	assert_int_not_equal(g.offer.tag, old.offer.tag);
	got_accept(&old);
	got_refuse(&old, WIRE_EIO);
	got_ack(&old, 1, WIRE_PUBLISHED, WIRE_OK);
	expect_quiet(p.c);
	assert_int_equal(told_times(&t), 0);
	got_accept(&g);
	got_next(&g, WIRE_COMMIT);
	got_ack(&g, 0, WIRE_APPLIED, WIRE_OK);
	got_ack(&g, 1, WIRE_PUBLISHED, WIRE_OK);
	got_ack(&g, 1, WIRE_PUBLISHED, WIRE_OK);
	assert_int_equal(told_wait(&t), 0);
	EVENTUALLY(has_idle_link(p.peer));
	outgoing_put(o);
	got_fini(&old);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static void who_never_comes_back_is_given_up(void **state)
{
	struct wire_msg bye = { .type = WIRE_BYE };
	struct outgoing *o, *none;
	struct told t;
	struct got g;
	struct play p;

	play_open(&p, WIRE_POLICY_ACCEPT, 300);
	told_init(&t);
	o = new_file(&p, "x");
	write_now(o, "x", 1, 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	/* Nobody listens there any more. */
	close(p.listen_fd);
	p.listen_fd = -1;
	mutex_lock(&o->lock);
	o->presumed = false; /* as nothing was sent: it may wait */
	mutex_unlock(&o->lock);
	send_msg(p.c, &bye);
	EVENTUALLY((peers_tick(p.w.peers), told_times(&t)));
	assert_int_equal(told_wait(&t), -ETIMEDOUT);
	assert_int_equal(try_new(p.peer, NULL, "y", &none), -EHOSTUNREACH);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

/* Silence counts from the question: before it, there was nothing to say. */
static void who_was_not_asked_may_be_silent(void **state)
{
	struct outgoing *o;
	struct wire_msg m;
	struct told t;
	struct got g;
	struct play p;

	play_open(&p, WIRE_POLICY_ACCEPT, 1000);
	told_init(&t);
	o = new_file(&p, "x");
	got_init(&g, p.c);
	got_accept(&g);
	/* Nothing happens for some seconds, until our side wonders. */
	do
		assert_int_equal(conn_receive(p.c, DEADLINE_MS, -1, &m), 0);
	while (m.type != WIRE_PING);
	write_now(o, "x", 1, 0);
	got_next(&g, WIRE_WRITE);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static void what_is_known_is_the_errno_of_create(void **state)
{
	struct outgoing *o;
	struct outdir *d;
	struct play p;

	play_open(&p, WIRE_POLICY_REFUSE, PATIENCE_MS);
	assert_int_equal(try_new(p.peer, NULL, "x", &o), -EACCES);
	assert_int_equal(outdir_new(p.peer, NULL, "d", 0700, &d), -EACCES);
	assert_int_equal(peers_busy(p.w.peers), 0);
	play_close(&p);
}

/* --- memory ------------------------------------------------------------------
 */

enum { REQUEST = 1024 * 1024 };

static void the_window_is_bounded_and_moves(void **state)
{
	uint8_t *bytes = malloc(REQUEST);
	uint64_t taken = 0, seen = 0;
	unsigned n = 0;
	struct outgoing *o;
	struct told t;
	struct got g;
	struct play p;
	size_t one;
	int r;

	fill(bytes, REQUEST, 1);
	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	o = new_file(&p, "big");
	got_init(&g, p.c);
	got_accept(&g);
	do {
		r = outgoing_write(o, bytes, REQUEST, taken, &t.w, &one);
		if (r == 0)
			taken += one;
		assert_true(++n < 100);
	} while (r == 0);
	assert_int_equal(r, OUTGOING_PARKED);
	assert_in_range(taken + REQUEST, REQUEST, POOL_LIMIT / 2);
	/* The peer reads and acknowledges: it goes on. */
	while (!told_times(&t) && seen < taken) {
		struct wire_msg m = expect(p.c, WIRE_WRITE);
		size_t at = m.write.offset % REQUEST;

		assert_int_equal(m.write.offset, seen);
		assert_true(at + m.write.len <= REQUEST);
		assert_memory_equal(m.write.bytes, bytes + at, m.write.len);
		seen += m.write.len;
		got_ack(&g, m.write.seq, WIRE_APPLIED, WIRE_OK);
	}
	assert_in_range(told_wait(&t), 64 * 1024, REQUEST);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	free(bytes);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static void many_transfers_share_the_memory(void **state)
{
	enum { MANY = 80 };
	uint8_t *bytes = malloc(REQUEST);
	struct outgoing *o[MANY];
	struct told t[MANY];
	uint64_t parked = 0, all = 0;
	struct play p;
	size_t taken;

	fill(bytes, REQUEST, 1);
	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	for (unsigned i = 0; i < MANY; i++) {
		told_init(&t[i]);
		o[i] = new_file(&p, "one of many");
	}
	for (unsigned i = 0; i < MANY; i++) {
		int64_t result;
		int r =
		    outgoing_write(o[i], bytes, REQUEST, 0, &t[i].w, &taken);

		/* None starves, and none takes all. */
		if (r == 0) {
			result = (int64_t)taken;
		} else {
			assert_int_equal(r, OUTGOING_PARKED);
			result = t[i].w.result;
			parked++;
		}
		assert_in_range(result, 64 * 1024, REQUEST);
		all += (uint64_t)result;
	}
	assert_true(parked > 0);
	assert_in_range(all, 0, POOL_LIMIT + MANY * POOL_CHUNK);
	for (unsigned i = 0; i < MANY; i++) {
		outgoing_abort(o[i], -ECANCELED);
		assert_in_range(told_times(&t[i]), 0, 1);
		outgoing_put(o[i]);
	}
	EVENTUALLY(peers_busy(p.w.peers) == 0);
	for (unsigned i = 0; i < MANY; i++) {
		parked -= told_times(&t[i]);
		if (told_times(&t[i]))
			assert_int_equal(t[i].result, -ECANCELED);
		told_fini(&t[i]);
	}
	assert_int_equal(parked, 0);
	free(bytes);
	play_close(&p);
}

/* --- directories, and the end
 * ---------------------------------------------------
 */

static void a_file_below_gets_the_error_of_its_directory(void **state)
{
	struct outdir *top, *sub;
	struct outgoing *o;
	struct wire_msg m;
	struct told t;
	struct got g;
	struct play p;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	assert_int_equal(outdir_new(p.peer, NULL, "top", 0755, &top), 0);
	m = expect(p.c, WIRE_MKDIR);
	assert_string_equal(m.mkdir.name, "top");
	assert_int_equal(outdir_new(p.peer, top, "sub", 0700, &sub), 0);
	answer(p.c, &m, WIRE_OK);
	m = expect(p.c, WIRE_MKDIR);
	assert_string_equal(m.mkdir.name, "sub");
	assert_memory_equal(m.mkdir.parent, top->mkdir.id, WIRE_ID_BYTES);
	answer(p.c, &m, WIRE_ENOSPC);
	EVENTUALLY(peers_busy(p.w.peers) == 0);

	/* Asked again for the file: still not. */
	assert_int_equal(try_new(p.peer, sub, "x", &o), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	m = expect(p.c, WIRE_MKDIR);
	assert_string_equal(m.mkdir.name, "sub");
	/* The OFFER has not waited for that. */
	got_init(&g, p.c);
	got_next(&g, WIRE_COMMIT);
	answer(p.c, &m, WIRE_EACCES);
	got_refuse(&g, WIRE_ESTALE);
	assert_int_equal(told_wait(&t), -EACCES);
	assert_int_equal(expect(p.c, WIRE_ABORT).abort.tag, g.offer.tag);
	outgoing_put(o);
	got_fini(&g);

	/* And now. */
	told_fini(&t);
	told_init(&t);
	assert_int_equal(try_new(p.peer, sub, "x", &o), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	m = expect(p.c, WIRE_MKDIR);
	answer(p.c, &m, WIRE_OK);
	got_init(&g, p.c);
	assert_memory_equal(g.offer.parent, sub->mkdir.id, WIRE_ID_BYTES);
	got_accept(&g);
	got_next(&g, WIRE_COMMIT);
	got_ack(&g, 1, WIRE_PUBLISHED, WIRE_OK);
	assert_int_equal(told_wait(&t), 0);
	outgoing_put(o);
	outdir_put(sub);
	outdir_put(top);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static void the_end_of_gtfs_is_told(void **state)
{
	struct outgoing *o[3];
	struct told t[3];
	struct got g;
	struct play p;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	for (unsigned i = 0; i < 3; i++) {
		told_init(&t[i]);
		o[i] = new_file(&p, "x");
		if (i == 0)
			got_init(&g, p.c);
		assert_int_equal(
		    outgoing_commit(o[i], false, &t[i].w), OUTGOING_PARKED);
	}
	got_accept(&g);
	peers_stop(p.w.peers);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(told_wait(&t[i]), -ECANCELED);
		outgoing_put(o[i]);
		told_fini(&t[i]);
	}
	assert_int_equal(try_new(p.peer, NULL, "y", &o[0]), -ECANCELED);
	assert_int_equal(p.w.n_ended, 3);
	got_fini(&g);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_before_any_answer_is_not_noticed),
		cmocka_unit_test(a_cut_after_an_answer_is_an_error),
		cmocka_unit_test(answers_that_cannot_be_publish_nothing),
		cmocka_unit_test(late_answers_are_passed_over),
		cmocka_unit_test(who_never_comes_back_is_given_up),
		cmocka_unit_test(who_was_not_asked_may_be_silent),
		cmocka_unit_test(what_is_known_is_the_errno_of_create),
		cmocka_unit_test(the_window_is_bounded_and_moves),
		cmocka_unit_test(many_transfers_share_the_memory),
		cmocka_unit_test(a_file_below_gets_the_error_of_its_directory),
		cmocka_unit_test(the_end_of_gtfs_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
