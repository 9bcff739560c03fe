/*
 * Both ends of the socket pair: what the daemon asks (any thread), and the
 * process that does it. What the operations mean when they come back through
 * the mount is fs/announce's.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beneath.h"

/* work (1), then from, dir and name with a NUL behind each. */
#define MESSAGE_MAX (1 + 2 * PATH_MAX)

/* A path below the mount in full. 0, or -ENAMETOOLONG. */
static int full_path(char out[PATH_MAX], const char *top, const char *path)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", top, path);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/*
 * The parent is opened first, so that in the operation itself the kernel asks
 * for nothing but the two names; and through no link: what stands behind one is
 * not gtfs's, and a mkdir there would be a real one. What fails is no more than
 * an event.
 */
static void perform(const char *top, enum helper_work work, const char *from,
    const char *dir, const char *name)
{
	char source[PATH_MAX];
	struct stat st;
	int mount, fd;

	if (full_path(source, top, from))
		return;
	mount = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount < 0)
		return;
	fd = beneath_open(mount, dir, O_PATH | O_DIRECTORY, 0);
	close(mount);
	if (fd < 0)
		return;
	if (work == HELPER_RENAME)
		(void)renameat(AT_FDCWD, source, fd, name);
	else if (lstat(source, &st))
		(void)mkdirat(fd, name, 0700);
	close(fd);
}

/* Where the next string of the message begins, or NULL. */
static char *after(char *at, char *end)
{
	char *nul = memchr(at, '\0', (size_t)(end - at));

	return nul && nul + 1 < end ? nul + 1 : NULL;
}

static void serve(int fd, const char *top)
{
	char message[MESSAGE_MAX + 1], *end, *dir, *name;
	ssize_t n;

	for (;;) {
		n = recv(fd, message, MESSAGE_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		message[n] = '\0';
		end = message + n + 1;
		dir = after(message + 1, end);
		name = dir ? after(dir, end) : NULL;
		if (name)
			perform(top, (enum helper_work)message[0], message + 1,
			    dir, name);
	}
}

/* The child: nothing of the daemon's stays open, so that nothing is kept. */
static void become_helper(int fd, const char *top)
{
	sigset_t all;

	prctl(PR_SET_NAME, "gtfs-helper");
	/* ^C in the terminal is for the daemon, whose end ends this. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (fd != STDERR_FILENO + 1 && dup2(fd, STDERR_FILENO + 1) < 0)
		_exit(1);
	fd = STDERR_FILENO + 1;
	close_range((unsigned)fd + 1, ~0u, 0);
	if (chdir("/"))
		_exit(1);
	for (int std = 0; std <= STDERR_FILENO; std++) {
		int null = open("/dev/null", O_RDWR);

		if (null >= 0 && null != std) {
			dup2(null, std);
			close(null);
		}
	}
	serve(fd, top);
	_exit(0);
}

int helper_start(struct helper *h, const char *mountpoint)
{
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0)
		become_helper(pair[1], mountpoint);
	close(pair[1]);
	h->pid = pid;
	h->fd = pair[0];
	return 0;
}

static bool add(char *message, size_t *len, const char *text)
{
	size_t n = strlen(text) + 1;

	if (*len + n > MESSAGE_MAX)
		return false;
	memcpy(message + *len, text, n);
	*len += n;
	return true;
}

bool helper_ask(struct helper *h, enum helper_work work, const char *from,
    const char *dir, const char *name)
{
	char message[MESSAGE_MAX];
	size_t len = 1;

	message[0] = (char)work;
	if (h->fd < 0 || !add(message, &len, from) ||
	    !add(message, &len, dir) || !add(message, &len, name))
		return false;
	return send(h->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)len;
}

void helper_stop(struct helper *h)
{
	if (h->fd < 0)
		return;
	close(h->fd);
	h->fd = -1;
	while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	h->pid = 0;
}
