/*
 * Breadth first with one descriptor: directories still to be read are kept by
 * name in one growing block. Runs in the threads that receive, through
 * fs/folders_move, which sees to it that no peer makes links meanwhile.
 */
#include "linkwalk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "wire.h"

/* Of the names of all directories: too many otherwise, too. */
#define NAMES_MAX (4u << 20)

/* One directory, in the block; the next one follows its name. */
struct place {
	uint32_t above; /* where the one above is in the block */
	uint16_t depth; /* below the first */
	char name[];
};

struct walk {
	unsigned was, is, max;
	unsigned entries;
	char *block;
	size_t len, cap;
};

/* The bytes that a place with this name takes. */
static size_t place_size(const char *name)
{
	size_t len = offsetof(struct place, name) + strlen(name) + 1;

	return (len + alignof(struct place) - 1) & ~(alignof(struct place) - 1);
}

static struct place *place_at(const struct walk *w, size_t at)
{
	return (struct place *)(void *)(w->block + at);
}

static int add(struct walk *w, size_t above, const char *name)
{
	size_t size = place_size(name), cap = w->cap ? w->cap : 4096;
	unsigned depth = w->len ? place_at(w, above)->depth + 1u : 0;
	struct place *p;
	char *block;

	if (depth > UINT16_MAX || w->len + size > NAMES_MAX)
		return -EXDEV;
	while (cap < w->len + size)
		cap *= 2;
	if (cap > w->cap) {
		block = realloc(w->block, cap);
		if (!block)
			return -ENOMEM;
		w->block = block;
		w->cap = cap;
	}
	p = place_at(w, w->len);
	p->above = (uint32_t)above;
	p->depth = (uint16_t)depth;
	memcpy(p->name, name, strlen(name) + 1);
	w->len += size;
	return 0;
}

/* The path of a place below the first one, from its end to its beginning. */
static int path_of(
    const struct walk *w, size_t at, char buf[PATH_MAX], const char **ret)
{
	char *path = buf + PATH_MAX - 1;

	*path = '\0';
	if (!at)
		*--path = '.';
	for (; at; at = place_at(w, at)->above) {
		const char *name = place_at(w, at)->name;
		size_t len = strlen(name);

		if ((size_t)(path - buf) < len + 1)
			return -EXDEV;
		if (*path)
			*--path = '/';
		path -= len;
		memcpy(path, name, len);
	}
	*ret = path;
	return 0;
}

static int check_link(
    const struct walk *w, int dir, const char *name, unsigned depth)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(dir, name, target, sizeof(target));

	if (len < 0) /* it has gone, or become something else */
		return errno == ENOENT || errno == EINVAL ? 0 : -EXDEV;
	if (!wire_target_ok(target, (size_t)len, w->was + depth))
		return 0;
	return wire_target_ok(target, (size_t)len, w->is + depth) ? 0 : -EXDEV;
}

static unsigned char type_of(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type;
	if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return DT_UNKNOWN;
	return S_ISDIR(st.st_mode)   ? DT_DIR
	       : S_ISLNK(st.st_mode) ? DT_LNK
				     : DT_REG;
}

static int check_entries(struct walk *w, size_t at, DIR *d)
{
	const struct dirent *e;
	int r = 0;

	for (;;) {
		errno = 0;
		e = readdir(d);
		if (!e)
			return errno ? -EXDEV : 0;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (++w->entries > w->max)
			return -EXDEV;
		switch (type_of(dirfd(d), e)) {
		case DT_DIR: r = add(w, at, e->d_name); break;
		case DT_LNK:
			r = check_link(
			    w, dirfd(d), e->d_name, place_at(w, at)->depth);
			break;
		default: break;
		}
		if (r)
			return r;
	}
}

static int check_directory(struct walk *w, int dir, size_t at)
{
	char buf[PATH_MAX];
	const char *path;
	int fd, r;
	DIR *d;

	r = path_of(w, at, buf, &path);
	if (r)
		return r;
	fd = beneath_open(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	/* Gone, or replaced: whatever its user moves is theirs. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	if (fd < 0)
		return -EXDEV;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	r = check_entries(w, at, d);
	closedir(d);
	return r;
}

int linkwalk_check(int dir, unsigned was, unsigned is, unsigned max)
{
	struct walk w = { .was = was, .is = is, .max = max };
	size_t at = 0;
	int r;

	if (is >= was)
		return 0; /* a link may climb as far as before, or further */
	r = add(&w, 0, "");
	while (!r && at < w.len) {
		r = check_directory(&w, dir, at);
		at += place_size(place_at(&w, at)->name);
	}
	free(w.block);
	return r;
}
