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
	return guess_wait(g, (struct sockaddr *)&a, 0, now_s);
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

static void one_address_makes_others_wait_a_little(void **state)
{
	struct guess *g = reopen(*state);

	for (unsigned i = 0; i < GUESS_ALL_FREE; i++)
		wrong(g, "10.0.0.7");
	assert_int_equal(wait_of(g, "10.0.0.8"), 0);
	for (unsigned i = 0; i < GUESS_ALL_FREE; i++)
		wrong(g, "10.0.0.7");
	assert_int_equal(wait_of(g, "10.0.0.8"), GUESS_ALL_MOST_MS);
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

/* Its answer was lost again and again, and then it came. */
static void the_right_one_was_right_before(void **state)
{
	struct guess *g = reopen(*state);

	for (unsigned i = 0; i < 2 * GUESS_ALL_FREE; i++)
		wrong(g, "10.0.0.7");
	assert_true(wait_of(g, "10.0.0.8") > 0);
	right(g, "10.0.0.7");
	assert_int_equal(wait_of(g, "10.0.0.8"), 0);
	guess_close(g);
}

/* Of those that are about to be made, as many as would be allowed in turn. */
static void others_are_thought_of(void **state)
{
	struct guess *g = reopen(*state);
	struct sockaddr_storage a;

	assert_int_equal(address_parse("10.0.0.8", 4717, &a), 0);
	for (unsigned i = 0; i < GUESS_ALL_FREE - 1; i++)
		wrong(g, "10.0.0.7");
	assert_int_equal(guess_wait(g, (struct sockaddr *)&a, 1, now_s), 0);
	assert_true(guess_wait(g, (struct sockaddr *)&a, 2, now_s) > 0);
	wrong(g, "10.0.0.7");
	assert_int_equal(guess_wait(g, (struct sockaddr *)&a, 0, now_s), 0);
	assert_true(guess_wait(g, (struct sockaddr *)&a, 1, now_s) > 0);
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

static void many_addresses_make_all_wait(void **state)
{
	struct guess *g = reopen(*state);
	char from[32];

	for (unsigned i = 0; i < 3 * GUESS_ADDRESSES; i++) {
		snprintf(from, sizeof(from), "10.0.1.%u", i);
		wrong(g, from);
	}
	assert_true(wait_of(g, "10.9.9.9") > 0);
	assert_true(wait_of(g, "10.9.9.9") <= GUESS_ALL_MOST_MS);
	guess_close(g);
	g = reopen(*state);
	assert_true(wait_of(g, "10.9.9.9") > 0);
	guess_close(g);
}

static void a_damaged_file_is_set_aside(void **state)
{
	static const char *const bad[] = { "", "gtfs-guesses: 2\n",
		"gtfs-guesses: 1\nall: 1\n", "gtfs-guesses: 1\nx 1 1\n",
		"gtfs-guesses: 1\nall: 99999999999 1\n",
		"gtfs-guesses: 1\nall: 1 1" };
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
		TEST(one_address_makes_others_wait_a_little),
		TEST(those_made_at_once_wait_for_each_other),
		TEST(the_right_one_costs_nobody_anything),
		TEST(the_right_one_was_right_before),
		TEST(others_are_thought_of),
		TEST(a_clock_put_back_makes_nobody_wait_longer),
		TEST(a_restart_forgives_nothing),
		TEST(many_addresses_make_all_wait),
		TEST(a_damaged_file_is_set_aside),
	};

	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
