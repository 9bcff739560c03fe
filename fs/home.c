/*
 * Runs once, in the main thread, before any other exists.
 */
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "complain.h"
#include "mounts.h"

/* mkdir -p, 0700. */
static int make_path(const char *path)
{
	char buf[4096];
	char *slash;

	if (strlen(path) >= sizeof(buf))
		return -ENAMETOOLONG;
	strcpy(buf, path);
	for (slash = buf + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(buf, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(buf, 0700) && errno != EEXIST ? -errno : 0;
}

/* The mount of path, or of the nearest folder above it that exists. */
static const struct mount_entry *mount_of(
    const struct mounts *all, const char *path)
{
	const struct mount_entry *e = NULL;
	char buf[4096];

	snprintf(buf, sizeof(buf), "%s", path);
	while (access(buf, F_OK) && errno == ENOENT && strlen(buf) > 1) {
		char *slash = strrchr(buf, '/');

		if (!slash)
			return NULL;
		slash[slash == buf] = '\0';
	}
	return mounts_by_path(all, buf, &e) ? NULL : e;
}

/* Is path folder, or below it? */
static bool is_beneath(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return !strncmp(path, folder, n) && (path[n] == '/' || path[n] == '\0');
}

/* Is path inside a gtfs mount, or in the folder that one is going on? */
static bool inside_mount(const struct options *o, const char *path)
{
	struct mounts all;
	bool inside;

	if (is_beneath(path, o->mountpoint))
		return true;
	if (mounts_read(&all))
		return false;
	inside = mount_of(&all, path) != NULL;
	mounts_fini(&all);
	return inside;
}

static int open_state(const struct options *o, struct home *h)
{
	struct stat st;
	int r = make_path(o->state);

	if (r) {
		complain("%s: %s; choose another folder with --state", o->state,
		    strerror(-r));
		return r;
	}
	h->state_fd = open(o->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->state_fd < 0 || fstat(h->state_fd, &st)) {
		r = -errno;
		complain("%s: %s; choose another folder with --state", o->state,
		    strerror(-r));
		return r;
	}
	if (st.st_uid != geteuid()) {
		complain("%s: belongs to somebody else; choose another folder "
			 "with --state",
		    o->state);
		return -EPERM;
	}
	if (st.st_mode & 077 && fchmod(h->state_fd, 0700)) {
		r = -errno;
		complain("%s: others can read it: %s", o->state, strerror(-r));
		return r;
	}
	return 0;
}

static int lock_state(const struct options *o, struct home *h)
{
	int r;

	h->lock_fd = openat(h->state_fd, "lock",
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (h->lock_fd >= 0 && !flock(h->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	r = -errno;
	if (r == -EWOULDBLOCK)
		complain("another gtfs uses the state in %s; stop it with "
			 "'gtfs stop', or give this one a --state and an "
			 "--inbox of its own",
		    o->state);
	else
		complain("%s/lock: %s", o->state, strerror(-r));
	return r;
}

int home_open(const struct options *o, struct home *ret)
{
	const char *wrong = NULL;
	int r;

	if (inside_mount(o, o->state))
		wrong = o->state;
	if (inside_mount(o, o->inbox))
		wrong = o->inbox;
	if (wrong) {
		complain("%s: lies inside a gtfs mount; choose a folder on a "
			 "disk of this machine",
		    wrong);
		return -EINVAL;
	}
	/* inbox/ in the mount would show the mount, and its daemon would ask
	 * itself. */
	if (is_beneath(o->mountpoint, o->inbox) ||
	    is_beneath(o->mountpoint, o->state)) {
		complain("%s: lies inside the inbox or the state; mount "
			 "somewhere else",
		    o->mountpoint);
		return -EINVAL;
	}
	r = open_state(o, ret);
	if (!r)
		r = lock_state(o, ret);
	if (r)
		return r;
	r = identity_load(ret->state_fd, "identity", &ret->identity);
	if (r == -EPERM)
		complain("%s/identity: others may read or write it, or it is "
			 "not a plain file of yours; make it yours and 0600",
		    o->state);
	else if (r == -EBADMSG)
		complain("%s/identity: damaged; restore it from a backup, or "
			 "move it away to begin with a new identity",
		    o->state);
	else if (r)
		complain("%s/identity: %s", o->state, strerror(-r));
	return r;
}

void home_close(struct home *h)
{
	identity_fini(&h->identity);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	if (h->state_fd >= 0)
		close(h->state_fd);
}

int home_open_inbox(const struct options *o, const struct inbox_config *config,
    struct inbox **ret)
{
	int r = inbox_open(o->inbox, config, ret);

	if (r == -EBUSY)
		complain("another gtfs uses the inbox %s; give this one an "
			 "--inbox of its own",
		    o->inbox);
	else if (r)
		complain("%s: %s; choose another inbox with --inbox", o->inbox,
		    strerror(-r));
	return r;
}

void home_listen_address(const struct options *o, struct sockaddr_storage *ret)
{
	*ret = o->listen_address;
	if (ret->ss_family == AF_UNSPEC)
		ret->ss_family = AF_INET6; /* any address of both families */
	address_set_port((struct sockaddr *)ret, o->listen_port);
}
