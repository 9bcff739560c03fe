/*
 * Tests of fs/aside.h: what a death left in the spool, and whose it is. The
 * deaths themselves are in test_inbox_crash.c.
 */
#include "inbox_fixture.h"

#include <sys/xattr.h>

#include "aside.h"
#include "spool.h"

#define NAME \
	"a100000000000000-01000000000000000000000000000000-0123456789abcdef"
#define LINK "link-0123456789abcdef0123456789abcdef"

struct box {
	struct fixture *fx;
	struct spool spool;
	char path[350]; /* of the spool */
	int top;
};

static int open_box(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	set_up((void **)&b->fx);
	inbox_close(b->fx->in);
	b->fx->in = NULL;
	b->top = open(b->fx->inbox, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->top >= 0);
	assert_int_equal(
	    spool_open(b->top, INBOX_SPOOL_NAME, true, &b->spool), 0);
	*state = b;
	return 0;
}

static int close_box(void **state)
{
	struct box *b = *state;

	spool_fini(&b->spool);
	close(b->top);
	tear_down((void **)&b->fx);
	free(b);
	return 0;
}

static struct stamp stamp(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stamp s;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stamp_at(AT_FDCWD, path, &s), 0);
	return s;
}

/* As if ours, or nothing, were to be exchanged with the inbox's "f". */
static struct stamp note(struct box *b, const struct stamp *ours)
{
	struct stamp f;

	put_file(b->fx->inbox, "f", "expected");
	f = stamp(b->fx->inbox, "f");
	assert_int_equal(aside_note(b->spool.fd, NAME, ours, &f, "f"), 0);
	return f;
}

static void take(struct box *b, const char *name)
{
	assert_int_equal(renameat(b->top, name, b->spool.fd, NAME), 0);
}

static void ours_and_the_expected_one_are_known(void **state)
{
	struct box *b = *state;
	struct stamp ours;

	put_file(b->fx->spool, NAME, "ours");
	ours = stamp(b->fx->spool, NAME);
	note(b, &ours);
	assert_true(aside_waits(b->spool.fd, NAME));
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_false(aside_waits(b->spool.fd, NAME));
	/* Not exchanged: what becomes of it is said elsewhere. */
	assert_content(b->fx->spool, NAME, "ours");
	note(b, &ours);
	take(b, "f");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_int_equal(entries(b->fx->spool), 0);
	/* Taken out to be kept: it stays. */
	note(b, NULL);
	take(b, "f");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_content(b->fx->spool, NAME, "expected");
	assert_int_equal(entries(b->fx->spool), 1);
	assert_int_equal(entries(b->fx->inbox), 0);
}

static void any_other_one_goes_back(void **state)
{
	struct box *b = *state;

	note(b, NULL);
	put_file(b->fx->inbox, "user", "mine");
	take(b, "user");
	aside_drop(b->spool.fd, NAME);
	assert_content(b->fx->spool, NAME, "mine");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_content(b->fx->inbox, "f", "expected");
	assert_content(b->fx->inbox, "f (2)", "mine");
	assert_int_equal(entries(b->fx->spool), 0);
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_int_equal(entries(b->fx->inbox), 2);
}

/* As after a loss of power. */
static void empty_note_makes_it_somebody_elses(void **state)
{
	struct box *b = *state;

	note(b, NULL);
	take(b, "f");
	put_file(b->fx->spool, NAME ".was", "");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_content(b->fx->inbox, "recovered file", "expected");
	assert_int_equal(entries(b->fx->spool), 0);
}

/* Not exchanged yet: a commit that nobody was told of. */
static void empty_note_beside_what_the_spool_made_is_ours(void **state)
{
	struct box *b = *state;
	char path[PATH_MAX];

	put_file(b->fx->spool, NAME, "torn");
	snprintf(path, sizeof(path), "%s/%s", b->fx->spool, NAME);
	if (setxattr(path, "user.gtfs.id", "01000000000000000000000000000000",
		32, 0)) {
		assert_int_equal(errno, ENOTSUP);
		skip();
	}
	put_file(b->fx->spool, NAME ".was", "");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_int_equal(entries(b->fx->inbox), 0);
	assert_int_equal(entries(b->fx->spool), 1);
	/* Of another transfer: it came out of the inbox. */
	assert_int_equal(setxattr(path, "user.gtfs.id",
			     "02000000000000000000000000000000", 32, 0),
	    0);
	put_file(b->fx->spool, NAME ".was", "");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_content(b->fx->inbox, "recovered file", "torn");
}

static void what_cannot_go_back_waits(void **state)
{
	struct box *b = *state;

	note(b, NULL);
	put_file(b->fx->inbox, "user", "mine");
	take(b, "user");
	assert_int_equal(aside_rescue(&b->spool, -1), 0); /* EBADF */
	assert_true(aside_waits(b->spool.fd, NAME));
	assert_true(aside_waits(b->spool.fd, NAME ".was"));
	assert_content(b->fx->spool, NAME, "mine");
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_content(b->fx->inbox, "f (2)", "mine");
}

static void links_that_were_left_are_removed(void **state)
{
	struct box *b = *state;
	struct stamp was;

	assert_int_equal(symlinkat("x", b->spool.fd, LINK), 0);
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_int_equal(entries(b->fx->spool), 0);
	/* But for the user's that came out of the inbox instead of ours. */
	assert_int_equal(symlinkat("x", b->top, "l"), 0);
	was = stamp(b->fx->inbox, "l");
	assert_int_equal(aside_note(b->spool.fd, LINK, NULL, &was, "l"), 0);
	assert_int_equal(symlinkat("mine", b->top, "m"), 0);
	assert_int_equal(renameat(b->top, "m", b->spool.fd, LINK), 0);
	assert_int_equal(unlinkat(b->top, "l", 0), 0);
	assert_int_equal(aside_rescue(&b->spool, b->top), 0);
	assert_int_equal(entries(b->fx->spool), 0);
	assert_int_equal(stamp(b->fx->inbox, "l").size, strlen("mine"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_box, close_box)
	const struct CMUnitTest tests[] = {
		T(ours_and_the_expected_one_are_known),
		T(any_other_one_goes_back),
		T(empty_note_makes_it_somebody_elses),
		T(empty_note_beside_what_the_spool_made_is_ours),
		T(what_cannot_go_back_waits),
		T(links_that_were_left_are_removed),
	};

	return cmocka_run_group_tests_name("aside", tests, NULL, NULL);
}
