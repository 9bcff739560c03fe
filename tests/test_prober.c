/*
 * Tests net/prober.h: what is dialled, how often, and what never. The
 * addresses are the test's own sockets on loopback.
 */
#include "net_fixture.h"

#include <net/if.h>

#include "guess.h"
#include "prober.h"

struct place {
	struct world w;
	struct machine other;
	struct prober *p;
	int fd; /* where other listens */
	struct sockaddr_storage where;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	world_open(&p->w, "me", TRUST_KNOWN, 1000);
	machine_init(&p->other, "laptop", 0);
	p->fd = loopback_listen(&p->where);
	assert_int_equal(
	    prober_start(p->w.peers, NULL, &p->w.me.self, &p->p), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	prober_stop(p->p);
	close(p->fd);
	world_close(&p->w);
	free(p);
	return 0;
}

static uint16_t port_of(const struct place *p)
{
	return address_port((const struct sockaddr *)&p->where);
}

/* Nobody calls within a moment. */
static void assert_nobody_calls(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, 5 * QUIET_MS), 0);
}

static void a_caller_is_called_back(void **state)
{
	struct place *p = *state;
	struct sockaddr_storage from = p->where;
	struct conn *c;

	/* It came from some port, and listens at another. */
	address_set_port((struct sockaddr *)&from, 54321);
	prober_caller(p->p, (struct sockaddr *)&from, port_of(p));
	c = accept_caller(p->fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	assert_string_equal(world_info(&p->w, "laptop").name, "laptop");
	/* It is a peer's now: another hint is no reason to dial. */
	prober_caller(p->p, (struct sockaddr *)&from, port_of(p));
	assert_nobody_calls(p->fd);
	conn_free(c);
}

static void low_ports_and_hints_of_loopback_are_not_dialled(void **state)
{
	struct place *p = *state;
	struct discovery_hint hint = { .version = WIRE_MAJOR };

	hint.ifindex = (int)if_nametoindex("lo");
	assert_true(hint.ifindex > 0);
	hint.address = p->where;
	prober_hint(p->p, &hint);
	prober_caller(p->p, (struct sockaddr *)&p->where, 22);
	prober_caller(p->p, (struct sockaddr *)&p->where, 0);
	assert_nobody_calls(p->fd);
}

static void what_the_user_named_is_tried_again(void **state)
{
	struct place *p = *state;
	struct conn *c;

	assert_int_equal(
	    prober_named(p->p, "mine", "127.0.0.1", port_of(p)), 0);
	/* Not gtfs, it seems: hangs up. */
	close(loopback_accept(p->fd));
	close(loopback_accept(p->fd));
	c = accept_caller(p->fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	assert_string_equal(world_info(&p->w, "mine").heard_name, "laptop");
	conn_free(c);
	/* And again, when it has left. */
	c = accept_caller(p->fd, &p->other);
	conn_free(c);
}

static void a_lost_peer_is_looked_for_at_its_addresses(void **state)
{
	struct place *p = *state;
	struct sockaddr_storage second;
	int fd = loopback_listen(&second);
	struct peer_info info = { .n_addresses = 2 };
	struct conn *c;

	info.addresses[0] = p->where;
	info.addresses[1] = second;
	prober_lost(p->p, &info);
	close(loopback_accept(p->fd));
	c = accept_caller(fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	conn_free(c);
	close(fd);
}

/* As a restart without a name or multicast: the pin says where it was. */
static void who_is_accepted_is_looked_for_from_the_start(void **state)
{
	struct place *p = *state;
	const struct sockaddr *where = (struct sockaddr *)&p->where;
	const uint8_t *key = p->other.id.public;
	struct sockaddr_storage second;
	int fd = loopback_listen(&second);
	struct machine refused;
	struct conn *c;

	machine_init(&refused, "refused", 0);
	prober_stop(p->p);
	p->p = NULL;
	assert_int_equal(
	    trust_pin(p->w.trust, key, "mine", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_note_address(p->w.trust, key, where), 0);
	assert_int_equal(trust_pin(p->w.trust, refused.id.public, "refused",
			     TRUST_REFUSE, NULL),
	    0);
	assert_int_equal(trust_note_address(p->w.trust, refused.id.public,
			     (struct sockaddr *)&second),
	    0);
	world_stop(&p->w);
	world_start(&p->w, TRUST_KNOWN, 1000);
	assert_int_equal(
	    prober_start(p->w.peers, NULL, &p->w.me.self, &p->p), 0);
	close(loopback_accept(p->fd)); /* it is not up yet */
	c = accept_caller(p->fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	assert_string_equal(world_info(&p->w, "mine").heard_name, "laptop");
	assert_nobody_calls(fd);
	conn_free(c);
	close(fd);
}

/* Found in another way first, while the user's name for it is about to be
 * tried again. */
static void who_calls_himself_by_the_users_name_is_dialled_there(void **state)
{
	struct place *p = *state;
	struct sockaddr_storage second;
	int fd = loopback_listen(&second);
	struct conn *found, *named;
	int64_t began;

	assert_int_equal(
	    prober_named(p->p, "laptop", "localhost", port_of(p)), 0);
	for (unsigned i = 0; i < 3; i++) /* 4 s to the next one */
		close(loopback_accept(p->fd));
	began = now_ms();
	prober_caller(p->p, (struct sockaddr *)&second,
	    address_port((struct sockaddr *)&second));
	found = accept_caller(fd, &p->other);
	named = accept_caller(p->fd, &p->other);
	assert_true(now_ms() - began < 2000);
	world_wait(&p->w, &p->w.changes[PEER_WENT], 1);
	EVENTUALLY(world_info(&p->w, "laptop").state == PEER_ONLINE);
	assert_null(peers_find_name(p->w.peers, "laptop (2)"));
	conn_free(found);
	conn_free(named);
	close(fd);
}

/* The other machine is pinned, and was here till now. */
static void lose_pinned(struct place *p)
{
	struct peer_info pinned = { .pinned = true, .n_addresses = 1 };

	assert_int_equal(trust_pin(p->w.trust, p->other.id.public, "laptop",
			     TRUST_ACCEPT, NULL),
	    0);
	peers_pinned(p->w.peers, p->other.id.public);
	memcpy(pinned.key, p->other.id.public, sizeof(pinned.key));
	pinned.addresses[0] = p->where;
	prober_lost(p->p, &pinned);
}

/* Somebody else is where a pinned peer was: it may come back all the same. */
static void a_pinned_peer_is_looked_for_where_another_is(void **state)
{
	struct place *p = *state;
	struct machine another;
	struct conn *c;

	machine_init(&another, "another", 0);
	lose_pinned(p);
	c = accept_caller(p->fd, &another);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	conn_free(c);
	c = accept_caller(p->fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 2);
	assert_false(peers_misses(p->w.peers, p->other.id.public));
	/* Nothing is left to be tried. */
	assert_nobody_calls(p->fd);
	conn_free(c);
}

/* It is not dialled as often as it likes. */
static void who_hangs_up_is_dialled_less_and_less(void **state)
{
	struct place *p = *state;
	struct peer_info info = { .n_addresses = 1 };
	int64_t last = 0, now;
	struct conn *c;

	info.addresses[0] = p->where;
	prober_caller(p->p, (struct sockaddr *)&p->where, port_of(p));
	for (int i = 0; i < 3; i++, last = now) {
		c = accept_caller(p->fd, &p->other);
		now = now_ms();
		conn_free(c);
		world_wait(&p->w, &p->w.lost, (unsigned)i + 1);
		prober_lost(p->p, &info);
		if (i > 0)
			assert_true(
			    now - last >= (PROBER_PAUSE_MIN_MS << i) * 9 / 10);
	}
}

static void our_own_address_is_forgotten(void **state)
{
	struct place *p = *state;
	struct conn *c = NULL;
	int fd;

	prober_caller(p->p, (struct sockaddr *)&p->where, port_of(p));
	fd = loopback_accept(p->fd);
	assert_int_equal(conn_accept(&p->w.me.self, fd, -1, &c), -ELOOP);
	close(fd);
	assert_int_equal(p->w.changes[PEER_APPEARED], 0);
	/* Longer than the first pause of one that is tried again. */
	for (unsigned i = 0; i < 8; i++)
		assert_nobody_calls(p->fd);
}

enum { MANY = 16 };

/* Those of the sockets that were called now are answered by nobody. */
static unsigned take_calls(struct pollfd *fds, int *held)
{
	unsigned n = 0;

	assert_true(poll(fds, MANY, DEADLINE_MS) > 0);
	for (unsigned i = 0; i < MANY; i++)
		if (fds[i].revents)
			held[n++] = loopback_accept(fds[i].fd);
	return n;
}

static void few_at_once_and_ten_a_second(void **state)
{
	struct place *p = *state;
	struct sockaddr_storage at;
	struct pollfd fds[MANY];
	int held[MANY], last;
	unsigned n = 0;
	int64_t began = now_ms();

	for (unsigned i = 0; i < MANY; i++) {
		fds[i].fd = loopback_listen(&at);
		fds[i].events = POLLIN;
		prober_caller(p->p, (struct sockaddr *)&at,
		    address_port((struct sockaddr *)&at));
	}
	/* Hints never have all the threads. */
	while (n < PROBER_THREADS - 1)
		n += take_calls(fds, held + n);
	assert_int_equal(n, PROBER_THREADS - 1);
	assert_in_range(now_ms() - began, 150, DEADLINE_MS);
	assert_int_equal(poll(fds, MANY, 5 * QUIET_MS), 0);
	/* What a pinned peer left is tried beside them. */
	lose_pinned(p);
	last = loopback_accept(p->fd);
	assert_int_equal(poll(fds, MANY, 5 * QUIET_MS), 0);
	/* Hung up at once, the others follow, one in 100 ms. */
	close(last);
	while (n)
		close(held[--n]);
	began = now_ms();
	for (unsigned done = 0; done < 8; done += n)
		for (unsigned i = n = take_calls(fds, held); i;)
			close(held[--i]);
	assert_in_range(now_ms() - began, 600, DEADLINE_MS);
	for (unsigned i = 0; i < MANY; i++)
		close(fds[i].fd);
}

static void stopping_waits_for_no_handshake(void **state)
{
	struct place *p = *state;
	int64_t began;
	int fd;

	prober_caller(p->p, (struct sockaddr *)&p->where, port_of(p));
	fd = loopback_accept(p->fd);
	began = now_ms();
	prober_stop(p->p);
	assert_true(now_ms() - began < CONN_HANDSHAKE_MS / 2);
	close(fd);
	p->p = NULL;
}

/* --- a group ---------------------------------------------------------------
 */

/* The caller tries the passphrase, and is told that no guess is taken. */
static struct conn *greeted(struct place *p, enum wire_code code)
{
	struct wire_msg m = { .type = WIRE_UNPAIRED };
	struct conn *c = accept_caller(p->fd, &p->other);

	m.unpaired.code = code;
	assert_int_equal(expect(c, WIRE_PAIR).pair.step, 1);
	send_msg(c, &m);
	return c;
}

struct grouped {
	struct pairer_config config;
	struct pairer *pairer;
};

/* The prober has a passphrase now, and so has the other, it says. */
static void join_group(struct place *p, struct grouped *g)
{
	g->config = (struct pairer_config){ .self = &p->w.me.self,
		.trust = p->w.trust,
		.peers = p->w.peers,
		.group = "a passphrase",
		.group_len = 12 };
	prober_stop(p->p);
	g->config.state_fd =
	    open(p->w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(pairer_new(&g->config, &g->pairer), 0);
	assert_int_equal(
	    prober_start(p->w.peers, g->pairer, &p->w.me.self, &p->p), 0);
	p->other.self.hello.group = true;
}

static void leave_group(struct place *p, struct grouped *g)
{
	prober_stop(p->p);
	p->p = NULL;
	pairer_free(g->pairer);
	close(g->config.state_fd);
}

/* Whom it could not greet it greets again, though it has a connection to it. */
static void who_takes_no_guess_is_asked_again(void **state)
{
	struct place *p = *state;
	struct grouped g;
	struct conn *c, *d;

	join_group(p, &g);
	prober_caller(p->p, (struct sockaddr *)&p->where, port_of(p));
	c = greeted(p, WIRE_EACCES);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	d = greeted(p, WIRE_EACCES);
	conn_free(d);
	/* It has no such passphrase: it is not asked a third time. */
	d = greeted(p, WIRE_EKEYREJECTED);
	conn_free(d);
	assert_nobody_calls(p->fd);
	expect(c, WIRE_PING); /* the one that it has is as good as before */
	conn_free(c);
	leave_group(p, &g);
}

/* Where a guess has to wait, the next try is made when it may be made. */
static void what_has_to_wait_is_tried_in_time(void **state)
{
	struct place *p = *state;
	struct sockaddr *where = (struct sockaddr *)&p->where;
	int fd = open(p->w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t now = time(NULL);
	struct guess *guesses;
	struct grouped g;
	struct conn *c, *d;

	assert_int_equal(guess_open(fd, &guesses), 0);
	assert_int_equal(guess_take(guesses, where, now - 1), 0);
	assert_int_equal(guess_take(guesses, where, now), 0);
	guess_close(guesses);
	close(fd);
	join_group(p, &g);
	prober_caller(p->p, where, port_of(p));
	c = accept_caller(p->fd, &p->other);
	world_wait(&p->w, &p->w.changes[PEER_CAME_ONLINE], 1);
	d = greeted(p, WIRE_EKEYREJECTED);
	conn_free(d);
	conn_free(c);
	leave_group(p, &g);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_caller_is_called_back),
		TEST(low_ports_and_hints_of_loopback_are_not_dialled),
		TEST(what_the_user_named_is_tried_again),
		TEST(a_lost_peer_is_looked_for_at_its_addresses),
		TEST(who_is_accepted_is_looked_for_from_the_start),
		TEST(who_calls_himself_by_the_users_name_is_dialled_there),
		TEST(a_pinned_peer_is_looked_for_where_another_is),
		TEST(who_hangs_up_is_dialled_less_and_less),
		TEST(our_own_address_is_forgotten),
		TEST(few_at_once_and_ten_a_second),
		TEST(stopping_waits_for_no_handshake),
		TEST(who_takes_no_guess_is_asked_again),
		TEST(what_has_to_wait_is_tried_in_time),
	};

	/* Who answers in another's place is said. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
