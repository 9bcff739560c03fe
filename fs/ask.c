/*
 * Finds the mount that a command means, and speaks to it through the files of
 * its .gtfs folder. Runs on the only thread of a command.
 */
#include "ask.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"

#define FILE_MAX   (16 * 1024 * 1024) /* of a text file of .gtfs */
#define ANSWER_MAX (64 * 1024)
#define LIST_MAX   1024 /* bytes of paths in a complaint */

/* Opens PATH/.gtfs/file. A descriptor or -errno. */
static int open_file(const struct mount_entry *m, const char *file, int flags)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/.gtfs/%s", m->path, file) < 0)
		return -ENOMEM;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	free(path);
	return fd;
}

/* All that fd still has to say, at most max bytes, as a string. */
static int read_text(int fd, size_t max, char **ret)
{
	size_t len = 0, cap = 4096;
	char *text = malloc(cap + 1), *more;
	ssize_t n = 1;
	int r = text ? 0 : -ENOMEM;

	while (r == 0 && n > 0 && len < max) {
		if (len == cap) {
			more = realloc(text, 2 * cap + 1);
			if (!more) {
				r = -ENOMEM;
				break;
			}
			text = more;
			cap *= 2;
		}
		n = read(fd, text + len, cap - len);
		if (n > 0)
			len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			r = -errno;
	}
	if (r) {
		free(text);
		return r;
	}
	text[len] = '\0';
	*ret = text;
	return 0;
}

int ask_read(const struct mount_entry *m, const char *file, char **ret)
{
	int fd = open_file(m, file, O_RDONLY);
	int r;

	if (fd < 0)
		return fd;
	r = read_text(fd, FILE_MAX, ret);
	close(fd);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes what dir has into *ret, which has *n. 0 or -errno. */
static int take_names(DIR *dir, char ***ret, int *n)
{
	struct dirent *e;
	char **more;

	errno = 0;
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		more = reallocarray(*ret, (size_t)*n + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		*ret = more;
		more[*n] = strdup(e->d_name);
		if (!more[*n])
			return -ENOMEM;
		++*n;
		errno = 0;
	}
	return -errno;
}

int ask_list(const struct mount_entry *m, const char *folder, char ***ret)
{
	int fd = open_file(m, folder, O_RDONLY | O_DIRECTORY), n = 0, r;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;

	if (!dir) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = take_names(dir, &names, &n);
	closedir(dir);
	if (r) {
		while (n > 0)
			free(names[--n]);
		free(names);
		return r;
	}
	if (n)
		qsort(names, (size_t)n, sizeof(*names), by_name);
	*ret = names;
	return n;
}

int ask_tell(const struct mount_entry *m, const char *line, char **ret_answer)
{
	int fd = open_file(m, "control", O_RDWR);
	char *answer = NULL;
	ssize_t n;
	int r = 0;

	*ret_answer = NULL;
	if (fd < 0)
		return fd;
	n = write(fd, line, strlen(line));
	if (n < 0)
		r = -errno;
	else if ((size_t)n < strlen(line))
		r = -EIO;
	if (read_text(fd, ANSWER_MAX, &answer) == 0 && *answer)
		*ret_answer = answer;
	else
		free(answer);
	close(fd);
	return r;
}

static int take(const struct mount_entry *e, struct mount_entry *ret)
{
	struct mount_entry copy = *e;

	copy.path = strdup(e->path);
	if (!copy.path) {
		complain("out of memory");
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

static int find_named(const struct mounts *m, const char *word,
    const char *where, struct mount_entry *ret)
{
	const struct mount_entry *e;
	int r = mounts_by_path(m, where, &e);

	if (r == -ENOTCONN || r == -ECONNABORTED) {
		complain("%s: the gtfs at %s has died; 'gtfs %s' mounts it "
			 "anew",
		    word, where, where);
		return r;
	}
	if (r) {
		complain("%s: %s: %s", word, where, strerror(-r));
		return r;
	}
	if (!e) {
		complain("%s: %s is not in a gtfs mount; 'gtfs %s' would "
			 "start one",
		    word, where, where);
		return -ENOENT;
	}
	return take(e, ret);
}

static int find_own(
    const struct mounts *m, const char *word, struct mount_entry *ret)
{
	const struct mount_entry *own = NULL;
	char list[LIST_MAX] = "";
	size_t len = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < m->n; i++) {
		if (m->entries[i].user != getuid())
			continue;
		own = &m->entries[i];
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s", n ? ", " : "", own->path);
		n++;
	}
	if (n == 1)
		return take(own, ret);
	if (n == 0)
		complain("%s: no gtfs mount is running: start one with "
			 "'gtfs DIR'",
		    word);
	else
		complain("%s: several gtfs mounts are running; say which with "
			 "--mount DIR: %s",
		    word, list);
	return -ENOENT;
}

int ask_find(const char *word, const char *where, struct mount_entry *ret)
{
	struct mounts m;
	int r = mounts_read(&m);

	if (r) {
		complain("%s: %s: %s", word, MOUNTS_FILE, strerror(-r));
		return r;
	}
	r = where ? find_named(&m, word, where, ret) : find_own(&m, word, ret);
	mounts_fini(&m);
	return r;
}
