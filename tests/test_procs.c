/*
 * Tests fs/procs.h on real processes. What is seen of a process that waits in
 * FLUSH while it ends is seen here of zombies: the same text of the same file.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "procs.h"
#include "procs_fixture.h"
#include "procs_stat.h"

static size_t make_stat(char *text, size_t cap, const char *comm)
{
	int n = snprintf(text, cap, "4711 (%s) S 1 4711 4711 0 -1 1028", comm);

	for (int field = 10; field <= 52; field++) {
		const char *value = field == 20   ? "3"
				    : field == 22 ? "987654321"
				    : field == 26 ? "1"
				    : field == 25 ? "18446744073709551615"
				    : field == 52 ? "768"
						  : "0";

		n += snprintf(text + n, cap - (size_t)n, " %s", value);
	}
	n += snprintf(text + n, cap - (size_t)n, "\n");
	return (size_t)n;
}

static void a_stat_is_parsed_whatever_comm_says(void **state)
{
	static const char *const comms[] = { "cat", "", " ", ")", "((", "))",
		"a) R 1 (b", ") Z 0 0 0", "1 (2) S 3", "a\nb", "\xff\x01)",
		"kworker/u4:1-events_unbound" };
	char text[1024];

	for (size_t i = 0; i < sizeof(comms) / sizeof(*comms); i++) {
		struct procs_stat s;
		size_t len = make_stat(text, sizeof(text), comms[i]);

		assert_int_equal(procs_stat_parse(text, len, &s), 0);
		assert_int_equal(s.pid, 4711);
		assert_int_equal(s.state, 'S');
		assert_int_equal(s.flags, 0x404);
		assert_int_equal(s.threads, 3);
		assert_int_equal(s.start, 987654321);
		assert_int_equal(s.exit_code, 768);
	}
}

static void a_stat_that_is_cut_or_none_is_refused(void **state)
{
	static const char *const bad[] = { "", "\n", "1", "1 ", "1 (", "1 ()",
		"1 () ", "1 () S", "1 () S ", ")", ")(", ") S 1 2 3",
		"0 (x) S 1", "-1 (x) S 1", "99999999999999999999 (x) S 1",
		"1 (x) S 1 99999999999999999999999 1 1", "1 (x) S - 1" };
	struct procs_stat s = { .pid = 1 };
	char text[1024];
	size_t len = make_stat(text, sizeof(text), "a) b (c");

	for (size_t n = 0; n < len; n++) {
		char *cut = malloc(n + 1); /* so that reading on is seen */

		memcpy(cut, text, n);
		assert_int_equal(procs_stat_parse(cut, n, &s), -EBADMSG);
		free(cut);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(
		    procs_stat_parse(bad[i], strlen(bad[i]), &s), -EBADMSG);
	assert_int_equal(s.pid, 1); /* untouched */
}

static void a_field_is_found_at_the_start_of_a_line(void **state)
{
	static const char text[] = "pos:\t0\nino:\t12\nxino:\t13\n"
				   "SigPnd:\t0000000000000100\nlast:\t7";
	uint64_t n = 1;

	assert_int_equal(
	    procs_text_field(text, sizeof(text) - 1, "ino:", 10, &n), 0);
	assert_int_equal(n, 12);
	assert_int_equal(
	    procs_text_field(text, sizeof(text) - 1, "SigPnd:", 16, &n), 0);
	assert_int_equal(n, 0x100);
	assert_int_equal(
	    procs_text_field(text, sizeof(text) - 1, "no:", 10, &n), -ENOENT);
	assert_int_equal(/* perhaps 71 or 777 */
	    procs_text_field(text, sizeof(text) - 1, "last:", 10, &n), -ENOENT);
	assert_int_equal(procs_text_field("", 0, "ino:", 10, &n), -ENOENT);
	assert_int_equal(n, 0x100);
}

static void *identify_thread(void *arg)
{
	struct procs_id *ret = arg;

	*ret = id_of(gettid());
	assert_int_not_equal(gettid(), getpid());
	return NULL;
}

static void run_thread(void *(*run)(void *), void *arg)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, run, arg), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void a_thread_is_its_process(void **state)
{
	struct procs_id whole = id_of(getpid()), thread, other;

	assert_int_equal(whole.tgid, getpid());
	assert_true(whole.start > 0);
	run_thread(identify_thread, &thread);
	assert_true(procs_same(&whole, &thread));
	other = whole;
	other.start++;
	assert_false(procs_same(&whole, &other));
	other = id_of(1);
	assert_false(procs_same(&whole, &other));
	other = whole;
	other.start = 0; /* not known: any */
	assert_true(procs_same(&whole, &other));
	memset(&other, 0, sizeof(other)); /* two unknown ones are not one */
	assert_false(procs_same(&other, &other));
}

static void be_named_like_a_stat(void)
{
	prctl(PR_SET_NAME, ") Z 1 (\n) X");
	hold();
}

static void a_process_may_be_called_anything(void **state)
{
	struct child c = spawn(be_named_like_a_stat);
	struct procs_caller caller;

	assert_int_equal(heard(&c), c.pid);
	assert_int_equal(procs_caller(c.pid, &caller), 0);
	assert_int_equal(caller.id.tgid, c.pid);
	assert_false(caller.exiting);
	assert_false(caller.killed);
	assert_true(caller.readable);
	assert_true(procs_alive(&caller.id));
	assert_false(procs_dying(c.pid));
	finish(&c);
	assert_int_equal(procs_caller(c.pid, &caller), -ESRCH);
	assert_int_equal(procs_identify(c.pid, &caller.id), -ESRCH);
	assert_true(procs_dying(c.pid));
}

static void nobody_is_not_known(void **state)
{
	struct procs_caller caller;
	struct procs_id id = { 0 };
	struct procs_holders h;

	assert_int_equal(procs_caller(0, &caller), -ESRCH);
	assert_int_equal(procs_identify(0, &id), -ESRCH);
	assert_int_equal(procs_identify(-1, &id), -ESRCH);
	assert_int_equal(procs_holders(&id, &file, &h), -ESRCH);
	assert_false(procs_alive(&id));
	assert_false(procs_is_stdio(&id, &file));
	assert_false(procs_dying(0)); /* of another pid namespace */
}

static void exit_0(void)
{
	_exit(0);
}

static void exit_3(void)
{
	_exit(3);
}

static void exit_255(void)
{
	_exit(255);
}

static void die_killed(void)
{
	raise(SIGKILL);
}

static void die_terminated(void)
{
	raise(SIGTERM);
}

static void *exit_0_thread(void *arg)
{
	_exit(0);
}

static void *exit_5_thread(void *arg)
{
	_exit(5);
}

static void *kill_thread(void *arg)
{
	kill(getpid(), SIGKILL);
	return NULL;
}

static void exit_0_in_a_thread(void)
{
	wait_for_the_end(exit_0_thread);
}

static void exit_5_in_a_thread(void)
{
	wait_for_the_end(exit_5_thread);
}

static void die_in_a_thread(void)
{
	wait_for_the_end(kill_thread);
}

static void how_a_process_ends_is_seen(void **state)
{
	static const struct {
		void (*run)(void);
		bool killed;
		int status;
	} cases[] = {
		{ exit_0, false, 0 },
		{ exit_3, false, 3 },
		{ exit_255, false, 255 },
		{ die_killed, true, 0 },
		{ die_terminated, true, 0 },
		/* The first thread carries PF_SIGNALED in all of these. */
		{ exit_0_in_a_thread, false, 0 },
		{ exit_5_in_a_thread, false, 5 },
		{ die_in_a_thread, true, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct child c = spawn(cases[i].run);
		struct procs_caller caller;

		wait_zombie(&c);
		assert_int_equal(procs_caller(c.pid, &caller), 0);
		assert_int_equal(caller.id.tgid, c.pid);
		assert_true(caller.exiting);
		assert_int_equal(caller.killed, cases[i].killed);
		assert_int_equal(caller.status, cases[i].status);
		assert_false(procs_alive(&caller.id));
		assert_true(procs_dying(c.pid));
		finish(&c);
		assert_false(procs_alive(&caller.id));
	}
}

static void *hold_thread(void *arg)
{
	hold();
	_exit(0);
}

static void leave_main_by_pthread_exit(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, hold_thread, NULL))
		_exit(96);
	/* pthread_exit itself would unwind into the test. */
	for (;;)
		syscall(SYS_exit, 0);
}

static void a_process_without_its_first_thread_lives(void **state)
{
	struct child c = spawn(leave_main_by_pthread_exit);
	time_t deadline = time(NULL) + DEADLINE_S;
	struct procs_stat s;
	struct procs_id id;

	heard(&c);
	do {
		assert_true(time(NULL) < deadline);
		sched_yield();
		assert_int_equal(procs_stat_read(c.pid, &s), 0);
	} while (s.state != 'Z');
	id = id_of(c.pid);
	assert_int_equal(id.tgid, c.pid);
	assert_true(procs_alive(&id));
	finish(&c);
	assert_false(procs_alive(&id));
}

static void stop_with_a_signal_pending(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
	kill(getpid(), SIGTERM);
	say(getpid());
	raise(SIGSTOP);
	hold();
}

static void stopped_or_signalled_is_not_dying(void **state)
{
	struct child c = spawn(stop_with_a_signal_pending);
	int status;

	assert_int_equal(waitpid(c.pid, &status, WUNTRACED), c.pid);
	assert_true(WIFSTOPPED(status));
	assert_false(procs_dying(c.pid));
	assert_int_equal(kill(c.pid, SIGCONT), 0);
	heard(&c);
	heard(&c);
	finish(&c);
}

/* Tells by its exit status what it sees of a process of another user. */
static void look_at_another_user(void)
{
	struct procs_caller caller;
	struct procs_holders h;
	pid_t pid = getppid();

	if (geteuid() != 0)
		pid = 1;
	else if (setgid(65534) || setuid(65534))
		_exit(10);
	if (procs_caller(pid, &caller) || caller.id.tgid != pid)
		_exit(11);
	if (caller.readable)
		_exit(12);
	if (procs_holders(&caller.id, &file, &h) != -EACCES)
		_exit(13);
	if (!procs_alive(&caller.id))
		_exit(14);
	if (procs_is_stdio(&caller.id, &file))
		_exit(15);
}

static void another_users_process_may_not_be_looked_at(void **state)
{
	struct child c = spawn(look_at_another_user);
	int status;

	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_int_equal(status, 0);
	close(c.ready);
	close(c.hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stat_is_parsed_whatever_comm_says),
		cmocka_unit_test(a_stat_that_is_cut_or_none_is_refused),
		cmocka_unit_test(a_field_is_found_at_the_start_of_a_line),
		cmocka_unit_test(a_thread_is_its_process),
		cmocka_unit_test(a_process_may_be_called_anything),
		cmocka_unit_test(nobody_is_not_known),
		cmocka_unit_test(how_a_process_ends_is_seen),
		cmocka_unit_test(a_process_without_its_first_thread_lives),
		cmocka_unit_test(stopped_or_signalled_is_not_dying),
		cmocka_unit_test(another_users_process_may_not_be_looked_at),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
