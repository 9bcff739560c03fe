/*
 * Reads the kernel's list of mounts. Runs on the only thread of a command.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int octal(const char *p)
{
	for (int i = 0; i < 3; i++)
		if (p[i] < '0' || p[i] > '7')
			return -1;
	return (p[0] - '0') << 6 | (p[1] - '0') << 3 | (p[2] - '0');
}

/* Blanks, newlines and backslashes are octal there (proc(5)). In place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		int c = *from == '\\' ? octal(from + 1) : -1;

		if (c > 0) {
			*to++ = (char)c;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

/* user_id= among the options of the file system. */
static bool find_user(const char *options, uid_t *ret)
{
	const char *at = options;
	unsigned user;

	while (at) {
		if (sscanf(at, "user_id=%u", &user) == 1) {
			*ret = user;
			return true;
		}
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
	}
	return false;
}

/* The next word, cut off, or "". */
static char *word(char **at)
{
	static char none[16]; /* room for what gcc compares it with */
	char *w = strsep(at, " \n");

	return w ? w : none;
}

int mounts_parse(const char *line, struct mount_entry *ret)
{
	struct mount_entry e = { 0 };
	char *copy, *at, *path;
	int r = MOUNTS_OTHER;

	if (!strstr(line, " - " MOUNTS_TYPE " "))
		return r;
	at = copy = strdup(line);
	if (!copy)
		return -ENOMEM;
	/* 36 35 0:52 / /home/u/gt rw,nosuid shared:1 - fuse.gtfs gtfs rw,... */
	e.id = atoi(word(&at));
	word(&at);
	if (sscanf(word(&at), "%u:%u", &e.major, &e.minor) != 2 ||
	    strcmp(word(&at), "/"))
		goto free_copy;
	path = word(&at);
	while (at && strcmp(word(&at), "-"))
		; /* options of the mount, and optional fields */
	if (strcmp(word(&at), MOUNTS_TYPE))
		goto free_copy;
	word(&at);
	if (!find_user(word(&at), &e.user))
		goto free_copy;
	unescape(path);
	e.path = strdup(path);
	r = e.path ? 0 : -ENOMEM;
	if (r == 0)
		*ret = e;
free_copy:
	free(copy);
	return r;
}

static void drop(struct mounts *m, unsigned i)
{
	free(m->entries[i].path);
	m->n--;
	memmove(&m->entries[i], &m->entries[i + 1],
	    (m->n - i) * sizeof(m->entries[i]));
}

/* Takes e. */
static int add(struct mounts *m, struct mount_entry *e)
{
	struct mount_entry *more;

	for (unsigned i = 0; i < m->n; i++) {
		const struct mount_entry *old = &m->entries[i];

		if (old->major == e->major && old->minor == e->minor) {
			free(e->path);
			return 0;
		}
	}
	for (unsigned i = m->n; i-- > 0;)
		if (strcmp(m->entries[i].path, e->path) == 0)
			drop(m, i);
	more = reallocarray(m->entries, m->n + 1, sizeof(*more));
	if (!more) {
		free(e->path);
		return -ENOMEM;
	}
	m->entries = more;
	more[m->n++] = *e;
	return 0;
}

int mounts_read(struct mounts *ret)
{
	FILE *f = fopen(MOUNTS_FILE, "re");
	struct mounts m = { 0 };
	struct mount_entry e;
	char *line = NULL;
	size_t cap = 0;
	int r = 0;

	if (!f)
		return -errno;
	errno = 0;
	while (r >= 0 && getline(&line, &cap, f) >= 0) {
		r = mounts_parse(line, &e);
		if (r == 0)
			r = add(&m, &e);
	}
	if (r >= 0)
		r = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	if (r) {
		mounts_fini(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void mounts_fini(struct mounts *m)
{
	for (unsigned i = 0; i < m->n; i++)
		free(m->entries[i].path);
	free(m->entries);
	*m = (struct mounts){ 0 };
}

const struct mount_entry *mounts_by_id(const struct mounts *m, int id)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->entries[i].id == id)
			return &m->entries[i];
	return NULL;
}

int mounts_by_path(
    const struct mounts *m, const char *path, const struct mount_entry **ret)
{
	struct statx sx;

	/* DONT_SYNC: the daemon is not asked, it may not answer. */
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &sx))
		return -errno;
	*ret = NULL;
	for (unsigned i = 0; i < m->n; i++)
		if (m->entries[i].major == sx.stx_dev_major &&
		    m->entries[i].minor == sx.stx_dev_minor)
			*ret = &m->entries[i];
	return 0;
}

int mounts_watch(void)
{
	int fd = open(MOUNTS_FILE, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mounts_wait(int fd, int pidfd, int timeout_ms)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLPRI }, /* proc(5) */
		{ .fd = pidfd, .events = POLLIN },
	};
	int n = poll(p, 2, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}
