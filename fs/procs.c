/*
 * Who stands behind a FUSE request, and whether it still lives. Runs in the
 * threads that serve FUSE, while the process asked about waits in its request.
 * Which descriptors it holds is procs_holders.c; what follows from all that
 * (commit, checkpoint, abort) is for those who ask.
 */
#include "procs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "procs_stat.h"

#define SIGKILL_BIT (UINT64_C(1) << (SIGKILL - 1))

/*
 * The process of the thread that s is of. A thread alone in its group is its
 * leader, which saves all but the first read for most callers.
 */
static int identify(const struct procs_stat *s, struct procs_id *ret)
{
	char path[PROCS_PATH_MAX], text[1024];
	struct procs_stat leader;
	uint64_t tgid;
	ssize_t n;
	int r;

	if (s->threads == 1) {
		*ret = (struct procs_id){ .tgid = s->pid, .start = s->start };
		return 0;
	}
	procs_path(path, s->pid, "status");
	n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
	if (n < 0 || procs_text_field(text, (size_t)n, "Tgid:", 10, &tgid) ||
	    !tgid)
		return -ESRCH;
	if ((pid_t)tgid == s->pid) {
		leader = *s;
	} else {
		r = procs_stat_read((pid_t)tgid, &leader);
		if (r)
			return -ESRCH;
	}
	*ret = (struct procs_id){ .tgid = leader.pid, .start = leader.start };
	return 0;
}

/*
 * The kernel hides the addresses and the exit code from the same callers as
 * the descriptors (ptrace_may_access), so a code address that shows answers
 * without a further call. An exiting process has no addresses any more.
 */
static bool is_readable(const struct procs_stat *s, pid_t tgid)
{
	char path[PROCS_PATH_MAX];

	if (s->start_code)
		return s->start_code > 1;
	procs_path(path, tgid, "fdinfo");
	return faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) == 0;
}

int procs_caller(pid_t tid, struct procs_caller *ret)
{
	struct procs_caller c = { 0 };
	struct procs_stat s;

	if (tid <= 0 || procs_stat_read(tid, &s) || identify(&s, &c.id))
		return -ESRCH;
	c.readable = is_readable(&s, c.id.tgid);
	c.exiting = s.flags & PROCS_PF_EXITING;
	if (c.exiting) {
		c.killed = s.exit_code & 0x7f;
		if (!s.exit_code && !c.readable)
			c.killed = s.flags & PROCS_PF_SIGNALED;
		if (!c.killed)
			c.status = s.exit_code >> 8 & 0xff;
	}
	*ret = c;
	return 0;
}

int procs_identify(pid_t tid, struct procs_id *ret)
{
	struct procs_stat s;

	if (tid <= 0 || procs_stat_read(tid, &s))
		return -ESRCH;
	return identify(&s, ret);
}

bool procs_same(const struct procs_id *a, const struct procs_id *b)
{
	return a->tgid > 0 && a->tgid == b->tgid && a->start == b->start;
}

static bool has_ended(const struct procs_stat *s)
{
	return s->state == 'Z' || s->state == 'X' || s->state == 'x' ||
	       (s->flags & PROCS_PF_EXITING);
}

/* main() may leave by pthread_exit: the leader is a zombie, others work on. */
static bool any_thread_lives(pid_t tgid)
{
	char path[PROCS_PATH_MAX];
	struct procs_stat s;
	struct procs_dir d;
	bool alive = false;
	int tid, r;

	procs_path(path, tgid, "task");
	r = procs_dir_open(&d, path);
	if (r)
		return r != -ESRCH;
	while (!alive && procs_dir_next(&d, &tid))
		alive = procs_stat_read(tid, &s) == 0 && !has_ended(&s);
	procs_dir_close(&d);
	return alive;
}

bool procs_alive(const struct procs_id *id)
{
	struct procs_stat s;
	int r;

	if (id->tgid <= 0)
		return false;
	r = procs_stat_read(id->tgid, &s);
	if (r) /* without a descriptor to spare it is not declared dead */
		return r != -ESRCH;
	if (s.start != id->start)
		return false;
	if (!has_ended(&s))
		return true;
	return s.threads > 1 && any_thread_lives(id->tgid);
}

bool procs_dying(pid_t tid)
{
	char path[PROCS_PATH_MAX], text[4096];
	uint64_t pending;
	struct procs_stat s;
	ssize_t n;
	int r;

	if (tid <= 0) /* nothing is known, so nothing is to be ended */
		return false;
	procs_path(path, tid, "status");
	n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return n == -ESRCH;
	/* SigPnd is of the thread, ShdPnd of its process. */
	if (!procs_text_field(text, (size_t)n, "SigPnd:", 16, &pending) &&
	    (pending & SIGKILL_BIT))
		return true;
	if (!procs_text_field(text, (size_t)n, "ShdPnd:", 16, &pending) &&
	    (pending & SIGKILL_BIT))
		return true;
	r = procs_stat_read(tid, &s);
	return r ? r == -ESRCH : has_ended(&s);
}
