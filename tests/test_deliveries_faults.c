/*
 * Tests of fs/deliveries.h on a disk that fails: call N, and, another time, all
 * from call N on. What is answered with an error has happened or not; nothing
 * is lost by it or stays out of view; asked again, it is done.
 */
#include "inbox_fixture.h"

#include <sys/syscall.h>

static bool armed, for_good; /* all calls from the one on fail */
static unsigned calls, fail_at;
static char history[64]; /* F fsync of a file, D of a directory */

static bool fails(void)
{
	if (!armed)
		return false;
	calls++;
	if (calls != fail_at && !(for_good && calls > fail_at))
		return false;
	errno = EIO;
	return true;
}

static void arm(unsigned n)
{
	calls = 0;
	fail_at = n;
	history[0] = '\0';
	armed = true;
}

int fsync(int fd)
{
	struct stat st;
	size_t len = strlen(history);

	if (armed && !fstat(fd, &st) && len + 1 < sizeof(history)) {
		history[len] = S_ISDIR(st.st_mode) ? 'D' : 'F';
		history[len + 1] = '\0';
	}
	return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat2(
    int from, const char *old, int to, const char *new, unsigned flags)
{
	if (fails())
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
	if (fails())
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (fails())
		return -1;
	return (int)syscall(SYS_linkat, from, old, to, new, flags);
}

/* --- what fails --------------------------------------------------------------
 */

struct scene {
	const char *title;
	void (*before)(struct fixture *fx);
	int (*act)(struct fixture *fx);
	/*
	 * The contents of the files of the inbox, sorted, one a line. What is
	 * seen after a failure, without a restart; what a restart may show
	 * then; and what one shows when it was done.
	 */
	const char *seen[3];
	const char *allowed[3];
	const char *done;
};

static void put(struct fixture *fx, unsigned id, const char *name,
    const char *content, bool hold)
{
	char got[WIRE_NAME_MAX + 1];

	assert_int_equal(
	    deliver_as(fx, ALICE, id, 0, name, content, hold, got), 0);
}

static void one_shown(struct fixture *fx)
{
	put(fx, 1, "f", "one", false);
}

static void one_held(struct fixture *fx)
{
	put(fx, 1, "f.tmp", "one", true);
}

static void two_shown(struct fixture *fx)
{
	one_shown(fx);
	put(fx, 2, "g", "two", false);
}

static void two_held(struct fixture *fx)
{
	one_held(fx);
	put(fx, 2, "g.tmp", "two", true);
}

static void one_held_one_shown(struct fixture *fx)
{
	one_held(fx);
	put(fx, 2, "g", "two", false);
}

static int over_shown(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "g", false);
}

static int over_held(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "g.tmp", true);
}

static int show_over_held(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "g.tmp", false);
}

static int hold_over_held(struct fixture *fx)
{
	return rename_id(fx, ALICE, 2, 0, "f.tmp", true);
}

static int take_back(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "f~", true);
}

static int show(struct fixture *fx)
{
	return show_id(fx, ALICE, 1);
}

static int withdraw(struct fixture *fx)
{
	int r = withdraw_id(fx, ALICE, 1);

	return r == -ENOENT ? 0 : r;
}

static const struct scene scenes[] = {
	{ "shown over shown", two_shown, over_shown, { "one\ntwo\n", "one\n" },
	    { "one\ntwo\n", "one\n" }, "one\n" },
	{ "held over shown", one_held_one_shown, over_shown,
	    { "two\n", "one\n" }, { "one\ntwo\n", "one\n" }, "one\n" },
	{ "held over held", two_held, over_held, { "" },
	    { "one\ntwo\n", "one\n" }, "one\n" },
	{ "held over held, shown", two_held, show_over_held, { "", "one\n" },
	    { "one\ntwo\n", "one\n" }, "one\n" },
	{ "taken back over held", one_held_one_shown, hold_over_held,
	    { "two\n", "" }, { "one\ntwo\n", "two\n" }, "two\n" },
	{ "taken back", one_shown, take_back, { "one\n" }, { "one\n" },
	    "one\n" },
	{ "shown", one_held, show, { "one\n" }, { "one\n" }, "one\n" },
	{ "held one withdrawn", one_held, withdraw, { "" }, { "one\n", "" },
	    "" },
};

/* --- and how -----------------------------------------------------------------
 */

static void contents(struct fixture *fx, char ret[64])
{
	char all[4][8];
	const struct dirent *e;
	DIR *d = opendir(fx->inbox);
	int n = 0;

	while ((e = readdir(d))) {
		char path[600];
		FILE *f;

		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.255s", fx->inbox, e->d_name);
		f = fopen(path, "r");
		assert_true(f && n < 4);
		assert_non_null(fgets(all[n++], sizeof(*all), f));
		fclose(f);
	}
	closedir(d);
	qsort(
	    all, n, sizeof(*all), (int (*)(const void *, const void *))strcmp);
	ret[0] = '\0';
	for (int i = 0; i < n; i++) {
		strcat(ret, all[i]);
		strcat(ret, "\n");
	}
}

static void check(struct fixture *fx, const struct scene *s, const char *when,
    const char *const may_be[3])
{
	char got[64];
	unsigned i = 0;

	contents(fx, got);
	while (i < 3 && may_be[i] && strcmp(got, may_be[i]))
		i++;
	if (i == 3 || !may_be[i])
		fail_msg("%s, call %u%s, %s: \"%s\"", s->title, fail_at,
		    for_good ? " and all after it" : "", when, got);
}

static void restart(struct fixture *fx)
{
	inbox_close(fx->in);
	fx->in = NULL;
	assert_int_equal(open_inbox(fx, true), 0);
}

static bool is_here(void *ctx, const uint8_t key[IDENTITY_KEY_BYTES])
{
	(void)ctx;
	(void)key;
	return true;
}

/* What act said; its number of calls is in calls. */
static int play(struct fixture *fx, const struct scene *s, unsigned n)
{
	int r;

	inbox_close(fx->in);
	fx->in = NULL;
	remove_tree(fx->inbox);
	assert_int_equal(open_inbox(fx, true), 0);
	s->before(fx);
	arm(n);
	r = s->act(fx);
	armed = false;
	return r;
}

static void fail_everywhere(struct fixture *fx, const struct scene *s)
{
	const char *const done[3] = { s->done };

	for (unsigned n = 1;; n++) {
		int r = play(fx, s, n);

		if (calls < n)
			return;
		if (r) {
			/* What lay in between is seen with the next tick. */
			fx->sink->ops->tick(fx->sink, is_here, NULL);
			check(fx, s, "seen", s->seen);
			restart(fx);
			check(fx, s, "restarted", s->allowed);
			assert_int_equal(play(fx, s, n), r);
			assert_int_equal(s->act(fx), 0);
		}
		restart(fx);
		check(fx, s, "done", done);
	}
}

static void no_failure_loses_or_hides_a_file(void **state)
{
	for (unsigned i = 0; i < 2 * sizeof(scenes) / sizeof(*scenes); i++) {
		for_good = i & 1;
		fail_everywhere(*state, &scenes[i / 2]);
	}
}

/* The record says that the file is there, whatever --ack says. */
static void held_file_is_durable_in_any_case(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0);
	for_good = false;
	arm(0);
	assert_int_equal(deliver_as(fx, ALICE, 1, 0, "f.tmp", "x", true, name),
	    SINK_RECEIVED);
	/* The content; the record, and both names. */
	assert_string_equal(history, "FFD");
	armed = false;
	assert_int_equal(
	    deliver(fx, ALICE, 2, 0, "g", "x", name), SINK_RECEIVED);
	arm(0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "g~", true), 0);
	assert_string_equal(history, "FFDD");
	armed = false;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(no_failure_loses_or_hides_a_file),
		T(held_file_is_durable_in_any_case),
	};

	return cmocka_run_group_tests_name(
	    "deliveries_faults", tests, NULL, NULL);
}
