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
 * Its thread asks for something by itself (it opens, writes, renames), so it is
 * not in execve(2), and neither is its process.
 */
int procs_identify(pid_t tid, struct procs_id *ret)
{
	struct procs_status status;
	struct procs_stat leader;
	int r = tid > 0 ? procs_status_read(tid, &status) : -ESRCH;

	if (!r)
		r = procs_stat_read(status.tgid, &leader);
	if (r)
		return procs_is_shortage(r) ? r : -ESRCH;
	*ret = (struct procs_id){ .tgid = leader.pid, .start = leader.start };
	return 0;
}

/*
 * The kernel hides the exit code from the same callers as the descriptors
 * (ptrace_may_access).
 */
static bool is_readable(pid_t tgid)
{
	char path[PROCS_PATH_MAX];

	procs_path(path, tgid, "fdinfo");
	return faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) == 0;
}

/*
 * A close may come from execve(2), which must not wait for us (procs_stat.h);
 * who still has memory does not end, and all that is known is its number.
 */
int procs_caller(pid_t tid, struct procs_caller *ret)
{
	struct procs_caller c = { 0 };
	struct procs_status status;
	struct procs_stat s = { 0 }, leader;
	int r = tid > 0 ? procs_status_read(tid, &status) : -ESRCH;

	if (r)
		return procs_is_shortage(r) ? r : -ESRCH;
	c.id.tgid = status.tgid;
	c.readable = is_readable(status.tgid);
	if (!status.memory) {
		r = procs_stat_read(tid, &s);
		leader = s;
		if (!r && tid != status.tgid)
			r = procs_stat_read(status.tgid, &leader);
		if (r)
			return procs_is_shortage(r) ? r : -ESRCH;
		c.id.start = leader.start;
		c.exiting = s.flags & PROCS_PF_EXITING;
	}
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

bool procs_same(const struct procs_id *a, const struct procs_id *b)
{
	return a->tgid > 0 && a->tgid == b->tgid &&
	       (a->start == b->start || !a->start || !b->start);
}

static bool has_ended(const struct procs_status *s)
{
	return !s->memory || s->state == 'Z' || s->state == 'X' ||
	       s->state == 'x';
}

/* main() may leave by pthread_exit: the leader is a zombie, others work on. */
static bool any_thread_lives(pid_t tgid)
{
	char path[PROCS_PATH_MAX];
	struct procs_status s;
	struct procs_dir d;
	bool alive = false;
	int tid, r;

	procs_path(path, tgid, "task");
	r = procs_dir_open(&d, path);
	if (r)
		return r != -ESRCH;
	while (!alive && procs_dir_next(&d, &tid))
		alive = procs_status_read(tid, &s) == 0 && !has_ended(&s);
	procs_dir_close(&d);
	return alive;
}

bool procs_alive(const struct procs_id *id)
{
	struct procs_status s;
	int r;

	if (id->tgid <= 0)
		return false;
	r = procs_status_read(id->tgid, &s);
	if (r) /* without a descriptor to spare it is not declared dead */
		return r != -ESRCH;
	if (s.tgid != id->tgid)
		return false;
	if (!has_ended(&s))
		return true;
	return s.threads > 1 && any_thread_lives(id->tgid);
}

bool procs_dying(pid_t tid)
{
	struct procs_status s;
	int r;

	if (tid <= 0) /* nothing is known, so nothing is to be ended */
		return false;
	r = procs_status_read(tid, &s);
	if (r)
		return r == -ESRCH;
	return (s.pending & SIGKILL_BIT) || has_ended(&s);
}
