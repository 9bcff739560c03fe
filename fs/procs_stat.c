/*
 * Reading and parsing of /proc in fixed buffers. Any thread; the rules about
 * what the facts mean are in procs.c and procs_holders.c.
 */
#include "procs_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "procs.h"
#include "sync.h"

/* One field, decimal, perhaps negative; -1: something else is there. */
static int take_number(const char **at, const char *end, uint64_t *ret)
{
	const char *p = *at;
	bool negative = false;
	uint64_t n = 0;

	if (p < end && *p == '-') {
		negative = true;
		p++;
	}
	if (p == end || *p < '0' || *p > '9')
		return -1;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	/* A number that the end of the text cuts may have been longer. */
	if (p == end || (*p != ' ' && *p != '\n'))
		return -1;
	*at = p + 1;
	*ret = negative ? 0 - n : n;
	return 0;
}

int procs_stat_parse(const char *text, size_t len, struct procs_stat *ret)
{
	const char *end = text + len, *at = text, *behind;
	struct procs_stat s = { 0 };
	uint64_t n;

	behind = memrchr(text, ')', len);
	if (take_number(&at, end, &n) || n == 0 || n > INT_MAX)
		return -EBADMSG;
	s.pid = (pid_t)n;
	/* ") R " and fields from here on. */
	if (at == end || *at != '(' || !behind || behind < at ||
	    end - behind < 4 || behind[1] != ' ' || behind[3] != ' ')
		return -EBADMSG;
	s.state = behind[2];
	at = behind + 4;
	for (unsigned field = 4; field <= 52; field++) {
		if (take_number(&at, end, &n))
			return -EBADMSG;
		switch (field) {
		case 9: s.flags = (uint32_t)n; break;
		case 20: s.threads = (int64_t)n; break;
		case 22: s.start = n; break;
		case 52: s.exit_code = (int)n; break;
		}
	}
	*ret = s;
	return 0;
}

int procs_stat_read(pid_t pid, struct procs_stat *ret)
{
	char path[PROCS_PATH_MAX], text[2048];
	ssize_t n;

	procs_path(path, pid, "stat");
	n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return procs_stat_parse(text, (size_t)n, ret) ? -ESRCH : 0;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : INT_MAX;
}

int procs_text_field(
    const char *text, size_t len, const char *key, unsigned base, uint64_t *ret)
{
	const char *end = text + len, *p = text;
	size_t key_len = strlen(key);
	uint64_t n = 0;

	while ((size_t)(end - p) < key_len || memcmp(p, key, key_len)) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p || ++p == end)
			return -ENOENT;
	}
	p += key_len;
	while (p < end && (*p == '\t' || *p == ' '))
		p++;
	if (p == end || digit_of(*p) >= (int)base)
		return -ENOENT;
	for (; p < end && digit_of(*p) < (int)base; p++)
		n = n * base + (unsigned)digit_of(*p);
	if (p == end) /* cut, perhaps in the number */
		return -ENOENT;
	*ret = n;
	return 0;
}

int procs_status_parse(const char *text, size_t len, struct procs_status *ret)
{
	struct procs_status s = { 0 };
	uint64_t tgid, ppid = 0, own = 0, shared = 0, size;
	const char *state = memmem(text, len, "\nState:\t", 8);

	if (procs_text_field(text, len, "Tgid:", 10, &tgid) || !tgid ||
	    tgid > INT_MAX || !state || state + 8 >= text + len)
		return -EBADMSG;
	s.tgid = (pid_t)tgid;
	s.state = state[8];
	(void)procs_text_field(text, len, "PPid:", 10, &ppid);
	s.ppid = ppid > INT_MAX ? 0 : (pid_t)ppid;
	s.memory = !procs_text_field(text, len, "VmSize:", 10, &size);
	(void)procs_text_field(text, len, "Threads:", 10, &s.threads);
	(void)procs_text_field(text, len, "SigPnd:", 16, &own);
	(void)procs_text_field(text, len, "ShdPnd:", 16, &shared);
	s.pending = own | shared;
	*ret = s;
	return 0;
}

int procs_status_read(pid_t pid, struct procs_status *ret)
{
	char path[PROCS_PATH_MAX], text[4096];
	ssize_t n;

	procs_path(path, pid, "status");
	n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return procs_status_parse(text, (size_t)n, ret) ? -ESRCH : 0;
}

/* How /proc says that something has gone differs from file to file. */
static int gone_or(int error)
{
	switch (error) {
	case ENOENT:
	case ESRCH: return -ESRCH;
	case EPERM:
	case EACCES: return -EACCES;
	default: return -error;
	}
}

/*
 * Descriptors that are given up for a moment when there are no others: what
 * cannot be read here decides whether a file is published. One look has a
 * directory, a file in it and what is kept of one process open at once.
 */
enum { SPARES = 16 };

static struct mutex spares_lock = MUTEX_INIT;
static int spare[SPARES] GUARDED_BY(spares_lock);
static unsigned n_spares GUARDED_BY(spares_lock);
static int root_fd = -1; /* what they are copies of */
/* How many have been given up: closing asks for it without the lock. */
static atomic_uint n_given;

int procs_reserve(void)
{
	int fd, r = 0;

	mutex_lock(&spares_lock);
	if (root_fd < 0)
		root_fd = open("/proc", O_PATH | O_CLOEXEC);
	if (root_fd < 0)
		r = -errno;
	while (!r && n_spares + n_given < SPARES) {
		fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			r = -errno;
		else
			spare[n_spares++] = fd;
	}
	mutex_unlock(&spares_lock);
	return r;
}

bool procs_is_shortage(int r)
{
	return r < 0 && r != -ESRCH && r != -EACCES;
}

/* Another thread may be faster to use the number: then one more is tried. */
static int open_with_spare(int dirfd, const char *path, int flags)
{
	int fd = -1;

	mutex_lock(&spares_lock);
	while (fd < 0 && (errno == EMFILE || errno == ENFILE) && n_spares) {
		close(spare[--n_spares]);
		n_given++;
		fd = openat(dirfd, path, flags);
		if (fd < 0 && errno != EMFILE && errno != ENFILE) {
			int error = errno;

			spare[n_spares] = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
			if (spare[n_spares] >= 0) {
				n_spares++;
				n_given--;
			}
			errno = error;
		}
	}
	mutex_unlock(&spares_lock);
	return fd;
}

int procs_openat(int dirfd, const char *path, int flags)
{
	int fd;

	flags |= O_RDONLY | O_CLOEXEC;
	fd = openat(dirfd, path, flags);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		fd = open_with_spare(dirfd, path, flags);
	return fd < 0 ? gone_or(errno) : fd;
}

void procs_close(int fd)
{
	if (n_given) {
		mutex_lock(&spares_lock);
		/* In one step, so that nobody else gets the number. */
		if (n_given && dup3(root_fd, fd, O_CLOEXEC) == fd) {
			spare[n_spares++] = fd;
			n_given--;
			fd = -1;
		}
		mutex_unlock(&spares_lock);
	}
	if (fd >= 0)
		close(fd);
}

ssize_t procs_slurp(int dirfd, const char *path, char *ret, size_t cap)
{
	int fd = procs_openat(dirfd, path, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = procs_slurp_open(fd, ret, cap);
	procs_close(fd);
	return n;
}

ssize_t procs_slurp_open(int fd, char *ret, size_t cap)
{
	ssize_t n;

	do /* these files hand out all that fits in one call */
		n = pread(fd, ret, cap, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? gone_or(errno) : n;
}

void procs_path(char ret[PROCS_PATH_MAX], pid_t pid, const char *what)
{
	snprintf(ret, PROCS_PATH_MAX, "/proc/%d/%s", (int)pid, what);
}

int procs_dir_open(struct procs_dir *d, const char *path)
{
	int fd = procs_openat(AT_FDCWD, path, O_DIRECTORY);

	if (fd < 0)
		return fd;
	d->at = d->len = 0;
	d->fd = fd;
	return 0;
}

/* The number that a name is, or -1. */
static int number_of(const char *name)
{
	int64_t n = 0;

	if (!*name)
		return -1;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		n = n * 10 + (*name - '0');
		if (n > INT_MAX)
			return -1;
	}
	return (int)n;
}

const char *procs_dir_next(struct procs_dir *d, int *ret_number)
{
	for (;;) {
		const struct dirent64 *e;
		int number;

		if (d->at == d->len) {
			ssize_t n = getdents64(d->fd, d->buf, sizeof(d->buf));

			if (n <= 0)
				return NULL;
			d->at = 0;
			d->len = (size_t)n;
		}
		e = (const void *)(d->buf + d->at);
		d->at += e->d_reclen;
		number = number_of(e->d_name);
		if (number >= 0) {
			*ret_number = number;
			return e->d_name;
		}
	}
}

void procs_dir_close(struct procs_dir *d)
{
	procs_close(d->fd);
}
