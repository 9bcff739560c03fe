/*
 * Tests net/outgoing.h, and with it net/outgoing_run and net/link: what a
 * program's calls come to, against a peer that the test plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

static void setup_play(struct play *p)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
}

static void close_is_the_truth(void **state)
{
	struct told commit[3];
	struct outgoing *o;
	struct got g;
	struct play p;
	size_t taken;

	setup_play(&p);
	for (unsigned i = 0; i < 3; i++)
		told_init(&commit[i]);
	o = new_file(&p, "a file");
	assert_true(outgoing_uncommitted(o));
	write_now(o, "hello ", 6, 0);
	assert_int_equal(outgoing_size(o), 6);
	assert_int_equal(
	    outgoing_commit(o, false, &commit[0].w), OUTGOING_PARKED);
	/* Who comes later waits for the same. */
	assert_int_equal(
	    outgoing_commit(o, false, &commit[1].w), OUTGOING_PARKED);
	assert_int_equal(outgoing_checkpoint(o, &commit[2].w), OUTGOING_PARKED);
	assert_int_equal(
	    outgoing_write(o, "x", 1, 6, &commit[2].w, &taken), -EBUSY);
	assert_int_equal(outgoing_truncate(o, 3), -EBUSY);

	got_init(&g, p.c);
	assert_string_equal(g.offer.name, "a file");
	assert_int_equal(g.offer.mode, 0640);
	assert_int_equal(g.offer.size, WIRE_SIZE_UNKNOWN);
	assert_memory_equal(g.offer.id, outgoing_id(o), WIRE_ID_BYTES);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_COMMIT);
	expect_quiet(p.c);
	assert_int_equal(told_times(&commit[0]), 0);
	assert_false(outgoing_published(o));
	got_ack(&g, 1, WIRE_APPLIED, WIRE_OK);
	got_ack(&g, 2, WIRE_PUBLISHED, WIRE_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(told_wait(&commit[i]), 0);
	assert_true(outgoing_published(o));
	assert_false(outgoing_uncommitted(o));
	assert_int_equal(outgoing_commit(o, false, &commit[0].w), 0);
	assert_int_equal(outgoing_checkpoint(o, &commit[0].w), 0);
	assert_int_equal(p.w.ended.state, LEDGER_DONE);
	assert_int_equal(p.w.ended.bytes, 6);
	assert_memory_equal(g.bytes, "hello ", 6);
	/* An abort changes nothing of what is published. */
	outgoing_abort(o, -ECANCELED);
	assert_int_equal(outgoing_error(o), 0);
	outgoing_put(o);
	got_fini(&g);
	for (unsigned i = 0; i < 3; i++)
		told_fini(&commit[i]);
	play_close(&p);
}

static void every_operation_arrives_in_order(void **state)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE, .mode = 0600 };
	struct told t, reserve;
	struct outgoing *o;
	struct got g;
	struct play p;

	setup_play(&p);
	told_init(&t);
	told_init(&reserve);
	o = new_file(&p, "ops");
	write_now(o, "hello", 5, 100);
	write_now(o, "HEL", 3, 0);
	assert_int_equal(outgoing_truncate(o, 103), 0);
	assert_int_equal(outgoing_truncate(o, 103), 0); /* no change: none */
	assert_int_equal(outgoing_truncate(o, UINT64_MAX), -EFBIG);
	assert_int_equal(outgoing_meta(o, &meta), 0);
	assert_int_equal(
	    outgoing_reserve(o, 1, UINT64_MAX, WIRE_RESERVE_KEEP, &reserve.w),
	    -EFBIG);
	assert_int_equal(
	    outgoing_reserve(o, 0, 500, WIRE_RESERVE_KEEP, &reserve.w),
	    OUTGOING_PARKED);
	assert_int_equal(outgoing_size(o), 103);
	got_init(&g, p.c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_TRUNCATE);
	got_next(&g, WIRE_META);
	got_next(&g, WIRE_RESERVE);
	expect_quiet(p.c);
	assert_int_equal(told_times(&reserve), 0);
	got_ack(&g, g.seq, WIRE_APPLIED, WIRE_OK);
	assert_int_equal(told_wait(&reserve), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	assert_int_equal(g.size, 103);
	assert_memory_equal(g.bytes, "HEL\0\0", 5);
	assert_memory_equal(g.bytes + 98, "\0\0hel", 5);
	/* From now on metadata is a request. */
	assert_int_equal(outgoing_meta(o, &meta), -EBUSY);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&reserve);
	told_fini(&t);
	play_close(&p);
}

static void no_byte_before_the_first_accept(void **state)
{
	struct told t, commit;
	struct outgoing *o;
	struct peer_info info;
	size_t taken;
	struct got g;
	struct play p;

	play_open(&p, 0, PATIENCE_MS);
	told_init(&t);
	told_init(&commit);
	o = new_file(&p, "secret");
	assert_int_equal(
	    outgoing_write(o, "hello", 5, 0, &t.w, &taken), OUTGOING_PARKED);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	expect_quiet(p.c); /* it has not said what it does with offers */
	play_refuses(&p);
	got_init(&g, p.c);
	expect_quiet(p.c);
	assert_int_equal(told_times(&t), 0);
	got_accept(&g);
	assert_int_equal(told_wait(&t), 5);
	got_next(&g, WIRE_WRITE);
	got_publish(&g);
	assert_int_equal(told_wait(&commit), 0);
	/* Who accepted us is pinned from then on. */
	info = world_info(&p.w, "laptop");
	assert_true(info.pinned);
	assert_int_equal(info.pin_policy, TRUST_ASK);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	told_fini(&commit);
	play_close(&p);
}

static void a_refusal_is_every_later_answer(void **state)
{
	struct told t[3];
	struct outgoing *o;
	size_t taken;
	struct got g;
	struct play p;

	play_open(&p, 0, PATIENCE_MS);
	for (unsigned i = 0; i < 3; i++)
		told_init(&t[i]);
	o = new_file(&p, "unwanted");
	assert_int_equal(
	    outgoing_write(o, "x", 1, 0, &t[0].w, &taken), OUTGOING_PARKED);
	assert_int_equal(outgoing_checkpoint(o, &t[1].w), OUTGOING_PARKED);
	assert_int_equal(outgoing_commit(o, false, &t[2].w), OUTGOING_PARKED);
	play_refuses(&p);
	got_init(&g, p.c);
	got_refuse(&g, WIRE_EDQUOT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(told_wait(&t[i]), -EDQUOT);
	assert_int_equal(
	    outgoing_write(o, "x", 1, 1, &t[0].w, &taken), -EDQUOT);
	assert_int_equal(outgoing_truncate(o, 9), -EDQUOT);
	assert_int_equal(outgoing_reserve(o, 0, 9, 1, &t[0].w), -EDQUOT);
	assert_int_equal(outgoing_checkpoint(o, &t[0].w), -EDQUOT);
	assert_int_equal(outgoing_commit(o, false, &t[0].w), -EDQUOT);
	assert_int_equal(outgoing_error(o), -EDQUOT);
	assert_false(outgoing_uncommitted(o));
	world_wait(&p.w, &p.w.n_ended, 1);
	assert_int_equal(p.w.ended.state, LEDGER_FAILED);
	assert_int_equal(p.w.ended.error, -EDQUOT);
	outgoing_put(o);
	got_fini(&g);

	/* The connection carries the next one. */
	assert_int_equal(expect(p.c, WIRE_ABORT).abort.tag, g.offer.tag);
	play_says(&p, WIRE_POLICY_ACCEPT);
	o = new_file(&p, "wanted");
	told_fini(&t[0]);
	told_init(&t[0]);
	assert_int_equal(outgoing_commit(o, false, &t[0].w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_accept(&g);
	got_publish(&g);
	assert_int_equal(told_wait(&t[0]), 0);
	assert_int_equal(g.size, 0);
	outgoing_put(o);
	got_fini(&g);
	for (unsigned i = 0; i < 3; i++)
		told_fini(&t[i]);
	play_close(&p);
}

static void a_checkpoint_is_durable_and_asked_once(void **state)
{
	struct told a, b, c;
	struct outgoing *o;
	struct got g;
	struct play p;

	setup_play(&p);
	told_init(&a);
	told_init(&b);
	told_init(&c);
	o = new_file(&p, "log");
	/* Nothing yet: nothing to wait for. */
	assert_int_equal(outgoing_checkpoint(o, &a.w), 0);
	write_now(o, "one", 3, 0);
	assert_int_equal(outgoing_checkpoint(o, &a.w), OUTGOING_PARKED);
	assert_int_equal(outgoing_checkpoint(o, &b.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_CHECKPOINT);
	expect_quiet(p.c); /* not asked a second time */
	got_ack(&g, 2, WIRE_DURABLE, WIRE_OK);
	assert_int_equal(told_wait(&a), 0);
	assert_int_equal(told_wait(&b), 0);
	assert_int_equal(outgoing_checkpoint(o, &c.w), 0);
	write_now(o, "two", 3, 3);
	assert_int_equal(outgoing_checkpoint(o, &c.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_CHECKPOINT);
	/* One that fails: final, and sticky. */
	got_ack(&g, 4, WIRE_APPLIED, WIRE_EIO);
	assert_int_equal(told_wait(&c), -EIO);
	assert_int_equal(outgoing_checkpoint(o, &c.w), -EIO);
	assert_int_equal(outgoing_commit(o, false, &c.w), -EIO);
	expect(p.c, WIRE_ABORT);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&a);
	told_fini(&b);
	told_fini(&c);
	play_close(&p);
}

enum { AT_QUEUED, AT_OFFERED, AT_ACCEPTED, AT_WRITTEN, AT_COMMITTING, N_AT };

static void an_abort_ends_it_on_both_sides(void **state)
{
	struct outgoing *first, *o;
	struct told t;
	struct got g, busy;
	struct play p;

	for (unsigned at = 0; at < N_AT; at++) {
		setup_play(&p);
		told_init(&t);
		if (at == AT_QUEUED) {
			/* The only link is taken: the next one waits. */
			first = new_file(&p, "first");
			got_init(&busy, p.c);
		}
		o = new_file(&p, "dropped");
		if (at != AT_QUEUED)
			got_init(&g, p.c);
		if (at >= AT_ACCEPTED)
			got_accept(&g);
		if (at >= AT_WRITTEN) {
			write_now(o, "x", 1, 0);
			got_next(&g, WIRE_WRITE);
		}
		if (at != AT_COMMITTING)
			write_now(o, "y", 1, 5);
		assert_int_equal(
		    outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
		outgoing_abort(o, -EINTR);
		assert_int_equal(told_wait(&t), -EINTR);
		assert_int_equal(outgoing_commit(o, false, &t.w), -EINTR);
		outgoing_abort(o, -EIO); /* the first one stays */
		assert_int_equal(outgoing_error(o), -EINTR);
		world_wait(&p.w, &p.w.n_ended, 1);
		assert_int_equal(p.w.ended.error, -EINTR);
		outgoing_put(o);
		if (at == AT_QUEUED) {
			outgoing_abort(first, -ECANCELED);
			outgoing_put(first);
			assert_int_equal(
			    expect(p.c, WIRE_ABORT).abort.tag, busy.offer.tag);
			got_fini(&busy);
		} else {
			struct wire_msg m;

			do
				assert_int_equal(
				    conn_receive(p.c, DEADLINE_MS, -1, &m), 0);
			while (m.type != WIRE_ABORT);
			assert_int_equal(m.abort.tag, g.offer.tag);
			/* Its late answer disturbs nobody. */
			got_ack(&g, 1, WIRE_APPLIED, WIRE_OK);
			got_fini(&g);
		}
		EVENTUALLY(peers_busy(p.w.peers) == 0);
		told_fini(&t);
		play_close(&p);
	}
}

static void the_peer_may_abort(void **state)
{
	struct wire_msg m = { .type = WIRE_ABORT };
	struct outgoing *o;
	struct told t;
	struct got g;
	struct play p;

	setup_play(&p);
	told_init(&t);
	o = new_file(&p, "x");
	write_now(o, "x", 1, 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_accept(&g);
	m.abort.tag = g.offer.tag;
	m.abort.code = WIRE_ENOSPC;
	send_msg(p.c, &m);
	assert_int_equal(told_wait(&t), -ENOSPC);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static void who_is_interrupted_is_not_told(void **state)
{
	struct told write, commit, early;
	struct outgoing *o;
	int64_t result = 0;
	size_t taken = 99;
	struct got g;
	struct play p;

	play_open(&p, 0, PATIENCE_MS);
	told_init(&write);
	told_init(&commit);
	told_init(&early);
	o = new_file(&p, "x");
	assert_int_equal(outgoing_write(o, "hello", 5, 0, &write.w, &taken),
	    OUTGOING_PARKED);
	/* Its bytes are taken all the same, and that is its answer. */
	assert_true(outgoing_unpark(o, &write.w, &result));
	assert_int_equal(result, 5);
	assert_false(outgoing_unpark(o, &write.w, &result));

	/* Interrupted before it could wait. */
	assert_false(outgoing_unpark(o, &early.w, &result));
	assert_int_equal(outgoing_write(o, "!", 1, 5, &early.w, &taken), 0);
	assert_int_equal(taken, 1);
	assert_int_equal(outgoing_checkpoint(o, &early.w), -EINTR);

	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	play_refuses(&p);
	got_init(&g, p.c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	got_next(&g, WIRE_CHECKPOINT);
	got_ack(&g, g.seq, WIRE_DURABLE, WIRE_OK);
	assert_true(outgoing_unpark(o, &commit.w, &result));
	got_publish(&g);
	EVENTUALLY(outgoing_published(o));
	assert_int_equal(told_times(&write), 0);
	assert_int_equal(told_times(&commit), 0);
	assert_int_equal(told_times(&early), 0);
	assert_memory_equal(g.bytes, "hello!", 6);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&write);
	told_fini(&commit);
	told_fini(&early);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_is_the_truth),
		cmocka_unit_test(every_operation_arrives_in_order),
		cmocka_unit_test(no_byte_before_the_first_accept),
		cmocka_unit_test(a_refusal_is_every_later_answer),
		cmocka_unit_test(a_checkpoint_is_durable_and_asked_once),
		cmocka_unit_test(an_abort_ends_it_on_both_sides),
		cmocka_unit_test(the_peer_may_abort),
		cmocka_unit_test(who_is_interrupted_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
