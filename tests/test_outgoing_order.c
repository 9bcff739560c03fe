/*
 * Tests that what takes a name does not overtake the RENAME or WITHDRAW that
 * left it, though each has its own connection. Against a peer that the test
 * plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

static const uint8_t id[WIRE_ID_BYTES] = { 9, 8, 7 };

/* A WITHDRAW whose answer the peer owes, on the first connection. */
static struct conn *owe(struct play *p, struct wire_msg *ret)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	assert_int_equal(request_withdraw(p->peer, id), 0);
	*ret = expect(p->c, WIRE_WITHDRAW);
	return p->c;
}

static void close_both(struct play *p, struct conn *first)
{
	play_close(p);
	conn_free(first);
}

static void a_commit_waits(void **state)
{
	struct outgoing *held, *o;
	struct wire_msg withdraw;
	struct told t, u;
	struct conn *first;
	struct play p;
	struct got g;

	first = owe(&p, &withdraw);
	told_init(&t);
	told_init(&u);
	held = new_file(&p, "x.part");
	play_again(&p);
	got_init(&g, p.c);
	got_accept(&g);
	/* This one takes no name yet. */
	assert_int_equal(outgoing_commit(held, true, &t.w), OUTGOING_PARKED);
	got_next(&g, WIRE_COMMIT);
	got_ack(&g, g.seq, WIRE_HELD, WIRE_OK);
	assert_int_equal(told_wait(&t), 0);
	got_fini(&g);

	o = new_file(&p, "x");
	got_init(&g, p.c);
	got_accept(&g);
	write_now(o, "x", 1, 0);
	assert_int_equal(outgoing_commit(o, false, &u.w), OUTGOING_PARKED);
	got_next(&g, WIRE_WRITE);
	/* What is asked for behind it does not matter. */
	assert_int_equal(request_withdraw(p.peer, id), 0);
	expect(first, WIRE_WITHDRAW);
	expect_quiet(p.c);
	answer(first, &withdraw, WIRE_ESTALE);
	got_publish(&g);
	assert_int_equal(told_wait(&u), 0);
	got_fini(&g);
	told_fini(&t);
	told_fini(&u);
	outgoing_put(held);
	outgoing_put(o);
	close_both(&p, first);
}

static void a_move_waits(void **state)
{
	struct wire_msg withdraw;
	struct conn *first;
	struct outgoing *o;
	struct play p;
	struct got g;

	first = owe(&p, &withdraw);
	o = new_file(&p, "x");
	play_again(&p);
	got_init(&g, p.c);
	got_accept(&g);
	assert_int_equal(outgoing_move(o, NULL, "y"), 0);
	expect_quiet(p.c);
	answer(first, &withdraw, WIRE_OK);
	got_next(&g, WIRE_MOVE);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	got_fini(&g);
	close_both(&p, first);
}

static void a_directory_waits(void **state)
{
	struct wire_msg withdraw;
	struct outdir *dir;
	struct conn *first;
	struct outgoing *o;
	struct wire_msg m;
	struct play p;
	struct got g;

	first = owe(&p, &withdraw);
	assert_int_equal(outdir_new(p.peer, NULL, "dir", 0755, &dir), 0);
	expect(first, WIRE_MKDIR);
	assert_int_equal(try_new(p.peer, dir, "x", &o), 0);
	play_again(&p);
	expect_quiet(p.c);
	answer(first, &withdraw, WIRE_OK);
	/* It waits for no answer to the other MKDIR. */
	m = expect(p.c, WIRE_MKDIR);
	assert_memory_equal(m.mkdir.id, outdir_id(dir), WIRE_ID_BYTES);
	got_init(&g, p.c);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	outdir_put(dir);
	got_fini(&g);
	close_both(&p, first);
}

static void given_up_it_waits_no_longer(void **state)
{
	struct wire_msg withdraw;
	struct outdir *dir;
	struct conn *first;
	struct outgoing *o;
	struct play p;

	first = owe(&p, &withdraw);
	assert_int_equal(outdir_new(p.peer, NULL, "dir", 0755, &dir), 0);
	assert_int_equal(try_new(p.peer, dir, "x", &o), 0);
	play_again(&p);
	expect_quiet(p.c);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	EVENTUALLY(has_idle_link(p.peer));
	expect_quiet(p.c);
	outdir_put(dir);
	close_both(&p, first);
}

/* A connection that breaks has not answered; the next one is asked. */
static void after_a_cut_it_still_waits(void **state)
{
	struct wire_msg withdraw;
	struct outgoing *o;
	struct conn *first;
	struct told t;
	struct play p;
	struct got g;

	first = owe(&p, &withdraw);
	told_init(&t);
	o = new_file(&p, "x");
	play_again(&p);
	got_init(&g, p.c);
	got_accept(&g);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	expect_quiet(p.c);
	close(p.listen_fd); /* and there is no other */
	p.listen_fd = -1;
	conn_free(first);
	withdraw = expect(p.c, WIRE_WITHDRAW);
	expect_quiet(p.c);
	answer(p.c, &withdraw, WIRE_OK);
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	outgoing_put(o);
	told_fini(&t);
	got_fini(&g);
	play_close(&p);
}

/* The transfer has the only connection that can be had. */
static void it_asks_itself_where_nobody_can(void **state)
{
	struct wire_msg withdraw;
	struct outgoing *o;
	struct told t;
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	o = new_file(&p, "x");
	got_init(&g, p.c);
	got_accept(&g);
	close(p.listen_fd);
	p.listen_fd = -1;
	assert_int_equal(request_withdraw(p.peer, id), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	withdraw = expect(p.c, WIRE_WITHDRAW);
	expect_quiet(p.c);
	answer(p.c, &withdraw, WIRE_OK);
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	outgoing_put(o);
	told_fini(&t);
	got_fini(&g);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_waits),
		cmocka_unit_test(a_move_waits),
		cmocka_unit_test(a_directory_waits),
		cmocka_unit_test(given_up_it_waits_no_longer),
		cmocka_unit_test(after_a_cut_it_still_waits),
		cmocka_unit_test(it_asks_itself_where_nobody_can),
	};

	/* What a peer could not do is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
