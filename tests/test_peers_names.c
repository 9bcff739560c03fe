/*
 * Tests net/peers.h: the names that the user has given to hosts (--peer), and
 * strangers who call themselves so.
 */
#include "net_fixture.h"

#include <sys/eventfd.h>

#include "consent.h"
#include "peer_internal.h"

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

/* Whoever it is: where it says that it listens proves nothing. */
static void a_caller_has_no_name_of_the_users(void **state)
{
	const struct trust_decision d = { .policy = TRUST_ACCEPT };
	char name[WIRE_PEER_NAME_MAX + 1];
	struct place *p = *state;
	int64_t began = now_ms();
	struct pair pair;

	reserve(p, true);
	pair_open(&pair, &p->host, &p->w.me);
	peers_await_claim(p->w.peers, pair.b);
	assert_true(now_ms() - began > 500);
	assert_int_equal(
	    peers_pin(p->w.peers, p->host.id.public, "server", &d, name), 0);
	assert_string_equal(name, "server (2)");
	pair_close(&pair);
}

static void *link_late(void *arg)
{
	struct place *p = arg;

	conn_free(world_link(&p->w, p->host_fd, &p->host_at, &p->host, NULL));
	return NULL;
}

/* But we dial it ourselves meanwhile. */
static void a_caller_is_given_the_time_to_be_proven(void **state)
{
	struct place *p = *state;
	pthread_t thread;
	struct pair pair;

	reserve(p, true);
	pair_open(&pair, &p->host, &p->w.me);
	assert_int_equal(thread_start(&thread, "late", link_late, p), 0);
	peers_await_claim(p->w.peers, pair.b);
	is_called(p, &p->host, "server");
	pthread_join(thread, NULL);
	pair_close(&pair);
}

static void one_machine_keeps_the_first_of_two_names(void **state)
{
	static const char *const names[] = { "server", "second", "server" };
	struct conn *links[N_OF(names)];
	struct place *p = *state;

	reserve(p, false);
	assert_int_equal(peers_reserve(p->w.peers, "second", NULL), 0);
	for (unsigned i = 0; i < N_OF(names); i++) {
		links[i] = world_link(
		    &p->w, p->host_fd, &p->host_at, &p->host, names[i]);
		is_called(p, &p->host, "server");
		assert_null(peers_find_name(p->w.peers, "second"));
		/* And needs no other proof. */
		assert_true(peers_has_address(
		    p->w.peers, (struct sockaddr *)&p->host_at, "second"));
	}
	assert_int_equal(p->w.changes[PEER_WENT], 0);
	for (unsigned i = 0; i < N_OF(links); i++)
		conn_free(links[i]);
}

/* What a person was shown, or nothing. */
static void a_pin_has_the_name_that_was_shown(void **state)
{
	const struct trust_decision d = { .policy = TRUST_ACCEPT };
	struct place *p = *state;
	const uint8_t *key = p->host.id.public;
	struct trust_pin pin;
	struct conn *c =
	    world_link(&p->w, p->host_fd, &p->host_at, &p->host, NULL);

	assert_int_equal(peers_pin_as(p->w.peers, key, "other", &d), -ESTALE);
	assert_int_equal(trust_find(p->w.trust, key, &pin), -ENOENT);
	assert_int_equal(
	    peers_pin_as(p->w.peers, p->stranger.id.public, "server", &d),
	    -ESTALE);
	assert_int_equal(p->w.changes[PEER_APPEARED], 1);
	assert_int_equal(peers_pin_as(p->w.peers, key, "server", &d), 0);
	assert_int_equal(trust_find(p->w.trust, key, &pin), 0);
	assert_string_equal(pin.name, "server");
	conn_free(c);
}

/* Found at another address first: it is renamed while nothing is at stake. */
static void the_host_gets_its_name_later(void **state)
{
	struct place *p = *state;
	struct conn *before, *c;

	reserve(p, false);
	before = world_link(&p->w, p->host_fd, &p->host_at, &p->host, NULL);
	is_called(p, &p->host, "server (2)");
	assert_false(peers_has_address(
	    p->w.peers, (struct sockaddr *)&p->host_at, "server"));
	c = world_link(&p->w, p->host_fd, &p->host_at, &p->host, "server");
	is_called(p, &p->host, "server");
	assert_true(peers_has_address(
	    p->w.peers, (struct sockaddr *)&p->host_at, "server"));
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

/* Our owner may be about to say yes to it. */
static void a_name_that_is_shown_stays(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	const struct trust_decision d = { .policy = TRUST_ACCEPT };
	struct consent_question q = { .file = "f" };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct place *p = *state;
	uint64_t serial;

	assert_non_null(c);
	p->w.peers->config.consent = c;
	reserve(p, true);
	memcpy(q.key, p->host.id.public, sizeof(q.key));
	q.address = p->host_at;
	assert_int_equal(
	    peers_hold_name(p->w.peers, q.key, "laptop", q.name), 0);
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	/* And only now it is proven to be the server. */
	conn_free(world_link(&p->w, p->host_fd, &p->host_at, &p->host, NULL));
	is_called(p, &p->host, "laptop");
	assert_int_equal(peers_pin_as(p->w.peers, q.key, "laptop", &d), 0);
	p->w.peers->config.consent = NULL;
	consent_free(c);
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_users_name_waits_for_its_host),
		TEST(the_host_is_known_by_its_address),
		TEST(a_caller_has_no_name_of_the_users),
		TEST(a_caller_is_given_the_time_to_be_proven),
		TEST(one_machine_keeps_the_first_of_two_names),
		TEST(a_pin_has_the_name_that_was_shown),
		TEST(a_name_that_is_shown_stays),
		TEST(the_host_gets_its_name_later),
		TEST(a_pin_keeps_its_name),
	};

	/* Two names of one machine are said. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
