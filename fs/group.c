/*
 * Runs once, in the main thread. The bytes are in locked memory from read(2)
 * on, and nowhere else.
 */
#include "group.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "complain.h"
#include "locked.h"

/* With room to see that it is too long: a newline, and a byte more. */
enum { BUFFER = GROUP_MOST + 2 };

static int check_file(const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st)) {
		complain("--group: %s: %s", path, strerror(errno));
		return -EIO;
	}
	if (!S_ISREG(st.st_mode)) {
		complain("--group: %s: no plain file; put the passphrase into "
			 "one",
		    path);
		return -EINVAL;
	}
	if (st.st_uid != geteuid()) {
		complain("--group: %s: belongs to somebody else; make a file "
			 "of your own",
		    path);
		return -EPERM;
	}
	if (st.st_mode & 077) {
		complain("--group: %s: others can read or write it; say "
			 "chmod 600, and choose another passphrase if they "
			 "may have seen it",
		    path);
		return -EPERM;
	}
	return 0;
}

static int read_all(int fd, char *to, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, to + len, BUFFER - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int read_passphrase(const char *path, int fd, struct group *g)
{
	int r = read_all(fd, g->passphrase, &g->len);

	if (r) {
		complain("--group: %s: %s", path, strerror(-r));
		return r;
	}
	if (g->len && g->passphrase[g->len - 1] == '\n')
		g->len--;
	if (g->len >= GROUP_LEAST && g->len <= GROUP_MOST)
		return 0;
	complain("--group: %s: a passphrase has %d to %d bytes; write a longer "
		 "or shorter one",
	    path, GROUP_LEAST, GROUP_MOST);
	return -EINVAL;
}

int group_read(const char *path, struct group *ret)
{
	struct group g = { 0 };
	int fd, r;

	if (!path) {
		*ret = g;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		r = -errno;
		complain("--group: %s: %s", path, strerror(-r));
		return r;
	}
	r = check_file(path, fd);
	if (!r) {
		g.passphrase = locked_alloc(BUFFER);
		r = g.passphrase ? read_passphrase(path, fd, &g) : -ENOMEM;
	}
	close(fd);
	if (r)
		group_fini(&g);
	else
		*ret = g;
	return r;
}

void group_fini(struct group *g)
{
	locked_free(g->passphrase, BUFFER);
	*g = (struct group){ 0 };
}
