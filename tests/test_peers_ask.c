/*
 * Tests net/peers_ask.c and net/link_ask.h: what a machine that is not let in
 * sends, and what becomes of all that waits for a person's answer.
 */
#include "ask_fixture.h"
#include "request.h"

/* Its pin here, and in the table: let in, with these words. */
static void is_let_in(struct play *p, const uint8_t *words)
{
	struct trust_pin pin;
	struct peer_info info;

	assert_int_equal(trust_find(p->w.trust, p->me.id.public, &pin), 0);
	assert_int_equal(pin.policy, TRUST_ACCEPT);
	assert_true(pin.has_words);
	assert_false(pin.verified);
	assert_memory_equal(pin.words, words, sizeof(pin.words));
	assert_int_equal(pin.n_addresses, 1);
	peer_info(p->peer, &info);
	assert_true(info.pinned && info.has_words && !info.asking);
	assert_int_equal(info.pin_policy, TRUST_ACCEPT);
	assert_int_equal(info.policy, WIRE_POLICY_ACCEPT);
	assert_memory_equal(info.words, words, sizeof(info.words));
}

static void nothing_is_sent_before_its_policy(void **state)
{
	struct waits f;
	struct play p;

	play_open(&p, 0, PATIENCE_MS);
	waits_init(&f, &p, "a file");
	expect_quiet(p.c);
	send_pong(p.c, WIRE_POLICY_ACCEPT);
	arrives(&f, p.c);
	waits_fini(&f);
	play_close(&p);
}

static void a_yes_lets_both_in(void **state)
{
	struct peer_info info;
	struct waits f;
	struct wire_msg m;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	waits_init(&f, &p, "a file");
	m = expect(p.c, WIRE_ASK);
	assert_string_equal(m.ask.name, "a file");
	assert_int_equal(m.ask.size, WIRE_SIZE_UNKNOWN);
	world_wait(&p.w, &p.w.changes[PEER_ASKING], 1);
	peer_info(p.peer, &info);
	assert_true(info.asking && info.has_words && !info.pinned);
	assert_memory_equal(info.words, conn_words(p.c), sizeof(info.words));
	expect_quiet(p.c);
	assert_int_equal(told_times(&f.write), 0);
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	is_let_in(&p, conn_words(p.c));
	waits_fini(&f);

	/* The next one needs nothing. */
	f.o = new_file(&p, "another");
	write_now(f.o, "x", 1, 0);
	expect(p.c, WIRE_OFFER);
	expect(p.c, WIRE_WRITE);
	outgoing_abort(f.o, -ECANCELED);
	outgoing_put(f.o);
	play_close(&p);
}

/* One connection, one question, however much waits. */
static void a_yes_is_for_all_that_waits(void **state)
{
	struct waits f[3];
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	for (unsigned i = 0; i < N_OF(f); i++)
		waits_init(&f[i], &p, "a file");
	expect_ask(&p, "a file");
	peers_tick(p.w.peers);
	expect_quiet(p.c);
	mutex_lock(&p.w.peers->lock);
	assert_int_equal(p.peer->n_links, 1);
	mutex_unlock(&p.w.peers->lock);
	peers_tick(p.w.peers);
	answer_ask(p.c, WIRE_OK);
	/* More connections come now, and nobody is behind them here. */
	expect(p.c, WIRE_OFFER);
	for (unsigned i = 0; i < N_OF(f); i++)
		outgoing_abort(f[i].o, -ECANCELED);
	for (unsigned i = 0; i < N_OF(f); i++)
		waits_fini(&f[i]);
	play_close(&p);
}

static void a_no_is_for_all_that_waits(void **state)
{
	struct waits f[2], later;
	struct outdir *dir;
	struct asker a;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	asker_init(&a);
	for (unsigned i = 0; i < N_OF(f); i++)
		waits_init(&f[i], &p, "a file");
	expect_ask(&p, "a file");
	assert_int_equal(outdir_new(p.peer, NULL, "dir", 0755, &dir), 0);
	assert_int_equal(outdir_rename(dir, NULL, "new", &a.w), 0);
	answer_ask(p.c, WIRE_EACCES);
	for (unsigned i = 0; i < N_OF(f); i++)
		fails(&f[i], -EACCES);
	assert_int_equal(asker_wait(&a), -EACCES);
	EVENTUALLY(!is_asking(&p));
	expect_quiet(p.c);
	assert_false(world_info(&p.w, "laptop").pinned);
	world_wait(&p.w, &p.w.n_ended, N_OF(f));
	assert_int_equal(p.w.ended.state, LEDGER_FAILED);

	/* It may be asked once more. */
	waits_init(&later, &p, "later");
	expect_ask(&p, "later");
	answer_ask(p.c, WIRE_OK);
	arrives(&later, p.c);
	for (unsigned i = 0; i < N_OF(f); i++)
		waits_fini(&f[i]);
	waits_fini(&later);
	outdir_put(dir);
	asker_fini(&a);
	play_close(&p);
}

/* What was sent so far; each time with another number. */
static void has_read_all(struct play *p, uint64_t number)
{
	struct wire_msg m = { .type = WIRE_PONG };

	m.pong.policy = WIRE_POLICY_ASK;
	m.pong.free_bytes = number;
	m.pong.total_bytes = 2000;
	send_msg(p->c, &m);
	EVENTUALLY(world_info(&p->w, "laptop").space.free_bytes == number);
}

static void who_gives_up_takes_the_question_back(void **state)
{
	struct waits f[2], later;
	struct play p;
	int64_t taken;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	for (unsigned i = 0; i < N_OF(f); i++)
		waits_init(&f[i], &p, "a file");
	expect_ask(&p, "a file");
	for (unsigned i = 0; i < N_OF(f); i++) {
		expect_quiet(p.c);
		assert_true(outgoing_unpark(f[i].o, &f[i].write.w, &taken));
		assert_true(outgoing_unpark(f[i].o, &f[i].commit.w, &taken));
		outgoing_abort(f[i].o, -ECANCELED);
		waits_fini(&f[i]);
	}
	expect(p.c, WIRE_UNASK);
	EVENTUALLY(has_idle_link(p.peer));
	assert_false(is_asking(&p));
	assert_false(world_info(&p.w, "laptop").has_words);

	/* An answer that crossed it: this time a no, which is nobody's. */
	answer_ask(p.c, WIRE_EACCES);
	has_read_all(&p, 1);
	waits_init(&later, &p, "later");
	expect_ask(&p, "later");
	outgoing_abort(later.o, -ECANCELED);
	waits_fini(&later);
	expect(p.c, WIRE_UNASK);

	/* And a yes lets nobody in: the words may have been others. */
	answer_ask(p.c, WIRE_OK);
	has_read_all(&p, 2);
	waits_init(&later, &p, "once more");
	expect_ask(&p, "once more");
	assert_false(world_info(&p.w, "laptop").pinned);
	answer_ask(p.c, WIRE_OK);
	arrives(&later, p.c);
	is_let_in(&p, conn_words(p.c));
	world_wait(&p.w, &p.w.changes[PEER_LET_IN], 1);
	waits_fini(&later);
	play_close(&p);
}

/* The connection broke first: he hears of the yes, and no more. */
static void a_lost_yes_that_nobody_waits_for_lets_nobody_in(void **state)
{
	struct waits f;
	struct play p;

	(void)state;
	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	play_cut(&p);
	world_wait(&p.w, &p.w.lost, 1);
	outgoing_abort(f.o, -ECANCELED);
	waits_fini(&f);
	p.c = world_link(&p.w, p.listen_fd, &p.where, &p.me, NULL);
	send_pong(p.c, WIRE_POLICY_ACCEPT);
	EVENTUALLY(world_info(&p.w, "laptop").policy == WIRE_POLICY_ACCEPT);
	assert_false(is_asking(&p));
	assert_false(world_info(&p.w, "laptop").pinned);
	play_close(&p);
}

/* A directory is worth the question, too, and is the better name for it. */
static void a_directory_is_asked_for(void **state)
{
	struct outdir *dir;
	struct waits f;
	struct wire_msg m;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	assert_int_equal(outdir_new(p.peer, NULL, "dir", 0755, &dir), 0);
	expect_ask(&p, "dir");
	waits_init(&f, &p, "a file");
	expect_quiet(p.c);
	answer_ask(p.c, WIRE_OK);
	m = expect(p.c, WIRE_MKDIR);
	assert_string_equal(m.mkdir.name, "dir");
	answer(p.c, &m, WIRE_OK);
	arrives(&f, p.c);
	waits_fini(&f);
	outdir_put(dir);
	play_close(&p);
}

/* What names nothing is no reason to disturb anybody. */
static void what_is_over_is_not_asked_for(void **state)
{
	static const uint8_t id[WIRE_ID_BYTES] = { 1 };
	struct wire_msg m;
	struct asker a;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	asker_init(&a);
	assert_int_equal(request_show(p.peer, id, &a.w), 0);
	m = expect(p.c, WIRE_SHOW);
	answer(p.c, &m, WIRE_EACCES);
	assert_int_equal(asker_wait(&a), -EACCES);
	asker_fini(&a);
	play_close(&p);
}

static void a_rename_that_is_cancelled_takes_it_back(void **state)
{
	static const uint8_t id[WIRE_ID_BYTES] = { 1 };
	struct asker a;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	asker_init(&a);
	assert_int_equal(
	    request_rename(p.peer, id, NULL, "new", false, &a.w), 0);
	expect_ask(&p, "new");
	assert_true(request_cancel(p.peer, &a.w));
	expect(p.c, WIRE_UNASK);
	asker_fini(&a);
	play_close(&p);
}

/* The connection breaks: the next one asks again, with its own words. */
static void a_cut_asks_again(void **state)
{
	struct peer_info info;
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	play_cut(&p);
	world_wait(&p.w, &p.w.lost, 1);
	assert_true(is_asking(&p));
	p.c = world_link(&p.w, p.listen_fd, &p.where, &p.me, NULL);
	send_pong(p.c, WIRE_POLICY_ASK);
	expect_ask(&p, "a file");
	EVENTUALLY((peer_info(p.peer, &info),
	    !memcmp(info.words, conn_words(p.c), sizeof(info.words))));
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	is_let_in(&p, conn_words(p.c));
	waits_fini(&f);
	play_close(&p);
}

/* Every connection breaks: nobody tries its words for ever. */
static void who_breaks_every_question_has_said_no(void **state)
{
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, 1);
	waits_init(&f, &p, "a file");
	for (unsigned i = 1; i <= PEER_ASKS_MAX; i++) {
		expect_ask(&p, "a file");
		play_cut(&p);
		world_wait(&p.w, &p.w.lost, i);
		p.c = world_link(&p.w, p.listen_fd, &p.where, &p.me, NULL);
		send_pong(p.c, WIRE_POLICY_ASK);
	}
	fails(&f, -EACCES);
	EVENTUALLY(!is_asking(&p));
	expect_quiet(p.c);
	waits_fini(&f);

	/* Another question is asked. */
	waits_init(&f, &p, "later");
	expect_ask(&p, "later");
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	waits_fini(&f);
	play_close(&p);
}

/* He said yes, and the answer was lost with the connection. */
static void a_lost_yes_counts(void **state)
{
	uint8_t words[TRUST_WORDS_BYTES];
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	memcpy(words, conn_words(p.c), sizeof(words));
	play_cut(&p);
	world_wait(&p.w, &p.w.lost, 1);
	p.c = world_link(&p.w, p.listen_fd, &p.where, &p.me, NULL);
	send_pong(p.c, WIRE_POLICY_ACCEPT);
	EVENTUALLY(!is_asking(&p));
	is_let_in(&p, words);
	outgoing_abort(f.o, -ECANCELED);
	waits_fini(&f);
	play_close(&p);
}

/* While no connection was there, everybody has gone. */
static void a_question_lapses_without_a_link(void **state)
{
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	play_cut(&p);
	world_wait(&p.w, &p.w.lost, 1);
	outgoing_abort(f.o, -ECANCELED);
	waits_fini(&f);
	peers_tick(p.w.peers);
	assert_false(is_asking(&p));
	play_close(&p);
}

/* The patience is for machines. */
static void a_person_may_take_longer_than_the_patience(void **state)
{
	int64_t until = now_ms() + 3 * PATIENCE_MS / 10;
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS / 10);
	p.w.peers->links_max = 1; /* as where there are few descriptors */
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	while (now_ms() < until) {
		send_pong(p.c, WIRE_POLICY_ASK);
		peers_tick(p.w.peers);
		poll(NULL, 0, 10);
	}
	answer_ask(p.c, WIRE_OK);
	EVENTUALLY(!is_asking(&p));
	peers_tick(p.w.peers);
	arrives(&f, p.c);
	waits_fini(&f);
	play_close(&p);
}

/* One that never says what it does with offers is waited for, and no longer. */
static void a_silent_peer_is_given_up(void **state)
{
	struct waits f;
	struct play p;

	play_open(&p, 0, PATIENCE_MS / 10);
	waits_init(&f, &p, "a file");
	EVENTUALLY((peers_tick(p.w.peers), outgoing_error(f.o)));
	fails(&f, -ETIMEDOUT);
	waits_fini(&f);
	play_close(&p);
}

static void whom_our_owner_refused_stays_refused(void **state)
{
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	assert_int_equal(
	    peers_set_policy(p.w.peers, "laptop", TRUST_REFUSE, key), 0);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	assert_int_equal(trust_find(p.w.trust, key, &pin), 0);
	assert_int_equal(pin.policy, TRUST_REFUSE);
	assert_true(pin.has_words);
	waits_fini(&f);
	play_close(&p);
}

static void an_answer_to_nothing_ends_the_connection(void **state)
{
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	answer_ask(p.c, WIRE_OK);
	expect_end(p.c);
	assert_false(world_info(&p.w, "laptop").pinned);
	play_close(&p);
}

static void anything_else_ends_it_and_what_waits_waits_on(void **state)
{
	struct wire_msg m = { .type = WIRE_ACCEPT };
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	m.accept.tag = 1;
	m.accept.max_write = WIRE_WRITE_MAX;
	send_msg(p.c, &m);
	expect_end(p.c);
	assert_int_equal(outgoing_error(f.o), 0);
	outgoing_abort(f.o, -ECANCELED);
	waits_fini(&f);
	play_close(&p);
}

static void the_end_says_goodbye(void **state)
{
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	peers_stop(p.w.peers);
	fails(&f, -ECANCELED);
	expect(p.c, WIRE_UNASK);
	expect(p.c, WIRE_BYE);
	waits_fini(&f);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_sent_before_its_policy),
		cmocka_unit_test(a_yes_lets_both_in),
		cmocka_unit_test(a_yes_is_for_all_that_waits),
		cmocka_unit_test(a_no_is_for_all_that_waits),
		cmocka_unit_test(who_gives_up_takes_the_question_back),
		cmocka_unit_test(
		    a_lost_yes_that_nobody_waits_for_lets_nobody_in),
		cmocka_unit_test(a_directory_is_asked_for),
		cmocka_unit_test(what_is_over_is_not_asked_for),
		cmocka_unit_test(a_rename_that_is_cancelled_takes_it_back),
		cmocka_unit_test(a_cut_asks_again),
		cmocka_unit_test(who_breaks_every_question_has_said_no),
		cmocka_unit_test(a_lost_yes_counts),
		cmocka_unit_test(a_question_lapses_without_a_link),
		cmocka_unit_test(a_person_may_take_longer_than_the_patience),
		cmocka_unit_test(a_silent_peer_is_given_up),
		cmocka_unit_test(whom_our_owner_refused_stays_refused),
		cmocka_unit_test(an_answer_to_nothing_ends_the_connection),
		cmocka_unit_test(anything_else_ends_it_and_what_waits_waits_on),
		cmocka_unit_test(the_end_says_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
