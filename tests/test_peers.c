/*
 * Tests net/peers.h: whose folder is called what, and who is there. Keys are
 * proven by real handshakes; the other machines are played by the test.
 */
#include "net_fixture.h"

#include "peer_internal.h"

/* Another machine, on a port of its own. */
struct other {
	struct machine m;
	int listen_fd;
	struct sockaddr_storage where;
	struct conn *c; /* its end of the link, or NULL */
};

static void other_init(struct other *o, const char *name)
{
	machine_init(&o->m, name, 0);
	o->listen_fd = loopback_listen(&o->where);
	o->c = NULL;
}

static void other_links(struct other *o, struct world *w, const char *wanted)
{
	o->c = world_link(w, o->listen_fd, &o->where, &o->m, wanted);
}

/* It says goodbye. */
static void other_leaves(struct other *o)
{
	struct wire_msg bye = { .type = WIRE_BYE };

	send_msg(o->c, &bye);
	expect_end(o->c);
	conn_free(o->c);
	o->c = NULL;
}

static void other_fini(struct other *o)
{
	conn_free(o->c);
	close(o->listen_fd);
}

static struct peer_info info_of(struct world *w, const struct other *o)
{
	struct peer *p = peers_find_key(w->peers, o->m.id.public);
	struct peer_info info;

	assert_non_null(p);
	peer_info(p, &info);
	peer_put(p);
	return info;
}

static bool is_listed(struct world *w, const struct other *o)
{
	struct peer *p = peers_find_key(w->peers, o->m.id.public);

	peer_put(p);
	return p != NULL;
}

static void a_folder_belongs_to_a_key(void **state)
{
	static const char *const heard[] = { "laptop", "laptop", "laptop",
		"../etc", ".gtfs", "a\nb" };
	struct world *w = *state;
	struct other o[N_OF(heard)];
	struct peer_info *all;
	struct peer_info info;
	uint64_t before = peers_generation(w->peers);

	for (unsigned i = 0; i < N_OF(heard); i++) {
		other_init(&o[i], heard[i]);
		other_links(&o[i], w, NULL);
	}
	assert_true(peers_generation(w->peers) >= before + N_OF(heard));
	assert_string_equal(info_of(w, &o[0]).name, "laptop");
	assert_string_equal(info_of(w, &o[1]).name, "laptop (2)");
	assert_string_equal(info_of(w, &o[2]).name, "laptop (3)");
	for (unsigned i = 0; i < N_OF(heard); i++) {
		info = info_of(w, &o[i]);
		assert_null(strchr(info.name, '/'));
		assert_null(strchr(info.name, '\n'));
		assert_true(info.name[0] != '.');
		assert_int_equal(info.state, PEER_ONLINE);
		assert_false(info.pinned);
		assert_memory_equal(
		    info.key, o[i].m.id.public, IDENTITY_KEY_BYTES);
		assert_int_equal(info.n_addresses, 1);
		assert_true(address_equal((struct sockaddr *)&info.addresses[0],
		    (struct sockaddr *)&o[i].where));
		assert_true(peers_has_address(
		    w->peers, (struct sockaddr *)&o[i].where, NULL));
	}
	assert_int_equal(peers_snapshot(w->peers, &all), N_OF(heard));
	for (unsigned i = 1; i < N_OF(heard); i++) {
		assert_true(strcmp(all[i - 1].name, all[i].name) < 0);
		assert_true(all[i - 1].serial != all[i].serial);
	}
	free(all);
	world_wait(w, &w->changes[PEER_APPEARED], N_OF(heard));
	/* Whoever sees the folder may write into it at once. */
	assert_int_equal(w->appeared, PEER_ONLINE);
	for (unsigned i = 0; i < N_OF(heard); i++)
		other_fini(&o[i]);
}

static void the_user_may_name_it(void **state)
{
	struct world *w = *state;
	struct other o[2];
	struct peer *p;

	other_init(&o[0], "x");
	other_init(&o[1], "y");
	other_links(&o[0], w, "mine");
	other_links(&o[1], w, "mine");
	assert_string_equal(info_of(w, &o[0]).name, "mine");
	assert_string_equal(info_of(w, &o[0]).heard_name, "x");
	assert_string_equal(info_of(w, &o[1]).name, "mine (2)");
	p = peers_find_name(w->peers, "mine (2)");
	assert_non_null(p);
	assert_ptr_equal(peer_table(p), w->peers);
	peer_put(p);
	assert_null(peers_find_name(w->peers, "x"));
	other_fini(&o[0]);
	other_fini(&o[1]);
}

static void who_leaves_is_gone_unless_pinned(void **state)
{
	struct world *w = *state;
	struct other stranger, pinned;
	uint8_t key[IDENTITY_KEY_BYTES];
	uint64_t generation;

	other_init(&stranger, "stranger");
	other_init(&pinned, "friend");
	other_links(&stranger, w, NULL);
	other_links(&pinned, w, NULL);
	assert_int_equal(
	    peers_set_policy(w->peers, "friend", TRUST_ACCEPT, key), 0);
	assert_memory_equal(key, pinned.m.id.public, sizeof(key));
	assert_int_equal(
	    peers_set_policy(w->peers, "nobody", TRUST_ACCEPT, key), -ENOENT);
	generation = peers_generation(w->peers);

	other_leaves(&stranger);
	world_wait(w, &w->changes[PEER_WENT], 1);
	assert_false(is_listed(w, &stranger));
	assert_true(peers_generation(w->peers) > generation);
	other_leaves(&pinned);
	world_wait(w, &w->changes[PEER_WENT_OFFLINE], 2);
	assert_int_equal(info_of(w, &pinned).state, PEER_OFFLINE);
	assert_false(peers_has_address(
	    w->peers, (struct sockaddr *)&pinned.where, NULL));
	world_wait(w, &w->lost, 2);

	/* Back again: the same folder, not a new one. */
	other_links(&pinned, w, NULL);
	assert_string_equal(info_of(w, &pinned).name, "friend");
	world_wait(w, &w->changes[PEER_CAME_ONLINE], 2);
	assert_int_equal(w->changes[PEER_APPEARED], 2);
	other_fini(&stranger);
	other_fini(&pinned);
}

static void pins_are_listed_from_the_start(void **state)
{
	struct world *w = *state;
	struct other a, b;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct peer_info info;
	struct outgoing_plan plan = { .name = "x", .mode = 0600 };
	struct outgoing *o;
	struct peer *p;

	other_init(&a, "laptop");
	other_init(&b, "laptop");
	other_links(&a, w, NULL);
	other_links(&b, w, NULL);
	assert_int_equal(
	    peers_set_policy(w->peers, "laptop (2)", TRUST_REFUSE, key), 0);
	conn_free(a.c);
	conn_free(b.c);
	a.c = b.c = NULL;
	world_stop(w);
	world_start(w, TRUST_KNOWN, 1000);

	/* The pin alone is there, under its own name, and away. */
	assert_false(is_listed(w, &a));
	info = info_of(w, &b);
	assert_string_equal(info.name, "laptop (2)");
	assert_true(info.pinned);
	assert_int_equal(info.pin_policy, TRUST_REFUSE);
	assert_int_equal(info.state, PEER_OFFLINE);
	p = peers_find_name(w->peers, "laptop (2)");
	assert_int_equal(outgoing_new(p, &plan, &o), -EHOSTUNREACH);
	peer_put(p);

	/* Whoever comes first does not take it over. */
	other_links(&a, w, "laptop (2)");
	assert_string_not_equal(info_of(w, &a).name, "laptop (2)");
	other_links(&b, w, "anything");
	assert_string_equal(info_of(w, &b).name, "laptop (2)");
	other_fini(&a);
	other_fini(&b);
}

static void forgetting(void **state)
{
	struct world *w = *state;
	struct other away, there;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust_pin pin;
	unsigned went;

	other_init(&away, "away");
	other_init(&there, "there");
	other_links(&away, w, NULL);
	other_links(&there, w, NULL);
	/* Strangers: nothing to forget. */
	assert_int_equal(peers_forget(w->peers, "there", key), -ENODATA);
	assert_int_equal(peers_forget(w->peers, "nobody", key), -ENOENT);
	assert_int_equal(
	    peers_set_policy(w->peers, "away", TRUST_ACCEPT, key), 0);
	assert_int_equal(
	    peers_set_policy(w->peers, "there", TRUST_ACCEPT, key), 0);
	other_leaves(&away);
	world_wait(w, &w->changes[PEER_WENT_OFFLINE], 1);
	went = w->changes[PEER_WENT];

	assert_int_equal(peers_forget(w->peers, "away", key), 0);
	assert_memory_equal(key, away.m.id.public, sizeof(key));
	assert_false(is_listed(w, &away));
	world_wait(w, &w->changes[PEER_WENT], went + 1);
	assert_int_equal(trust_find(w->trust, away.m.id.public, &pin), -ENOENT);

	/* Who is there stays listed, as a stranger. */
	assert_int_equal(peers_forget(w->peers, "there", key), 0);
	assert_false(info_of(w, &there).pinned);
	assert_int_equal(info_of(w, &there).state, PEER_ONLINE);
	other_fini(&away);
	other_fini(&there);
}

static void another_key_in_its_place_is_rejected(void **state)
{
	struct world *w = *state;
	struct other real, imposter;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct outgoing_plan plan = { .name = "x", .mode = 0600 };
	struct outgoing *o;
	struct peer *p;

	other_init(&real, "laptop");
	other_init(&imposter, "laptop");
	other_links(&real, w, NULL);
	assert_int_equal(
	    peers_set_policy(w->peers, "laptop", TRUST_ACCEPT, key), 0);
	/* While it is there itself, another of its name is no matter. */
	other_links(&imposter, w, NULL);
	assert_string_equal(info_of(w, &imposter).name, "laptop (2)");
	assert_false(info_of(w, &real).key_rejected);
	other_leaves(&imposter);
	world_wait(w, &w->changes[PEER_WENT], 1);

	other_leaves(&real);
	world_wait(w, &w->changes[PEER_WENT_OFFLINE], 2);
	other_links(&imposter, w, NULL);
	assert_true(info_of(w, &real).key_rejected);
	assert_int_equal(
	    info_of(w, &real).rejected_by, info_of(w, &imposter).serial);
	assert_false(info_of(w, &imposter).key_rejected);
	assert_string_equal(info_of(w, &imposter).name, "laptop (2)");
	p = peers_find_name(w->peers, "laptop");
	assert_int_equal(outgoing_new(p, &plan, &o), -EKEYREJECTED);
	peer_put(p);

	/* The imposter leaves: simply away again. */
	other_leaves(&imposter);
	world_wait(w, &w->changes[PEER_WENT], 2);
	assert_false(info_of(w, &real).key_rejected);
	/* Or the real one is back. */
	other_links(&imposter, w, NULL);
	assert_true(info_of(w, &real).key_rejected);
	other_links(&real, w, NULL);
	assert_false(info_of(w, &real).key_rejected);
	other_fini(&real);
	other_fini(&imposter);
}

static void its_last_address_counts_as_its_place(void **state)
{
	struct world *w = *state;
	struct other real, thief;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct dial d;

	other_init(&real, "laptop");
	other_init(&thief, "innocent");
	other_links(&real, w, NULL);
	assert_int_equal(
	    peers_set_policy(w->peers, "laptop", TRUST_ACCEPT, key), 0);
	other_leaves(&real);
	world_wait(w, &w->changes[PEER_WENT_OFFLINE], 1);
	/* Another key answers at that very address. */
	dial_start(&d, &w->me, &real.where);
	thief.c = accept_caller(real.listen_fd, &thief.m);
	assert_int_equal(dial_end(&d), 0);
	peers_adopt(w->peers, d.conn, NULL);
	assert_true(info_of(w, &real).key_rejected);
	assert_string_equal(info_of(w, &thief).name, "innocent");
	other_fini(&real);
	other_fini(&thief);
}

static void one_link_is_enough(void **state)
{
	struct world *w = *state;
	struct sockaddr_storage second;
	struct peer_info info;
	struct other o;
	struct conn *c;
	struct dial d;
	int fd = loopback_listen(&second);

	other_init(&o, "laptop");
	other_links(&o, w, NULL);
	/* Found at another address as well: only that is noted. */
	dial_start(&d, &w->me, &second);
	c = accept_caller(fd, &o.m);
	assert_int_equal(dial_end(&d), 0);
	peers_adopt(w->peers, d.conn, NULL);
	expect_end(c);
	conn_free(c);
	info = info_of(w, &o);
	assert_int_equal(info.n_addresses, 2);
	assert_true(address_equal(
	    (struct sockaddr *)&info.addresses[0], (struct sockaddr *)&second));
	assert_int_equal(w->changes[PEER_APPEARED], 1);
	expect_quiet(o.c);
	close(fd);
	other_fini(&o);
}

static void what_its_heartbeat_says_is_known(void **state)
{
	struct world *w = *state;
	struct peer_info info;
	struct other o;
	unsigned changes;

	other_init(&o, "laptop");
	other_links(&o, w, NULL);
	assert_int_equal(info_of(w, &o).policy, 0);
	send_pong(o.c, WIRE_POLICY_REFUSE);
	world_wait(w, &w->changes[PEER_CHANGED], 1);
	info = info_of(w, &o);
	assert_int_equal(info.policy, WIRE_POLICY_REFUSE);
	assert_int_equal(info.space.free_bytes, 1000);
	assert_int_equal(info.space.total_bytes, 2000);
	changes = w->changes[PEER_CHANGED];
	send_pong(o.c, WIRE_POLICY_ACCEPT);
	world_wait(w, &w->changes[PEER_CHANGED], changes + 1);
	assert_int_equal(info_of(w, &o).policy, WIRE_POLICY_ACCEPT);
	other_fini(&o);
}

/* It breaks the protocol: the link ends, and says nothing of it. */
static void nonsense_ends_the_link(void **state)
{
	struct wire_msg m = { .type = WIRE_OFFER };
	struct world *w = *state;
	struct other o;

	other_init(&o, "laptop");
	other_links(&o, w, NULL);
	m.offer.id[0] = 1;
	strcpy(m.offer.name, "x");
	send_msg(o.c, &m);
	expect_end(o.c);
	world_wait(w, &w->lost, 1);
	other_fini(&o);
}

/* --- where it is --------------------------------------------------------- */

static bool has(struct world *w, const struct sockaddr_storage *a)
{
	return peers_has_address(w->peers, (const struct sockaddr *)a, NULL);
}

static void an_address_is_had_while_its_peer_is_there(void **state)
{
	struct sockaddr_storage first, second;
	int fd[2] = { loopback_listen(&first), loopback_listen(&second) };
	struct world *w = *state;
	struct conn *c, *more;
	struct machine m, new;

	machine_init(&m, "m", 0);
	machine_init(&new, "new", 0);
	assert_int_equal(
	    trust_pin(w->trust, m.id.public, "m", TRUST_ACCEPT, NULL), 0);
	c = world_link(w, fd[0], &first, &m, NULL);
	/* Another address of the same machine: it is not dialled again. */
	more = world_link(w, fd[1], &second, &m, NULL);
	conn_free(more);
	assert_true(has(w, &first) && has(w, &second));
	assert_false(peers_misses(w->peers, m.id.public));
	conn_free(c);
	world_wait(w, &w->lost, 1);
	assert_true(peers_misses(w->peers, m.id.public));
	assert_false(has(w, &first) || has(w, &second));
	/* It has moved, and somebody else gets where it was. */
	c = world_link(w, fd[1], &second, &m, NULL);
	assert_true(has(w, &second));
	assert_false(has(w, &first));
	more = world_link(w, fd[0], &first, &new, NULL);
	assert_true(has(w, &first));
	assert_string_equal(world_info(w, "new").name, "new");
	conn_free(c);
	conn_free(more);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)
	static const struct CMUnitTest tests[] = {
		TEST(a_folder_belongs_to_a_key),
		TEST(the_user_may_name_it),
		TEST(who_leaves_is_gone_unless_pinned),
		TEST(pins_are_listed_from_the_start),
		TEST(forgetting),
		TEST(another_key_in_its_place_is_rejected),
		TEST(its_last_address_counts_as_its_place),
		TEST(one_link_is_enough),
		TEST(what_its_heartbeat_says_is_known),
		TEST(nonsense_ends_the_link),
		TEST(an_address_is_had_while_its_peer_is_there),
	};

	/* Rejected keys are said; here they are expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
