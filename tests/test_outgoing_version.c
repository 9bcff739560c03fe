/*
 * Tests the versions of net/outgoing.h: a transfer that continues another one,
 * delivered or still on its way, against a peer that the test plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

static const uint8_t base_id[WIRE_ID_BYTES] = { 1, 2, 3 };

static struct outgoing *new_version(
    struct play *p, const uint8_t *base, uint64_t size, struct outgoing *after)
{
	struct outgoing_plan plan = { .name = "a file",
		.mode = 0640,
		.size = WIRE_SIZE_UNKNOWN,
		.base = base,
		.base_size = size,
		.after = after };
	struct outgoing *o;

	assert_int_equal(outgoing_new(p->peer, &plan, &o), 0);
	return o;
}

/* No OFFER comes, on this connection or on another. */
static void expect_no_offer(struct play *p)
{
	struct pollfd dialled = { .fd = p->listen_fd, .events = POLLIN };

	expect_quiet(p->c);
	assert_int_equal(poll(&dialled, 1, 0), 0);
}

static void assert_zeros(const uint8_t id[WIRE_ID_BYTES])
{
	static const uint8_t zeros[WIRE_ID_BYTES];

	assert_memory_equal(id, zeros, sizeof(zeros));
}

static void its_first_write_waits_for_the_peer(void **state)
{
	struct told write, commit;
	struct outgoing *o;
	struct play p;
	struct got g;
	size_t taken;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&write);
	told_init(&commit);
	o = new_version(&p, base_id, 1000, NULL);
	assert_int_equal(outgoing_size(o), 1000);
	/* Although this peer takes what we send. */
	assert_int_equal(
	    outgoing_write(o, "x", 1, 1000, &write.w, &taken), OUTGOING_PARKED);
	got_init(&g, p.c);
	assert_memory_equal(g.offer.base, base_id, WIRE_ID_BYTES);
	assert_memory_equal(g.offer.id, outgoing_id(o), WIRE_ID_BYTES);
	got_size(&g, 1000);
	got_next(&g, WIRE_WRITE);
	expect_quiet(p.c);
	assert_int_equal(told_times(&write), 0);
	got_accept(&g);
	assert_int_equal(told_wait(&write), 1);
	write_now(o, "y", 1, 5);
	assert_int_equal(outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	got_publish(&g);
	assert_int_equal(told_wait(&commit), 0);
	assert_int_equal(g.size, 1001);
	assert_int_equal(outgoing_size(o), 1001);
	outgoing_put(o);
	got_fini(&g);
	told_fini(&write);
	told_fini(&commit);
	play_close(&p);
}

static void touched_there_is_estale(void **state)
{
	struct told t[3];
	struct outgoing *o;
	struct play p;
	struct got g;
	size_t taken;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	for (unsigned i = 0; i < 3; i++)
		told_init(&t[i]);
	o = new_version(&p, base_id, 1, NULL);
	assert_int_equal(
	    outgoing_write(o, "x", 1, 1, &t[0].w, &taken), OUTGOING_PARKED);
	assert_int_equal(outgoing_checkpoint(o, &t[1].w), OUTGOING_PARKED);
	assert_int_equal(outgoing_commit(o, true, &t[2].w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_refuse(&g, WIRE_ESTALE);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(told_wait(&t[i]), -ESTALE);
		told_fini(&t[i]);
	}
	assert_int_equal(outgoing_error(o), -ESTALE);
	outgoing_put(o);
	got_fini(&g);
	play_close(&p);
}

/* The connection breaks before any answer: the same version is begun again. */
static void a_cut_offers_the_same_base_again(void **state)
{
	struct told write, commit;
	struct outgoing *o;
	struct play p;
	struct got g;
	size_t taken;

	for (unsigned accepted = 0; accepted < 2; accepted++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		told_init(&write);
		told_init(&commit);
		o = new_version(&p, base_id, 7, NULL);
		assert_int_equal(outgoing_write(o, "x", 1, 7, &write.w, &taken),
		    OUTGOING_PARKED);
		got_init(&g, p.c);
		if (accepted) {
			got_accept(&g);
			assert_int_equal(told_wait(&write), 1);
		}
		got_fini(&g);
		play_cut(&p);
		play_again(&p);
		got_init(&g, p.c);
		got_size(&g, 7);
		assert_memory_equal(g.offer.base, base_id, WIRE_ID_BYTES);
		assert_memory_equal(g.offer.id, outgoing_id(o), WIRE_ID_BYTES);
		assert_string_equal(g.offer.name, "a file");
		got_accept(&g);
		got_next(&g, WIRE_WRITE);
		assert_int_equal(told_wait(&write), 1);
		assert_int_equal(
		    outgoing_commit(o, false, &commit.w), OUTGOING_PARKED);
		got_publish(&g);
		assert_int_equal(told_wait(&commit), 0);
		outgoing_put(o);
		got_fini(&g);
		told_fini(&write);
		told_fini(&commit);
		play_close(&p);
	}
}

static void one_after_the_other(void **state)
{
	struct told first, second, write;
	struct outgoing *a, *b, *c;
	struct play p;
	struct got g;
	size_t taken;

	for (unsigned hold = 0; hold < 2; hold++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		told_init(&first);
		told_init(&second);
		told_init(&write);
		a = new_file(&p, "a file");
		write_now(a, "hello", 5, 0);
		assert_int_equal(
		    outgoing_commit(a, hold, &first.w), OUTGOING_PARKED);
		assert_false(outgoing_writable(a));
		assert_true(outgoing_uncommitted(a));
		b = new_version(&p, NULL, 0, a);
		assert_int_equal(outgoing_size(b), 5);
		assert_string_equal(outgoing_state_name(b), "waiting");
		/* Its operations enter its window meanwhile. */
		assert_int_equal(outgoing_write(b, "!", 1, 5, &write.w, &taken),
		    OUTGOING_PARKED);
		assert_int_equal(
		    outgoing_commit(b, false, &second.w), OUTGOING_PARKED);
		got_init(&g, p.c);
		assert_zeros(g.offer.base);
		got_accept(&g);
		got_next(&g, WIRE_WRITE);
		got_next(&g, WIRE_COMMIT);
		expect_no_offer(&p);
		got_ack(&g, g.seq, hold ? WIRE_HELD : WIRE_PUBLISHED, WIRE_OK);
		assert_int_equal(told_wait(&first), 0);
		assert_int_equal(outgoing_held(a), hold);
		got_fini(&g);

		got_init(&g, p.c);
		assert_memory_equal(
		    g.offer.base, outgoing_id(a), WIRE_ID_BYTES);
		assert_memory_equal(g.offer.id, outgoing_id(b), WIRE_ID_BYTES);
		got_size(&g, 5);
		got_accept(&g);
		assert_int_equal(told_wait(&write), 1);
		got_next(&g, WIRE_WRITE);
		got_publish(&g);
		assert_int_equal(told_wait(&second), 0);
		got_fini(&g);

		/* What is done need not be waited for. */
		c = new_version(&p, NULL, 0, b);
		got_init(&g, p.c);
		assert_memory_equal(
		    g.offer.base, outgoing_id(b), WIRE_ID_BYTES);
		outgoing_abort(c, -ECANCELED);
		expect(p.c, WIRE_ABORT);
		outgoing_put(a);
		outgoing_put(b);
		outgoing_put(c);
		got_fini(&g);
		told_fini(&first);
		told_fini(&second);
		told_fini(&write);
		play_close(&p);
	}
}

enum { BY_REFUSAL, BY_ACK, BY_CUT, BY_ABORT, BY_STOP, N_BY };

/* What ends the transfer o. */
static void end_it(
    struct play *p, struct outgoing *o, struct got *g, unsigned by)
{
	if (by == BY_ACK || by == BY_CUT) {
		got_next(g, WIRE_TRUNCATE);
		got_next(g, WIRE_COMMIT);
	}
	switch (by) {
	case BY_REFUSAL: got_refuse(g, WIRE_EDQUOT); break;
	case BY_ACK: got_ack(g, g->seq, WIRE_PUBLISHED, WIRE_ENOSPC); break;
	case BY_CUT: play_cut(p); break;
	case BY_ABORT: outgoing_abort(o, -EINTR); break;
	default: peers_stop(p->w.peers);
	}
}

/* However the first one ends, those after it end with the same error. */
static void who_follows_a_failure_fails_with_it(void **state)
{
	static const int errors[N_BY] = { -EDQUOT, -ENOSPC, -ETIMEDOUT, -EINTR,
		-ECANCELED };
	struct outgoing *o[4], *late;
	struct told t[4];
	struct play p;
	struct got g;

	for (unsigned by = 0; by < N_BY; by++) {
		struct outgoing_plan plan = { .name = "late" };

		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		/* b and d after a, c after b. */
		for (unsigned i = 0; i < 4; i++) {
			told_init(&t[i]);
			o[i] = i ? new_version(&p, NULL, 0, o[i == 2])
				 : new_file(&p, "a file");
			assert_int_equal(outgoing_truncate(o[i], i + 1), 0);
			assert_int_equal(outgoing_commit(o[i], false, &t[i].w),
			    OUTGOING_PARKED);
		}
		got_init(&g, p.c);
		if (by != BY_REFUSAL)
			got_accept(&g);
		end_it(&p, o[0], &g, by);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(told_wait(&t[i]), errors[by]);
			assert_int_equal(outgoing_error(o[i]), errors[by]);
			assert_string_equal(
			    outgoing_state_name(o[i]), "failed");
		}
		plan.after = o[0];
		if (by != BY_STOP)
			assert_int_equal(
			    outgoing_new(p.peer, &plan, &late), errors[by]);
		world_wait(&p.w, &p.w.n_ended, 4);
		EVENTUALLY(peers_busy(p.w.peers) == 0);
		for (unsigned i = 0; i < 4; i++) {
			outgoing_put(o[i]);
			told_fini(&t[i]);
		}
		got_fini(&g);
		play_close(&p);
	}
}

/* The same name again, begun while the one before is being committed. */
static void a_new_file_waits_and_goes_on(void **state)
{
	struct outgoing_plan plan = { .name = "a file",
		.mode = 0640,
		.size = WIRE_SIZE_UNKNOWN,
		.anew = true };
	struct outgoing *a, *b;
	struct told t[2];
	struct play p;
	struct got g;

	for (unsigned fails = 0; fails < 2; fails++) {
		play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
		told_init(&t[0]);
		told_init(&t[1]);
		a = new_file(&p, "a file");
		assert_int_equal(
		    outgoing_commit(a, false, &t[0].w), OUTGOING_PARKED);
		got_init(&g, p.c);
		got_accept(&g);
		plan.after = a;
		assert_int_equal(outgoing_new(p.peer, &plan, &b), 0);
		write_now(b, "new", 3, 0);
		assert_int_equal(
		    outgoing_commit(b, false, &t[1].w), OUTGOING_PARKED);
		if (fails) {
			got_next(&g, WIRE_COMMIT);
			expect_no_offer(&p);
			got_ack(&g, 1, WIRE_APPLIED, WIRE_EDQUOT);
			expect(p.c, WIRE_ABORT);
		} else {
			got_publish(&g);
		}
		assert_int_equal(told_wait(&t[0]), fails ? -EDQUOT : 0);
		got_fini(&g);
		got_init(&g, p.c);
		assert_memory_equal(g.offer.id, outgoing_id(b), WIRE_ID_BYTES);
		assert_zeros(g.offer.base);
		got_accept(&g);
		got_next(&g, WIRE_WRITE);
		got_publish(&g);
		assert_int_equal(told_wait(&t[1]), 0);
		outgoing_put(a);
		outgoing_put(b);
		got_fini(&g);
		told_fini(&t[0]);
		told_fini(&t[1]);
		play_close(&p);
	}
}

static void who_follows_may_give_up(void **state)
{
	struct outgoing *a, *b, *c;
	struct told t[3];
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	for (unsigned i = 0; i < 3; i++)
		told_init(&t[i]);
	a = new_file(&p, "a file");
	assert_int_equal(outgoing_commit(a, false, &t[0].w), OUTGOING_PARKED);
	b = new_version(&p, NULL, 0, a);
	c = new_version(&p, NULL, 0, a);
	assert_int_equal(peers_busy(p.w.peers), 3);
	assert_int_equal(outgoing_commit(b, false, &t[1].w), OUTGOING_PARKED);
	assert_int_equal(outgoing_commit(c, false, &t[2].w), OUTGOING_PARKED);
	outgoing_abort(b, -EINTR);
	assert_int_equal(told_wait(&t[1]), -EINTR);
	assert_int_equal(peers_busy(p.w.peers), 2);
	/* The first one, and the other after it, go on. */
	outgoing_put(a);
	got_init(&g, p.c);
	got_accept(&g);
	got_publish(&g);
	assert_int_equal(told_wait(&t[0]), 0);
	got_fini(&g);
	got_init(&g, p.c);
	assert_memory_equal(g.offer.id, outgoing_id(c), WIRE_ID_BYTES);
	got_accept(&g);
	got_publish(&g);
	assert_int_equal(told_wait(&t[2]), 0);
	outgoing_put(b);
	outgoing_put(c);
	got_fini(&g);
	for (unsigned i = 0; i < 3; i++)
		told_fini(&t[i]);
	play_close(&p);
}

static void a_long_line_falls_at_once(void **state)
{
	enum { LONG = 3000 };
	struct outgoing **o = calloc(LONG, sizeof(struct outgoing *));
	struct told t;
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	for (unsigned i = 0; i < LONG; i++) {
		struct told *w = malloc(sizeof(*w));

		o[i] = i ? new_version(&p, NULL, 0, o[i - 1])
			 : new_file(&p, "a file");
		/* Nobody waits but at the end. */
		told_init(w);
		if (i + 1 < LONG) {
			int64_t none;

			assert_int_equal(outgoing_commit(o[i], false, &w->w),
			    OUTGOING_PARKED);
			assert_true(outgoing_unpark(o[i], &w->w, &none));
		}
		told_fini(w);
		free(w);
	}
	assert_int_equal(
	    outgoing_commit(o[LONG - 1], false, &t.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_refuse(&g, WIRE_EDQUOT);
	assert_int_equal(told_wait(&t), -EDQUOT);
	EVENTUALLY(peers_busy(p.w.peers) == 0);
	for (unsigned i = 0; i < LONG; i++)
		outgoing_put(o[i]);
	free(o);
	got_fini(&g);
	told_fini(&t);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_first_write_waits_for_the_peer),
		cmocka_unit_test(touched_there_is_estale),
		cmocka_unit_test(a_cut_offers_the_same_base_again),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(who_follows_a_failure_fails_with_it),
		cmocka_unit_test(a_new_file_waits_and_goes_on),
		cmocka_unit_test(who_follows_may_give_up),
		cmocka_unit_test(a_long_line_falls_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
