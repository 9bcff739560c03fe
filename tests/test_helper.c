/*
 * fs/helper.h, on a plain directory instead of a mount: what is asked is done,
 * in order, and the process ends when it is told to, or when we end.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DEADLINE_MS 20000

struct fixture {
	char top[64];
	struct helper helper;
	int watch; /* inotify of top/inbox */
};

static void path_of(const struct fixture *f, char out[PATH_MAX], const char *in)
{
	snprintf(out, PATH_MAX, "%s/%s", f->top, in);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[PATH_MAX];

	assert_non_null(f);
	f->helper = (struct helper)HELPER_INIT;
	snprintf(f->top, sizeof(f->top), "/tmp/gtfs-helper-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	path_of(f, path, "inbox");
	assert_int_equal(mkdir(path, 0700), 0);
	f->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	assert_true(f->watch >= 0);
	assert_true(inotify_add_watch(f->watch, path,
			IN_MOVED_TO | IN_CREATE | IN_ONLYDIR) >= 0);
	assert_int_equal(helper_start(&f->helper, f->top), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	helper_stop(&f->helper);
	close(f->watch);
	snprintf(command, sizeof(command), "rm -r '%s'", f->top);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void make_file(const struct fixture *f, const char *name)
{
	char path[PATH_MAX];
	int fd;

	path_of(f, path, name);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* The next event in inbox/ is this one. */
static void expect(const struct fixture *f, uint32_t mask, const char *name)
{
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *e = (const void *)buf;
	struct pollfd p = { .fd = f->watch, .events = POLLIN };

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	/* One at a time: the buffer has room for no more than a name. */
	assert_true(read(f->watch, buf, sizeof(*e) + NAME_MAX + 1) > 0);
	assert_int_equal(e->mask, mask);
	assert_string_equal(e->name, name);
}

static void test_renames(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	make_file(f, "new");
	assert_true(
	    helper_ask(&f->helper, HELPER_RENAME, "new", "inbox", "a b"));
	expect(f, IN_MOVED_TO, "a b");
	path_of(f, path, "inbox/a b");
	assert_int_equal(access(path, F_OK), 0);
}

static void test_makes_directories(void **state)
{
	struct fixture *f = *state;

	assert_true(helper_ask(&f->helper, HELPER_MKDIR, "none", "inbox", "d"));
	expect(f, IN_CREATE | IN_ISDIR, "d");
}

static void test_what_fails_is_over(void **state)
{
	struct fixture *f = *state;

	make_file(f, "there");
	assert_true(
	    helper_ask(&f->helper, HELPER_RENAME, "none", "inbox", "x"));
	assert_true(
	    helper_ask(&f->helper, HELPER_RENAME, "there", "nowhere", "x"));
	/* For mkdir the name that is looked up before has to be free. */
	assert_true(
	    helper_ask(&f->helper, HELPER_MKDIR, "there", "inbox", "y"));
	assert_true(
	    helper_ask(&f->helper, HELPER_RENAME, "there", "inbox", "z"));
	expect(f, IN_MOVED_TO, "z");
}

/* A directory that somebody has put a link in place of. */
static void test_follows_no_link(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX], outside[PATH_MAX];

	path_of(f, outside, "outside");
	assert_int_equal(mkdir(outside, 0700), 0);
	path_of(f, path, "inbox/link");
	assert_int_equal(symlink(outside, path), 0);
	expect(f, IN_CREATE, "link");
	make_file(f, "new");
	assert_true(
	    helper_ask(&f->helper, HELPER_MKDIR, "none", "inbox/link", "d"));
	assert_true(
	    helper_ask(&f->helper, HELPER_RENAME, "new", "inbox/link", "x"));
	assert_true(
	    helper_ask(&f->helper, HELPER_MKDIR, "none", "inbox", "last"));
	expect(f, IN_CREATE | IN_ISDIR, "last");
	assert_int_equal(rmdir(outside), 0); /* it is empty */
}

static void test_long_paths_are_not_asked(void **state)
{
	struct fixture *f = *state;
	char *path = malloc(2 * PATH_MAX);

	assert_non_null(path);
	memset(path, 'p', 2 * PATH_MAX - 1);
	path[2 * PATH_MAX - 1] = '\0';
	assert_false(helper_ask(&f->helper, HELPER_RENAME, path, "inbox", "x"));
	free(path);
}

/* A helper that cannot go on takes some, and then none; nobody waits. */
static void test_never_waits(void **state)
{
	struct fixture *f = *state;
	unsigned asked = 0;

	assert_int_equal(kill(f->helper.pid, SIGSTOP), 0);
	while (helper_ask(&f->helper, HELPER_RENAME, "none", "inbox", "x"))
		assert_true(++asked < 100000);
	assert_int_equal(kill(f->helper.pid, SIGCONT), 0);
}

/* Whether descriptor number of the helper is open, and what it is. */
static bool is_open(const struct fixture *f, int number, char ret[PATH_MAX])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", f->helper.pid, number);
	n = readlink(path, ret, PATH_MAX - 1);
	ret[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static void test_holds_nothing(void **state)
{
	struct fixture *f = *state;
	char to[PATH_MAX];

	/* Asked, and so it serves by now; the parent is closed at last. */
	assert_true(helper_ask(&f->helper, HELPER_MKDIR, "none", "inbox", "d"));
	expect(f, IN_CREATE | IN_ISDIR, "d");
	for (int tries = 0; is_open(f, 5, to); tries++)
		assert_true(poll(NULL, 0, 1) == 0 && tries < DEADLINE_MS);
	for (int fd = 0; fd < 64; fd++)
		assert_int_equal(is_open(f, fd, to), fd <= 3);
	assert_true(is_open(f, 3, to) && !strncmp(to, "socket:", 7));
	for (int fd = 0; fd < 3; fd++)
		assert_true(is_open(f, fd, to) && !strcmp(to, "/dev/null"));
}

static void test_without_one_nothing_is_asked(void **state)
{
	struct helper none = HELPER_INIT;

	(void)state;
	assert_false(helper_ask(&none, HELPER_MKDIR, "a", "b", "c"));
	helper_stop(&none);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_renames),
		T(test_makes_directories),
		T(test_what_fails_is_over),
		T(test_follows_no_link),
		T(test_long_paths_are_not_asked),
		T(test_never_waits),
		T(test_holds_nothing),
		cmocka_unit_test(test_without_one_nothing_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
