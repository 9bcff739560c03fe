/*
 * Tests the commit of net/outgoing.h: what is held, and what is taken back
 * behind a COMMIT, against a peer that the test plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

/* A file of one byte, its COMMIT read by the peer and not answered. */
static struct outgoing *committing(
    struct play *p, bool hold, struct got *g, struct told *t)
{
	struct outgoing *o = new_file(p, "a file");

	told_init(t);
	write_now(o, "x", 1, 0);
	EVENTUALLY(!strcmp(outgoing_state_name(o), "active"));
	assert_int_equal(outgoing_commit(o, hold, &t->w), OUTGOING_PARKED);
	assert_string_equal(outgoing_state_name(o), "committing");
	got_init(g, p->c);
	got_accept(g);
	got_next(g, WIRE_WRITE);
	assert_int_equal(got_next(g, WIRE_COMMIT).commit.hold, hold);
	return o;
}

static void what_answers_a_commit(void **state)
{
	static const struct {
		bool hold;
		enum wire_state state;
		bool good;
		const char *reason;
	} cases[] = {
		{ false, WIRE_PUBLISHED, true, "" },
		{ false, WIRE_RECEIVED, true, LEDGER_NOT_SYNCED },
		{ false, WIRE_HELD, false, "" },
		{ false, WIRE_DURABLE, false, "" },
		{ true, WIRE_HELD, true, LEDGER_HELD },
		{ true, WIRE_PUBLISHED, true, "" },
		{ true, WIRE_RECEIVED, true, LEDGER_NOT_SYNCED },
		{ true, WIRE_APPLIED, false, "" },
	};
	struct outgoing *o;
	struct told t;
	struct play p;
	struct got g;

	for (unsigned i = 0; i < N_OF(cases); i++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		o = committing(&p, cases[i].hold, &g, &t);
		got_ack(&g, g.seq, cases[i].state, WIRE_OK);
		assert_int_equal(told_wait(&t), cases[i].good ? 0 : -EIO);
		world_wait(&p.w, &p.w.n_ended, 1);
		if (cases[i].good) {
			assert_int_equal(p.w.ended.state, LEDGER_DONE);
			assert_string_equal(p.w.ended.reason, cases[i].reason);
		} else {
			expect_end(p.c);
		}
		assert_int_equal(outgoing_published(o), cases[i].good);
		assert_int_equal(
		    outgoing_held(o), cases[i].state == WIRE_HELD && i > 2);
		assert_string_equal(
		    outgoing_state_name(o), cases[i].good ? "done" : "failed");
		assert_int_equal(outgoing_progress(o), 1);
		outgoing_put(o);
		got_fini(&g);
		told_fini(&t);
		play_close(&p);
	}
}

static void its_commit_ends_what_may_be_added(void **state)
{
	struct wire_xattr x = { .name = "user.a" };
	struct wire_meta meta = { .mask = WIRE_META_MODE, .mode = 0600 };
	struct outgoing *o;
	struct told t, late;
	struct play p;
	struct got g;
	size_t taken;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&late);
	o = committing(&p, false, &g, &t);
	for (unsigned i = 0; i < 2; i++) {
		assert_false(outgoing_writable(o));
		assert_int_equal(
		    outgoing_write(o, "y", 1, 0, &late.w, &taken), -EBUSY);
		assert_int_equal(outgoing_truncate(o, 5), -EBUSY);
		assert_int_equal(outgoing_meta(o, &meta), -EBUSY);
		assert_int_equal(outgoing_xattr(o, &x), -EBUSY);
		assert_int_equal(outgoing_move(o, NULL, "y"), -EBUSY);
		assert_int_equal(
		    outgoing_reserve(o, 0, 1, WIRE_RESERVE_KEEP, &late.w),
		    -EBUSY);
		if (i == 0) {
			got_ack(&g, g.seq, WIRE_PUBLISHED, WIRE_OK);
			assert_int_equal(told_wait(&t), 0);
		}
	}
	expect_quiet(p.c);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	told_fini(&late);
	play_close(&p);
}

static void an_abort_behind_the_commit_takes_it_back(void **state)
{
	static const enum wire_code codes[] = { WIRE_OK, WIRE_ENOENT,
		WIRE_ESTALE };
	struct outgoing *o, *next;
	struct wire_msg m;
	struct told t;
	struct play p;
	struct got g;

	for (unsigned i = 0; i < N_OF(codes); i++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		o = committing(&p, i > 0, &g, &t);
		outgoing_abort(o, -EINTR);
		assert_int_equal(told_wait(&t), -EINTR);
		assert_int_equal(
		    expect(p.c, WIRE_ABORT).abort.tag, g.offer.tag);
		m = expect(p.c, WIRE_WITHDRAW);
		assert_memory_equal(
		    m.withdraw.id, outgoing_id(o), WIRE_ID_BYTES);
		/* The ACK had left before it read the ABORT. */
		got_ack(&g, g.seq, WIRE_PUBLISHED, WIRE_OK);
		EVENTUALLY(peers_busy(p.w.peers) == 1);
		/* Meanwhile the connection carries the next one. */
		next = new_file(&p, "next");
		got_fini(&g);
		got_init(&g, p.c);
		answer(p.c, &m, codes[i]);
		got_accept(&g);
		EVENTUALLY(peers_busy(p.w.peers) == 1);
		assert_false(outgoing_published(o));
		assert_int_equal(outgoing_error(o), -EINTR);
		outgoing_abort(next, -ECANCELED);
		outgoing_put(next);
		outgoing_put(o);
		expect(p.c, WIRE_ABORT);
		expect_quiet(p.c);
		got_fini(&g);
		told_fini(&t);
		play_close(&p);
	}
}

static void an_abort_after_the_ack_changes_nothing(void **state)
{
	struct outgoing *o;
	struct told t;
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	o = committing(&p, true, &g, &t);
	got_ack(&g, g.seq, WIRE_HELD, WIRE_OK);
	assert_int_equal(told_wait(&t), 0);
	outgoing_abort(o, -EINTR);
	expect_quiet(p.c);
	assert_int_equal(outgoing_error(o), 0);
	assert_true(outgoing_held(o));
	assert_int_equal(peers_busy(p.w.peers), 0);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

static unsigned links_of(struct peer *p)
{
	unsigned n;

	mutex_lock(&p->table->lock);
	n = p->n_links;
	mutex_unlock(&p->table->lock);
	return n;
}

enum { BEFORE_ABORT, BEFORE_RESULT, WITH_THE_ABORT, N_WHEN };

/* Whenever it breaks, the next connection takes back what may be there. */
static void it_is_taken_back_on_the_next_connection(void **state)
{
	struct outgoing *o;
	struct wire_msg m;
	struct told t;
	struct play p;
	struct got g;

	for (unsigned when = 0; when < N_WHEN; when++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		o = committing(&p, false, &g, &t);
		if (when == BEFORE_ABORT) {
			play_cut(&p);
			assert_int_equal(told_wait(&t), -ETIMEDOUT);
			EVENTUALLY(!links_of(p.peer));
		}
		outgoing_abort(o, -EINTR);
		if (when == BEFORE_RESULT) {
			expect(p.c, WIRE_ABORT);
			expect(p.c, WIRE_WITHDRAW);
		}
		if (when != BEFORE_ABORT)
			play_cut(&p);
		if (when == BEFORE_ABORT) /* it is found again */
			p.c = world_link(
			    &p.w, p.listen_fd, &p.where, &p.me, NULL);
		else
			play_again(&p);
		m = expect(p.c, WIRE_WITHDRAW);
		assert_memory_equal(
		    m.withdraw.id, outgoing_id(o), WIRE_ID_BYTES);
		answer(p.c, &m, WIRE_OK);
		EVENTUALLY(peers_busy(p.w.peers) == 0);
		/* Once is enough. */
		outgoing_abort(o, -EINTR);
		expect_quiet(p.c);
		outgoing_put(o);
		got_fini(&g);
		told_fini(&t);
		play_close(&p);
	}
}

/* A file without any operation: that it is there only its answer tells. */
static void an_empty_file_is_there_when_the_peer_says_so(void **state)
{
	struct told again, t;
	struct outgoing *o;
	struct play p;
	struct got g;

	for (unsigned refused = 0; refused < 2; refused++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		told_init(&t);
		told_init(&again);
		o = new_file(&p, "empty");
		assert_int_equal(outgoing_sync(o, &t.w), OUTGOING_PARKED);
		got_init(&g, p.c);
		if (refused) {
			got_refuse(&g, WIRE_EDQUOT);
			assert_int_equal(told_wait(&t), -EDQUOT);
		} else {
			got_accept(&g);
			got_next(&g, WIRE_CHECKPOINT);
			assert_int_equal(told_times(&t), 0);
			got_ack(&g, 1, WIRE_DURABLE, WIRE_OK);
			assert_int_equal(told_wait(&t), 0);
			/* Once is enough. */
			assert_int_equal(outgoing_sync(o, &again.w), 0);
		}
		outgoing_abort(o, -ECANCELED);
		outgoing_put(o);
		got_fini(&g);
		told_fini(&t);
		told_fini(&again);
		play_close(&p);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_answers_a_commit),
		cmocka_unit_test(its_commit_ends_what_may_be_added),
		cmocka_unit_test(an_abort_behind_the_commit_takes_it_back),
		cmocka_unit_test(an_abort_after_the_ack_changes_nothing),
		cmocka_unit_test(it_is_taken_back_on_the_next_connection),
		cmocka_unit_test(an_empty_file_is_there_when_the_peer_says_so),
	};

	/* What cannot be taken back is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
