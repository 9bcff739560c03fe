/*
 * Tests net/network.h: the clocks that it moves, which must not wait for each
 * other. What it puts together has tests of its own.
 */
#include "memory_sink.h"
#include "net_fixture.h"

#include "network.h"

/* A whole machine, whom the test calls. */
struct place {
	char path[64];
	struct machine me, caller;
	struct memory_sink sink;
	struct network *n;
	struct sockaddr_storage where;
};

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

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct network_config config = {
		.name = "here", .accept = TRUST_LAN, .patience_ms = 1000
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
	config.state_fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(config.state_fd >= 0);
	pin(config.state_fd, &p->caller);
	assert_int_equal(network_new(&config, &p->n), 0);
	close(config.state_fd);
	assert_int_equal(network_start(p->n), 0);
	p->where = config.listen;
	address_set_port((struct sockaddr *)&p->where, network_port(p->n));
	*state = p;
	return 0;
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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_inbox_knows_who_is_here),
		TEST(a_hung_inbox_keeps_no_clock_waiting),
		TEST(a_hung_inbox_delays_no_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
