/* Tests fs/procs.h, who has a file open, on real processes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "procs.h"
#include "procs_fixture.h"

static struct procs_holders holders_of(pid_t pid)
{
	struct procs_id id = id_of(pid);
	struct procs_holders h;

	assert_int_equal(procs_holders(&id, &file, &h), 0);
	return h;
}

static int open_file(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		_exit(97);
	return fd;
}

static void hold_three(void)
{
	open_file();
	if (dup(open_file()) < 0)
		_exit(96);
	hold();
}

static void own_descriptors_are_counted(void **state)
{
	struct child c = spawn(hold_three);
	struct procs_holders h;

	heard(&c);
	h = holders_of(c.pid);
	assert_int_equal(h.own, 3);
	assert_int_equal(h.descendants, 0);
	assert_false(h.stdio);
	/* Those of a child are none of the parent's own. */
	h = holders_of(getpid());
	assert_int_equal(h.own, 0);
	assert_int_equal(h.descendants, 3);
	finish(&c);
	h = holders_of(getpid());
	assert_int_equal(h.own + h.descendants, 0);
}

static void hold_among_many(void)
{
	for (int i = 0; i < 300; i++) {
		if (dup(hold_fd) < 0)
			_exit(96);
	}
	open_file();
	hold();
}

static void one_among_many_is_found(void **state)
{
	struct child c = spawn(hold_among_many);

	heard(&c);
	assert_int_equal(holders_of(c.pid).own, 1);
	finish(&c);
}

static void the_same_number_elsewhere_is_another_file(void **state)
{
	struct child c = spawn(hold_three);
	struct procs_file other = file;
	struct procs_holders h;
	struct procs_id id;

	heard(&c);
	id = id_of(c.pid);
	other.dev++;
	assert_int_equal(procs_holders(&id, &other, &h), 0);
	assert_int_equal(h.own, 0);
	other = file;
	other.ino++;
	assert_int_equal(procs_holders(&id, &other, &h), 0);
	assert_int_equal(h.own, 0);
	finish(&c);
}

static void hold_as_stdout(void)
{
	dup2(open_file(), 1);
	hold();
}

static void hold_as_stderr(void)
{
	dup2(open_file(), 2);
	hold();
}

static void hold_as_stdin(void)
{
	dup2(open_file(), 0);
	hold();
}

static void standard_output_is_told_apart(void **state)
{
	static void (*const run[])(
	    void) = { hold_as_stdout, hold_as_stderr, hold_as_stdin };

	for (size_t i = 0; i < 3; i++) {
		struct child c = spawn(run[i]);
		struct procs_file other = file;
		struct procs_id id;

		heard(&c);
		id = id_of(c.pid);
		assert_int_equal(procs_is_stdio(&id, &file), i < 2);
		assert_int_equal(holders_of(c.pid).stdio, i < 2);
		assert_int_equal(holders_of(c.pid).own, 2);
		other.ino++;
		assert_false(procs_is_stdio(&id, &other));
		finish(&c);
	}
}

/* Forks n generations that all inherit the descriptor. */
static void hold_in_generations(void)
{
	open_file();
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (pid > 0) {
			hold();
			waitpid(pid, NULL, 0);
			_exit(0);
		}
	}
	hold();
}

static void descendants_are_counted(void **state)
{
	struct child c = spawn(hold_in_generations);
	struct procs_holders h;

	for (int i = 0; i < 4; i++)
		heard(&c);
	h = holders_of(c.pid);
	assert_int_equal(h.own, 1);
	assert_int_equal(h.descendants, 3);
	finish(&c);
}

/* Does what each byte says, and says when it is done. */
static void obey(void)
{
	int fd = -1, old;
	pid_t pid = 0;
	char c;

	say(getpid());
	while (read(hold_fd, &c, 1) == 1) {
		switch (c) {
		case 'o': fd = open_file(); break;
		case 'c': close(fd); break;
		case 's': /* the number stays, the file is another one */
			old = open("/dev/null", O_RDONLY);
			dup2(old, fd);
			close(old);
			break;
		case 'f':
			pid = fork();
			if (!pid) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				pause();
				_exit(0);
			}
			break;
		case 'k':
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			break;
		}
		say(getpid());
	}
}

static void command(const struct child *c, char what)
{
	assert_int_equal(write(c->hold, &what, 1), 1);
	heard(c);
}

static void each_look_sees_what_is_true_then(void **state)
{
	struct child c = spawn(obey);

	heard(&c);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(holders_of(c.pid).own, 0);
		command(&c, 'o');
		assert_int_equal(holders_of(c.pid).own, 1);
		command(&c, 's');
		assert_int_equal(holders_of(c.pid).own, 0);
		command(&c, 'c');
		command(&c, 'o');
		assert_int_equal(holders_of(c.pid).own, 1);
		command(&c, 'f');
		assert_int_equal(holders_of(c.pid).descendants, 1);
		command(&c, 'c');
		assert_int_equal(holders_of(c.pid).own, 0);
		assert_int_equal(holders_of(c.pid).descendants, 1);
		command(&c, 'k');
		assert_int_equal(holders_of(c.pid).descendants, 0);
	}
	finish(&c);
}

static void what_has_gone_holds_nothing(void **state)
{
	struct child c = spawn(hold_three);
	struct procs_holders h;
	struct procs_id id;

	heard(&c);
	id = id_of(c.pid);
	assert_int_equal(holders_of(c.pid).own, 3);
	close(c.hold);
	wait_zombie(&c);
	assert_int_equal(procs_holders(&id, &file, &h), 0);
	assert_int_equal(h.own, 0);
	assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
	assert_int_equal(procs_holders(&id, &file, &h), -ESRCH);
	close(c.ready);
}

struct looker {
	pid_t pid;
	unsigned own;
};

static void *look_often(void *arg)
{
	const struct looker *l = arg;

	for (int i = 0; i < 300; i++) {
		struct procs_holders h = holders_of(l->pid);

		assert_int_equal(h.own, l->own);
		assert_int_equal(h.descendants, 0);
	}
	return NULL;
}

static void threads_look_at_once(void **state)
{
	struct child a = spawn(hold_three), b = spawn(just_hold);
	struct looker lookers[4] = { { a.pid, 3 }, { b.pid, 0 }, { a.pid, 3 },
		{ b.pid, 0 } };
	pthread_t threads[4];

	heard(&a);
	heard(&b);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, look_often, &lookers[i]),
		    0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	close(b.hold); /* b has a's end of the pipe as well */
	finish(&a);
	assert_int_equal(waitpid(b.pid, NULL, 0), b.pid);
	close(b.ready);
}

static void *fork_thread(void *arg)
{
	if (fork() == 0) {
		open_file();
		hold();
		_exit(0);
	}
	hold();
	_exit(0);
}

static void fork_in_a_thread(void)
{
	wait_for_the_end(fork_thread);
}

static void children_of_other_threads_are_counted(void **state)
{
	struct child c = spawn(fork_in_a_thread);
	struct procs_holders h;

	heard(&c);
	heard(&c);
	h = holders_of(c.pid);
	assert_int_equal(h.own, 0);
	assert_int_equal(h.descendants, 1);
	/* The same of a process below another one. */
	assert_int_equal(holders_of(getpid()).descendants, 1);
	finish(&c);
}

static void hold_in_an_orphan(void)
{
	pid_t middle = fork();

	if (!middle) {
		if (fork() == 0) {
			setsid();
			open_file();
			hold();
		}
		_exit(0);
	}
	waitpid(middle, NULL, 0); /* from here on it is an orphan */
	hold();
}

static void what_daemonised_is_no_descendant(void **state)
{
	struct child c = spawn(hold_in_an_orphan);
	struct procs_holders h;

	heard(&c);
	heard(&c);
	h = holders_of(c.pid);
	assert_int_equal(h.own, 0);
	assert_int_equal(h.descendants, 0);
	finish(&c);
}

static void have_a_zombie(void)
{
	siginfo_t info;
	pid_t pid;

	open_file();
	pid = fork();
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	hold();
}

static void zombies_hold_nothing(void **state)
{
	struct child c = spawn(have_a_zombie);
	struct procs_holders h;

	heard(&c);
	h = holders_of(c.pid);
	assert_int_equal(h.own, 1);
	assert_int_equal(h.descendants, 0);
	finish(&c);
}

static void *hold_and_exit_thread(void *arg)
{
	hold();
	_exit(1);
}

static void have_children_then_lose_the_first_thread(void)
{
	pthread_t t;

	if (fork() == 0) {
		open_file();
		hold();
		_exit(0);
	}
	if (pthread_create(&t, NULL, hold_and_exit_thread, NULL))
		_exit(96);
	for (;;)
		syscall(SYS_exit, 0);
}

static void children_stay_while_a_process_ends(void **state)
{
	struct child c = spawn(have_children_then_lose_the_first_thread);

	heard(&c);
	heard(&c);
	assert_int_equal(holders_of(c.pid).descendants, 1);
	finish(&c);
}

static void hold_in_a_chroot(void)
{
	open_file();
	if (chroot("/proc/self/fdinfo") || chdir("/"))
		_exit(96);
	hold();
}

static void a_process_that_sees_no_mounts_is_counted(void **state)
{
	struct child c;

	if (geteuid() != 0)
		skip(); /* chroot(2) is root's */
	c = spawn(hold_in_a_chroot);
	heard(&c);
	assert_int_equal(holders_of(c.pid).own, 1);
	finish(&c);
}

/* What procs says of c when no descriptor is left, each time anew. */
static int look_without_descriptors(
    const struct child *c, struct procs_holders *ret)
{
	struct procs_id id = id_of(c->pid), ignored;
	struct procs_caller caller;
	struct rlimit before, few;
	int taken[64], n = 0, r = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 64, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (taken[n] = dup(c->ready)) >= 0)
		n++;
	for (int i = 0; i < 100 && !r; i++) {
		r = procs_holders(&id, &file, ret);
		if (!r)
			r = procs_caller(c->pid, &caller);
		if (!r)
			r = procs_identify(c->pid, &ignored);
		if (!r)
			r = procs_orphans(&id, &file, NULL, 0);
	}
	while (n)
		close(taken[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	return r;
}

/* The two in this order: what has been reserved stays. */
static void a_shortage_is_not_a_process_that_has_gone(void **state)
{
	struct child c = spawn(hold_three);
	struct procs_holders h;

	heard(&c);
	assert_int_equal(look_without_descriptors(&c, &h), -EMFILE);
	assert_true(procs_is_shortage(-EMFILE));
	assert_false(procs_is_shortage(-ESRCH));
	assert_false(procs_is_shortage(-EACCES));
	finish(&c);
}

static void the_reserve_is_there_when_all_are_in_use(void **state)
{
	struct child c = spawn(hold_three);
	struct procs_holders h = { 0 };

	heard(&c);
	assert_int_equal(procs_reserve(), 0);
	assert_int_equal(look_without_descriptors(&c, &h), 0);
	assert_int_equal(h.own, 3);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shortage_is_not_a_process_that_has_gone),
		cmocka_unit_test(the_reserve_is_there_when_all_are_in_use),
		cmocka_unit_test(own_descriptors_are_counted),
		cmocka_unit_test(one_among_many_is_found),
		cmocka_unit_test(the_same_number_elsewhere_is_another_file),
		cmocka_unit_test(standard_output_is_told_apart),
		cmocka_unit_test(descendants_are_counted),
		cmocka_unit_test(children_of_other_threads_are_counted),
		cmocka_unit_test(each_look_sees_what_is_true_then),
		cmocka_unit_test(what_has_gone_holds_nothing),
		cmocka_unit_test(threads_look_at_once),
		cmocka_unit_test(what_daemonised_is_no_descendant),
		cmocka_unit_test(zombies_hold_nothing),
		cmocka_unit_test(children_stay_while_a_process_ends),
		cmocka_unit_test(a_process_that_sees_no_mounts_is_counted),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
