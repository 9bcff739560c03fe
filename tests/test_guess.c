/*
 * Tests net/guess.h: delays that grow, for one address and for all, and that
 * outlive the process.
 */
#include "net_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "guess.h"
#include "log.h"

struct place {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->path, "/dev/shm/gtfs-guess-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlinkat(p->fd, "guesses", 0);
	unlinkat(p->fd, "guesses.damaged", 0);
	close(p->fd);
	rmdir(p->path);
	free(p);
	return 0;
}

static struct guess *reopen(struct place *p)
{
	struct guess *g;

	assert_int_equal(guess_open(p->fd, &g), 0);
	return g;
}

/* A clock that the tests move. */
static int64_t now_s = 1767225600;

static int64_t wait_of(struct guess *g, const char *from)
{
	struct sockaddr_storage a;

	assert_int_equal(address_parse(from, 4717, &a), 0);
	return guess_wait(g, (struct sockaddr *)&a, now_s);
}

static int take(struct guess *g, const char *from)
{
	struct sockaddr_storage a;

	assert_int_equal(address_parse(from, 4717, &a), 0);
	return guess_take(g, (struct sockaddr *)&a, now_s);
}

/* The next one from there, as soon as it may be made. */
static void wrong(struct guess *g, const char *from)
{
	now_s += (wait_of(g, from) + 999) / 1000;
	assert_int_equal(take(g, from), 0);
}

static void right(struct guess *g, const char *from)
{
	struct sockaddr_storage a;

	assert_int_equal(address_parse(from, 4717, &a), 0);
	assert_int_equal(guess_right(g, (struct sockaddr *)&a), 0);
}

static void the_delay_grows(void **state)
{
	struct guess *g = reopen(*state);

	assert_int_equal(wait_of(g, "10.0.0.7"), 0);
	for (int64_t most = GUESS_FIRST_MS; most < GUESS_MOST_MS; most *= 2) {
		wrong(g, "10.0.0.7");
		assert_int_equal(wait_of(g, "10.0.0.7:99"), most);
	}
	for (unsigned i = 0; i < 50; i++)
		wrong(g, "10.0.0.7");
	assert_int_equal(wait_of(g, "10.0.0.7"), GUESS_MOST_MS);
	guess_close(g);
}

/* One each hour, and never so many that it takes longer to live them down. */
static void an_address_is_forgiven_slowly(void **state)
{
	struct guess *g = reopen(*state);

	for (unsigned i = 0; i < 100; i++)
		wrong(g, "10.0.0.7");
	assert_int_equal(wait_of(g, "10.0.0.7"), GUESS_MOST_MS);
	now_s += 9 * GUESS_LEAK_S;
	assert_int_equal(take(g, "10.0.0.7"), 0);
	assert_int_equal(wait_of(g, "10.0.0.7"), 16 * GUESS_FIRST_MS);
	guess_close(g);
	g = reopen(*state);
	now_s += 5 * GUESS_LEAK_S - 1;
	assert_int_equal(take(g, "10.0.0.7"), 0);
	assert_int_equal(wait_of(g, "10.0.0.7"), 2 * GUESS_FIRST_MS);
	now_s += 2 * GUESS_LEAK_S;
	assert_int_equal(take(g, "10.0.0.7"), 0);
	assert_int_equal(wait_of(g, "10.0.0.7"), GUESS_FIRST_MS);
	guess_close(g);
}

/* All who guess, as often as they may, from so many addresses. */
static unsigned guesses_within(struct guess *g, unsigned n, int64_t until_s)
{
	unsigned made = 0;
	char from[32];

	for (; now_s < until_s; now_s++)
		for (unsigned i = 0; i < n; i++) {
			snprintf(from, sizeof(from), "10.0.1.%u", i);
			made += take(g, from) == 0;
		}
	return made;
}

static void a_few_who_guess_keep_nobody_else_waiting(void **state)
{
	struct guess *g = reopen(*state);
	const unsigned few = GUESS_ALL_MAX - GUESS_ALL_FREE - 1;

	for (unsigned minute = 0; minute < 2 * 60; minute++) {
		guesses_within(g, few, now_s + 60);
		assert_int_equal(wait_of(g, "10.9.9.9"), 0);
	}
	assert_true(wait_of(g, "10.0.1.0") > 0);
	guess_close(g);
}

static void many_have_one_guess_a_minute(void **state)
{
	struct guess *g = reopen(*state);
	const unsigned all = GUESS_ADDRESSES / 2;
	int64_t begun = now_s;

	assert_int_equal(guesses_within(g, all, now_s + 1), GUESS_ALL_MAX);
	assert_in_range(wait_of(g, "10.9.9.9"), 1, GUESS_ALL_LEAK_S * 1000);
	assert_true(
	    guesses_within(g, 200, begun + 3600) <= 3600 / GUESS_ALL_LEAK_S);
	/* Then it is over, whoever comes. */
	now_s += GUESS_ALL_LEAK_S;
	assert_int_equal(wait_of(g, "10.9.9.9"), 0);
	now_s += (int64_t)GUESS_ALL_MAX * GUESS_ALL_LEAK_S;
	for (unsigned i = 0; i < GUESS_ALL_FREE; i++) {
		wrong(g, "10.9.9.9");
		now_s += GUESS_ALL_LEAK_S; /* it waits for itself alone */
	}
	guess_close(g);
}

/* Neighbours there can have been one machine: they have no first guess. */
static void a_network_has_one_first_guess(void **state)
{
	struct guess *g = reopen(*state);
	char from[32];

	for (unsigned i = 0; i < GUESS_ALL_FREE; i++) {
		snprintf(from, sizeof(from), "[2001:db8::%x]", i + 1);
		assert_int_equal(take(g, from), 0);
	}
	assert_int_equal(take(g, "[2001:db8::100]"), -EAGAIN);
	assert_int_equal(
	    wait_of(g, "[2001:db8::100]"), GUESS_ALL_LEAK_S * 1000);
	assert_int_equal(wait_of(g, "[2001:db8:0:1::1]"), 0);
	assert_int_equal(wait_of(g, "10.0.0.7"), 0);
	guess_close(g);
}

/* Twenty connections at once have one guess. */
static void those_made_at_once_wait_for_each_other(void **state)
{
	struct guess *g = reopen(*state);
	unsigned taken = 0;

	for (unsigned i = 0; i < 20; i++)
		taken += take(g, "10.0.0.7") == 0;
	assert_int_equal(taken, 1);
	assert_int_equal(wait_of(g, "10.0.0.7"), GUESS_FIRST_MS);
	guess_close(g);
}

static void the_right_one_costs_nobody_anything(void **state)
{
	struct guess *g = reopen(*state);

	for (unsigned i = 0; i < 3 * GUESS_ALL_FREE; i++) {
		wrong(g, "10.0.0.7");
		right(g, "10.0.0.7");
	}
	assert_int_equal(wait_of(g, "10.0.0.7"), 0);
	assert_int_equal(wait_of(g, "10.0.0.8"), 0);
	guess_close(g);
}

/* What was wrong elsewhere is not forgiven with it. */
static void the_right_one_is_one_of_all(void **state)
{
	struct guess *g = reopen(*state);
	char from[32];

	for (unsigned i = 0; i < GUESS_ALL_MAX; i++) {
		snprintf(from, sizeof(from), "10.0.1.%u", i);
		assert_int_equal(take(g, from), 0);
	}
	assert_int_equal(take(g, "10.0.0.8"), -EAGAIN);
	right(g, "10.0.1.3");
	assert_int_equal(take(g, "10.0.0.8"), 0);
	assert_int_equal(take(g, "10.0.0.9"), -EAGAIN);
	guess_close(g);
}

static void a_clock_put_back_makes_nobody_wait_longer(void **state)
{
	struct guess *g = reopen(*state);

	wrong(g, "10.0.0.7");
	wrong(g, "10.0.0.7");
	now_s -= 100000;
	assert_int_equal(wait_of(g, "10.0.0.7"), 2 * GUESS_FIRST_MS);
	now_s += 2;
	assert_int_equal(wait_of(g, "10.0.0.7"), 0);
	for (unsigned i = 2; i < GUESS_ALL_FREE; i++)
		wrong(g, i % 2 ? "10.0.0.7" : "10.0.0.8");
	while (take(g, "10.0.0.9") == 0)
		;
	now_s -= 100000;
	assert_in_range(wait_of(g, "10.0.0.9"), 1, GUESS_ALL_LEAK_S * 1000);
	guess_close(g);
}

static void a_restart_forgives_nothing(void **state)
{
	struct guess *g = reopen(*state);
	int64_t before;

	for (unsigned i = 0; i < 8; i++)
		wrong(g, "[2001:db8::7]");
	wrong(g, "10.0.0.7");
	before = wait_of(g, "[2001:db8::7]");
	guess_close(g);
	g = reopen(*state);
	assert_int_equal(wait_of(g, "[2001:db8::7]"), before);
	/* The right one does, for its own address. */
	right(g, "[2001:db8::7]");
	assert_int_equal(wait_of(g, "[2001:db8::7]"), 0);
	guess_close(g);
	g = reopen(*state);
	assert_int_equal(wait_of(g, "[2001:db8::7]"), 0);
	guess_close(g);
}

static void for_all_a_restart_forgives_nothing(void **state)
{
	struct guess *g = reopen(*state);
	int64_t wait;

	guesses_within(g, 3 * GUESS_ADDRESSES, now_s + 10);
	wait = wait_of(g, "10.9.9.9");
	assert_int_equal(wait, (GUESS_ALL_LEAK_S - 10) * 1000);
	guess_close(g);
	g = reopen(*state);
	assert_int_equal(wait_of(g, "10.9.9.9"), wait);
	now_s += wait / 1000;
	assert_int_equal(wait_of(g, "10.9.9.9"), 0);
	guess_close(g);
}

static void a_damaged_file_is_set_aside(void **state)
{
	static const char *const bad[] = { "", "gtfs-guesses: 2\n",
		"gtfs-guesses: 1\nall: 1\n", "gtfs-guesses: 1\nx 1 1\n",
		"gtfs-guesses: 1\nall: 99999999999 1\n",
		"gtfs-guesses: 1\nall: 1 1", "gtfs-guesses: 1\nall: 1 -1\n" };
	struct place *p = *state;
	struct guess *g;
	int fd;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = openat(
		    p->fd, "guesses", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(
		    write(fd, bad[i], strlen(bad[i])), strlen(bad[i]));
		close(fd);
		g = reopen(p);
		assert_int_equal(wait_of(g, "10.0.0.7"), 0);
		assert_int_equal(faccessat(p->fd, "guesses", F_OK, 0), -1);
		assert_int_equal(unlinkat(p->fd, "guesses.damaged", 0), 0);
		guess_close(g);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_delay_grows),
		TEST(an_address_is_forgiven_slowly),
		TEST(a_few_who_guess_keep_nobody_else_waiting),
		TEST(many_have_one_guess_a_minute),
		TEST(a_network_has_one_first_guess),
		TEST(those_made_at_once_wait_for_each_other),
		TEST(the_right_one_costs_nobody_anything),
		TEST(the_right_one_is_one_of_all),
		TEST(a_clock_put_back_makes_nobody_wait_longer),
		TEST(a_restart_forgives_nothing),
		TEST(for_all_a_restart_forgives_nothing),
		TEST(a_damaged_file_is_set_aside),
	};

	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
