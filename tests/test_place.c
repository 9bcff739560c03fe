/*
 * Tests of fs/place.h through fs/inbox.h: somebody is faster at the very
 * moment, the file system cannot exchange, the disk fails in between. The
 * definitions here take the place of libc's.
 */
#include "inbox_fixture.h"

#include <sys/syscall.h>

#include "inbox_internal.h"

/* Called before the n-th exchange. */
static void (*before_exchange)(unsigned n);
/* And after the next rename without one. */
static void (*after_rename)(void);
static unsigned exchanges;
static int exchange_error, noreplace_error, fsync_error;
static unsigned fsync_fails_at; /* of directories; 0: none */
static struct fixture *now;     /* the one of this test */

int renameat2(
    int from, const char *old, int to, const char *new, unsigned flags)
{
	if (flags == RENAME_EXCHANGE ? exchange_error : noreplace_error) {
		errno =
		    flags == RENAME_EXCHANGE ? exchange_error : noreplace_error;
		return -1;
	}
	if (flags == RENAME_EXCHANGE && before_exchange)
		before_exchange(++exchanges);
	if (syscall(SYS_renameat2, from, old, to, new, flags))
		return -1;
	if (flags == RENAME_NOREPLACE && after_rename) {
		void (*act)(void) = after_rename;

		after_rename = NULL;
		act();
	}
	return 0;
}

int fsync(int fd)
{
	struct stat st;

	if (fsync_fails_at && !fstat(fd, &st) && S_ISDIR(st.st_mode) &&
	    !--fsync_fails_at) {
		errno = fsync_error;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static int begin(void **state)
{
	before_exchange = NULL;
	after_rename = NULL;
	exchanges = fsync_fails_at = 0;
	exchange_error = noreplace_error = 0;
	fsync_error = EIO;
	set_up(state);
	now = *state;
	return 0;
}

static const char *at(const char *name)
{
	static char paths[4][800];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 800, "%s/%s", now->inbox, name);
	return path;
}

/* The user's own file takes the place of f at the last moment. */
static void user_takes_f(unsigned n)
{
	if (n != 1)
		return;
	put_file(now->home, "user", "mine");
	snprintf(now->last_path, sizeof(now->last_path), "%s/user", now->home);
	assert_int_equal(rename(now->last_path, at("f")), 0);
}

static void what_the_user_put_there_goes_back(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	before_exchange = user_takes_f;
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "two", name), 0);
	before_exchange = NULL;
	assert_int_equal(exchanges, 2); /* to and fro */
	assert_string_equal(name, "f (2)");
	assert_content(fx->inbox, "f", "mine");
	assert_content(fx->inbox, "f (2)", "two");
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

static void version_of_it_is_stale(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), 0);
	before_exchange = user_takes_f;
	assert_int_equal(finish(f, false, name), -ESTALE);
	before_exchange = NULL;
	assert_content(fx->inbox, "f", "mine");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
}

/* And once more, before it has been given back. */
static void user_takes_f_twice(unsigned n)
{
	if (n == 1)
		user_takes_f(1);
	else if (n == 2)
		put_file(now->inbox, "g", "mine too");
	if (n == 2)
		assert_int_equal(rename(at("g"), at("f")), 0);
}

static void nothing_of_the_users_is_lost_in_two_races(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	int r;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	before_exchange = user_takes_f_twice;
	/* The user has replaced what was just published: it is theirs. */
	r = deliver(fx, ALICE, 2, 0, "f", "two", name);
	before_exchange = NULL;
	assert_int_equal(r, -ESTALE);
	assert_content(fx->inbox, "f", "mine");
	assert_content(fx->inbox, "f (2)", "mine too");
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

static void user_writes_to_f(unsigned n)
{
	if (n == 1)
		put_file(now->inbox, "f", "written");
}

static void written_to_in_between_is_touched(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "g", "two", name), 0);
	before_exchange = user_writes_to_f;
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f", false), 0);
	before_exchange = NULL;
	assert_content(fx->inbox, "f", "written");
	assert_content(fx->inbox, "f (2)", "two");
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

static void user_replaces_f(void)
{
	user_takes_f(1);
}

static void what_replaces_it_at_once_is_the_users(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	after_rename = user_replaces_f;
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_content(fx->inbox, "f", "mine");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ESTALE);
	/* Also where it was to be taken back. */
	assert_int_equal(unlink(at("f")), 0);
	after_rename = user_replaces_f;
	fsync_fails_at = 1;
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "two", name), -EIO);
	assert_content(fx->inbox, "f", "mine");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
}

/* The first exchange is made, and no way back is there. */
static void user_takes_f_for_good(unsigned n)
{
	user_takes_f(n);
	if (n == 1)
		exchange_error = noreplace_error = EIO;
}

static void what_does_not_find_back_is_there_after_a_restart(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	before_exchange = user_takes_f_for_good;
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "two", name), -ESTALE);
	before_exchange = NULL;
	exchange_error = noreplace_error = 0;
	assert_int_equal(entries(fx->spool), 2); /* and its note */
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, true), 0);
	assert_content(fx->inbox, "f", "two");
	assert_content(fx->inbox, "f (2)", "mine");
	assert_int_equal(entries(fx->spool), 0);
}

#define LARGE (17u << 20)

/* A file of LARGE bytes, the last one that. */
static void deliver_large(struct fixture *fx, const uint8_t *sender,
    unsigned id, char last, char ret_name[WIRE_NAME_MAX + 1])
{
	struct sink_file *f;

	assert_int_equal(start(fx, sender, id, 0, "f", &f), 0);
	assert_int_equal(f->ops->write(f, &last, 1, LARGE - 1), 0);
	assert_int_equal(finish(f, false, ret_name), 0);
}

/* The ACK was lost with the receiver, and the sender sends it again. */
static void same_transfer_again_makes_no_second_copy(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	deliver_large(fx, ALICE, 1, 'x', name);
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, true), 0);
	deliver_large(fx, ALICE, 1, 'x', name);
	assert_string_equal(name, "f");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	/* Another transfer, or another sender's, or written to since. */
	deliver_large(fx, ALICE, 2, 'x', name);
	assert_string_equal(name, "f (2)");
	deliver_large(fx, BOB, 1, 'x', name);
	assert_string_equal(name, "f (3)");
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, true), 0);
	deliver_large(fx, ALICE, 1, 'y', name);
	assert_string_equal(name, "f (4)");
}

/* rename(2): EINVAL where the file system does not have the flag. */
static void without_exchange_the_next_name_is_taken(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	exchange_error = EINVAL;
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "two", name), 0);
	assert_string_equal(name, "f (2)");
	assert_content(fx->inbox, "f", "one");
	/* A version stands beside its base, which then goes. */
	assert_int_equal(start_version(fx, ALICE, 3, 2, 0, "f", &f), 0);
	assert_int_equal(f->ops->write(f, "three", 5, 0), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_string_equal(name, "f (3)");
	assert_int_equal(entries(fx->inbox), 2);
	/* Nor without RENAME_NOREPLACE. */
	noreplace_error = EINVAL;
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "g", false), 0);
	assert_content(fx->inbox, "g", "three");
	put_file(fx->inbox, "h", "mine");
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "h", false), 0);
	assert_content(fx->inbox, "h (2)", "three");
	assert_content(fx->inbox, "h", "mine");
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "h~", true), 0);
	assert_int_equal(show_id(fx, ALICE, 3), 0);
	assert_content(fx->inbox, "h~", "three");
	assert_int_equal(withdraw_id(fx, ALICE, 3), 0);
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

/* What was replaced is back, and can be replaced once more. */
static void replacement_is_taken_back_where_it_is_not_durable(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	fsync_fails_at = 1;
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "two", name), -EIO);
	assert_content(fx->inbox, "f", "one");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(start_version(fx, ALICE, 3, 1, 0, "f", &f), 0);
	fsync_fails_at = 1;
	assert_int_equal(finish(f, false, name), -EIO);
	assert_content(fx->inbox, "f", "one");
	assert_int_equal(deliver(fx, ALICE, 4, 0, "f", "four", name), 0);
	assert_string_equal(name, "f");
	assert_content(fx->inbox, "f", "four");
	assert_int_equal(entries(fx->spool), 0);
}

static void requests_fail_and_can_be_repeated(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	int r;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	for (unsigned n = 1; n < 6; n++) {
		fsync_fails_at = n;
		r = rename_id(fx, ALICE, 1, 0, n & 1 ? "g" : "f", false);
		if (r)
			assert_int_equal(r, -EIO);
		assert_int_equal(entries(fx->inbox), 1);
	}
	for (unsigned n = 1; n < 6; n++) {
		fsync_fails_at = n;
		(void)rename_id(fx, ALICE, 1, 0, "f~", true);
		fsync_fails_at = 0;
		assert_int_equal(
		    entries(fx->inbox) + entries(fx->spool) / 2, 1);
		fsync_fails_at = n;
		(void)rename_id(fx, ALICE, 1, 0, "f", false);
		fsync_fails_at = 0;
		assert_int_equal(
		    entries(fx->inbox) + entries(fx->spool) / 2, 1);
	}
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "f", false), 0);
	assert_content(fx->inbox, "f", "one");
	fsync_fails_at = 1;
	assert_int_equal(withdraw_id(fx, ALICE, 1), -EIO);
	assert_content(fx->inbox, "f", "one");
	fsync_fails_at = 1;
	assert_int_equal(
	    deliver_as(fx, ALICE, 2, 0, "h.tmp", "x", true, name), -EIO);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(
	    deliver_as(fx, ALICE, 2, 0, "h.tmp", "x", true, name), 0);
	fsync_fails_at = 1;
	assert_int_equal(show_id(fx, ALICE, 2), -EIO);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(show_id(fx, ALICE, 2), 0);
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, tear_down)
	const struct CMUnitTest tests[] = {
		T(what_the_user_put_there_goes_back),
		T(version_of_it_is_stale),
		T(nothing_of_the_users_is_lost_in_two_races),
		T(written_to_in_between_is_touched),
		T(what_replaces_it_at_once_is_the_users),
		T(what_does_not_find_back_is_there_after_a_restart),
		T(same_transfer_again_makes_no_second_copy),
		T(without_exchange_the_next_name_is_taken),
		T(replacement_is_taken_back_where_it_is_not_durable),
		T(requests_fail_and_can_be_repeated),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
