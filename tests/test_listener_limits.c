/*
 * Tests net/listener.h: what strangers can cost, what it costs them, and who
 * gets in all the same (net/listener_limits.c).
 */
#include "listener_fixture.h"

static void one_address_has_four_handshakes(void **state)
{
	/* So few that the address is still listened to. */
	enum { MANY = LISTENER_PER_ADDRESS_MAX + 5 };
	struct place *p = *state;
	int fd[MANY];
	struct conn *c;

	for (unsigned i = 0; i < MANY; i++)
		fd[i] = silent(p, 1);
	EVENTUALLY(count_alive(fd, MANY) == LISTENER_PER_ADDRESS_MAX);
	/* From that very address, through the flood. */
	c = served(p, &p->caller);
	EVENTUALLY(count_alive(fd, MANY) == LISTENER_PER_ADDRESS_MAX - 1);
	conn_free(c);
	for (unsigned i = 0; i < MANY; i++)
		close(fd[i]);
}

static void all_addresses_have_sixteen(void **state)
{
	enum { HOSTS = 12, EACH = 4, MANY = HOSTS * EACH };
	struct place *p = *state;
	struct conn *c[8];
	int fd[MANY];

	for (unsigned i = 0; i < MANY; i++)
		fd[i] = silent(p, 2 + i % HOSTS);
	EVENTUALLY(count_alive(fd, MANY) == LISTENER_HANDSHAKES_MAX);
	for (unsigned i = 0; i < N_OF(c); i++)
		c[i] = served(p, &p->caller);
	/* Who has proven a key takes no place of theirs. */
	assert_true(count_alive(fd, MANY) >= LISTENER_HANDSHAKES_MAX - N_OF(c));
	for (unsigned i = 0; i < N_OF(c); i++)
		conn_free(c[i]);
	for (unsigned i = 0; i < MANY; i++)
		close(fd[i]);
}

static void a_slow_handshake_ends(void **state)
{
	struct place *p = *state;
	uint8_t preamble[WIRE_PREAMBLE_BYTES];
	int mute = silent(p, 1), slow = silent(p, 2);
	int64_t began = now_ms();
	unsigned sent = 0;

	wire_preamble_encode(preamble);
	/* A byte now and then does not keep it. */
	while (alive(mute) || alive(slow)) {
		if (now_ms() - began > sent * 500 && sent < sizeof(preamble))
			send(slow, &preamble[sent++], 1, MSG_NOSIGNAL);
		assert_true(now_ms() - began < DEADLINE_MS);
		poll(NULL, 0, 20);
	}
	assert_in_range(now_ms() - began, CONN_HANDSHAKE_MS - 500,
	    CONN_HANDSHAKE_MS + 5000);
	close(mute);
	close(slow);
}

static void one_key_has_its_share(void **state)
{
	struct place *p = *state;
	struct conn *c[LISTENER_PER_KEY_MAX], *more;
	struct machine other;

	machine_init(&other, "other", 0);
	for (unsigned i = 0; i < N_OF(c); i++)
		c[i] = served(p, &p->caller);
	more = call(p, &p->caller);
	expect_end(more);
	conn_free(more);
	conn_free(served(p, &other));
	/* A place that becomes free is one. */
	conn_shutdown(c[0]);
	for (;;) {
		struct wire_msg m;
		int r;

		more = call(p, &p->caller);
		do
			r = conn_receive(more, DEADLINE_MS, -1, &m);
		while (r == CONN_DRAINED);
		conn_free(more);
		if (r == 0)
			break;
	}
	for (unsigned i = 0; i < N_OF(c); i++)
		conn_free(c[i]);
}

/* A flood of keys that nobody has pinned: any one of them goes. */
static void strangers_leave_room_for_others(void **state)
{
	enum { MAX = LISTENER_STRANGERS_MAX };
	struct conn *c[MAX], *more, *friend;
	struct machine stranger;
	struct place *p = *state;
	unsigned ended = 0;

	assert_int_equal(trust_pin(p->w.trust, p->caller.id.public, "friend",
			     TRUST_ACCEPT, NULL),
	    0);
	friend = served(p, &p->caller);
	for (unsigned i = 0; i < MAX; i++) {
		machine_init(&stranger, "stranger", 0);
		c[i] = served(p, &stranger);
	}
	/* A friend takes no place of theirs. */
	conn_free(served(p, &p->caller));
	for (unsigned i = 0; i < MAX; i++)
		assert_true(alive(conn_fd(c[i])));
	machine_init(&stranger, "one more", 0);
	more = served(p, &stranger);
	for (unsigned i = 0; i < MAX; i++)
		ended += !alive(conn_fd(c[i]));
	assert_int_equal(ended, 1);
	expect_quiet(friend);
	for (unsigned i = 0; i < MAX; i++)
		conn_free(c[i]);
	conn_free(more);
	conn_free(friend);
}

/* --- penalties -------------------------------------------------------------
 */

/* A caller that has written this, and nothing else ever. */
static int garbage(struct place *p, unsigned host)
{
	static const char text[] = "GET / HTTP/1.1\r\n\r\n";
	int fd = silent(p, host);

	assert_int_equal(
	    send(fd, text, sizeof(text), MSG_NOSIGNAL), (ssize_t)sizeof(text));
	return fd;
}

/* Is whoever calls from there hung up on at once? */
static bool shut_out(struct place *p, unsigned host)
{
	int fd = silent(p, host);
	struct pollfd in = { .fd = fd, .events = POLLIN };
	bool out = poll(&in, 1, QUIET_MS) > 0;

	close(fd);
	return out;
}

static void who_wastes_handshakes_is_not_heard(void **state)
{
	struct place *p = *state;
	unsigned n;

	for (n = 0; !shut_out(p, 9); n++) {
		int fd = garbage(p, 9);

		EVENTUALLY(!alive(fd));
		close(fd);
		assert_true(n < 20);
	}
	/* The first few are nothing: somebody looks for open ports. */
	assert_in_range(n, 3, PENALTY_LEAST_MS / PENALTY_NO_HANDSHAKE);
	assert_false(shut_out(p, 10));
	conn_free(served(p, &p->caller));
}

/* Nor does it stop what goes on, or one whom we know from coming back. */
static void a_known_host_pays_nothing(void **state)
{
	struct place *p = *state;
	struct conn *friend;

	assert_int_equal(trust_pin(p->w.trust, p->caller.id.public, "friend",
			     TRUST_ACCEPT, NULL),
	    0);
	friend = served(p, &p->caller); /* from 127.0.0.1 */
	for (unsigned i = 0; i < 40; i++) {
		int fd = garbage(p, 1);

		EVENTUALLY(!alive(fd));
		close(fd);
	}
	assert_false(shut_out(p, 1));
	conn_free(served(p, &p->caller));
	expect_quiet(friend);
	conn_free(friend);
}

/* Where an accepted peer was last, it is heard when it comes back. */
static void where_a_peer_was_nobody_is_shut_out(void **state)
{
	struct sockaddr_storage home;
	struct place *p = *state;

	assert_int_equal(address_parse("127.0.0.9:4717", 0, &home), 0);
	assert_int_equal(trust_pin(p->w.trust, p->caller.id.public, "friend",
			     TRUST_ACCEPT, NULL),
	    0);
	assert_int_equal(trust_note_address(p->w.trust, p->caller.id.public,
			     (struct sockaddr *)&home),
	    0);
	for (unsigned i = 0; i < 20; i++) {
		int fd = garbage(p, 9);

		EVENTUALLY(!alive(fd));
		close(fd);
	}
	assert_false(shut_out(p, 9));
	assert_int_equal(trust_pin(p->w.trust, p->caller.id.public, "friend",
			     TRUST_REFUSE, NULL),
	    0);
	assert_true(shut_out(p, 9));
}

/* Keys cost nothing: those who break the protocol pay with their address. */
static void strangers_who_break_the_protocol_pay(void **state)
{
	struct wire_msg m = { .type = WIRE_UNASK };
	struct machine stranger;
	struct place *p = *state;
	struct conn *c;

	for (unsigned i = 0; i < 3; i++) {
		machine_init(&stranger, "stranger", 0);
		c = served(p, &stranger);
		send_msg(c, &m);
		expect_end(c);
		conn_free(c);
	}
	EVENTUALLY(shut_out(p, 1));
	assert_false(shut_out(p, 2));
}

/* --- who is not accepted ---------------------------------------------------
 */

static void who_is_not_accepted_has_one_connection(void **state)
{
	struct wire_msg ask = { .type = WIRE_ASK };
	struct place p;
	struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 7 };
	struct conn *old, *new;

	place_open(&p, TRUST_ASKED);
	old = served(&p, &p.caller);
	/* The first one lives, so another one is to pair on, and no more. */
	new = served(&p, &p.caller);
	send_msg(new, &ping);
	expect_end(new);
	conn_free(new);
	assert_false(shut_out(&p, 1));
	strcpy(ask.ask.name, "f");
	send_msg(old, &ask);
	EVENTUALLY(consent_find(p.consent, "caller",
		       &(struct consent_question){ 0 }) == 0);
	new = served(&p, &p.caller);
	send_msg(new, &ask);
	expect_end(new);
	conn_free(new);
	/* Where the other side has gone, its place is free at once. */
	conn_free(old);
	new = served(&p, &p.caller);
	send_msg(new, &ping);
	expect(new, WIRE_PONG);
	conn_free(new);
	EVENTUALLY(consent_find(p.consent, "caller",
		       &(struct consent_question){ 0 }) == -ENOENT);
	place_close(&p);
	(void)state;
}

/* A record that is too large for a stranger, and for nobody else. */
static void who_is_not_accepted_sends_little(void **state)
{
	static uint8_t bytes[WIRE_WRITE_MAX];
	struct wire_msg m = { .type = WIRE_WRITE };
	struct place p;
	struct conn *c;

	place_open(&p, TRUST_KNOWN);
	m.write.seq = 1;
	m.write.bytes = bytes;
	m.write.len = sizeof(bytes);
	c = served(&p, &p.caller);
	offer(c, 1);
	expect(c, WIRE_REFUSE);
	conn_send(c, &m);
	expect_end(c);
	conn_free(c);
	c = served(&p, &p.caller);
	assert_int_equal(
	    trust_pin(p.w.trust, p.caller.id.public, "x", TRUST_ACCEPT, NULL),
	    0);
	listener_policy_changed(p.l, p.caller.id.public, false);
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_ACCEPT);
	offer(c, 2);
	expect(c, WIRE_ACCEPT);
	send_msg(c, &m);
	expect(c, WIRE_ACK);
	conn_free(c);
	place_close(&p);
	(void)state;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(one_address_has_four_handshakes),
		TEST(all_addresses_have_sixteen),
		TEST(a_slow_handshake_ends),
		TEST(one_key_has_its_share),
		TEST(strangers_leave_room_for_others),
		TEST(who_wastes_handshakes_is_not_heard),
		TEST(a_known_host_pays_nothing),
		TEST(where_a_peer_was_nobody_is_shut_out),
		TEST(strangers_who_break_the_protocol_pay),
		cmocka_unit_test(who_is_not_accepted_has_one_connection),
		cmocka_unit_test(who_is_not_accepted_sends_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
