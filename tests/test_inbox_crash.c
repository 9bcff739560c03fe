/*
 * A receiver that dies: fs/inbox.h opened again after a child was killed before
 * or after each of the system calls that change the disk. What was acknowledged
 * is there, whole; of what was not there is all or nothing; never a part, and
 * never the same file twice. And what the user puts in the place of a file at
 * the last moment is still in the inbox.
 */
#include "inbox_fixture.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include "held.h"
#include "inbox_internal.h"

static bool armed;
static bool die_after; /* the call has been made, or not */
static unsigned calls, die_at;
/* Called once, before the first rename from or to "f", and not counted. */
static void (*user)(void);
static char user_file[300], f_path[350];

/* Before a call; *ret_last: it is the last one. */
static bool dies(bool after)
{
	if (!armed)
		return false;
	if (!after)
		calls++;
	return calls == die_at && after == die_after;
}

#define CALL(...)                              \
	do {                                   \
		long result;                   \
		if (dies(false))               \
			_exit(77);             \
		result = syscall(__VA_ARGS__); \
		if (dies(true))                \
			_exit(77);             \
		return (int)result;            \
	} while (0)

int fsync(int fd)
{
	CALL(SYS_fsync, fd);
}

static void let_user(const char *old, const char *new)
{
	void (*act)(void) = user;

	if (!armed || !act || (strcmp(old, "f") && strcmp(new, "f")))
		return;
	user = NULL;
	armed = false;
	act();
	armed = true;
}

int renameat2(
    int from, const char *old, int to, const char *new, unsigned flags)
{
	let_user(old, new);
	CALL(SYS_renameat2, from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
	let_user(old, new);
	CALL(SYS_renameat2, from, old, to, new, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
	CALL(SYS_unlinkat, dir, name, flags);
}

/* --- what is interrupted -----------------------------------------------------
 */

struct scene {
	const char *title;
	/* Before anything is interrupted; and what is: 0 when acknowledged. */
	void (*before)(struct fixture *fx);
	int (*act)(struct fixture *fx);
	/*
	 * What may stand in the inbox at the end: the contents of its files,
	 * sorted, one a line. Before the acknowledgement one of all, after it
	 * the last one.
	 */
	const char *allowed[4];
	unsigned n_allowed;
	/* And meanwhile; user_file is gone then. */
	void (*user)(void);
};

static int hold(struct fixture *fx, unsigned id, unsigned base,
    const char *name, const char *content, bool held)
{
	char got[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	int r = start_version(fx, ALICE, id, base, 0, name, &f);

	if (r)
		return r;
	r = f->ops->write(f, content, strlen(content), 0);
	return r ? r : finish(f, held, got);
}

static void nothing(struct fixture *fx)
{
	(void)fx;
}

static void one_shown(struct fixture *fx)
{
	assert_int_equal(hold(fx, 1, 0, "f", "old", false), 0);
}

static void one_held(struct fixture *fx)
{
	assert_int_equal(hold(fx, 1, 0, "f.tmp", "old", true), 0);
}

static void one_held_one_shown(struct fixture *fx)
{
	one_shown(fx);
	assert_int_equal(hold(fx, 2, 0, "f.tmp", "new", true), 0);
}

static void two_shown(struct fixture *fx)
{
	one_shown(fx);
	assert_int_equal(hold(fx, 2, 0, "g", "new", false), 0);
}

static int commit(struct fixture *fx)
{
	return hold(fx, 1, 0, "f", "new", false);
}

static int commit_held(struct fixture *fx)
{
	return hold(fx, 1, 0, "f.tmp", "new", true);
}

static int same_name(struct fixture *fx)
{
	return hold(fx, 2, 0, "f", "new", false);
}

static int same_name_held(struct fixture *fx)
{
	return hold(fx, 2, 0, "f.tmp", "new", true);
}

static int version(struct fixture *fx)
{
	return hold(fx, 2, 1, "f", "new", false);
}

static int version_held(struct fixture *fx)
{
	return hold(fx, 2, 1, "f.tmp", "new", true);
}

static int version_shown(struct fixture *fx)
{
	return hold(fx, 2, 1, "f", "new", false);
}

static int held_name_shown(struct fixture *fx)
{
	return hold(fx, 2, 0, "f.tmp", "new", false);
}

static int show(struct fixture *fx)
{
	return show_id(fx, ALICE, 1);
}

static int rename_over(struct fixture *fx)
{
	return rename_id(fx, ALICE, 2, 0, "f", false);
}

static void two_held(struct fixture *fx)
{
	one_held(fx);
	assert_int_equal(hold(fx, 2, 0, "g.tmp", "new", true), 0);
}

static void one_held_g_shown(struct fixture *fx)
{
	one_held(fx);
	assert_int_equal(hold(fx, 2, 0, "g", "new", false), 0);
}

static int rename_over_held(struct fixture *fx)
{
	return rename_id(fx, ALICE, 2, 0, "f.tmp", true);
}

static int show_over_held(struct fixture *fx)
{
	return rename_id(fx, ALICE, 2, 0, "f.tmp", false);
}

static int rename_away(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "g", false);
}

static int take_back(struct fixture *fx)
{
	return rename_id(fx, ALICE, 1, 0, "f~", true);
}

static int withdraw(struct fixture *fx)
{
	return withdraw_id(fx, ALICE, 1);
}

/* An error that says that the user was faster. */
static int stale(int r)
{
	return r == -ESTALE ? 0 : r ? r : -EINVAL;
}

static int version_late(struct fixture *fx)
{
	return stale(version(fx));
}

static int take_back_late(struct fixture *fx)
{
	return stale(take_back(fx));
}

static int withdraw_late(struct fixture *fx)
{
	return stale(withdraw(fx));
}

static void user_replaces(void)
{
	assert_int_equal(rename(user_file, f_path), 0);
}

/* The very file that was delivered, with all that says where it is from. */
static void user_writes(void)
{
	int fd = open(f_path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	assert_int_equal(unlink(user_file), 0);
}

static const struct scene scenes[] = {
	{ "commit", nothing, commit, { "", "new\n" }, 2 },
	{ "commit, held", nothing, commit_held, { "", "new\n" }, 2 },
	{ "the same name", one_shown, same_name, { "old\n", "new\n" }, 2 },
	{ "the same name, held", one_held, same_name_held, { "old\n", "new\n" },
	    2 },
	{ "version", one_shown, version, { "old\n", "new\n" }, 2 },
	{ "version, held", one_held, version_held, { "old\n", "new\n" }, 2 },
	{ "version of a held one, shown", one_held, version_shown,
	    { "old\n", "new\n" }, 2 },
	{ "held name, shown", one_held, held_name_shown, { "old\n", "new\n" },
	    2 },
	{ "show", one_held, show, { "old\n" }, 1 },
	{ "rename held over shown", one_held_one_shown, rename_over,
	    { "new\nold\n", "new\n" }, 2 },
	{ "rename shown over shown", two_shown, rename_over,
	    { "new\nold\n", "new\n" }, 2 },
	{ "rename held over held", two_held, rename_over_held,
	    { "new\nold\n", "new\n" }, 2 },
	{ "rename held over held, shown", two_held, show_over_held,
	    { "new\nold\n", "new\n" }, 2 },
	{ "take back over held", one_held_g_shown, rename_over_held,
	    { "new\nold\n", "new\n" }, 2 },
	{ "rename held", one_held, rename_away, { "old\n" }, 1 },
	{ "rename shown", one_shown, rename_away, { "old\n" }, 1 },
	{ "take back", one_shown, take_back, { "old\n" }, 1 },
	{ "withdraw shown", one_shown, withdraw, { "old\n", "" }, 2 },
	{ "withdraw held", one_held, withdraw, { "old\n", "" }, 2 },
	{ "the same name, replaced", one_shown, same_name,
	    { "old\n", "mine\n", "mine\nnew\n" }, 3, user_replaces },
	{ "the same name, written to", one_shown, same_name,
	    { "old\n", "mine\n", "mine\nnew\n" }, 3, user_writes },
	{ "version, replaced", one_shown, version_late,
	    { "old\n", "mine\nnew\n", "mine\n" }, 3, user_replaces },
	{ "version, written to", one_shown, version_late,
	    { "old\n", "mine\nnew\n", "mine\n" }, 3, user_writes },
	{ "rename held over shown, replaced", one_held_one_shown, rename_over,
	    { "new\nold\n", "mine\nnew\n" }, 2, user_replaces },
	{ "rename held over shown, written to", one_held_one_shown, rename_over,
	    { "new\nold\n", "mine\nnew\n" }, 2, user_writes },
	{ "take back, replaced", one_shown, take_back_late,
	    { "old\n", "mine\n" }, 2, user_replaces },
	{ "take back, written to", one_shown, take_back_late,
	    { "old\n", "mine\n" }, 2, user_writes },
	{ "withdraw, replaced", one_shown, withdraw_late, { "old\n", "mine\n" },
	    2, user_replaces },
	{ "withdraw, written to", one_shown, withdraw_late,
	    { "old\n", "mine\n" }, 2, user_writes },
};

/* --- and how -----------------------------------------------------------------
 */

/* The contents of all files of the inbox, in the order of the alphabet. */
static void contents(struct fixture *fx, char ret[256])
{
	char all[8][32];
	const struct dirent *e;
	DIR *d = opendir(fx->inbox);
	int n = 0;

	while ((e = readdir(d))) {
		int fd, at = n;
		char got[32];
		ssize_t len;

		if (*e->d_name == '.')
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY);
		assert_true(fd >= 0 && n < 8);
		len = read(fd, got, sizeof(got) - 1);
		close(fd);
		assert_true(len >= 0);
		got[len] = '\0';
		for (; at && strcmp(all[at - 1], got) > 0; at--)
			memcpy(all[at], all[at - 1], sizeof(got));
		memcpy(all[at], got, sizeof(got));
		n++;
	}
	closedir(d);
	ret[0] = '\0';
	for (int i = 0; i < n; i++) {
		strcat(ret, all[i]);
		strcat(ret, "\n");
	}
}

/* In the child. 77: died there; 0: it was acknowledged first. */
static void live_and_die(struct fixture *fx, const struct scene *s)
{
	if (open_inbox(fx, true))
		_exit(1);
	s->before(fx);
	user = s->user;
	armed = true;
	if (s->act(fx))
		_exit(2);
	armed = false;
	_exit(0);
}

static void check(struct fixture *fx, const struct scene *s, bool acknowledged)
{
	char got[256];
	unsigned i = acknowledged ? s->n_allowed - 1 : 0;

	assert_int_equal(open_inbox(fx, true), 0);
	contents(fx, got);
	if (s->user && access(user_file, F_OK) && !strstr(got, "mine\n"))
		fail_msg("%s, %s call %u: the user's file is lost", s->title,
		    die_after ? "after" : "before", die_at);
	while (i < s->n_allowed && strcmp(got, s->allowed[i]))
		i++;
	if (i == s->n_allowed)
		fail_msg("%s, %s call %u%s: \"%s\"", s->title,
		    die_after ? "after" : "before", die_at,
		    acknowledged ? " (acknowledged)" : "", got);
	assert_int_equal(entries(fx->spool), 0);
	inbox_close(fx->in);
	fx->in = NULL;
}

/* Every call of one scene; their number. */
static unsigned play(struct fixture *fx, const struct scene *s)
{
	int status;
	pid_t pid;

	for (die_at = 1;; die_at++) {
		remove_tree(fx->inbox);
		put_file(fx->home, "user", "mine");
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			live_and_die(fx, s);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != 77)
			assert_int_equal(WEXITSTATUS(status), 0);
		check(fx, s, !WEXITSTATUS(status));
		if (!WEXITSTATUS(status))
			return die_at - 1;
	}
}

static void no_death_loses_or_doubles_a_file(void **state)
{
	struct fixture *fx = *state;
	unsigned n;

	inbox_close(fx->in);
	fx->in = NULL;
	snprintf(user_file, sizeof(user_file), "%s/user", fx->home);
	snprintf(f_path, sizeof(f_path), "%s/f", fx->inbox);
	for (unsigned i = 0; i < 2 * sizeof(scenes) / sizeof(*scenes); i++) {
		die_after = i & 1;
		n = play(fx, &scenes[i / 2]);
		assert_true(n >= 2 && n < 100);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(no_death_loses_or_doubles_a_file),
	};

	return cmocka_run_group_tests_name("inbox_crash", tests, NULL, NULL);
}
