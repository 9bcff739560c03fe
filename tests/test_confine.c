/*
 * fs/confine.h: what a confined thread can still do, and what others in the
 * same process can. Each thread tries, and main looks at the errnos.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sanitized.h"
#include "sync.h"

#define N_OF(a) (sizeof(a) / sizeof(*(a)))

/* The top directory has these three; a child process sleeps. */
static struct {
	char top[64];
	int fd, inbox, state, outside;
	pid_t child;
	char landlock[CONFINE_STATE_MAX];
} w;

static int open_dir(const char *name)
{
	assert_int_equal(mkdirat(w.fd, name, 0700), 0);
	return openat(w.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int set_up(void **state)
{
	snprintf(w.top, sizeof(w.top), "/tmp/gtfs-confine-XXXXXX");
	assert_non_null(mkdtemp(w.top));
	w.fd = open(w.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.inbox = open_dir("inbox");
	w.state = open_dir("state");
	w.outside = open_dir("outside");
	assert_true(w.inbox >= 0 && w.state >= 0 && w.outside >= 0);
	assert_int_equal(mkdirat(w.inbox, "spool", 0700), 0);
	w.child = fork();
	if (w.child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	confine_prepare(w.inbox, w.state);
	thread_on_start(confine_thread);
	confine_state(w.landlock);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	kill(w.child, SIGKILL);
	waitpid(w.child, NULL, 0);
	close(w.inbox);
	close(w.state);
	close(w.outside);
	close(w.fd);
	snprintf(command, sizeof(command), "rm -r %s", w.top);
	return system(command);
}

static void needs_landlock(void)
{
	if (strncmp(w.landlock, "landlock", 8)) {
		print_message("no Landlock here: %s\n", w.landlock);
		skip();
	}
}

/* --- what a thread tries; 0 or its errno -----------------------------------
 */

static int result_of(int r)
{
	return r < 0 ? errno : 0;
}

static int opens(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* One thing that a thread may or may not do, by the files of main's. */
struct attempt {
	const char *what;
	int (*run)(int dir);
};

static int create(int dir)
{
	return opens(dir, "new", O_WRONLY | O_CREAT | O_EXCL);
}

static int write_old(int dir)
{
	return opens(dir, "old", O_WRONLY);
}

static int truncate_old(int dir)
{
	return opens(dir, "old", O_RDWR | O_TRUNC);
}

static int nameless(int dir)
{
	return opens(dir, ".", O_WRONLY | O_TMPFILE);
}

static int make_dir(int dir)
{
	return result_of(mkdirat(dir, "new", 0700));
}

static int make_link(int dir)
{
	return result_of(symlinkat("old", dir, "new"));
}

static int hard_link(int dir)
{
	return result_of(linkat(dir, "old", dir, "sub/new", 0));
}

static int move(int dir)
{
	return result_of(renameat(dir, "sub/file", dir, "new"));
}

static int exchange(int dir)
{
	return result_of(
	    renameat2(dir, "sub/file", dir, "old", RENAME_EXCHANGE));
}

static int remove_old(int dir)
{
	return result_of(unlinkat(dir, "old", 0));
}

static int remove_dir(int dir)
{
	return result_of(unlinkat(dir, "empty", AT_REMOVEDIR));
}

static const struct attempt changes[] = {
	{ "create", create },
	{ "write", write_old },
	{ "truncate", truncate_old },
	{ "a file without a name", nameless },
	{ "mkdir", make_dir },
	{ "symlink", make_link },
	{ "link between directories", hard_link },
	{ "rename between directories", move },
	{ "exchange between directories", exchange },
	{ "unlink", remove_old },
	{ "rmdir", remove_dir },
};

static int read_file(int dir)
{
	return opens(dir, "old", O_RDONLY);
}

static int list(int dir)
{
	return opens(dir, ".", O_RDONLY | O_DIRECTORY);
}

static const struct attempt reads[] = {
	{ "read", read_file },
	{ "list", list },
};

static int make_fifo(int dir)
{
	return result_of(mkfifoat(dir, "new", 0600));
}

static int execute(int dir)
{
	char *const argv[] = { (char *)(uintptr_t) "true", NULL };
	pid_t pid;
	int r = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1);

	if (!r)
		waitpid(pid, NULL, 0);
	return r;
}

static int look_at_others(int dir)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/2", (int)w.child);
	return opens(AT_FDCWD, path, O_RDONLY);
}

static int leave(int dir)
{
	return result_of(renameat(dir, "old", w.outside, "new"));
}

static int bring_in(int dir)
{
	return result_of(renameat(w.outside, "old", dir, "new"));
}

/* --- threads ---------------------------------------------------------------
 */

struct
try {
	const char *name;
	int (*run)(int dir);
	int dir;
	int result;
	int no_new_privs, seccomp;
};

static void *try_run(void *arg)
{
	struct try *t = arg;

	t->result = t->run(t->dir);
	t->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	t->seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	return NULL;
}

/* A cmocka assertion may not fail in another thread than the test's. */
static void *start_it(void *arg)
{
	struct try *t = arg;
	pthread_t thread;

	t->result = -1;
	if (thread_start(&thread, t->name, try_run, t) == 0)
		pthread_join(thread, NULL);
	return NULL;
}

static void fill(int dir)
{
	static const char *const files[] = { "old", "sub/file" };
	int fd;

	assert_int_equal(mkdirat(dir, "sub", 0700), 0);
	assert_int_equal(mkdirat(dir, "empty", 0700), 0);
	for (unsigned i = 0; i < N_OF(files); i++) {
		fd = openat(dir, files[i], O_WRONLY | O_CREAT, 0600);
		assert_int_equal(write(fd, files[i], 3), 3);
		close(fd);
	}
}

static void empty(int dir)
{
	static const char *const names[] = { "new", "old", "sub/new",
		"sub/file" };
	static const char *const dirs[] = { "new", "sub", "empty" };

	for (unsigned i = 0; i < N_OF(names); i++)
		unlinkat(dir, names[i], 0);
	for (unsigned i = 0; i < N_OF(dirs); i++)
		unlinkat(dir, dirs[i], AT_REMOVEDIR);
}

/* Makes the files anew, tries in a new thread (of thread by's, or of main's):
 * its errno. */
static int attempt(const char *by, const char *name, int (*run)(int), int dir)
{
	struct try t = { name, run, dir, 0, 0, 0 };
	pthread_t thread;
	bool both = dir != w.outside;

	fill(dir);
	if (both)
		fill(w.outside);
	if (by) {
		assert_int_equal(thread_start(&thread, by, start_it, &t), 0);
		pthread_join(thread, NULL);
	} else {
		start_it(&t);
	}
	empty(dir);
	if (both)
		empty(w.outside);
	return t.result;
}

static bool is_denied(int error)
{
	return error == EACCES || error == EPERM || error == EXDEV;
}

static void check_all(const char *by, const char *name, int dir,
    const struct attempt *all, size_t n, bool may)
{
	for (size_t i = 0; i < n; i++) {
		int r = attempt(by, name, all[i].run, dir);

		if (may ? r != 0 : !is_denied(r))
			fail_msg(
			    "%s by %s: %s", all[i].what, name, strerror(r));
	}
}

#define CHECK_ALL(by, name, dir, all, may) \
	check_all(by, name, dir, all, N_OF(all), may)

static const char *const receiving[] = { "in", "inbox", "listen" };
static const char *const network[] = { "link", "probe", "discovery", "keeper" };
static const char *const free_ones[] = { "fuse", "view-slow", "unshown",
	"deadline", "watch" };

/* --- tests -----------------------------------------------------------------
 */

static void test_those_that_receive_change_inbox_and_state_alone(void **state)
{
	needs_landlock();
	for (unsigned i = 0; i < N_OF(receiving); i++) {
		CHECK_ALL(NULL, receiving[i], w.inbox, changes, true);
		CHECK_ALL(NULL, receiving[i], w.inbox, reads, true);
		CHECK_ALL(NULL, receiving[i], w.outside, changes, false);
	}
	assert_int_equal(attempt(NULL, "in", create, w.state), 0);
	assert_int_equal(attempt(NULL, "in", move, w.state), 0);
	assert_int_equal(attempt(NULL, "in", make_fifo, w.inbox), EACCES);
	assert_true(is_denied(attempt(NULL, "in", leave, w.inbox)));
	assert_true(is_denied(attempt(NULL, "in", bring_in, w.inbox)));
}

static void test_those_that_receive_read_nothing_else(void **state)
{
	needs_landlock();
	if (SANITIZED)
		return; /* their runtimes may */
	for (unsigned i = 0; i < N_OF(receiving); i++)
		CHECK_ALL(NULL, receiving[i], w.outside, reads, false);
}

static void test_those_that_send_change_the_state_alone(void **state)
{
	needs_landlock();
	for (unsigned i = 0; i < N_OF(network); i++) {
		CHECK_ALL(NULL, network[i], w.inbox, changes, false);
		CHECK_ALL(NULL, network[i], w.outside, changes, false);
		CHECK_ALL(NULL, network[i], w.outside, reads, true);
	}
	assert_int_equal(attempt(NULL, "link", create, w.state), 0);
	assert_int_equal(attempt(NULL, "link", move, w.state), 0);
}

static void test_no_confined_thread_looks_at_others_or_runs_programs(
    void **state)
{
	needs_landlock();
	for (unsigned i = 0; i < N_OF(receiving); i++)
		assert_int_equal(
		    attempt(NULL, receiving[i], look_at_others, w.inbox),
		    EACCES);
	for (unsigned i = 0; i < N_OF(network); i++)
		assert_int_equal(
		    attempt(NULL, network[i], look_at_others, w.inbox), EACCES);
	if (SANITIZED)
		return; /* their runtimes may */
	for (unsigned i = 0; i < N_OF(receiving); i++)
		assert_true(
		    is_denied(attempt(NULL, receiving[i], execute, w.inbox)));
	for (unsigned i = 0; i < N_OF(network); i++)
		assert_true(
		    is_denied(attempt(NULL, network[i], execute, w.inbox)));
}

static int allowed(int dir)
{
	return 0;
}

static void test_the_others_are_as_free_as_before(void **state)
{
	/* After confined threads of the same process. */
	attempt(NULL, "in", create, w.inbox);
	for (unsigned i = 0; i < N_OF(free_ones); i++) {
		struct try t = { free_ones[i], allowed, w.outside, 0, 0, 0 };

		CHECK_ALL(NULL, free_ones[i], w.outside, changes, true);
		CHECK_ALL(NULL, free_ones[i], w.outside, reads, true);
		assert_int_equal(
		    attempt(NULL, free_ones[i], look_at_others, w.inbox), 0);
		assert_int_equal(
		    attempt(NULL, free_ones[i], execute, w.inbox), 0);
		start_it(&t);
		assert_int_equal(
		    t.no_new_privs, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		assert_int_equal(t.seccomp, prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	}
	assert_int_equal(opens(w.outside, ".", O_RDONLY | O_DIRECTORY), 0);
	assert_int_equal(look_at_others(w.outside), 0);
}

static void test_threads_of_a_kind_inherit_it(void **state)
{
	needs_landlock();
	CHECK_ALL("listen", "in", w.inbox, changes, true);
	CHECK_ALL("listen", "in", w.outside, changes, false);
	CHECK_ALL("probe", "link", w.outside, reads, true);
	CHECK_ALL("probe", "link", w.inbox, changes, false);
	/* Of another kind: what both may. */
	CHECK_ALL("in", "link", w.inbox, changes, false);
	CHECK_ALL("in", "link", w.state, changes, true);
}

struct chain {
	unsigned left;
	int result;
};

static void *chain_run(void *arg)
{
	struct chain *c = arg;
	pthread_t thread;

	if (c->left-- == 0)
		c->result = create(w.outside);
	else if (thread_start(&thread, "link", chain_run, c) == 0)
		pthread_join(thread, NULL);
	return NULL;
}

static void test_links_that_start_links_reach_no_limit(void **state)
{
	struct chain c = { .left = 40 };
	char text[CONFINE_STATE_MAX];

	needs_landlock();
	chain_run(&c);
	assert_int_equal(c.result, EACCES);
	confine_state(text);
	assert_string_equal(text, w.landlock);
}

static int enter_nothing(int dir)
{
	return result_of((int)syscall(SYS_setns, -1, 0));
}

/* As x32 calls it, which has other numbers for the same. */
static int foreign_getpid(int dir)
{
	return result_of((int)syscall(0x40000000 | SYS_getpid));
}

static void test_a_filter_denies_what_an_intruder_begins_with(void **state)
{
	static const char *const threads[] = { "in", "link" };

	needs_landlock();
	for (unsigned i = 0; i < N_OF(threads); i++) {
		struct try t = { threads[i], enter_nothing, 0, 0, 0, 0 };

		start_it(&t);
		assert_int_equal(t.no_new_privs, 1);
		if (!strstr(w.landlock, "seccomp"))
			continue;
		assert_int_equal(t.seccomp, 2);
		assert_int_equal(t.result, EPERM);
		t.run = foreign_getpid;
		start_it(&t);
		assert_int_equal(t.result, EPERM);
	}
	assert_int_equal(attempt(NULL, "fuse", enter_nothing, w.inbox), EBADF);
}

static int traced(int dir)
{
	return result_of((int)ptrace(PTRACE_SEIZE, w.child, NULL, NULL));
}

static void test_a_confined_thread_traces_nobody(void **state)
{
	needs_landlock();
	assert_int_equal(attempt(NULL, "in", traced, w.inbox), EPERM);
	assert_int_equal(attempt(NULL, "link", traced, w.inbox), EPERM);
}

/* Comes to the kernel's limit, so that not one layer more is possible. */
static void *use_up_layers(void *arg)
{
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK,
	};
	int fd =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	while (syscall(SYS_landlock_restrict_self, fd, 0) == 0)
		;
	close(fd);
	return start_it(arg);
}

static void test_a_thread_that_cannot_be_confined_goes_on_and_it_is_said(
    void **state)
{
	struct try t = { "in", create, w.outside, 0, 0, 0 };
	char text[CONFINE_STATE_MAX];
	pthread_t thread;

	needs_landlock();
	assert_int_equal(thread_start(&thread, "fuse", use_up_layers, &t), 0);
	pthread_join(thread, NULL);
	assert_int_equal(t.result, 0);
	confine_state(text);
	assert_int_equal(strncmp(text, "none (", 6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_those_that_receive_change_inbox_and_state_alone),
		cmocka_unit_test(test_those_that_receive_read_nothing_else),
		cmocka_unit_test(test_those_that_send_change_the_state_alone),
		cmocka_unit_test(
		    test_no_confined_thread_looks_at_others_or_runs_programs),
		cmocka_unit_test(test_the_others_are_as_free_as_before),
		cmocka_unit_test(test_threads_of_a_kind_inherit_it),
		cmocka_unit_test(test_links_that_start_links_reach_no_limit),
		cmocka_unit_test(
		    test_a_filter_denies_what_an_intruder_begins_with),
		cmocka_unit_test(test_a_confined_thread_traces_nobody),
		/* The last: from then on the state is "none". */
		cmocka_unit_test(
		    test_a_thread_that_cannot_be_confined_goes_on_and_it_is_said),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
