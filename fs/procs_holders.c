/*
 * Who else has a file open: the second half of procs.h. Runs in the threads
 * that serve FUSE, while a close waits. Everything comes from fdinfo: a stat
 * through /proc/PID/fd would ask the file systems behind the descriptors, our
 * own and those that hang among them.
 *
 * Opening such a file costs six times what reading it does, and cp -r closes
 * one file after the other: what was opened for a process stays open until
 * another one is asked about. An open file of /proc belongs to the process, not
 * to its number, and says at each read what is true then.
 *
 * Needs CONFIG_PROC_CHILDREN (all distributions have it); without it no
 * process has descendants.
 */
#include "procs_holders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "procs_stat.h"

/* Where looking for descendants stops: a bound on time, not on trees that
 * anyone has. */
#define WALK_PROCESSES 1024
#define WALK_THREADS   4096

/* Descriptors from here on are opened each time: few processes have more, and
 * ours are limited too. */
#define KEPT_DESCRIPTORS 8

/* What is open of one process; -1: not open. */
struct kept {
	struct procs_id id;
	int fdinfo, task, children;
	int descriptor[KEPT_DESCRIPTORS];
};

/* Who has set kept_in_use owns kept; who finds it set works without. */
static atomic_flag kept_in_use = ATOMIC_FLAG_INIT;
static struct kept kept;

struct walk {
	struct procs_look look;
	unsigned threads; /* looked at */
	unsigned n;
	pid_t found[WALK_PROCESSES];
};

/* A line of mountinfo as far as it matters: "24 1 0:53 ...". */
struct mount_line {
	unsigned field;
	uint64_t value[4]; /* mount, parent, major, minor */
};

/* Returns whether a line's first four numbers have just become complete. */
static bool mount_line_feed(struct mount_line *l, char c)
{
	if (c == '\n') {
		*l = (struct mount_line){ 0 };
		return false;
	}
	if (l->field > 3)
		return false;
	if (c >= '0' && c <= '9') {
		l->value[l->field] =
		    l->value[l->field] * 10 + (unsigned)(c - '0');
		return false;
	}
	return ++l->field == 4;
}

/* Notes what must not pass for "there is none". */
static void note_shortage(struct procs_look *l, int r)
{
	if (!l->shortage && procs_is_shortage(r))
		l->shortage = r;
}

/* Positive: found, and *ret_dev is its device. 0: not there. -errno. */
static int mount_find(const char *path, uint64_t mnt_id, dev_t *ret_dev)
{
	struct mount_line line = { 0 };
	char buf[4096];
	int found = 0, fd = procs_openat(AT_FDCWD, path, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	while (!found && (n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		for (ssize_t i = 0; i < n && !found; i++) {
			found = mount_line_feed(&line, buf[i]) &&
				line.value[0] == mnt_id;
		}
	}
	procs_close(fd);
	if (found) {
		*ret_dev =
		    makedev((unsigned)line.value[2], (unsigned)line.value[3]);
	}
	return found;
}

/*
 * Is mount mnt_id, met in process pid, one of the file's file system? A
 * process in a container shows only the container's mounts, but may have
 * inherited the descriptor: our own list is the second place to look.
 */
static bool is_files_mount(struct procs_look *w, pid_t pid, uint64_t mnt_id)
{
	char path[PROCS_PATH_MAX];
	dev_t dev = 0;
	int r;

	if (w->mnt_known && w->mnt_id == mnt_id)
		return w->mnt_is_files;
	procs_path(path, pid, "mountinfo");
	r = mount_find(path, mnt_id, &dev);
	note_shortage(w, r);
	if (r <= 0) {
		r = mount_find("/proc/self/mountinfo", mnt_id, &dev);
		note_shortage(w, r);
	}
	w->mnt_is_files = r > 0 && dev == w->file->dev;
	w->mnt_id = mnt_id;
	w->mnt_known = true;
	return w->mnt_is_files;
}

/*
 * 1: what slurp read into text is the fdinfo of the file, open for writing; 0:
 * it is not, or the descriptor was closed meanwhile; or -errno. One for reading
 * alone (tail -f) has no part in what the file will be.
 */
static int is_file(struct procs_look *w, pid_t pid, const char *text, ssize_t n)
{
	uint64_t ino, mnt_id, flags;

	if (n < 0)
		return n == -ESRCH ? 0 : (int)n;
	return !procs_text_field(text, (size_t)n, "ino:", 10, &ino) &&
	       ino == w->file->ino &&
	       !procs_text_field(text, (size_t)n, "flags:", 8, &flags) &&
	       (flags & O_ACCMODE) != O_RDONLY &&
	       !procs_text_field(text, (size_t)n, "mnt_id:", 10, &mnt_id) &&
	       is_files_mount(w, pid, mnt_id);
}

static void kept_init(struct kept *k, const struct procs_id *id)
{
	k->id = *id;
	k->fdinfo = k->task = k->children = -1;
	for (int i = 0; i < KEPT_DESCRIPTORS; i++)
		k->descriptor[i] = -1;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		procs_close(fd);
}

static void kept_fini(struct kept *k)
{
	close_if_open(k->fdinfo);
	close_if_open(k->task);
	close_if_open(k->children);
	for (int i = 0; i < KEPT_DESCRIPTORS; i++)
		close_if_open(k->descriptor[i]);
}

/* Opens what is not open yet. The descriptor, or as procs_slurp. */
static int kept_open(int *fd, int dirfd, const char *path, int flags)
{
	int r = *fd;

	if (r < 0)
		r = procs_openat(dirfd, path, flags);
	if (r >= 0)
		*fd = r;
	return r;
}

/*
 * What is kept of this process, or *own where another thread uses that.
 * NULL: *ret_error is -ESRCH (there is no such process), or a shortage.
 */
static struct kept *kept_take(
    const struct procs_id *id, struct kept *own, int *ret_error)
{
	struct kept *k = atomic_flag_test_and_set(&kept_in_use) ? own : &kept;
	struct procs_status s;
	int r = -ESRCH;

	/* Without its start it may be another one by now. */
	if (id->tgid > 0 && k == &kept && id->start && procs_same(&k->id, id))
		return k;
	if (id->tgid > 0)
		r = procs_status_read(id->tgid, &s);
	if (!r && s.tgid == id->tgid) {
		if (k == &kept && k->id.tgid)
			kept_fini(k);
		kept_init(k, id);
		return k;
	}
	if (k == &kept)
		atomic_flag_clear(&kept_in_use);
	*ret_error = procs_is_shortage(r) ? r : -ESRCH;
	return NULL;
}

static void kept_give_back(struct kept *k)
{
	if (k == &kept)
		atomic_flag_clear(&kept_in_use);
	else
		kept_fini(k);
}

/* The beginning of fdinfo/N; through k if that is not NULL. */
static ssize_t read_fdinfo(struct kept *k, int dirfd, const char *name,
    int number, char *ret, size_t cap)
{
	int *fd =
	    k && number < KEPT_DESCRIPTORS ? &k->descriptor[number] : NULL;

	/* Not of the reserve: that is for what is closed again at once. */
	if (fd && *fd < 0)
		*fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (!fd || *fd < 0)
		return procs_slurp(dirfd, name, ret, cap);
	return procs_slurp_open(*fd, ret, cap);
}

/*
 * Adds to *ret_n and *ret_stdio. k: what is kept of pid, or NULL. 0 or -errno.
 */
static int count_descriptors(struct procs_look *w, struct kept *k, pid_t pid,
    unsigned *ret_n, bool *ret_stdio)
{
	char path[PROCS_PATH_MAX], text[256]; /* pos, flags, mnt_id, ino, ... */
	struct procs_dir d = { .fd = k ? k->fdinfo : -1 };
	const char *name;
	int number, r = 0;

	if (d.fd >= 0) {
		lseek(d.fd, 0, SEEK_SET);
	} else {
		procs_path(path, pid, "fdinfo");
		r = procs_dir_open(&d, path);
		if (r)
			return r;
		if (k)
			k->fdinfo = d.fd;
	}
	while (r >= 0 && (name = procs_dir_next(&d, &number))) {
		r = is_file(w, pid, text,
		    read_fdinfo(k, d.fd, name, number, text, sizeof(text)));
		if (r > 0) {
			++*ret_n;
			*ret_stdio |= number == 1 || number == 2;
		}
	}
	if (!k)
		procs_dir_close(&d);
	return r < 0 ? r : 0;
}

int procs_look_at(struct procs_look *l, pid_t pid, unsigned *ret_n)
{
	bool ignored = false;
	int r = count_descriptors(l, NULL, pid, ret_n, &ignored);

	note_shortage(l, r);
	return r;
}

/* Adds the children of a thread: numbers with a space behind each. */
static void add_children_of(struct walk *w, int fd)
{
	char buf[1024];
	int64_t pid = 0;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		at += n;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 0 && w->n < WALK_PROCESSES)
				w->found[w->n++] = (pid_t)pid;
			pid = 0;
		}
	}
}

/* A child belongs to the thread that forked it. */
static void add_children(struct walk *w, pid_t pid)
{
	char path[PROCS_PATH_MAX];
	struct procs_dir d;
	int tid, fd, r;

	procs_path(path, pid, "task");
	r = procs_dir_open(&d, path);
	note_shortage(&w->look, r);
	if (r)
		return;
	while (w->threads < WALK_THREADS && procs_dir_next(&d, &tid)) {
		w->threads++;
		snprintf(path, sizeof(path), "%d/children", tid);
		fd = procs_openat(d.fd, path, 0);
		note_shortage(&w->look, fd);
		if (fd >= 0) {
			add_children_of(w, fd);
			procs_close(fd);
		}
	}
	procs_dir_close(&d);
}

/*
 * The same through k. The link count of task/ is two and one for each thread;
 * a process with one thread needs no more looking. 0, -ESRCH (it has gone), or
 * a shortage.
 */
static int add_children_kept(struct walk *w, struct kept *k)
{
	char path[PROCS_PATH_MAX];
	struct stat st;
	int r;

	procs_path(path, k->id.tgid, "task");
	r = kept_open(&k->task, AT_FDCWD, path, O_DIRECTORY);
	if (r < 0)
		return r;
	if (fstat(k->task, &st) || st.st_nlink <= 2)
		return -ESRCH;
	snprintf(path, sizeof(path), "%d/children", k->id.tgid);
	if (st.st_nlink > 3 || kept_open(&k->children, k->task, path, 0) < 0)
		add_children(w, k->id.tgid);
	else
		add_children_of(w, k->children);
	return 0;
}

int procs_holders(const struct procs_id *id, const struct procs_file *file,
    struct procs_holders *ret)
{
	struct procs_holders h = { 0 };
	int r = -ESRCH;
	struct kept own, *k = kept_take(id, &own, &r);
	struct walk w;

	if (!k)
		return r;
	w.look = (struct procs_look){ .file = file };
	w.threads = w.n = 0;
	r = count_descriptors(&w.look, k, id->tgid, &h.own, &h.stdio);
	if (!r)
		r = add_children_kept(&w, k);
	kept_give_back(k);
	if (r)
		return r;
	/* A descendant that became another user's is not to be looked at, and
	 * one that has gone holds nothing: both count for nothing. */
	for (unsigned i = 0; i < w.n; i++) {
		procs_look_at(&w.look, w.found[i], &h.descendants);
		add_children(&w, w.found[i]);
	}
	if (w.look.shortage)
		return w.look.shortage;
	*ret = h;
	return 0;
}

bool procs_is_stdio(const struct procs_id *id, const struct procs_file *file)
{
	char path[PROCS_PATH_MAX], text[256];
	struct procs_look look = { .file = file };
	bool hit = false;
	ssize_t n;

	if (id->tgid <= 0)
		return false;
	for (int fd = 1; fd <= 2 && !hit; fd++) {
		procs_path(path, id->tgid, fd == 1 ? "fdinfo/1" : "fdinfo/2");
		n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
		hit = is_file(&look, id->tgid, text, n) > 0;
	}
	return hit;
}

int procs_children(pid_t pid, pid_t *ret, unsigned max)
{
	struct walk w = { 0 };

	add_children(&w, pid);
	if (w.look.shortage)
		return w.look.shortage;
	if (w.n < max)
		max = w.n;
	memcpy(ret, w.found, max * sizeof(*ret));
	return (int)max;
}
