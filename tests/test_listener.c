/*
 * Tests net/listener.h: what strangers can cost, and who gets in all the same.
 * Floods come from several addresses of 127.0.0.0/8.
 */
#include "memory_sink.h"
#include "net_fixture.h"

#include "listener.h"

struct place {
	struct world w;
	struct memory_sink sink;
	struct space *space;
	struct listener *l;
	struct listener_config config;
	struct sockaddr_storage where;
	struct machine caller;
	struct mutex lock;
	unsigned heard GUARDED_BY(lock); /* calls of config.caller */
	uint16_t heard_port GUARDED_BY(lock);
};

static void heard(void *ctx, const struct sockaddr *from, uint16_t port)
{
	struct place *p = ctx;

	mutex_lock(&p->lock);
	p->heard++;
	p->heard_port = port;
	mutex_unlock(&p->lock);
}

static void place_open(struct place *p, enum trust_default strangers)
{
	memset(p, 0, sizeof(*p));
	mutex_init(&p->lock);
	world_open(&p->w, "here", strangers, 1000);
	memory_sink_init(&p->sink);
	machine_init(&p->caller, "caller", 4242);
	assert_int_equal(
	    address_parse("127.0.0.1:1", 0, &p->config.address), 0);
	address_set_port((struct sockaddr *)&p->config.address, 0);
	p->config.self = &p->w.me.self;
	p->config.caller = heard;
	p->config.ctx = p;
	p->space = space_new(&p->sink.base);
	assert_non_null(p->space);
	p->config.incoming = (struct incoming_config){ .sink = &p->sink.base,
		.space = p->space,
		.trust = p->w.trust,
		.ledger = p->w.ledger,
		.peers = p->w.peers,
		.patience_ms = 1000 };
	assert_int_equal(listener_new(&p->config, &p->l), 0);
	p->where = p->config.address;
	address_set_port((struct sockaddr *)&p->where, listener_port(p->l));
	assert_int_equal(listener_start(p->l), 0);
}

static void place_close(struct place *p)
{
	listener_free(p->l);
	assert_true(memory_sink_rests(&p->sink));
	space_free(p->space);
	memory_sink_fini(&p->sink);
	world_close(&p->w);
	mutex_fini(&p->lock);
}

static int setup(void **state)
{
	struct place *p = malloc(sizeof(*p));

	assert_non_null(p);
	place_open(p, TRUST_LAN);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	place_close(*state);
	free(*state);
	return 0;
}

/* A caller that says nothing, from 127.0.0.host. */
static int silent(struct place *p, unsigned host)
{
	struct sockaddr_storage from;
	char text[32];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "127.0.0.%u:1", host);
	assert_int_equal(address_parse(text, 0, &from), 0);
	address_set_port((struct sockaddr *)&from, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from,
			     address_len((struct sockaddr *)&from)),
	    0);
	assert_int_equal(connect(fd, (struct sockaddr *)&p->where,
			     address_len((struct sockaddr *)&p->where)),
	    0);
	return fd;
}

/* Is this socket still served? */
static bool alive(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);

	return n < 0 && errno == EAGAIN;
}

static unsigned count_alive(const int *fds, unsigned n)
{
	unsigned living = 0;

	for (unsigned i = 0; i < n; i++)
		living += alive(fds[i]);
	return living;
}

static struct conn *call(struct place *p, const struct machine *m)
{
	struct conn *c;

	assert_int_equal(conn_dial(&m->self, (struct sockaddr *)&p->where,
			     CONN_HANDSHAKE_MS, -1, &c, NULL),
	    0);
	return c;
}

/* One that is served says so at once. */
static struct conn *served(struct place *p, const struct machine *m)
{
	struct conn *c = call(p, m);

	expect(c, WIRE_PONG);
	return c;
}

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

static void one_address_has_four_handshakes(void **state)
{
	enum { MANY = 24 };
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
	listener_policy_changed(p->l, p->caller.id.public);
	assert_int_equal(expect(c, WIRE_PONG).pong.policy, WIRE_POLICY_REFUSE);
	expect_quiet(unconcerned);
	conn_free(c);
	conn_free(unconcerned);
}

/* A transfer whose first write waits in the disk. */
static void write_into_a_hung_disk(struct place *p, struct conn *c)
{
	struct wire_msg m = { .type = WIRE_OFFER };

	memory_sink_block(&p->sink, MEMORY_WRITE);
	m.offer.id[0] = 1;
	strcpy(m.offer.name, "x");
	send_msg(c, &m);
	expect(c, WIRE_ACCEPT);
	memset(&m, 0, sizeof(m));
	m.type = WIRE_WRITE;
	m.write.seq = 1;
	m.write.bytes = (const uint8_t *)"x";
	m.write.len = 1;
	send_msg(c, &m);
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
	listener_policy_changed(p->l, p->caller.id.public);
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
	struct wire_msg m = { .type = WIRE_OFFER };
	struct place *p = *state;
	struct conn *c = served(p, &p->caller);

	assert_int_equal(listener_busy(p->l), 0);
	m.offer.tag = 1;
	m.offer.id[0] = 1;
	strcpy(m.offer.name, "x");
	send_msg(c, &m);
	expect(c, WIRE_ACCEPT);
	assert_int_equal(listener_busy(p->l), 1);
	memset(&m, 0, sizeof(m));
	m.type = WIRE_ABORT;
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
		TEST(one_address_has_four_handshakes),
		TEST(all_addresses_have_sixteen),
		TEST(a_slow_handshake_ends),
		TEST(one_key_has_its_share),
		TEST(strangers_leave_room_for_others),
		TEST(a_change_of_policy_is_told),
		TEST(a_slow_disk_is_no_death),
		TEST(a_disk_that_says_nothing_is_no_death),
		TEST(a_transfer_under_way_is_busy),
		TEST(who_is_here_has_a_connection),
		cmocka_unit_test(the_end_is_said),
		TEST(a_port_that_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
