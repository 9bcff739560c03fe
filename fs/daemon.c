/*
 * Runs in the main thread; signals are taken from a signalfd, so that no
 * handler runs in the middle of anything.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "complain.h"
#include "log.h"
#include "mount.h"
#include "sync.h"
#include "unshown.h"

int daemon_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

static void ending_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
}

/* The parent: waits for the child's word, or for its end. */
static int wait_child(int fd, pid_t pid)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	close(fd);
	if (n == 1)
		return DAEMON_PARENT_DONE;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -ECHILD;
}

int daemon_begin(struct daemon *d, bool foreground, bool debug)
{
	sigset_t set;
	pid_t pid;
	int p[2];

	if (debug)
		log_set_level(LOG_LEVEL_DEBUG);
	if (!foreground) {
		if (pipe2(p, O_CLOEXEC))
			return -errno;
		pid = fork();
		if (pid < 0)
			return -errno;
		if (pid > 0) {
			close(p[1]);
			return wait_child(p[0], pid);
		}
		close(p[0]);
		d->ready_fd = p[1];
		setsid();
	}
	/* A write to a closed socket or pipe is an errno, not a death. */
	signal(SIGPIPE, SIG_IGN);
	ending_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0) {
		complain("cannot start: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

void daemon_ready(struct daemon *d)
{
	int null;

	if (d->ready_fd < 0)
		return;
	if (chdir("/"))
		log_debug("chdir: %s", strerror(errno));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	log_set_output(-1);
	if (write(d->ready_fd, "", 1) < 0)
		log_debug("the parent has gone: %s", strerror(errno));
	close(d->ready_fd);
	d->ready_fd = -1;
}

static void wake(struct daemon *d)
{
	uint64_t one = 1;

	if (write(d->wake_fd, &one, sizeof(one)) < 0)
		log_debug("wake: %s", strerror(errno));
}

void daemon_ask_stop(void *ctx)
{
	struct daemon *d = ctx;

	d->asked = true;
	wake(d);
}

void daemon_mount_ended(void *ctx)
{
	struct daemon *d = ctx;

	d->ended = true;
	wake(d);
}

/* Whose mount the handler below takes away. */
static const char *abandoned;

/*
 * A second signal means: at once. The kernel and the peers clean up, but a
 * dead mount would stay. Only what signal-safety(7) permits.
 */
static void on_second_signal(int sig)
{
	pid_t pid;

	(void)sig;
	if (umount2(abandoned, MNT_DETACH) && errno == EPERM) {
		pid = _Fork();
		if (pid == 0) {
			execlp("fusermount3", "fusermount3", "-u", "-q", "-z",
			    "--", abandoned, (char *)NULL);
			_exit(127);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	_exit(1);
}

static void exit_on_next_signal(const char *mountpoint)
{
	struct sigaction sa = { .sa_handler = on_second_signal };
	sigset_t set;

	abandoned = mountpoint;
	ending_signals(&set);
	sa.sa_mask = set;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void consume_signal(int signal_fd)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		log_debug("signalfd: %s", strerror(errno));
}

/* Until nothing is under way, a signal, the mount's end, or the time is up. */
static void drain(
    struct daemon *d, struct network *network, int signal_fd, unsigned seconds)
{
	int64_t deadline = now_ms() + (int64_t)seconds * 1000;
	struct pollfd p = { .fd = signal_fd, .events = POLLIN };

	while (network_busy(network) && !d->ended && now_ms() < deadline)
		if (poll(&p, 1, 20) > 0) {
			consume_signal(signal_fd);
			return;
		}
}

void daemon_wait(
    struct daemon *d, struct mount *m, unsigned drain_s, const char *mountpoint)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool over = false;
	sigset_t set;

	ending_signals(&set);
	p[0].fd = signalfd(-1, &set, SFD_CLOEXEC);
	p[1].fd = d->wake_fd;
	while (!over) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		over = d->ended || d->asked || p[0].revents & POLLIN;
	}
	if (p[0].revents & POLLIN)
		consume_signal(p[0].fd);
	else if (d->asked) {
		unshown_stop(m->unshown);
		drain(d, m->network, p[0].fd, drain_s);
	}
	close(p[0].fd);
	exit_on_next_signal(mountpoint);
}

void daemon_fini(struct daemon *d)
{
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	if (d->ready_fd >= 0)
		close(d->ready_fd);
}
