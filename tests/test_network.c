/*
 * Tests net/network.h: the clocks that it moves, which must not wait for each
 * other, and what our owner decides. What it puts together has tests of its
 * own.
 */
#include "memory_sink.h"
#include "net_fixture.h"

#include "network.h"

enum { ASK_MS = 2500 };

/* A whole machine, whom the test calls. */
struct place {
	char path[64];
	struct machine me, caller;
	struct memory_sink sink;
	struct network *n;
	struct sockaddr_storage where;
	_Atomic unsigned asked[CONSENT_WITHDRAWN + 1];
};

static void on_asked(void *ctx, enum consent_change change,
    const struct consent_question *question)
{
	struct place *p = ctx;

	(void)question;
	p->asked[change]++;
}

/* A folder of its own, which policies are set by. */
static void pin(int state_fd, const struct machine *m)
{
	struct trust *t;

	assert_int_equal(trust_open(state_fd, TRUST_LAN, &t), 0);
	assert_int_equal(
	    trust_pin(t, m->id.public, m->self.hello.name, TRUST_ACCEPT, NULL),
	    0);
	trust_close(t);
}

static int setup_with(void **state, enum trust_default strangers)
{
	struct place *p = calloc(1, sizeof(*p));
	struct network_config config = {
		.name = "here", .accept = strangers, .patience_ms = 1000
	};

	assert_non_null(p);
	machine_init(&p->me, "here", 0);
	machine_init(&p->caller, "caller", 0);
	memory_sink_init(&p->sink);
	strcpy(p->path, "/tmp/gtfs-test-network-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	assert_int_equal(address_parse("127.0.0.1:1", 0, &config.listen), 0);
	address_set_port((struct sockaddr *)&config.listen, 0);
	config.identity = &p->me.id;
	config.sink = &p->sink.base;
	config.asked = on_asked;
	config.ask_timeout_ms = ASK_MS;
	config.ctx = p;
	config.state_fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(config.state_fd >= 0);
	pin(config.state_fd, &p->caller);
	assert_int_equal(network_new(&config, &p->n, NULL), 0);
	close(config.state_fd);
	assert_int_equal(network_start(p->n), 0);
	p->where = config.listen;
	address_set_port((struct sockaddr *)&p->where, network_port(p->n));
	*state = p;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, TRUST_LAN);
}

static int setup_asking(void **state)
{
	return setup_with(state, TRUST_ASKED);
}

static int teardown(void **state)
{
	struct place *p = *state;

	network_stop(p->n);
	network_free(p->n);
	memory_sink_fini(&p->sink);
	nftw(p->path, world_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

/* One that is served, and has begun a file. */
static struct conn *begin_a_file(struct place *p)
{
	struct wire_msg m = { .type = WIRE_OFFER };
	struct conn *c;

	assert_int_equal(
	    conn_dial(&p->caller.self, (struct sockaddr *)&p->where,
		CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	m.offer.id[0] = 1;
	strcpy(m.offer.name, "x");
	send_msg(c, &m);
	expect(c, WIRE_ACCEPT);
	return c;
}

/* A tick that begins from now on, and what it finds. */
static bool next_tick_finds_the_sender(struct place *p)
{
	unsigned before, n;

	mutex_lock(&p->sink.lock);
	before = p->sink.ticks_here;
	n = p->sink.ticks;
	mutex_unlock(&p->sink.lock);
	EVENTUALLY(memory_sink_read(&p->sink, &p->sink.ticks) > n);
	return memory_sink_read(&p->sink, &p->sink.ticks_here) > before;
}

static void the_inbox_knows_who_is_here(void **state)
{
	struct place *p = *state;
	struct conn *c = begin_a_file(p);

	assert_true(next_tick_finds_the_sender(p));
	/* Who may say nothing more might as well be away. */
	assert_int_equal(network_set_policy(p->n, "caller", TRUST_REFUSE), 0);
	EVENTUALLY(!next_tick_finds_the_sender(p));
	assert_int_equal(network_set_policy(p->n, "caller", TRUST_ACCEPT), 0);
	EVENTUALLY(next_tick_finds_the_sender(p));
	conn_free(c);
	EVENTUALLY(!next_tick_finds_the_sender(p));
}

static struct wire_msg expect_pong(struct conn *c)
{
	struct wire_msg m;
	int r;

	do
		r = conn_receive(c, DEADLINE_MS, -1, &m);
	while (r == CONN_DRAINED);
	assert_int_equal(r, 0);
	assert_int_equal(m.type, WIRE_PONG);
	return m;
}

/* What is held is looked through, and the disk hangs: the keeper does not. */
static void a_hung_inbox_keeps_no_clock_waiting(void **state)
{
	struct wire_msg write = { .type = WIRE_WRITE };
	struct place *p = *state;
	struct conn *c = begin_a_file(p);

	memory_sink_block(&p->sink, MEMORY_TICK | MEMORY_WRITE);
	write.write.seq = 1;
	write.write.bytes = (const uint8_t *)"x";
	write.write.len = 1;
	send_msg(c, &write);
	EVENTUALLY(memory_sink_read(&p->sink, &p->sink.waiting) == 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(expect_pong(c).pong.cookie, 0);
	memory_sink_block(&p->sink, 0);
	expect(c, WIRE_ACK);
	conn_free(c);
}

/* Goodbyes leave although the inbox still waits for its disk. */
static void *stop(void *arg)
{
	network_stop(arg);
	return NULL;
}

static void a_hung_inbox_delays_no_goodbye(void **state)
{
	struct place *p = *state;
	struct conn *c = begin_a_file(p);
	pthread_t stopper;

	memory_sink_block(&p->sink, MEMORY_TICK);
	EVENTUALLY(memory_sink_read(&p->sink, &p->sink.waiting));
	assert_int_equal(thread_start(&stopper, "stopper", stop, p->n), 0);
	expect(c, WIRE_BYE);
	expect_end(c);
	memory_sink_block(&p->sink, 0);
	pthread_join(stopper, NULL);
	conn_free(c);
}

/* --- what our owner decides -------------------------------------------------
 */

/* A stranger whose question is open, under this name. */
static struct conn *ask_as(struct place *p, struct machine *m, const char *name)
{
	struct wire_msg ask = { .type = WIRE_ASK };
	struct consent_question q;
	struct conn *c;

	assert_int_equal(conn_dial(&m->self, (struct sockaddr *)&p->where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_ASK);
	strcpy(ask.ask.name, "f");
	send_msg(c, &ask);
	EVENTUALLY(consent_find(network_consent(p->n), name, &q) == 0);
	return c;
}

static struct conn *ask(struct place *p, struct machine *m, const char *name)
{
	machine_init(m, name, 0);
	return ask_as(p, m, name);
}

static void yes_is_a_pin_with_words(void **state)
{
	struct place *p = *state;
	struct peer_info info;
	struct machine m;
	struct conn *c = ask(p, &m, "stranger");
	struct peer *peer;

	assert_int_equal(network_set_verified(p->n, "stranger"), -ENOENT);
	assert_int_equal(network_set_quota(p->n, "stranger", 1, 1), -ENOENT);
	assert_int_equal(network_decide(p->n, "stranger", true), 0);
	assert_int_equal(expect(c, WIRE_ANSWER).answer.code, WIRE_OK);
	assert_int_equal(p->asked[CONSENT_ACCEPTED], 1);
	peer = peers_find_name(network_peers(p->n), "stranger");
	assert_non_null(peer);
	peer_info(peer, &info);
	assert_true(info.pinned && info.has_words && !info.verified);
	assert_int_equal(info.pin_policy, TRUST_ACCEPT);
	assert_memory_equal(info.words, conn_words(c), sizeof(info.words));
	assert_int_equal(network_set_verified(p->n, "stranger"), 0);
	assert_int_equal(network_set_quota(p->n, "stranger", 1000, 5), 0);
	peer_info(peer, &info);
	assert_true(info.verified);
	peer_put(peer);
	/* The one that was pinned by hand has none. */
	assert_int_equal(network_set_verified(p->n, "caller"), -ENODATA);
	/* Again, and with no question: as any peer. */
	assert_int_equal(network_decide(p->n, "stranger", true), 0);
	assert_int_equal(network_decide(p->n, "nobody", true), -ENOENT);
	conn_free(c);
}

static void no_pins_nothing(void **state)
{
	struct place *p = *state;
	struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 7 };
	struct machine m;
	struct conn *c = ask(p, &m, "stranger");

	assert_int_equal(network_decide(p->n, "stranger", false), 0);
	assert_int_equal(expect(c, WIRE_ANSWER).answer.code, WIRE_EACCES);
	assert_int_equal(p->asked[CONSENT_DECLINED], 1);
	send_msg(c, &ping);
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_REFUSE);
	assert_null(peers_find_name(network_peers(p->n), "stranger"));
	assert_int_equal(network_decide(p->n, "stranger", false), -ENOENT);
	/* A peer that is listed is refused for good. */
	assert_int_equal(network_decide(p->n, "caller", false), 0);
	conn_free(c);
}

static void nobody_answers(void **state)
{
	struct place *p = *state;
	struct machine m;
	struct conn *c = ask(p, &m, "stranger");

	assert_int_equal(expect(c, WIRE_ANSWER).answer.code, WIRE_EACCES);
	assert_int_equal(p->asked[CONSENT_EXPIRED], 1);
	assert_int_equal(network_decide(p->n, "stranger", true), -ENOENT);
	conn_free(c);
}

/* Whatever comes while the question is open, yes is for whom it shows. */
static void a_name_is_one_machines(void **state)
{
	struct place *p = *state;
	struct machine m, other;
	struct conn *c = ask(p, &m, "stranger");
	const struct trust_decision refused = { .policy = TRUST_REFUSE };
	char name[WIRE_PEER_NAME_MAX + 1];
	struct peer_info info;
	struct peer *peer;

	machine_init(&other, "stranger", 0);
	assert_int_equal(peers_pin(network_peers(p->n), other.id.public,
			     "stranger", &refused, name),
	    0);
	assert_string_equal(name, "stranger (2)");
	assert_int_equal(network_set_verified(p->n, "stranger"), -ENOENT);
	assert_int_equal(network_decide(p->n, "stranger", true), 0);
	assert_int_equal(expect(c, WIRE_ANSWER).answer.code, WIRE_OK);
	assert_int_equal(network_set_verified(p->n, "stranger"), 0);
	peer = peers_find_name(network_peers(p->n), "stranger");
	assert_non_null(peer);
	peer_info(peer, &info);
	peer_put(peer);
	assert_memory_equal(info.key, m.id.public, sizeof(info.key));
	assert_true(info.pinned && info.verified);
	peer = peers_find_key(network_peers(p->n), other.id.public);
	peer_info(peer, &info);
	peer_put(peer);
	assert_int_equal(info.pin_policy, TRUST_REFUSE);
	assert_false(info.verified);
	conn_free(c);
}

/* It was read with the words of another. */
static void a_question_leaves_its_name_to_nobody(void **state)
{
	struct place *p = *state;
	struct consent_question q;
	struct machine m, other;
	struct conn *c = ask(p, &m, "stranger");

	assert_int_equal(
	    consent_find(network_consent(p->n), "stranger", &q), 0);
	conn_free(c);
	EVENTUALLY(p->asked[CONSENT_WITHDRAWN] == 1);
	machine_init(&other, "stranger", 0);
	c = ask_as(p, &other, "stranger (2)");
	assert_int_equal(network_decide(p->n, "stranger", true), -ENOENT);
	assert_int_equal(network_answer(p->n, q.serial, true), -ENOENT);
	assert_int_equal(network_decide(p->n, "stranger (2)", true), 0);
	assert_int_equal(expect(c, WIRE_ANSWER).answer.code, WIRE_OK);
	conn_free(c);
}

static void the_end_takes_questions_with_it(void **state)
{
	struct place *p = *state;
	struct machine m;
	struct conn *c = ask(p, &m, "stranger");

	network_stop(p->n);
	assert_int_equal(p->asked[CONSENT_WITHDRAWN], 1);
	conn_free(c);
}

int main(void)
{
#define TEST(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)
#define ASKED(f) cmocka_unit_test_setup_teardown(f, setup_asking, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_inbox_knows_who_is_here),
		TEST(a_hung_inbox_keeps_no_clock_waiting),
		TEST(a_hung_inbox_delays_no_goodbye),
		ASKED(yes_is_a_pin_with_words),
		ASKED(no_pins_nothing),
		ASKED(nobody_answers),
		ASKED(a_name_is_one_machines),
		ASKED(a_question_leaves_its_name_to_nobody),
		ASKED(the_end_takes_questions_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
