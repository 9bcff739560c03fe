/*
 * Making directories. Runs in the threads that receive. Until a directory is
 * there its entry in the table of fs/folders.c is not done, and others who ask
 * for the same id, or the same name in the same place, wait for it. An entry
 * waits only for those that were there before it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "folders_internal.h"
#include "provenance.h"
#include "publish.h"

struct making {
	const uint8_t *sender;
	const struct wire_mkdir *m;
	bool durable;
	bool begun;                 /* the entry is ours */
	struct folder_place above;  /* where it is to be */
	struct folder *earlier;     /* with a ref; made under that name; NULL */
	struct folder_place before; /* where that is */
	int dir;                    /* above, open, while it is made */
	/* The results: */
	bool again; /* it is the earlier one */
	bool found; /* gtfs made it with this id when it ran before */
	bool moved; /* the earlier one is no longer there */
	char *name;
	struct stamp stamp;
};

/* What is told apart by its attributes, as the table lives in memory only. */
static bool is_from_before(const struct making *mk, const char *name)
{
	int fd =
	    beneath_open(mk->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	bool is;

	if (fd < 0)
		return false;
	is = provenance_is(fd, mk->sender, mk->m->id);
	close(fd);
	return is;
}

static int take_directory(void *arg, const char *name)
{
	struct making *mk = arg;
	int r = mkdirat(mk->dir, name, 0700) ? -errno : 0;

	if (r != -EEXIST || !is_from_before(mk, name))
		return r;
	mk->found = true;
	return 0;
}

/* 0, -ENOTEMPTY, or -errno. */
static int check_empty(int dir)
{
	const struct dirent *e;
	int r = 0, fd;
	DIR *d;

	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	while (!r && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = -ENOTEMPTY;
	closedir(d);
	return r;
}

/*
 * The mode is set on the descriptor because of the umask. A new directory with
 * something in it is not what was made: somebody has put theirs in its place.
 */
static int dress(const struct making *mk, int fd)
{
	int r = check_empty(fd);

	if (r)
		return r == -ENOTEMPTY ? -ESTALE : r;
	if (fchmod(fd, (mode_t)(mk->m->mode & 0777) | 0700))
		return -errno;
	/* One that does not say whose it is counts for nobody's quota, and
	 * is not found again after a start. */
	return provenance_set(fd, mk->sender, mk->m->id, mk->m->name);
}

/* Mode, attributes and durability of the directory that was just made at name;
 * one that was found has the first two. */
static int finish_directory(struct making *mk, const char *name)
{
	int fd, r;

	fd =
	    beneath_open(mk->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = mk->found ? 0 : dress(mk, fd);
	if (!r && mk->durable && (fsync(fd) || fsync(mk->dir)))
		r = -errno;
	if (!r)
		r = stamp_of(fd, &mk->stamp);
	close(fd);
	return r;
}

static int make_directory(struct folders *fo, struct making *mk)
{
	char name[WIRE_NAME_MAX + 1];
	int r;

	r = folders_open_place(fo, &mk->above, &mk->dir);
	if (r)
		return r;
	r = publish_choose(mk->m->name, PUBLISH_DIRECTORY, !*mk->above.path,
	    take_directory, mk, name);
	if (r == -ENOENT)
		r = -ESTALE; /* dir was removed */
	if (r)
		goto close_dir;
	r = finish_directory(mk, name);
	if (!r) {
		mk->name = strdup(name);
		r = mk->name ? 0 : -ENOMEM;
	}
	/* It is empty, or somebody has begun to use it: then it stays. */
	if (r && !mk->found)
		(void)unlinkat(mk->dir, name, AT_REMOVEDIR);
close_dir:
	close(mk->dir);
	return r;
}

static int make_on_disk(struct folders *fo, struct making *mk)
{
	int fd, r;

	if (mk->earlier) {
		r = folders_open_place(fo, &mk->before, &fd);
		if (!r) {
			/* It is found again under the id in use now. */
			r = provenance_set(
			    fd, mk->sender, mk->m->id, mk->m->name);
			close(fd);
			mk->again = !r;
			return r;
		}
		if (r != -ESTALE)
			return r;
		mk->moved = true;
	}
	return make_directory(fo, mk);
}

/* The directory itself, with the ref that f had. */
static struct folder *resolve_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock)
{
	struct folder *real = folders_resolve(f);

	real->refs++;
	folders_unref_locked(fo, f);
	return real;
}

/* The parent, done, with a ref; *ret is NULL for the top. -ESTALE. */
static int parent_locked(struct folders *fo, struct folder_sender *s,
    const uint8_t id[WIRE_ID_BYTES], struct folder **ret) REQUIRES(fo->lock)
{
	struct folder *f = NULL;

	if (!folders_is_top(id)) {
		f = folders_find_locked(fo, s, id);
		if (!f)
			return -ESTALE;
		f->refs++;
		if (folders_wait_locked(fo, f) || f->forgotten) {
			folders_unref_locked(fo, f);
			return -ESTALE;
		}
		f = resolve_locked(fo, f);
	}
	*ret = f;
	return 0;
}

/* A new entry in *ret, with a ref; what has to be known to make it in *mk. */
static int begin_locked(struct folders *fo, struct folder_sender *s,
    struct making *mk, struct folder **ret) REQUIRES(fo->lock)
{
	struct folder *parent, *earlier;
	int r;

	r = parent_locked(fo, s, mk->m->parent, &parent);
	if (r)
		return r;
	/* That may have taken a while. */
	*ret = folders_find_locked(fo, s, mk->m->id);
	if (*ret)
		goto unref_parent;
	r = -EDQUOT;
	if (folders_level(parent) >= FOLDERS_DEPTH_MAX)
		goto unref_parent;
	r = -ENAMETOOLONG;
	if ((parent ? parent->path_len + 1 : 0) + WIRE_NAME_MAX + 1 +
		WIRE_NAME_MAX >=
	    PATH_MAX)
		goto unref_parent;
	earlier = folders_wanted_locked(fo, s, parent, mk->m->name);
	if (earlier)
		earlier->refs++;
	r = folders_insert_locked(fo, s, parent, mk->m->id, mk->m->name, ret);
	mk->begun = !r;
	if (!r)
		folders_where_locked(fo, parent, &mk->above);
	if (earlier &&
	    (r || folders_wait_locked(fo, earlier) || earlier->forgotten)) {
		folders_unref_locked(fo, earlier);
		earlier = NULL;
	}
	if (earlier) {
		earlier = resolve_locked(fo, earlier);
		folders_where_locked(fo, earlier, &mk->before);
	}
	mk->earlier = earlier;
unref_parent:
	if (parent)
		folders_unref_locked(fo, parent);
	return r;
}

static void finish_locked(struct folders *fo, struct folder *f,
    struct making *mk, int r) REQUIRES(fo->lock)
{
	struct folder *same = mk->earlier;

	f->done = true;
	f->result = r;
	if (same && mk->moved)
		folders_unwant_locked(fo, same);
	if (r) {
		folders_forget_locked(fo, f);
	} else if (mk->again) {
		folders_unwant_locked(fo, f);
		if (f->parent)
			LIST_REMOVE(f, sibling);
		LIST_INSERT_HEAD(&same->children, f, sibling);
		f->parent = same;
		f->alias = true;
		folders_touch_locked(fo, f);
	} else {
		f->stamp = mk->stamp;
		folders_name_locked(fo, f, mk->name);
		f->path_len =
		    (f->parent ? f->parent->path_len + 1 : 0) + strlen(f->name);
	}
	if (same)
		folders_unref_locked(fo, same);
	cond_broadcast(&fo->changed);
}

int folders_make(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_mkdir *m, bool durable)
{
	struct making mk = { .sender = sender, .m = m, .durable = durable };
	struct folder_place place;
	struct folder_sender *s;
	struct folder *f;
	bool made = false;
	int r = 0;

	if (folders_is_top(m->id))
		return -EINVAL;
	mutex_lock(&fo->lock);
	s = folders_new_sender_locked(fo, sender);
	if (!s) {
		mutex_unlock(&fo->lock);
		return -ENOMEM;
	}
	folders_still_locked(fo, s);
	f = folders_find_locked(fo, s, m->id);
	if (!f)
		r = begin_locked(fo, s, &mk, &f);
	if (r)
		goto end_still;
	/* Of an id that is there already only the result is wanted. */
	if (!mk.begun) {
		f->refs++;
		r = folders_wait_locked(fo, f);
		goto unref;
	}
	mutex_unlock(&fo->lock);

	r = make_on_disk(fo, &mk);

	mutex_lock(&fo->lock);
	finish_locked(fo, f, &mk, r);
	made = !r && !mk.again && !mk.found && fo->made;
	if (made)
		folders_where_locked(fo, f, &place);
unref:
	folders_unref_locked(fo, f);
end_still:
	folders_end_still_locked(fo, s);
	mutex_unlock(&fo->lock);
	if (made)
		fo->made(fo->ctx, sender, place.path);
	return r;
}
