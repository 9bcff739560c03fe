/*
 * Tests net/peers.h: the names that the user has given to hosts (--peer), and
 * strangers who call themselves so.
 */
#include "net_fixture.h"

struct place {
	struct world w;
	struct machine host, stranger; /* both are called "server" */
	int host_fd, stranger_fd;
	struct sockaddr_storage host_at, stranger_at;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	world_open(&p->w, "here", TRUST_LAN, 1000);
	p->host_fd = loopback_listen(&p->host_at);
	p->stranger_fd = loopback_listen(&p->stranger_at);
	machine_init(
	    &p->host, "server", address_port((struct sockaddr *)&p->host_at));
	machine_init(&p->stranger, "server",
	    address_port((struct sockaddr *)&p->stranger_at));
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	close(p->host_fd);
	close(p->stranger_fd);
	world_close(&p->w);
	free(p);
	return 0;
}

static void reserve(struct place *p, bool known)
{
	assert_int_equal(peers_reserve(p->w.peers, "server",
			     known ? (struct sockaddr *)&p->host_at : NULL),
	    0);
}

/* Both are in the table; wanted: how the host was found. */
static void link_both(struct place *p, const char *wanted)
{
	struct conn *c = world_link(
	    &p->w, p->stranger_fd, &p->stranger_at, &p->stranger, NULL);

	conn_free(c);
	c = world_link(&p->w, p->host_fd, &p->host_at, &p->host, wanted);
	conn_free(c);
}

static void is_called(struct place *p, struct machine *m, const char *name)
{
	assert_memory_equal(
	    world_info(&p->w, name).key, m->id.public, IDENTITY_KEY_BYTES);
}

static void the_users_name_waits_for_its_host(void **state)
{
	reserve(*state, false);
	link_both(*state, "server");
	is_called(*state, &((struct place *)*state)->host, "server");
	is_called(*state, &((struct place *)*state)->stranger, "server (2)");
}

static void the_host_is_known_by_its_address(void **state)
{
	struct place *p = *state;

	reserve(p, true);
	link_both(p, NULL);
	is_called(p, &p->host, "server");
	is_called(p, &p->stranger, "server (2)");
}

/* It sends something before it was dialled. */
static void a_caller_is_known_by_where_it_listens(void **state)
{
	const struct trust_decision d = { .policy = TRUST_ACCEPT };
	char name[WIRE_PEER_NAME_MAX + 1];
	struct place *p = *state;
	struct machine *callers[] = { &p->stranger, &p->host };
	static const char *const want[] = { "server (2)", "server" };
	struct pair pair;

	reserve(p, true);
	for (unsigned i = 0; i < N_OF(callers); i++) {
		pair_open(&pair, callers[i], &p->w.me);
		peers_claim(p->w.peers, pair.b);
		pair_close(&pair);
		assert_int_equal(peers_pin(p->w.peers, callers[i]->id.public,
				     "server", &d, name),
		    0);
		assert_string_equal(name, want[i]);
	}
}

/* Found at another address first: it is renamed while nothing is at stake. */
static void the_host_gets_its_name_later(void **state)
{
	struct place *p = *state;
	struct conn *before, *c;

	reserve(p, false);
	before = world_link(&p->w, p->host_fd, &p->host_at, &p->host, NULL);
	is_called(p, &p->host, "server (2)");
	c = world_link(&p->w, p->host_fd, &p->host_at, &p->host, "server");
	is_called(p, &p->host, "server");
	assert_null(peers_find_name(p->w.peers, "server (2)"));
	assert_int_equal(p->w.changes[PEER_WENT], 1);
	conn_free(before);
	conn_free(c);
}

static void a_pin_keeps_its_name(void **state)
{
	struct place *p = *state;
	struct conn *c;

	assert_int_equal(trust_pin(p->w.trust, p->stranger.id.public, "server",
			     TRUST_ACCEPT, NULL),
	    0);
	reserve(p, true);
	c = world_link(
	    &p->w, p->stranger_fd, &p->stranger_at, &p->stranger, NULL);
	is_called(p, &p->stranger, "server");
	conn_free(c);
	c = world_link(&p->w, p->host_fd, &p->host_at, &p->host, "server");
	is_called(p, &p->host, "server (2)");
	conn_free(c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_users_name_waits_for_its_host),
		TEST(the_host_is_known_by_its_address),
		TEST(a_caller_is_known_by_where_it_listens),
		TEST(the_host_gets_its_name_later),
		TEST(a_pin_keeps_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
