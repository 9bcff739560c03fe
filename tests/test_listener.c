/*
 * Tests net/listener.h: who calls is served, and hears what changes.
 */
#include "listener_fixture.h"

static void a_caller_is_served_and_heard_of(void **state)
{
	struct place *p = *state;
	struct machine quiet;
	struct conn *a, *b;

	machine_init(&quiet, "receives nothing", 0);
	a = served(p, &p->caller);
	b = served(p, &quiet);
	mutex_lock(&p->lock);
	assert_int_equal(p->heard, 1);
	assert_int_equal(p->heard_port, 4242);
	mutex_unlock(&p->lock);
	conn_free(a);
	conn_free(b);
}

/* Nobody can dial it back: its pin is listed all the same, and means it. */
static void who_is_pinned_is_listed(void **state)
{
	uint8_t key[IDENTITY_KEY_BYTES];
	struct place *p = *state;
	struct peer_info info;
	struct machine quiet;
	struct conn *c;
	struct peer *peer;

	machine_init(&quiet, "behind a firewall", 0);
	c = served(p, &quiet);
	assert_null(peers_find_key(p->w.peers, quiet.id.public));
	offer(c, 1);
	expect(c, WIRE_ACCEPT);
	assert_string_equal(p->sink.peer, "behind a firewall");
	peer = peers_find_key(p->w.peers, quiet.id.public);
	assert_non_null(peer);
	peer_info(peer, &info);
	peer_put(peer);
	assert_string_equal(info.name, "behind a firewall");
	assert_int_equal(info.state, PEER_OFFLINE);
	assert_true(info.pinned);
	assert_int_equal(p->w.changes[PEER_APPEARED], 1);
	peers_tick(p->w.peers);
	assert_int_equal(
	    peers_set_policy(p->w.peers, info.name, TRUST_REFUSE, key), 0);
	assert_memory_equal(key, quiet.id.public, sizeof(key));
	assert_int_equal(trust_incoming(p->w.trust, key), WIRE_POLICY_REFUSE);
	assert_int_equal(peers_forget(p->w.peers, info.name, key), 0);
	assert_null(peers_find_key(p->w.peers, quiet.id.public));
	conn_free(c);
}

static void a_change_of_policy_is_told(void **state)
{
	struct place *p = *state;
	struct conn *c = served(p, &p->caller);
	struct machine other;
	struct conn *unconcerned;

	machine_init(&other, "other", 0);
	unconcerned = served(p, &other);
	assert_int_equal(
	    trust_pin(p->w.trust, p->caller.id.public, "x", TRUST_REFUSE, NULL),
	    0);
	listener_policy_changed(p->l, p->caller.id.public, true);
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_REFUSE);
	expect_quiet(unconcerned);
	conn_free(c);
	conn_free(unconcerned);
}

static void write_one(struct conn *c, uint64_t seq)
{
	struct wire_msg m = { .type = WIRE_WRITE };

	m.write.seq = seq;
	m.write.bytes = (const uint8_t *)"x";
	m.write.len = 1;
	send_msg(c, &m);
}

static void expect_turned_away(struct conn *c, uint32_t tag)
{
	struct wire_msg m = expect(c, WIRE_ABORT);

	assert_int_equal(m.abort.tag, tag);
	assert_int_equal(m.abort.code, WIRE_EACCES);
}

/* Whatever comes next of its transfers ends them, and leaves nothing. */
static void who_is_refused_is_cut_off(void **state)
{
	struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 7 };
	struct place *p = *state;
	struct conn *writer = served(p, &p->caller);
	struct conn *idle = served(p, &p->caller);
	struct machine other;
	struct conn *unconcerned;

	machine_init(&other, "other", 0);
	unconcerned = served(p, &other);
	offer(writer, 1);
	offer(idle, 2);
	offer(unconcerned, 3);
	expect(writer, WIRE_ACCEPT);
	expect(idle, WIRE_ACCEPT);
	expect(unconcerned, WIRE_ACCEPT);
	write_one(writer, 1);
	expect(writer, WIRE_ACK);
	/* Forgotten, so let in again under lan; but not what was under way. */
	assert_int_equal(trust_forget(p->w.trust, p->caller.id.public), 0);
	listener_policy_changed(p->l, p->caller.id.public, true);
	write_one(writer, 2);
	expect_turned_away(writer, 1);
	write_one(writer, 3); /* dropped */
	offer(writer, 4);
	expect(writer, WIRE_ACCEPT);
	write_one(writer, 1);
	expect(writer, WIRE_ACK);
	send_msg(idle, &ping);
	expect_turned_away(idle, 2);
	assert_int_equal(p->sink.aborted, 2);
	assert_int_equal(
	    trust_pin(p->w.trust, p->caller.id.public, "x", TRUST_REFUSE, NULL),
	    0);
	listener_policy_changed(p->l, p->caller.id.public, true);
	write_one(writer, 2);
	expect_turned_away(writer, 4);
	offer(writer, 5);
	assert_int_equal(expect(writer, WIRE_REFUSE).refuse.code, WIRE_EACCES);
	write_one(unconcerned, 1);
	expect(unconcerned, WIRE_ACK);
	conn_free(writer);
	conn_free(idle);
	conn_free(unconcerned);
}

/* A transfer whose first write waits in the disk. */
static void write_into_a_hung_disk(struct place *p, struct conn *c)
{
	memory_sink_block(&p->sink, MEMORY_WRITE);
	offer(c, 0);
	expect(c, WIRE_ACCEPT);
	write_one(c, 1);
	EVENTUALLY(memory_sink_read(&p->sink, &p->sink.waiting));
}

/* Said from the keeper's thread, while theirs waits. */
static struct wire_msg hear_of_the_keeper(struct place *p, struct conn *c)
{
	int64_t until = now_ms() + DEADLINE_MS;
	struct wire_msg m;
	int r;

	do {
		listener_tick(p->l);
		r = conn_receive(c, 20, -1, &m);
		assert_true(now_ms() < until);
	} while (r == -ETIMEDOUT);
	assert_int_equal(r, 0);
	assert_int_equal(m.type, WIRE_PONG);
	assert_int_equal(m.pong.cookie, 0);
	return m;
}

static void a_slow_disk_is_no_death(void **state)
{
	struct place *p = *state;
	struct conn *c = served(p, &p->caller);

	write_into_a_hung_disk(p, c);
	hear_of_the_keeper(p, c);
	memory_sink_block(&p->sink, 0);
	expect(c, WIRE_ACK);
	conn_free(c);
}

/* Even statvfs(2) hangs: the last answer does. */
static void a_disk_that_says_nothing_is_no_death(void **state)
{
	struct wire_msg ping = { .type = WIRE_PING, .ping.cookie = 7 };
	struct place *p = *state;
	struct conn *writer = served(p, &p->caller);
	struct conn *idle = served(p, &p->caller);
	struct wire_msg m;

	write_into_a_hung_disk(p, writer);
	memory_sink_block(&p->sink, MEMORY_WRITE | MEMORY_SPACE);
	send_msg(idle, &ping);
	EVENTUALLY(memory_sink_read(&p->sink, &p->sink.waiting) == 2);
	assert_int_equal(hear_of_the_keeper(p, writer).pong.free_bytes, 11);
	assert_int_equal(hear_of_the_keeper(p, idle).pong.total_files, 44);
	listener_policy_changed(p->l, p->caller.id.public, false);
	expect(idle, WIRE_PONG);
	memory_sink_block(&p->sink, 0);
	expect(writer, WIRE_ACK);
	do
		m = expect(idle, WIRE_PONG);
	while (!m.pong.cookie);
	assert_int_equal(m.pong.cookie, 7);
	conn_free(writer);
	conn_free(idle);
}

/* Whatever it waits for, until it has ended. */
static void a_transfer_under_way_is_busy(void **state)
{
	struct wire_msg m = { .type = WIRE_ABORT };
	struct place *p = *state;
	struct conn *c = served(p, &p->caller);

	assert_int_equal(listener_busy(p->l), 0);
	offer(c, 1);
	expect(c, WIRE_ACCEPT);
	assert_int_equal(listener_busy(p->l), 1);
	m.abort.tag = 1;
	m.abort.code = WIRE_ECANCELED;
	send_msg(c, &m);
	EVENTUALLY(listener_busy(p->l) == 0);
	conn_free(c);
}

static void who_is_here_has_a_connection(void **state)
{
	struct place *p = *state;
	struct conn *a, *b;
	struct machine other;
	int mute;

	machine_init(&other, "other", 0);
	assert_false(listener_here(p->l, p->caller.id.public));
	mute = silent(p, 1);
	a = served(p, &p->caller);
	b = served(p, &p->caller);
	assert_true(listener_here(p->l, p->caller.id.public));
	assert_false(listener_here(p->l, other.id.public));
	conn_free(a);
	conn_free(served(p, &other));
	EVENTUALLY(!listener_here(p->l, other.id.public));
	assert_true(listener_here(p->l, p->caller.id.public));
	conn_free(b);
	EVENTUALLY(!listener_here(p->l, p->caller.id.public));
	close(mute);
}

static void the_end_is_said(void **state)
{
	struct place p;
	struct conn *c;
	int mute;

	place_open(&p, TRUST_LAN);
	c = served(&p, &p.caller);
	mute = silent(&p, 1);
	listener_stop(p.l);
	listener_stop(p.l); /* once more: fine */
	assert_int_equal(listener_busy(p.l), 0);
	expect(c, WIRE_BYE);
	expect_end(c);
	EVENTUALLY(!alive(mute));
	close(mute);
	conn_free(c);
	place_close(&p);
}

static void a_port_that_is_taken(void **state)
{
	struct place *p = *state;
	struct listener *l = NULL;

	p->config.address = p->where;
	p->config.exact = true;
	assert_int_equal(listener_new(&p->config, &l), -EADDRINUSE);
	assert_null(l);
	p->config.exact = false;
	assert_int_equal(listener_new(&p->config, &l), 0);
	assert_int_not_equal(listener_port(l), listener_port(p->l));
	assert_true(listener_port(l) >= 1024);
	listener_free(l);
	listener_free(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_caller_is_served_and_heard_of),
		TEST(who_is_pinned_is_listed),
		TEST(a_change_of_policy_is_told),
		TEST(who_is_refused_is_cut_off),
		TEST(a_slow_disk_is_no_death),
		TEST(a_disk_that_says_nothing_is_no_death),
		TEST(a_transfer_under_way_is_busy),
		TEST(who_is_here_has_a_connection),
		cmocka_unit_test(the_end_is_said),
		TEST(a_port_that_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
