/*
 * Tests net/incoming.h: asking to be let in, from the ASK to its ANSWER, and
 * what a stranger may say meanwhile (net/incoming_ask.c).
 */
#include "incoming_fixture.h"

static void put_ask(struct conn *c, const char *name)
{
	struct wire_msg m = { .type = WIRE_ASK };

	strcpy(m.ask.name, name);
	m.ask.size = 12;
	send_msg(c, &m);
}

static void put(struct conn *c, enum wire_type type)
{
	struct wire_msg m = { .type = type };

	if (type == WIRE_PING)
		m.ping.cookie = 7;
	send_msg(c, &m);
}

static enum wire_code answered(struct conn *c)
{
	return expect(c, WIRE_ANSWER).answer.code;
}

/* The one open question. */
static struct consent_question question(struct server *s)
{
	struct consent_question *all = NULL, q;

	EVENTUALLY((free(all), consent_snapshot(s->consent, &all) == 1));
	q = all[0];
	free(all);
	return q;
}

static bool asked(struct server *s)
{
	struct consent_question *all;
	int n = consent_snapshot(s->consent, &all);

	free(all);
	return n > 0;
}

static int ask_setup(void **state)
{
	struct server *s = malloc(sizeof(*s));

	assert_non_null(s);
	server_open(s, TRUST_ASKED);
	server_start(s);
	assert_int_equal(
	    expect(s->pair.a, WIRE_PONG).pong.policy, WIRE_POLICY_ASK);
	*state = s;
	return 0;
}

static void again(struct server *s)
{
	server_end(s);
	server_start(s);
}

static void a_question_says_who_and_what(void **state)
{
	struct server *s = *state;
	struct consent_question q;

	put_ask(s->pair.a, "a \x1b file");
	q = question(s);
	assert_memory_equal(q.key, s->sender.id.public, sizeof(q.key));
	assert_string_equal(q.name, "laptop");
	assert_string_equal(q.file, "a \x1b file");
	assert_int_equal(q.size, 12);
	/* Both sides have the same words. */
	assert_memory_equal(q.words, conn_words(s->pair.a), sizeof(q.words));
	assert_memory_equal(q.words, conn_words(s->pair.b), sizeof(q.words));
	assert_true(atomic_load(&s->watch.asking));
	/* Until it is answered, it lives, and nothing else is said. */
	put(s->pair.a, WIRE_PING);
	expect(s->pair.a, WIRE_PONG);
	expect_quiet(s->pair.a);
	put(s->pair.a, WIRE_BYE);
	EVENTUALLY(!asked(s));
	server_end(s);
	assert_false(atomic_load(&s->watch.asking));
	assert_int_equal(s->sink.calls, 0);
}

static void yes_lets_it_in(void **state)
{
	struct server *s = *state;
	struct consent_question q;
	struct sending t;

	put_ask(s->pair.a, "f");
	q = question(s);
	assert_int_equal(
	    trust_pin(s->w.trust, q.key, "my laptop", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(consent_settle(s->consent, q.serial, true), 0);
	assert_int_equal(answered(s->pair.a), WIRE_OK);
	assert_int_equal(
	    consent_answer(s->consent, q.serial), -EACCES); /* taken */
	put_ask(s->pair.a, "g");
	assert_int_equal(answered(s->pair.a), WIRE_OK);
	put(s->pair.a, WIRE_UNASK); /* has crossed the answer */
	begin(&t, s->pair.a, 1);
	expect(s->pair.a, WIRE_ACCEPT);
	assert_string_equal(s->sink.peer, "my laptop");
	put_everything(&t);
	ack(&t, WIRE_PUBLISHED);
	assert_published(s);
	end(&t);
	server_end(s);
}

static void no_keeps_it_out(void **state)
{
	struct server *s = *state;
	struct sending t;

	put_ask(s->pair.a, "f");
	assert_int_equal(
	    consent_settle(s->consent, question(s).serial, false), 0);
	assert_int_equal(answered(s->pair.a), WIRE_EACCES);
	/* Asking again is quiet, on whatever connection. */
	put_ask(s->pair.a, "f");
	assert_int_equal(answered(s->pair.a), WIRE_EACCES);
	again(s);
	assert_int_equal(
	    expect(s->pair.a, WIRE_PONG).pong.policy, WIRE_POLICY_REFUSE);
	put_ask(s->pair.a, "f");
	assert_int_equal(answered(s->pair.a), WIRE_EACCES);
	assert_false(asked(s));
	begin(&t, s->pair.a, 1);
	assert_int_equal(
	    expect(s->pair.a, WIRE_REFUSE).refuse.code, WIRE_EACCES);
	end(&t);
	server_end(s);
	assert_int_equal(s->sink.calls, 0);
}

/* Pinned in some other way: the answer follows. */
static void a_pin_answers_too(void **state)
{
	struct server *s = *state;
	struct consent_question q;

	put_ask(s->pair.a, "f");
	q = question(s);
	assert_int_equal(
	    trust_pin(s->w.trust, q.key, "x", TRUST_ACCEPT, NULL), 0);
	put(s->pair.a, WIRE_PING);
	assert_int_equal(answered(s->pair.a), WIRE_OK);
	assert_false(asked(s));
	expect(s->pair.a, WIRE_PONG);
	server_end(s);
}

static void a_question_can_be_taken_back(void **state)
{
	struct server *s = *state;
	uint64_t first;

	put_ask(s->pair.a, "f");
	first = question(s).serial;
	put(s->pair.a, WIRE_UNASK);
	EVENTUALLY(!asked(s));
	assert_int_equal(consent_settle(s->consent, first, true), -ENOENT);
	put_ask(s->pair.a, "g");
	assert_string_equal(question(s).file, "g");
	/* So does the end of its connection. */
	shutdown(conn_fd(s->pair.a), SHUT_RDWR);
	EVENTUALLY(!asked(s));
	server_end(s);
}

static void other_words_end_it(void **state)
{
	static const enum wire_type types[] = { WIRE_ASK, WIRE_OFFER,
		WIRE_MKDIR, WIRE_ANSWER, WIRE_ABORT, WIRE_SHOW };
	struct server *s = *state;

	for (unsigned i = 0; i < N_OF(types); i++) {
		struct wire_msg m = { .type = types[i] };

		put_ask(s->pair.a, "f");
		if (types[i] == WIRE_OFFER) {
			m.offer.id[0] = 1;
			strcpy(m.offer.name, "x");
		} else if (types[i] == WIRE_ASK) {
			strcpy(m.ask.name, "x");
		} else if (types[i] == WIRE_MKDIR) {
			m.mkdir.id[0] = 1;
			strcpy(m.mkdir.name, "x");
		} else if (types[i] == WIRE_ABORT) {
			m.abort.code = WIRE_ECANCELED;
		} else if (types[i] == WIRE_SHOW) {
			m.show.id[0] = 1;
		}
		question(s);
		send_msg(s->pair.a, &m);
		pthread_join(s->thread, NULL);
		assert_int_equal(s->result, -EPROTO);
		assert_false(asked(s));
		pair_close(&s->pair);
		/* An address that asks and hangs up has to wait: a new one. */
		consent_free(s->consent);
		s->consent = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
		assert_non_null(s->consent);
		s->config.consent = s->consent;
		server_start(s);
	}
	server_end(s);
	assert_int_equal(s->sink.calls, 0);
}

static void nothing_to_take_back_ends_it(void **state)
{
	struct server *s = *state;

	put(s->pair.a, WIRE_UNASK);
	assert_int_equal(server_end(s), -EPROTO);
}

/* The name that our owner answers by is nobody else's. */
static void a_name_in_use_is_another_one(void **state)
{
	struct server *s = *state;
	struct machine listed, other;

	machine_init(&listed, "laptop", 0);
	machine_init(&other, "x", 0);
	assert_int_equal(trust_pin(s->w.trust, listed.id.public, "laptop",
			     TRUST_ACCEPT, NULL),
	    0);
	assert_int_equal(trust_pin(s->w.trust, other.id.public, "laptop (2)",
			     TRUST_REFUSE, NULL),
	    0);
	peers_pinned(s->w.peers, listed.id.public);
	put_ask(s->pair.a, "f");
	assert_string_equal(question(s).name, "laptop (3)");
	server_end(s);
}

/* One that is to be asked about again; it has no folder yet. */
static void a_pin_has_one_name(void **state)
{
	const struct trust_decision accepted = { .policy = TRUST_ACCEPT };
	char name[WIRE_PEER_NAME_MAX + 1];
	struct server *s = *state;
	struct machine other;

	machine_init(&other, "mine", 0);
	assert_int_equal(
	    trust_pin(s->w.trust, s->sender.id.public, "mine", TRUST_ASK, NULL),
	    0);
	assert_int_equal(
	    peers_pin(s->w.peers, other.id.public, "mine", &accepted, name), 0);
	assert_string_equal(name, "mine (2)");
	put_ask(s->pair.a, "f");
	assert_string_equal(question(s).name, "mine");
	server_end(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, ask_setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_question_says_who_and_what),
		TEST(yes_lets_it_in),
		TEST(no_keeps_it_out),
		TEST(a_pin_answers_too),
		TEST(a_question_can_be_taken_back),
		TEST(other_words_end_it),
		TEST(nothing_to_take_back_ends_it),
		TEST(a_name_in_use_is_another_one),
		TEST(a_pin_has_one_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
