/*
 * A loop of our own instead of libfuse's: its worker count is fixed (a request
 * that waits is parked, never a worker), and the end does not depend on
 * pthread_cancel in the middle of an operation.
 *
 * The order of the end: workers first, so that nobody is in an operation; then
 * the descriptor of /dev/fuse, whose last close aborts the connection even
 * where a copy of the mount lives on in another namespace; then the mount.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "mounts.h"
#include "ops.h"

/* Wakes a worker out of read(2). */
#define SESSION_SIGNAL SIGUSR2

struct session {
	struct fuse_session *fuse;
	struct mount *mount;
	pthread_t workers[SESSION_WORKERS];
	unsigned n_workers;
	_Atomic bool stopping;
	_Atomic bool told;
	void (*ended)(void *ctx);
	void *ctx;
};

/* --- before ------------------------------------------------------------------
 */

static int run_fusermount(const char *mountpoint)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--",
		    mountpoint, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

/* Is a gtfs mount of this user there, alive or dead? */
static bool is_mounted(const char *mountpoint)
{
	struct mounts all;
	bool ours = false;
	unsigned i;

	if (mounts_read(&all))
		return false;
	for (i = 0; i < all.n; i++)
		ours |= !strcmp(all.entries[i].path, mountpoint) &&
			all.entries[i].user == getuid();
	mounts_fini(&all);
	return ours;
}

/* A mount whose daemon has died: taken away, if it is gtfs's. */
static int heal(const char *mountpoint)
{
	if (!is_mounted(mountpoint))
		return -ENOTCONN;
	log_info(
	    "%s: the mount of a gtfs that has died is replaced", mountpoint);
	if (geteuid() == 0)
		return umount2(mountpoint, MNT_DETACH) ? -errno : 0;
	return run_fusermount(mountpoint);
}

int session_prepare(const char *mountpoint)
{
	struct statvfs vfs;
	struct stat st;
	int r;

	/* Not stat(2): the kernel may remember what a dead mount said last. */
	if (statvfs(mountpoint, &vfs) && errno == ENOTCONN) {
		r = heal(mountpoint);
		if (r)
			return r;
	} else if (is_mounted(mountpoint)) {
		return -EBUSY;
	}
	if (mkdir(mountpoint, 0700) && errno != EEXIST)
		return -errno;
	if (stat(mountpoint, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* The st_dev of the mount, without asking it: nobody answers yet. */
static int find_dev(const char *mountpoint, dev_t *ret)
{
	struct mounts all;
	unsigned i;
	int r = mounts_read(&all);

	if (r)
		return r;
	r = -ENOENT;
	for (i = 0; i < all.n; i++)
		if (!strcmp(all.entries[i].path, mountpoint)) {
			*ret =
			    makedev(all.entries[i].major, all.entries[i].minor);
			r = 0;
		}
	mounts_fini(&all);
	return r;
}

int session_mount(struct mount *m, const char *mountpoint, const char *options,
    struct session **ret)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct session *s = calloc(1, sizeof(*s));
	char all[1024];
	int r = -ENOMEM;

	if (!s)
		return -ENOMEM;
	snprintf(all, sizeof(all),
	    "-ofsname=gtfs,subtype=gtfs,default_permissions%s%s",
	    options[0] ? "," : "", options);
	if (fuse_opt_add_arg(&args, "gtfs") || fuse_opt_add_arg(&args, all))
		goto free_s;
	s->mount = m;
	s->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), m);
	r = -EIO;
	if (!s->fuse)
		goto free_s;
	if (fuse_session_mount(s->fuse, mountpoint))
		goto destroy;
	r = find_dev(mountpoint, &m->dev);
	if (r)
		goto unmount;
	fuse_opt_free_args(&args);
	m->session = s->fuse;
	*ret = s;
	return 0;
unmount:
	fuse_session_unmount(s->fuse);
destroy:
	fuse_session_destroy(s->fuse);
free_s:
	fuse_opt_free_args(&args);
	free(s);
	return r;
}

/* --- the workers -------------------------------------------------------------
 */

static void on_signal(int sig)
{
	(void)sig; /* only interrupts read(2) */
}

static void *worker_run(void *arg)
{
	struct session *s = arg;
	struct fuse_buf buf = { 0 };
	sigset_t set;
	int n;

	sigemptyset(&set);
	sigaddset(&set, SESSION_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (!s->stopping) {
		n = fuse_session_receive_buf(s->fuse, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(s->fuse, &buf);
	}
	free(buf.mem);
	if (!s->stopping && !atomic_exchange(&s->told, true))
		s->ended(s->ctx);
	return NULL;
}

int session_start(struct session *s, void (*ended)(void *ctx), void *ctx)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int r = 0;

	sigaction(SESSION_SIGNAL, &sa, NULL);
	s->ended = ended;
	s->ctx = ctx;
	while (!r && s->n_workers < SESSION_WORKERS) {
		r = thread_start(
		    &s->workers[s->n_workers], "fuse", worker_run, s);
		s->n_workers += r == 0;
	}
	return r;
}

/* --- after
 * -------------------------------------------------------------------- */

void session_stop(struct session *s)
{
	unsigned i;

	s->stopping = true;
	for (i = 0; i < s->n_workers; i++) {
		struct timespec until;
		int r;

		/* A signal may come just before read(2): say it again. */
		do {
			pthread_kill(s->workers[i], SESSION_SIGNAL);
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += 5000000;
			if (until.tv_nsec >= 1000000000) {
				until.tv_nsec -= 1000000000;
				until.tv_sec++;
			}
			r = pthread_timedjoin_np(s->workers[i], NULL, &until);
		} while (r == ETIMEDOUT);
	}
}

void session_end(struct session *s)
{
	if (!s)
		return;
	s->mount->session = NULL;
	fuse_session_unmount(s->fuse);
	fuse_session_destroy(s->fuse);
	free(s);
}
