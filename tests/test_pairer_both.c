/*
 * Tests net/pairer.h with two machines that both run it: by a code that one of
 * them is told, and by a passphrase that both have been given.
 */
#include "pairer_fixture.h"

#include <time.h>

static const char group[] = "correct horse battery";

/* --- by a code -------------------------------------------------------------
 */

struct outcome {
	struct mutex lock;
	struct cond cond;
	unsigned times;
	int result;
};

static void outcome_done(void *ctx, int result)
{
	struct outcome *o = ctx;

	mutex_lock(&o->lock);
	o->times++;
	o->result = result;
	cond_broadcast(&o->cond);
	mutex_unlock(&o->lock);
}

static void outcome_init(struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	mutex_init(&o->lock);
	cond_init(&o->cond);
}

static int outcome_wait(struct outcome *o)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	int r = 0;

	mutex_lock(&o->lock);
	while (!o->times && r == 0)
		r = cond_wait_until(&o->cond, &o->lock, deadline);
	mutex_unlock(&o->lock);
	assert_int_equal(r, 0);
	assert_int_equal(o->times, 1);
	return o->result;
}

/* a has a folder for that key, and looks for it there. */
static void a_finds(struct side *a, const struct machine *m,
    const struct sockaddr_storage *where)
{
	assert_int_equal(
	    trust_pin(a->w.trust, m->id.public, "b", TRUST_ASK, NULL), 0);
	assert_int_equal(trust_note_address(a->w.trust, m->id.public,
			     (const struct sockaddr *)where),
	    0);
	peers_pinned(a->w.peers, m->id.public);
}

static int dial_code(struct side *a, const char *typed)
{
	struct outcome o;
	uint64_t serial;
	int r;

	outcome_init(&o);
	r = pairer_dial(a->pairer, "b", typed, outcome_done, &o, &serial);
	return r ? r : outcome_wait(&o);
}

static void a_code_pins_on_both_sides(void **state)
{
	char code[WORDS_CODE_MAX], wrong[WORDS_CODE_MAX];
	struct trust_pin at_a, at_b;
	struct side a, b;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	assert_int_equal(dial_code(&a, "7-abandon-ability"), -ENOENT);
	a_finds(&a, &b.w.me, &b.where);
	assert_int_equal(dial_code(&a, "7-abandon-ability"), -EACCES);
	assert_int_equal(dial_code(&a, "nonsense"), -EINVAL);
	pairer_open_code(b.pairer, code);
	other_code(code, wrong);
	assert_int_equal(dial_code(&a, wrong), -EKEYREJECTED);
	assert_false(knows(&b, &a.w.me));
	assert_false(trusts(&a, &b.w.me, NULL));
	assert_int_equal(dial_code(&a, code), 0);
	assert_true(trusts(&a, &b.w.me, NULL));
	assert_int_equal(trust_find(a.w.trust, b.w.me.id.public, &at_a), 0);
	assert_int_equal(trust_find(b.w.trust, a.w.me.id.public, &at_b), 0);
	assert_true(trusts(&b, &a.w.me, at_a.words));
	assert_int_equal(a.paired, 1);
	EVENTUALLY(b.paired == 1);
	/* And nobody else with the same code. */
	assert_int_equal(dial_code(&a, code), -EACCES);
	side_close(&a);
	side_close(&b);
}

static void another_key_there_is_not_paired_with(void **state)
{
	char code[WORDS_CODE_MAX];
	struct machine expected;
	struct side a, b;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	machine_init(&expected, "b", 0);
	a_finds(&a, &expected, &b.where);
	pairer_open_code(b.pairer, code);
	assert_int_equal(dial_code(&a, code), -EKEYREJECTED);
	assert_false(knows(&b, &a.w.me));
	assert_false(trusts(&a, &b.w.me, NULL));
	side_close(&a);
	side_close(&b);
}

/* It listens, and says nothing: cancelled by the user, and by the end. */
static void it_can_be_cancelled(void **state)
{
	struct sockaddr_storage where;
	int fd = loopback_listen(&where);
	struct machine b;
	struct outcome o[PAIRER_DIALS_MAX + 1];
	uint64_t serial[PAIRER_DIALS_MAX + 1];
	struct side a;

	side_open(&a, "a", NULL);
	machine_init(&b, "b", 0);
	a_finds(&a, &b, &where);
	for (unsigned i = 0; i < N_OF(o); i++) {
		outcome_init(&o[i]);
		assert_int_equal(pairer_dial(a.pairer, "b", "7-abandon-ability",
				     outcome_done, &o[i], &serial[i]),
		    i < PAIRER_DIALS_MAX ? 0 : -EBUSY);
	}
	pairer_cancel(a.pairer, serial[1]);
	assert_int_equal(outcome_wait(&o[1]), -ECANCELED);
	assert_int_equal(o[0].times, 0);
	pairer_stop(a.pairer);
	assert_int_equal(outcome_wait(&o[0]), -ECANCELED);
	pairer_cancel(a.pairer, serial[0]);
	assert_int_equal(pairer_dial(a.pairer, "b", "7-abandon-ability",
			     outcome_done, &o[0], &serial[0]),
	    -EBUSY);
	close(fd);
	side_close(&a);
}

static void who_is_not_there(void **state)
{
	struct sockaddr_storage where;
	struct machine b;
	struct side a;

	side_open(&a, "a", NULL);
	machine_init(&b, "b", 0);
	close(loopback_listen(&where));
	a_finds(&a, &b, &where);
	assert_int_equal(dial_code(&a, "7-abandon-ability"), -EHOSTUNREACH);
	side_close(&a);
}

/* --- by a group ------------------------------------------------------------
 */

static struct conn *dialled(struct side *a, struct side *b)
{
	struct conn *c;

	assert_int_equal(conn_dial(&a->w.me.self, (struct sockaddr *)&b->where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	return c;
}

static int64_t wait_at(struct side *s)
{
	struct sockaddr_storage a;
	struct guess *g;
	int64_t wait;

	assert_int_equal(address_parse("127.0.0.1:1", 0, &a), 0);
	assert_int_equal(guess_open(s->state_fd, &g), 0);
	/* As of a moment ago: what is left shrinks. */
	wait = guess_wait(g, (struct sockaddr *)&a, time(NULL) - 10);
	guess_close(g);
	return wait;
}

static void one_passphrase_is_enough(void **state)
{
	struct conn *c;
	struct side a, b;

	side_open(&a, "a", group);
	side_open(&b, "b", group);
	c = dialled(&a, &b);
	assert_int_equal(pairer_greet(a.pairer, c, NULL, -1), 0);
	assert_true(trusts(&a, &b.w.me, conn_words(c)));
	assert_true(trusts(&b, &a.w.me, conn_words(c)));
	/* The connection goes on, and whose guesses are right waits for none.
	 */
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_ACCEPT);
	assert_int_equal(wait_at(&a), 0);
	assert_int_equal(wait_at(&b), 0);
	assert_int_equal(pairer_greet(a.pairer, c, NULL, -1), 0);
	assert_int_equal(a.paired, 1);
	conn_free(c);
	side_close(&a);
	side_close(&b);
}

static void another_passphrase_counts_on_both_sides(void **state)
{
	struct conn *c;
	struct side a, b;

	side_open(&a, "a", group);
	side_open(&b, "b", "correct horse batterz");
	c = dialled(&a, &b);
	assert_int_equal(pairer_greet(a.pairer, c, NULL, -1), 0);
	assert_false(knows(&a, &b.w.me));
	assert_false(knows(&b, &a.w.me));
	assert_int_equal(wait_at(&a), GUESS_FIRST_MS);
	assert_int_equal(wait_at(&b), GUESS_FIRST_MS);
	/* The connection is a stranger's, as any other. */
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_REFUSE);
	conn_free(c);
	side_close(&a);
	side_close(&b);
}

static void who_has_to_wait_says_nothing(void **state)
{
	const struct sockaddr *from;
	struct sockaddr_storage where;
	struct guess *g;
	struct conn *c;
	struct side a, b;

	side_open(&a, "a", group);
	side_open(&b, "b", group);
	side_stop(&a);
	assert_int_equal(address_parse("127.0.0.1:1", 0, &where), 0);
	from = (const struct sockaddr *)&where;
	assert_int_equal(guess_open(a.state_fd, &g), 0);
	/* Of a clock that is ahead: it has to wait for the whole of it. */
	for (unsigned i = 1; i <= 8; i++)
		assert_int_equal(
		    guess_take(g, from, time(NULL) + 300 * (int64_t)i), 0);
	guess_close(g);
	side_start(&a, group);
	c = dialled(&a, &b);
	assert_int_equal(pairer_greet(a.pairer, c, NULL, -1), -EAGAIN);
	expect(c, WIRE_PONG);
	expect_quiet(c);
	conn_free(c);
	/* Nor does it answer. */
	c = dialled(&b, &a);
	assert_int_equal(pairer_greet(b.pairer, c, NULL, -1), -EAGAIN);
	assert_int_equal(wait_at(&b), 0);
	assert_false(knows(&a, &b.w.me));
	conn_free(c);
	side_close(&a);
	side_close(&b);
}

/* Both find the other at the same moment, again and again. */
struct greeting {
	struct side *from, *to;
	struct conn *c;
	int result;
};

static void *greet_run(void *arg)
{
	struct greeting *g = arg;

	g->result = pairer_greet(g->from->pairer, g->c, NULL, -1);
	return NULL;
}

static void both_at_once_pin_the_same_words(void **state)
{
	struct trust_pin at_a, at_b;
	pthread_t thread;
	struct side a, b;

	for (unsigned i = 0; i < 20; i++) {
		struct greeting ga = { .from = &a, .to = &b };
		struct greeting gb = { .from = &b, .to = &a };

		side_open(&a, "a", group);
		side_open(&b, "b", group);
		ga.c = dialled(&a, &b);
		gb.c = dialled(&b, &a);
		assert_int_equal(
		    thread_start(&thread, "probe", greet_run, &ga), 0);
		greet_run(&gb);
		pthread_join(thread, NULL);
		assert_true(ga.result == 0 || gb.result == 0);
		assert_true(trusts(&a, &b.w.me, NULL));
		assert_int_equal(
		    trust_find(a.w.trust, b.w.me.id.public, &at_a), 0);
		assert_int_equal(
		    trust_find(b.w.trust, a.w.me.id.public, &at_b), 0);
		assert_true(trusts(&b, &a.w.me, at_a.words));
		assert_int_equal(wait_at(&a), 0);
		assert_int_equal(wait_at(&b), 0);
		conn_free(ga.c);
		conn_free(gb.c);
		side_close(&a);
		side_close(&b);
	}
}

/*
 * Several users of one machine, say: whoever comes meanwhile is told at once,
 * not at step 3, when it has counted a guess that is right.
 */
static void those_of_one_address_take_turns(void **state)
{
	struct machine b, m;
	struct pairing *p;
	struct wire_msg step;
	struct conn *c, *d;
	struct pair pair;
	struct side a;

	side_open(&a, "a", group);
	machine_init(&b, "b", 0);
	machine_init(&m, "m", 0);
	m.self.hello.group = true;
	c = served(&a, &b);
	d = served(&a, &m);
	p = caller_pairing(&b, c, PAIRING_GROUP, group);
	assert_int_equal(begin_exchange(c, p, PAIRING_GROUP), 0);
	assert_int_equal(exchange(&m, d, PAIRING_GROUP, group), -EBUSY);
	/* Nor do we begin one there. */
	pair_open(&pair, &a.w.me, &m);
	assert_int_equal(pairer_greet(a.pairer, pair.a, NULL, -1), -EAGAIN);
	expect_quiet(pair.b);
	put_step(c, p, PAIRING_GROUP);
	step = pair_answer(c);
	assert_int_equal(take_step(p, &step), 0);
	assert_int_equal(exchange(&m, d, PAIRING_GROUP, group), 0);
	assert_true(trusts(&a, &b, conn_words(c)));
	assert_true(trusts(&a, &m, conn_words(d)));
	assert_int_equal(wait_at(&a), 0);
	pairing_free(p);
	pair_close(&pair);
	conn_free(d);
	conn_free(c);
	side_close(&a);
}

/* --- a hostile responder ---------------------------------------------------
 */

struct hostile {
	struct conn *c; /* its end */
	struct machine *me;
	unsigned last_step; /* that it answers; it hangs up after the next */
	unsigned learned;   /* steps 3 that it has got */
	const char *guess;
};

static void *hostile_run(void *arg)
{
	struct hostile *h = arg;
	struct pairing *p;
	struct wire_msg m;
	uint8_t bytes[PAIRING_BYTES_MAX];

	p = pairing_new(HANDSHAKE_RESPONDER, PAIRING_GROUP, h->guess,
	    strlen(h->guess), conn_channel(h->c), h->me->id.public,
	    conn_remote_key(h->c));
	while (conn_receive(h->c, DEADLINE_MS, -1, &m) == 0) {
		h->learned += m.type == WIRE_PAIR && m.pair.step == 3;
		if (m.type != WIRE_PAIR || m.pair.step + 1 > h->last_step ||
		    take_step(p, &m))
			break;
		m = step_of(p, PAIRING_GROUP, bytes);
		if (conn_send(h->c, &m))
			break;
	}
	pairing_free(p);
	shutdown(conn_fd(h->c), SHUT_RDWR);
	return NULL;
}

/*
 * It hangs up before and after each step, with a guess of its own: what it has
 * learned of is counted here, and nothing else is.
 */
static void a_hostile_responder_learns_what_is_counted(void **state)
{
	for (unsigned last = 1; last <= 2; last++) {
		struct hostile h = { .last_step = last, .guess = "12345678" };
		struct machine m;
		pthread_t thread;
		struct pair pair;
		struct side a;

		side_open(&a, "a", group);
		machine_init(&m, "hostile", 0);
		m.self.hello.group = true;
		pair_open(&pair, &a.w.me, &m);
		h.c = pair.b;
		h.me = &m;
		assert_int_equal(
		    thread_start(&thread, "hostile", hostile_run, &h), 0);
		assert_true(pairer_greet(a.pairer, pair.a, NULL, -1) < 0);
		shutdown(conn_fd(pair.a), SHUT_RDWR);
		pthread_join(thread, NULL);
		assert_int_equal(h.learned, last == 2);
		assert_int_equal(wait_at(&a), h.learned ? GUESS_FIRST_MS : 0);
		/* And before that has passed, nothing more is to be learned. */
		if (h.learned)
			assert_int_equal(
			    pairer_greet(a.pairer, pair.a, NULL, -1), -EAGAIN);
		assert_false(knows(&a, &m));
		pair_close(&pair);
		side_close(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_pins_on_both_sides),
		cmocka_unit_test(another_key_there_is_not_paired_with),
		cmocka_unit_test(it_can_be_cancelled),
		cmocka_unit_test(who_is_not_there),
		cmocka_unit_test(one_passphrase_is_enough),
		cmocka_unit_test(another_passphrase_counts_on_both_sides),
		cmocka_unit_test(who_has_to_wait_says_nothing),
		cmocka_unit_test(both_at_once_pin_the_same_words),
		cmocka_unit_test(those_of_one_address_take_turns),
		cmocka_unit_test(a_hostile_responder_learns_what_is_counted),
	};

	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
