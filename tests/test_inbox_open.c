/*
 * Tests of fs/inbox.h: opening the directory, and directories and files in it
 * that are moved, swapped, touched or removed while gtfs runs; a full disk.
 */
#include "inbox_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "folders.h"

static const char *at(struct fixture *fx, const char *name)
{
	static char paths[4][800];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 800, "%s/%s", fx->inbox, name);
	return path;
}

static void directories_belong_to_their_sender(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct stat st;

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "e"), 0);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(stat(at(fx, "d/e"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(deliver(fx, ALICE, 3, 2, "f", "deep", name), 0);
	assert_content(fx->inbox, "d/e/f", "deep");
	assert_string_equal(fx->last_path, "d/e/f");

	/* The same ids mean nothing when another says them. */
	assert_int_equal(deliver(fx, BOB, 4, 1, "f", "x", name), -ESTALE);
	assert_int_equal(make_dir(fx, BOB, 5, 2, "g"), -ESTALE);
	assert_int_equal(make_dir(fx, ALICE, 6, 99, "g"), -ESTALE);
	assert_int_equal(make_dir(fx, BOB, 1, 0, "d"), 0);
	assert_int_equal(deliver(fx, BOB, 7, 1, "f", "bob", name), 0);
	assert_content(fx->inbox, "d (2)/f", "bob");
	assert_int_equal(entries(at(fx, "d")), 1);
	assert_int_equal(entries(fx->spool), 0);
}

static void moved_or_swapped_parent_is_stale(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], outside[400];
	struct sink_file *f, *g;

	snprintf(outside, sizeof(outside), "%s/outside", fx->home);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "e"), 0);
	assert_int_equal(start(fx, ALICE, 3, 1, "f", &f), 0);
	assert_int_equal(start(fx, ALICE, 4, 2, "f", &g), 0);
	assert_int_equal(f->ops->write(f, "x", 1, 0), 0);

	/* A link that leads outside, in the place of a parent. */
	assert_int_equal(rename(at(fx, "d"), at(fx, "moved")), 0);
	assert_int_equal(symlink(outside, at(fx, "d")), 0);
	assert_int_equal(f->ops->commit(f, false, name), -ESTALE);
	assert_int_equal(f->ops->commit(f, false, name), -EIO);
	f->ops->abort(f);
	/* Not even a link to the very directory. */
	assert_int_equal(unlink(at(fx, "d")), 0);
	assert_int_equal(symlink("moved", at(fx, "d")), 0);
	assert_int_equal(g->ops->commit(g, false, name), -ESTALE);
	g->ops->abort(g);
	assert_int_equal(make_dir(fx, ALICE, 5, 1, "h"), -ESTALE);
	assert_int_equal(make_dir(fx, ALICE, 5, 2, "h"), -ESTALE);
	/* Another directory of that name. */
	assert_int_equal(unlink(at(fx, "d")), 0);
	assert_int_equal(mkdir(at(fx, "d"), 0700), 0);
	assert_int_equal(deliver(fx, ALICE, 6, 1, "f", "x", name), -ESTALE);
	/* A file. */
	assert_int_equal(rmdir(at(fx, "d")), 0);
	put_file(fx->inbox, "d", "mine");
	assert_int_equal(deliver(fx, ALICE, 6, 1, "f", "x", name), -ESTALE);

	assert_int_equal(entries(outside), 0);
	assert_int_equal(entries(at(fx, "moved")), 1);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 0);
	/* Back where it was, it is known again. */
	assert_int_equal(unlink(at(fx, "d")), 0);
	assert_int_equal(rename(at(fx, "moved"), at(fx, "d")), 0);
	assert_int_equal(deliver(fx, ALICE, 7, 2, "f", "x", name), 0);
	assert_content(fx->inbox, "d/e/f", "x");
}

static void reused_inode_is_another_directory(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(rmdir(at(fx, "d")), 0);
	/* ext4 and others give the inode number out again at once. */
	assert_int_equal(mkdir(at(fx, "d"), 0755), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 1, "f", "x", name), -ESTALE);
}

static void patch_changes_only_what_is_untouched(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct wire_meta mode = { .mask = WIRE_META_MODE, .mode = 04070 };
	struct wire_meta times = { .mask = WIRE_META_MTIME,
		.mtime = { 1234567890, 42 } };
	struct stat st;

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 1, "f", "x", name), 0);
	assert_int_equal(patch_id(fx, ALICE, 2, &mode), 0);
	assert_int_equal(patch_id(fx, ALICE, 2, &times), 0);
	assert_int_equal(patch_id(fx, ALICE, 2, &times), 0);
	assert_int_equal(stat(at(fx, "d/f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0670);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_mtim.tv_nsec, 42);
	/* A directory, although its contents have changed. */
	assert_int_equal(patch_id(fx, ALICE, 1, &mode), 0);
	assert_int_equal(patch_id(fx, ALICE, 1, &times), 0);
	assert_int_equal(stat(at(fx, "d"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0770);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);

	assert_int_equal(patch_id(fx, BOB, 2, &mode), -ENOENT);
	assert_int_equal(patch_id(fx, BOB, 1, &mode), -ENOENT);
	assert_int_equal(patch_id(fx, ALICE, 77, &mode), -ENOENT);
	/* Zeros are the inbox itself, which nobody made. */
	assert_int_equal(
	    ask(fx, ALICE,
		&(struct wire_msg){ .type = WIRE_PATCH, .patch.meta = mode }),
	    -EINVAL);

	/* Touched: by chmod, by a write, by a swap, by a removal. */
	assert_int_equal(chmod(at(fx, "d/f"), 0600), 0);
	assert_int_equal(patch_id(fx, ALICE, 2, &times), -ESTALE);
	assert_int_equal(deliver(fx, ALICE, 3, 0, "g", "x", name), 0);
	put_file(fx->inbox, "g", "user");
	assert_int_equal(patch_id(fx, ALICE, 3, &times), -ESTALE);
	assert_content(fx->inbox, "g", "user");
	assert_int_equal(deliver(fx, ALICE, 4, 0, "h", "x", name), 0);
	assert_int_equal(rename(at(fx, "h"), at(fx, "h2")), 0);
	assert_int_equal(symlink("h2", at(fx, "h")), 0);
	assert_int_equal(patch_id(fx, ALICE, 4, &mode), -ESTALE);
	assert_int_equal(unlink(at(fx, "h")), 0);
	assert_int_equal(patch_id(fx, ALICE, 4, &mode), -ESTALE);
	assert_int_equal(mkfifo(at(fx, "h"), 0600), 0);
	assert_int_equal(patch_id(fx, ALICE, 4, &mode), -ESTALE);
	assert_int_equal(stat(at(fx, "h2"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void one_process_has_the_inbox(void **state)
{
	struct fixture *fx = *state;
	struct inbox_config config = { .durable = true };
	struct inbox *second = NULL;

	assert_int_equal(inbox_open(fx->inbox, &config, &second), -EBUSY);
	assert_null(second);
	inbox_close(fx->in);
	fx->in = NULL;
	assert_int_equal(open_inbox(fx, true), 0);
}

static void orphans_are_removed_and_nothing_else(void **state)
{
	struct fixture *fx = *state;
	char path[500], target[400];
	struct stat st;

	inbox_close(fx->in);
	fx->in = NULL;
	put_file(fx->spool,
	    "a100000000000000-01000000000000000000000000000000-"
	    "0123456789abcdef",
	    "half");
	put_file(fx->spool, "moved there", "mine");
	put_file(fx->spool, ".hidden", "somebody's");
	snprintf(path, sizeof(path), "%s/dir", fx->spool);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", fx->spool);
	snprintf(target, sizeof(target), "%s/canary", fx->home);
	assert_int_equal(symlink(target, path), 0);
	put_file(fx->inbox, "visible", "stays");
	assert_int_equal(chmod(fx->spool, 0777), 0);
	assert_int_equal(open_inbox(fx, true), 0);
	assert_int_equal(entries(fx->spool), 3);
	assert_content(fx->inbox, "visible", "stays");
	assert_content(fx->inbox, "moved there", "mine");
	assert_int_equal(entries(fx->inbox), 2);
	assert_content(fx->home, "canary", "sings");
	assert_int_equal(stat(fx->spool, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
}

static void spool_has_to_be_our_directory(void **state)
{
	struct fixture *fx = *state;
	char elsewhere[400];

	inbox_close(fx->in);
	fx->in = NULL;
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", fx->home);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	put_file(elsewhere, "precious", "kept");
	assert_int_equal(rmdir(fx->spool), 0);
	assert_int_equal(symlink(elsewhere, fx->spool), 0);
	assert_int_equal(open_inbox(fx, true), -ENOTDIR);
	assert_content(elsewhere, "precious", "kept");
	assert_int_equal(unlink(fx->spool), 0);
	put_file(fx->inbox, INBOX_SPOOL_NAME, "a file");
	assert_int_equal(open_inbox(fx, true), -ENOTDIR);
	assert_int_equal(unlink(fx->spool), 0);
	if (!geteuid()) {
		assert_int_equal(mkdir(fx->spool, 0700), 0);
		assert_int_equal(chown(fx->spool, 1, 1), 0);
		assert_int_equal(open_inbox(fx, true), -EPERM);
	}
}

static void inbox_is_made_and_may_be_a_link(void **state)
{
	struct fixture *fx = *state;
	char link[300], name[WIRE_NAME_MAX + 1];
	struct stat st;

	inbox_close(fx->in);
	fx->in = NULL;
	snprintf(link, sizeof(link), "%s/link", fx->home);
	assert_int_equal(symlink("inbox", link), 0);
	snprintf(fx->inbox, sizeof(fx->inbox), "%s/link", fx->home);
	assert_int_equal(open_inbox(fx, true), 0);
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "x", name), 0);
	/* The link was followed once: where it leads later is no matter. */
	assert_int_equal(unlink(link), 0);
	assert_int_equal(deliver(fx, BOB, 2, 0, "f", "y", name), 0);
	assert_string_equal(name, "f (2)");
	inbox_close(fx->in);
	fx->in = NULL;

	snprintf(fx->inbox, sizeof(fx->inbox), "%s/new//deep/inbox/", fx->home);
	assert_int_equal(open_inbox(fx, true), 0);
	assert_int_equal(stat(fx->inbox, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(fcntl(inbox_dirfd(fx->in), F_GETFD), FD_CLOEXEC);
	inbox_close(fx->in);
	fx->in = NULL;
	snprintf(fx->inbox, sizeof(fx->inbox), "%s/canary", fx->home);
	assert_int_equal(open_inbox(fx, true), -ENOTDIR);
	fx->inbox[0] = '\0';
	assert_int_equal(open_inbox(fx, true), -ENOENT);
}

static void inbox_taken_away_while_running(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], moved[300];
	struct sink_file *f;

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(start(fx, ALICE, 2, 0, "f", &f), 0);
	snprintf(moved, sizeof(moved), "%s/moved", fx->home);
	assert_int_equal(rename(fx->inbox, moved), 0);
	assert_int_equal(f->ops->commit(f, false, name), -ENOENT);
	f->ops->abort(f);
	assert_int_equal(mkdir(fx->inbox, 0700), 0);
	assert_int_equal(deliver(fx, ALICE, 3, 0, "f", "x", name), -ESTALE);
	assert_int_equal(make_dir(fx, ALICE, 4, 0, "e"), -ESTALE);
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(rmdir(fx->inbox), 0);
	assert_int_equal(rename(moved, fx->inbox), 0);
	assert_int_equal(deliver(fx, ALICE, 5, 0, "f", "x", name), 0);

	/* The spool alone, with a file in it; then everything. */
	assert_int_equal(start(fx, ALICE, 6, 0, "g", &f), 0);
	remove_tree(fx->spool);
	assert_int_equal(f->ops->commit(f, false, name), -ESTALE);
	f->ops->abort(f);
	assert_int_equal(deliver(fx, ALICE, 7, 0, "g", "x", name), -ENOENT);
	remove_tree(fx->inbox);
	assert_int_equal(deliver(fx, ALICE, 8, 0, "g", "x", name), -ENOENT);
	assert_int_equal(make_dir(fx, ALICE, 9, 0, "e"), -ESTALE);
}

/* In a child of its own: 0 where everything was as it should be. */
static int fill_up(struct fixture *fx, int expected)
{
	static char block[1 << 16];
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	uint64_t at_byte = 0, size;
	int r;

	if (expected == -ENOSPC) {
		/* Space asked for and not there changes nothing. */
		if (start(fx, ALICE, 1, 0, "r", &f) ||
		    f->ops->reserve(f, 0, 64 << 20, 0) != -ENOSPC ||
		    f->ops->size(f, &size) || size ||
		    f->ops->write(f, "small", 5, 0) ||
		    f->ops->commit(f, false, name))
			return 1;
		f->ops->close(f);
	}
	if (start(fx, ALICE, 2, 0, "f", &f))
		return 2;
	while (!(r = f->ops->write(f, block, sizeof(block), at_byte)))
		at_byte += sizeof(block);
	if (r != expected || f->ops->commit(f, false, name) != -EIO)
		return 3;
	f->ops->abort(f);
	/* And there is room again. */
	return deliver(fx, ALICE, 3, 0, "g", "fits", name) ? 4 : 0;
}

/*
 * A small file system of its own where that is permitted (root), else a limit
 * on the size of a file.
 */
static int child_with_little_room(struct fixture *fx)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	bool own = !unshare(CLONE_NEWNS);

	/* EINVAL: in a chroot, whose root is no mount point. */
	own = own &&
	      (!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		  errno == EINVAL) &&
	      !mount("tmpfs", fx->inbox, "tmpfs", 0, "size=4m");
	if (!own) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
	}
	if (open_inbox(fx, true))
		return 10;
	fx->quota_bytes = UINT64_MAX;
	return fill_up(fx, own ? -ENOSPC : -EFBIG);
}

static void full_disk_is_an_error_and_no_file(void **state)
{
	struct fixture *fx = *state;
	int status;
	pid_t pid;

	/* The lock would stay with the descriptor that both have. */
	inbox_close(fx->in);
	fx->in = NULL;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(child_with_little_room(fx));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void tables_are_bounded(void **state)
{
	struct fixture *fx = *state;
	struct wire_mkdir m = { .mode = 0755 };
	struct folders *fo;
	char path[PATH_MAX];
	uint8_t id[WIRE_ID_BYTES];
	int fd;

	assert_int_equal(
	    folders_new(inbox_dirfd(fx->in), 8 * (FOLDERS_ID_BYTES + 16), &fo),
	    0);
	/* Bob's one, Alice's parent, and a hundred below it. */
	strcpy(m.name, "d");
	make_id(1, m.id);
	assert_int_equal(folders_make(fo, BOB, &m, false), 0);
	assert_int_equal(folders_make(fo, ALICE, &m, false), 0);
	for (unsigned i = 2; i < 100; i++) {
		make_id(i, m.id);
		make_id(1, m.parent);
		snprintf(m.name, sizeof(m.name), "d%u", i);
		assert_int_equal(folders_make(fo, ALICE, &m, false), 0);
	}
	make_id(1, id);
	assert_int_equal(folders_open(fo, BOB, id, &fd, path), 0);
	close(fd);
	assert_int_equal(folders_open(fo, ALICE, id, &fd, path), 0);
	close(fd);
	make_id(99, id);
	assert_int_equal(folders_open(fo, ALICE, id, &fd, path), 0);
	assert_string_equal(path, "d (2)/d99");
	close(fd);
	make_id(2, id);
	assert_int_equal(folders_open(fo, ALICE, id, &fd, path), -ENOENT);
	folders_free(fo);

	/* A nest deeper than any path: every one is in use by the next. */
	assert_int_equal(
	    folders_new(inbox_dirfd(fx->in), 4 * (FOLDERS_ID_BYTES + 16), &fo),
	    0);
	memset(m.parent, 0, sizeof(m.parent));
	for (unsigned i = 1; i <= 5; i++) {
		make_id(i, m.id);
		assert_int_equal(
		    folders_make(fo, ALICE, &m, false), i < 5 ? 0 : -EDQUOT);
		make_id(i, m.parent);
	}
	folders_free(fo);
}

static void nesting_ends_where_paths_do(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], got[WIRE_NAME_MAX + 1];
	unsigned depth = 0;
	int r;

	memset(name, 'n', 200);
	name[200] = '\0';
	do
		r = make_dir(fx, ALICE, depth + 1, depth, name);
	while (!r && ++depth < 1000);
	assert_int_equal(r, -ENAMETOOLONG);
	assert_true(depth > 15 && depth < 21);
	memset(name, 'f', 255);
	name[255] = '\0';
	assert_int_equal(deliver(fx, ALICE, 5000, depth, name, "x", got), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(directories_belong_to_their_sender),
		T(moved_or_swapped_parent_is_stale),
		T(reused_inode_is_another_directory),
		T(patch_changes_only_what_is_untouched),
		T(one_process_has_the_inbox),
		T(orphans_are_removed_and_nothing_else),
		T(spool_has_to_be_our_directory),
		T(inbox_is_made_and_may_be_a_link),
		T(inbox_taken_away_while_running),
		T(full_disk_is_an_error_and_no_file),
		T(tables_are_bounded),
		T(nesting_ends_where_paths_do),
	};

	return cmocka_run_group_tests_name("inbox_open", tests, NULL, NULL);
}
