/*
 * Processes for the tests of fs/procs.h. A child tells over one pipe that it
 * is where the test wants it, and ends when the other one closes.
 */
#ifndef PROCS_FIXTURE_H
#define PROCS_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "procs.h"

#define DEADLINE_S 30

/* On a tmpfs: st_dev of a btrfs or an overlay is not that of its mount. */
static char path[] = "/dev/shm/gtfs-test-procs-XXXXXX";
static struct procs_file file;

struct child {
	pid_t pid;
	int ready; /* a pid_t comes from it for each process to look at */
	int hold;  /* closed: the child and all its children end */
};

/* In children: where to say what, and what to wait for. */
static int ready_fd, hold_fd;

static inline void say(pid_t pid)
{
	if (write(ready_fd, &pid, sizeof(pid)) != sizeof(pid))
		_exit(99);
}

static inline void hold(void)
{
	char c;

	say(getpid());
	if (read(hold_fd, &c, 1) != 0)
		_exit(98);
}

static inline struct child spawn(void (*run)(void))
{
	int ready[2], held[2];
	struct child c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(held, O_CLOEXEC), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (!c.pid) {
		close(ready[0]);
		close(held[1]);
		ready_fd = ready[1];
		hold_fd = held[0];
		alarm(DEADLINE_S);
		run();
		_exit(0);
	}
	close(ready[1]);
	close(held[0]);
	c.ready = ready[0];
	c.hold = held[1];
	return c;
}

static inline pid_t heard(const struct child *c)
{
	pid_t pid;

	assert_int_equal(read(c->ready, &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

/* Waits until it is a zombie, and leaves it one. */
static inline void wait_zombie(const struct child *c)
{
	siginfo_t info;

	assert_int_equal(
	    waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT), 0);
}

/* Ends it and all that hold its pipes. */
static inline void finish(struct child *c)
{
	char byte;

	close(c->hold);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
	while (read(c->ready, &byte, 1) > 0)
		;
	close(c->ready);
}

static inline struct procs_id id_of(pid_t pid)
{
	struct procs_id id;

	assert_int_equal(procs_identify(pid, &id), 0);
	return id;
}

static inline void wait_for_the_end(void *(*run)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, run, NULL))
		_exit(96);
	for (;;)
		pause();
}

static inline void just_hold(void)
{
	hold();
}

static inline int make_file(void **state)
{
	int fd = mkstemp(path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	close(fd);
	file = (struct procs_file){ .ino = st.st_ino, .dev = st.st_dev };
	return 0;
}

static inline int remove_file(void **state)
{
	return unlink(path);
}

#endif
