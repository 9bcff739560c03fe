/*
 * The walk over the inbox that counts what each peer has there. Runs in the
 * thread "usage" (fs/usage.c), with nothing locked.
 */
#include "usage_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "held.h"

#define FROM_XATTR "user.gtfs.from"

bool usage_walk_finds(int inbox_fd)
{
	return fgetxattr(inbox_fd, FROM_XATTR, NULL, 0) >= 0 ||
	       errno != EOPNOTSUPP;
}

struct usage_count *usage_find(const struct usage_table *t, const char *peer)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!strcmp(t->counts[i].peer, peer))
			return &t->counts[i];
	return NULL;
}

struct usage_count *usage_find_or_add(struct usage_table *t, const char *peer)
{
	struct usage_count *c = usage_find(t, peer);
	unsigned cap = t->cap ? 2 * t->cap : 8;

	if (c || t->n == USAGE_PEERS_MAX)
		return c;
	if (t->n == t->cap) {
		c = reallocarray(t->counts, cap, sizeof(*c));
		if (!c)
			return NULL;
		t->counts = c;
		t->cap = cap;
	}
	c = &t->counts[t->n++];
	memset(c, 0, sizeof(*c));
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	return c;
}

struct level {
	DIR *dir;
	struct level *above;
	dev_t dev; /* of the inbox: what is mounted in it is not walked */
	char from[FINGERPRINT_CHARS]; /* whose the directory is; or "" */
};

/* "" where it is nobody's that we know. */
static void whose(int dirfd, const char *name, char ret[FINGERPRINT_CHARS])
{
	char path[sizeof("/proc/self/fd/") + 10 + 1 + 255 + 1];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	len = lgetxattr(path, FROM_XATTR, ret, FINGERPRINT_CHARS - 1);
	ret[len < 0 ? 0 : len] = '\0';
}

/*
 * One entry of the directory l. A link has no attributes: it is whose the
 * directory is. Returns whether it is a directory; whose, is in ret_from.
 */
static bool count_entry(struct usage_table *t, const struct level *l,
    const char *name, char ret_from[FINGERPRINT_CHARS])
{
	uint64_t bytes;
	struct usage_count *c;
	struct stat st;

	if (fstatat(dirfd(l->dir), name, &st,
		AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ||
	    (S_ISDIR(st.st_mode) && st.st_dev != l->dev))
		return false;
	bytes = (uint64_t)st.st_blocks * 512;
	t->bytes += bytes;
	t->files++;
	if (S_ISLNK(st.st_mode))
		memcpy(ret_from, l->from, sizeof(l->from));
	else
		whose(dirfd(l->dir), name, ret_from);
	c = *ret_from ? usage_find_or_add(t, ret_from) : NULL;
	if (c) {
		c->bytes += bytes;
		c->files++;
	}
	return S_ISDIR(st.st_mode);
}

static struct level *enter(
    struct level *above, int at, const char *name, const char *from)
{
	struct level *l = malloc(sizeof(*l));
	struct stat st;
	int fd =
	    openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (l && fd >= 0 && !fstat(fd, &st)) {
		l->dev = above ? above->dev : st.st_dev;
		l->above = above;
		snprintf(l->from, sizeof(l->from), "%s", from);
		l->dir = fdopendir(fd);
		if (l->dir)
			return l;
	}
	if (fd >= 0)
		close(fd);
	free(l);
	return NULL; /* what cannot be read does not count */
}

static struct level *leave(struct level *l)
{
	struct level *above = l->above;

	closedir(l->dir);
	free(l);
	return above;
}

/* Those with a record; the others are on their way, and claimed. */
static void walk_spool(int inbox_fd, const char *spool, struct usage_table *ret)
{
	struct level *l = enter(NULL, inbox_fd, spool, "");
	char name[256], from[FINGERPRINT_CHARS];
	struct dirent *e;
	size_t len;

	while (l && (e = readdir(l->dir))) {
		len = strlen(e->d_name);
		if (len <= strlen(HELD_SUFFIX))
			continue;
		len -= strlen(HELD_SUFFIX);
		if (strcmp(e->d_name + len, HELD_SUFFIX) != 0)
			continue;
		memcpy(name, e->d_name, len);
		name[len] = '\0';
		(void)count_entry(ret, l, name, from);
	}
	if (l)
		leave(l);
}

void usage_walk(int inbox_fd, const char *spool, const atomic_bool *stopping,
    struct usage_table *ret)
{
	struct level *l = enter(NULL, inbox_fd, ".", ""), *below;
	char from[FINGERPRINT_CHARS];
	unsigned depth = 1;
	struct dirent *e;

	while (l) {
		e = atomic_load(stopping) ? NULL : readdir(l->dir);
		if (!e) {
			l = leave(l);
			depth--;
			continue;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    (depth == 1 && !strcmp(e->d_name, spool)) ||
		    !count_entry(ret, l, e->d_name, from) ||
		    depth == USAGE_DEPTH_MAX)
			continue;
		below = enter(l, dirfd(l->dir), e->d_name, from);
		if (below) {
			l = below;
			depth++;
		}
	}
	walk_spool(inbox_fd, spool, ret);
}
