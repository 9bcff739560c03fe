/*
 * Tests net/peers.h: more strangers than a network has machines.
 */
#include "net_fixture.h"

#include "peer_internal.h"

/* A new key answers at a host of the loopback network; its end, or NULL. */
static struct conn *stranger_at(
    struct world *w, const char *host, const char *name, const char *wanted)
{
	struct sockaddr_storage where;
	socklen_t len = sizeof(where);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct machine m;
	struct conn *c;
	struct dial d;

	machine_init(&m, name, 0);
	assert_int_equal(address_parse(host, 1, &where), 0);
	address_set_port((struct sockaddr *)&where, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where,
			     address_len((struct sockaddr *)&where)),
	    0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
	dial_start(&d, &w->me, &where);
	c = accept_caller(fd, &m);
	assert_int_equal(dial_end(&d), 0);
	peers_adopt(w->peers, d.conn, wanted);
	close(fd);
	return c;
}

static bool is_folder(struct world *w, const char *name)
{
	struct peer *p = peers_find_name(w->peers, name);

	peer_put(p);
	return p != NULL;
}

static unsigned folders(struct world *w)
{
	struct peer_info *all;
	int n = peers_snapshot(w->peers, &all);

	assert_true(n >= 0);
	free(all);
	return (unsigned)n;
}

/* All places, m0 to m127, of one host or of as many. */
static void fill_table(
    struct world *w, struct conn *many[PEERS_UNPINNED_MAX], bool one_host)
{
	char host[32], name[16];

	for (unsigned i = 0; i < PEERS_UNPINNED_MAX; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		snprintf(
		    host, sizeof(host), "127.0.1.%u:1", one_host ? 1 : i + 1);
		many[i] = stranger_at(w, host, name, NULL);
		assert_true(is_folder(w, name));
	}
	assert_int_equal(folders(w), PEERS_UNPINNED_MAX);
}

static void empty_table(struct conn *many[PEERS_UNPINNED_MAX])
{
	for (unsigned i = 0; i < PEERS_UNPINNED_MAX; i++)
		conn_free(many[i]);
}

static void one_host_keeps_nobody_out(void **state)
{
	struct conn *many[PEERS_UNPINNED_MAX], *honest, *named, *more[8];
	struct world *w = *state;

	fill_table(w, many, true);
	honest = stranger_at(w, "127.0.0.2:1", "honest", NULL);
	assert_true(is_folder(w, "honest"));
	world_wait(w, &w->changes[PEER_WENT], 1);
	/* One more of its own costs nobody but itself. */
	for (unsigned i = 0; i < N_OF(more); i++) {
		more[i] = stranger_at(w, "127.0.1.1:1", "more", NULL);
		assert_true(is_folder(w, "honest"));
		assert_int_equal(folders(w), PEERS_UNPINNED_MAX);
	}
	world_wait(w, &w->changes[PEER_WENT], 1 + N_OF(more));
	/* Whom the user named is there in any case. */
	named = stranger_at(w, "127.0.1.1:1", "x", "named");
	assert_true(is_folder(w, "named"));
	assert_int_equal(folders(w), PEERS_UNPINNED_MAX + 1);
	assert_int_equal(w->lost, 0);
	empty_table(many);
	for (unsigned i = 0; i < N_OF(more); i++)
		conn_free(more[i]);
	conn_free(honest);
	conn_free(named);
}

static void nor_do_as_many_hosts_as_there_are_places(void **state)
{
	struct conn *many[PEERS_UNPINNED_MAX], *honest;
	struct world *w = *state;

	fill_table(w, many, false);
	honest = stranger_at(w, "127.0.0.2:1", "honest", NULL);
	assert_true(is_folder(w, "honest"));
	world_wait(w, &w->changes[PEER_WENT], 1);
	assert_int_equal(folders(w), PEERS_UNPINNED_MAX);
	empty_table(many);
	conn_free(honest);
}

static struct outgoing *write_to(struct peer *p)
{
	struct outgoing_plan plan = { .name = "x", .mode = 0600 };
	struct outgoing *o;

	assert_int_equal(outgoing_new(p, &plan, &o), 0);
	return o;
}

/* What somebody uses stays, and there is no room where all is in use. */
static void who_is_written_to_stays(void **state)
{
	struct conn *many[PEERS_UNPINNED_MAX], *last, *late;
	struct outgoing *o[PEERS_UNPINNED_MAX];
	struct world *w = *state;
	char name[16];
	struct peer *p;

	fill_table(w, many, false);
	for (unsigned i = 0; i < N_OF(many) - 1; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		p = peers_find_name(w->peers, name);
		assert_non_null(p);
		o[i] = write_to(p);
		peer_put(p);
	}
	last = stranger_at(w, "127.0.0.2:1", "last", NULL);
	assert_true(is_folder(w, "last"));
	assert_false(is_folder(w, "m127"));
	p = peers_find_name(w->peers, "last");
	o[N_OF(many) - 1] = write_to(p);
	peer_put(p);
	late = stranger_at(w, "127.0.0.3:1", "late", NULL);
	assert_false(is_folder(w, "late"));
	assert_int_equal(folders(w), PEERS_UNPINNED_MAX);
	for (unsigned i = 0; i < N_OF(o); i++) {
		outgoing_abort(o[i], -ECANCELED);
		outgoing_put(o[i]);
	}
	empty_table(many);
	conn_free(last);
	conn_free(late);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)
	static const struct CMUnitTest tests[] = {
		TEST(one_host_keeps_nobody_out),
		TEST(nor_do_as_many_hosts_as_there_are_places),
		TEST(who_is_written_to_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
