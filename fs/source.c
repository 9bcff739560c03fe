/*
 * Runs in the FUSE worker that has a large first write, once a transfer.
 *
 * It must not hang with some other file system that does. The texts of /proc
 * come from the kernel's memory. The one call that meets the source's file
 * system is statx(2) through /proc/PID/fd/N, which walks no path. With
 * AT_STATX_DONT_SYNC it asks FUSE for no more than what the inode in memory
 * says, but NFS and 9p check what a link of /proc leads to (the kernel's
 * d_weak_revalidate), and cluster file systems take their locks: only those
 * that are known to answer by themselves are asked at all, which mountinfo
 * tells without asking.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "procs_stat.h"

enum {
	DESCRIPTORS_MAX = 256, /* looked at */
	AHEAD_MAX = 4 * 1024 * 1024,
	/* Who reads ahead (a pipe between, a second buffer) does so in large
	 * steps; who unpacks an archive stands anywhere in it. */
	AHEAD_STEP = 64 * 1024,
};

/* Is pos where one stands who has written so much of the file? */
static bool is_near(uint64_t pos, uint64_t written)
{
	if (pos == written)
		return true;
	return pos > written && pos - written <= AHEAD_MAX &&
	       pos % AHEAD_STEP == 0;
}

/* Of the fdinfo text; *ret_mnt is the mount that the file is on. */
static bool may_be_source(
    const char *text, size_t len, uint64_t written, uint64_t *ret_mnt)
{
	uint64_t pos, flags;

	return !procs_text_field(text, len, "pos:", 10, &pos) &&
	       is_near(pos, written) &&
	       !procs_text_field(text, len, "flags:", 8, &flags) &&
	       (flags & O_ACCMODE) == O_RDONLY &&
	       !procs_text_field(text, len, "mnt_id:", 10, ret_mnt);
}

/*
 * A line of mountinfo, proc(5): "36 35 98:0 /mnt1 /mnt2 rw - ext3 ...". Is it
 * of mount mnt, and may its file system be asked?
 */
static bool is_fine_mount(const char *line, uint64_t mnt, dev_t own)
{
	static const char local[] =
	    " bcachefs btrfs exfat ext2 ext3 ext4 f2fs fuse fuseblk iso9660 "
	    "jfs ntfs3 overlay ramfs reiserfs squashfs tmpfs udf vfat xfs zfs ";
	const char *rest = strstr(line, " - ");
	unsigned major, minor;
	unsigned long long id;
	char type[32], word[36];

	if (!rest ||
	    sscanf(line, "%llu %*u %u:%u ", &id, &major, &minor) != 3 ||
	    sscanf(rest, " - %31s", type) != 1 || id != mnt ||
	    makedev(major, minor) == own)
		return false;
	type[strcspn(type, ".")] = '\0'; /* fuse.sshfs */
	snprintf(word, sizeof(word), " %s ", type);
	return strstr(local, word);
}

static bool may_ask(pid_t tid, uint64_t mnt, dev_t own)
{
	char path[PROCS_PATH_MAX], *line = NULL;
	size_t cap = 0;
	bool fine = false;
	FILE *f;

	procs_path(path, tid, "mountinfo");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!fine && getline(&line, &cap, f) >= 0)
		fine = is_fine_mount(line, mnt, own);
	free(line);
	fclose(f);
	return fine;
}

/* 0: not a regular file, or one with holes, which needs less than it shows. */
static uint64_t size_of(pid_t tid, int fd)
{
	char what[24], path[PROCS_PATH_MAX];
	struct statx st;

	snprintf(what, sizeof(what), "fd/%d", fd);
	procs_path(path, tid, what);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC,
		STATX_TYPE | STATX_SIZE | STATX_BLOCKS, &st) ||
	    !S_ISREG(st.stx_mode) || st.stx_blocks * 512 < st.stx_size)
		return 0;
	return st.stx_size;
}

uint64_t source_size(pid_t tid, dev_t own, uint64_t written)
{
	char path[PROCS_PATH_MAX], text[256];
	uint64_t size = 0, mnt;
	const char *name;
	struct procs_dir d;
	int fd, looked = 0;
	ssize_t n;

	if (tid <= 0)
		return 0;
	procs_path(path, tid, "fdinfo");
	if (procs_dir_open(&d, path))
		return 0;
	while (!size && looked++ < DESCRIPTORS_MAX &&
	       (name = procs_dir_next(&d, &fd))) {
		n = procs_slurp(d.fd, name, text, sizeof(text));
		if (n > 0 && may_be_source(text, (size_t)n, written, &mnt) &&
		    may_ask(tid, mnt, own))
			size = size_of(tid, fd);
	}
	procs_dir_close(&d);
	return size >= written ? size : 0;
}

bool source_copies_whole(pid_t tid)
{
	static const char *const names[] = { "cp\n", "mv\n", "cat\n",
		"install\n" };
	char path[PROCS_PATH_MAX], text[32];
	ssize_t n;

	if (tid <= 0)
		return false;
	procs_path(path, tid, "comm");
	n = procs_slurp(AT_FDCWD, path, text, sizeof(text));
	for (size_t i = 0; n > 0 && i < sizeof(names) / sizeof(*names); i++)
		if ((size_t)n == strlen(names[i]) &&
		    !memcmp(text, names[i], (size_t)n))
			return true;
	return false;
}
