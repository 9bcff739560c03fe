/*
 * Tests of fs/folders.h: made again, renamed, withdrawn, changed. Many threads
 * at once are tests/test_folders_races.c's, failing system calls
 * tests/test_folders_faults.c's.
 */
#include "folders_fixture.h"

#include <sys/xattr.h>

static void renamed_with_all_below(void **state)
{
	struct box *b = *state;
	char path[PATH_MAX];
	int fd;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	assert_int_equal(make(b, ALICE, 3, 2, "c"), 0);
	assert_int_equal(make(b, ALICE, 4, 0, "to"), 0);
	/* Somebody is about to put a file there. */
	fd = open_id(b, ALICE, 3, path);
	assert_true(fd >= 0);
	assert_int_equal(move_dir(b, ALICE, 1, 4, "longer name"), 0);
	put_at(fd, "late", "x");
	close(fd);
	assert_true(exists(b->top, "to/longer name/b/c/late"));
	assert_int_equal(entries(b->top, "."), 1);
	assert_int_equal(where(b, ALICE, 1, "to/longer name"), 0);
	assert_int_equal(where(b, ALICE, 2, "to/longer name/b"), 0);
	assert_int_equal(where(b, ALICE, 3, "to/longer name/b/c"), 0);
	/* Done before. */
	assert_int_equal(move_dir(b, ALICE, 1, 4, "longer name"), 0);
	/* And up again, in two steps. */
	assert_int_equal(move_dir(b, ALICE, 3, 0, "c"), 0);
	assert_int_equal(move_dir(b, ALICE, 2, 3, "b"), 0);
	assert_int_equal(where(b, ALICE, 2, "c/b"), 0);
	assert_int_equal(make(b, ALICE, 5, 2, "new"), 0);
	assert_int_equal(where(b, ALICE, 5, "c/b/new"), 0);
}

static void a_taken_name_gets_a_number(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	put_at(b->top, "file", "mine");
	assert_int_equal(symlinkat("../canary", b->top, "link"), 0);
	assert_int_equal(mkdirat(b->top, "empty", 0700), 0);
	assert_int_equal(make(b, BOB, 1, 0, "bobs"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "file"), 0);
	assert_int_equal(where(b, ALICE, 1, "file (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "link"), 0);
	assert_int_equal(where(b, ALICE, 1, "link (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "empty"), 0);
	assert_int_equal(where(b, ALICE, 1, "empty (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "bobs"), 0);
	assert_int_equal(where(b, ALICE, 1, "bobs (2)"), 0);
	/* The same again is done before; its own name does not hinder it. */
	assert_int_equal(move_dir(b, ALICE, 1, 0, "bobs"), 0);
	assert_int_equal(where(b, ALICE, 1, "bobs (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "bobs (2)"), 0);
	assert_int_equal(where(b, ALICE, 1, "bobs (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "bobs"), 0);
	assert_int_equal(where(b, ALICE, 1, "bobs (2)"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, ".gtfs-spool"), 0);
	assert_int_equal(where(b, ALICE, 1, ".gtfs-spool (2)"), 0);
	assert_int_equal(entries(b->top, "."), 5);
}

static void only_an_empty_own_one_is_replaced(void **state)
{
	struct box *b = *state;
	ino_t ino;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "in a"), 0);
	assert_int_equal(make(b, ALICE, 3, 0, "b"), 0);
	assert_int_equal(make(b, ALICE, 4, 0, "b"), 0); /* the same */
	ino = stat_path(b->top, "a").st_ino;
	assert_int_equal(move_dir(b, ALICE, 1, 0, "b"), 0);
	assert_int_equal(where(b, ALICE, 1, "b"), 0);
	assert_int_equal(where(b, ALICE, 2, "b/in a"), 0);
	assert_int_equal(stat_path(b->top, "b").st_ino, ino);
	assert_int_equal(entries(b->top, "."), 1);
	/* What was replaced is nobody's any more. */
	assert_int_equal(where(b, ALICE, 3, ""), -ENOENT);
	assert_int_equal(where(b, ALICE, 4, ""), -ENOENT);

	assert_int_equal(make(b, ALICE, 5, 0, "c"), 0);
	assert_int_equal(move_dir(b, ALICE, 5, 0, "b"), 0);
	assert_int_equal(where(b, ALICE, 5, "b (2)"), 0);
	assert_int_equal(where(b, ALICE, 1, "b"), 0);
	/* The wish for the name has passed on: an empty one is replaced where
	 * it stands. */
	assert_int_equal(make(b, ALICE, 6, 0, "d"), 0);
	assert_int_equal(move_dir(b, ALICE, 6, 0, "b"), 0);
	assert_int_equal(where(b, ALICE, 6, "b (2)"), 0);
	assert_int_equal(where(b, ALICE, 5, ""), -ENOENT);
	assert_int_equal(entries(b->top, "."), 2);
	/* Its user has put a file, or something else, in its place. */
	assert_int_equal(make(b, ALICE, 7, 0, "e"), 0);
	assert_int_equal(make(b, ALICE, 8, 0, "f"), 0);
	assert_int_equal(unlinkat(b->top, "f", AT_REMOVEDIR), 0);
	put_at(b->top, "f", "mine");
	assert_int_equal(move_dir(b, ALICE, 7, 0, "f"), 0);
	assert_int_equal(where(b, ALICE, 7, "f (2)"), 0);
	assert_int_equal(where(b, ALICE, 8, ""), -ESTALE);
}

static void what_cannot_be_renamed(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	assert_int_equal(make(b, ALICE, 3, 2, "c"), 0);
	assert_int_equal(make(b, ALICE, 4, 1, "b"), 0); /* 2 by another id */
	assert_int_equal(make(b, BOB, 9, 0, "bob"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 1, "x"), -EINVAL);
	assert_int_equal(move_dir(b, ALICE, 1, 3, "x"), -EINVAL);
	assert_int_equal(move_dir(b, ALICE, 1, 4, "x"), -EINVAL);
	assert_int_equal(move_dir(b, ALICE, 7, 0, "x"), -ENOENT);
	assert_int_equal(move_dir(b, ALICE, 0, 0, "x"), -ENOENT);
	assert_int_equal(move_dir(b, ALICE, 9, 0, "x"), -ENOENT);
	assert_int_equal(move_dir(b, BOB, 1, 0, "x"), -ENOENT);
	assert_int_equal(move_dir(b, ALICE, 3, 9, "x"), -ESTALE);
	assert_int_equal(move_dir(b, BOB, 9, 1, "x"), -ESTALE);
	assert_int_equal(move_dir(b, ALICE, 1, 0, ".."), -EILSEQ);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "x/y"), -EILSEQ);
	assert_int_equal(where(b, ALICE, 3, "a/b/c"), 0);

	/* Moved by its user; then something else in its place. */
	assert_int_equal(renameat(b->top, "a/b/c", b->top, "theirs"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 0, "x"), -ESTALE);
	assert_int_equal(mkdirat(b->top, "a/b/c", 0700), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 0, "x"), -ESTALE);
	assert_int_equal(unlinkat(b->top, "a/b/c", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("../../theirs", b->top, "a/b/c"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 0, "x"), -ESTALE);
	assert_int_equal(withdraw_dir(b, ALICE, 3), -ESTALE);
	assert_int_equal(make(b, ALICE, 5, 0, "y"), 0);
	assert_int_equal(move_dir(b, ALICE, 5, 3, "y"), -ESTALE);
	assert_int_equal(where(b, ALICE, 5, "y"), 0);
	/* A link on the way. */
	assert_int_equal(renameat(b->top, "a", b->outside, "away"), 0);
	assert_int_equal(symlinkat("../away", b->top, "a"), 0);
	assert_int_equal(move_dir(b, ALICE, 2, 0, "x"), -ESTALE);
	assert_int_equal(move_dir(b, ALICE, 5, 2, "x"), -ESTALE);
	assert_int_equal(withdraw_dir(b, ALICE, 4), -ESTALE);
	assert_true(exists(b->outside, "away/b"));
}

static void a_path_stays_shorter_than_path_max(void **state)
{
	struct box *b = *state;
	char name[WIRE_NAME_MAX + 1], path[PATH_MAX];
	unsigned made = 0;
	int fd, r;

	memset(name, 'n', 200);
	name[200] = '\0';
	while (!(r = make(b, ALICE, made + 1, made, name)))
		made++;
	assert_int_equal(r, -ENAMETOOLONG);
	assert_true(made > 15);
	assert_int_equal(make(b, ALICE, 100, 0, "x"), 0);
	assert_int_equal(make(b, ALICE, 101, 100, "y"), 0);
	memset(name, 'm', WIRE_NAME_MAX);
	name[WIRE_NAME_MAX] = '\0';
	assert_int_equal(make(b, ALICE, 102, 101, name), 0);
	assert_int_equal(make(b, ALICE, 103, 102, name), 0);
	/* All of it below them; and then one above it gets a longer name. */
	assert_int_equal(move_dir(b, ALICE, 1, 103, "z"), -ENAMETOOLONG);
	assert_int_equal(move_dir(b, ALICE, 1, 101, "z"), 0);
	assert_int_equal(move_dir(b, ALICE, 100, 0, name), 0);
	assert_int_equal(move_dir(b, ALICE, 101, 100, name), -ENAMETOOLONG);
	fd = open_id(b, ALICE, made, path);
	assert_true(fd >= 0);
	assert_true(strlen(path) + 1 + WIRE_NAME_MAX < PATH_MAX);
	close(fd);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "z"), 0);
	fd = open_id(b, ALICE, made, path);
	assert_true(fd >= 0);
	close(fd);
}

static void links_below_may_not_leave(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "top"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "in"), 0);
	assert_int_equal(make(b, ALICE, 3, 2, "deep"), 0);
	assert_int_equal(make(b, ALICE, 4, 0, "other"), 0);
	assert_int_equal(mkdirat(b->top, "top/in/deep/x", 0700), 0);
	/* Three levels below: as far as top itself. */
	assert_int_equal(symlinkat("../../../f", b->top, "top/in/deep/x/l"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 1, "deep"), -EXDEV);
	assert_int_equal(move_dir(b, ALICE, 3, 0, "deep"), -EXDEV);
	assert_int_equal(move_dir(b, ALICE, 2, 0, "in"), -EXDEV);
	assert_int_equal(where(b, ALICE, 3, "top/in/deep"), 0);
	/* The same depth, and deeper. */
	assert_int_equal(move_dir(b, ALICE, 3, 2, "d"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 4, "t"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 1, "d"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 4, "d"), -EXDEV);
	/* One that stays in what moves does not hinder it. */
	assert_int_equal(unlinkat(b->top, "other/t/d/x/l", 0), 0);
	assert_int_equal(symlinkat("../f", b->top, "other/t/d/x/l"), 0);
	assert_int_equal(symlinkat("x/l", b->top, "other/t/d/l"), 0);
	/* The user's own, which leave already, neither. */
	assert_int_equal(symlinkat("/etc", b->top, "other/t/d/etc"), 0);
	assert_int_equal(
	    symlinkat("../../../../../up", b->top, "other/t/d/up"), 0);
	assert_int_equal(move_dir(b, ALICE, 3, 0, "d"), 0);
	assert_int_equal(where(b, ALICE, 3, "d"), 0);
}

static void withdrawn_when_empty(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	assert_int_equal(make(b, ALICE, 3, 1, "b"), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 1), -ENOTEMPTY);
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
	put_at(b->top, "a/b/theirs", "x");
	assert_int_equal(withdraw_dir(b, ALICE, 3), -ENOTEMPTY);
	assert_int_equal(unlinkat(b->top, "a/b/theirs", 0), 0);
	assert_int_equal(withdraw_dir(b, BOB, 2), -ENOENT);
	assert_int_equal(withdraw_dir(b, ALICE, 0), -ENOENT);
	assert_int_equal(withdraw_dir(b, ALICE, 3), 0);
	assert_int_equal(entries(b->top, "a"), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 3), -ENOENT);
	assert_int_equal(where(b, ALICE, 2, ""), -ENOENT);
	/* A parent that its user emptied goes with what the table has below. */
	assert_int_equal(make(b, ALICE, 4, 1, "c"), 0);
	assert_int_equal(make(b, ALICE, 5, 4, "d"), 0);
	assert_int_equal(renameat(b->top, "a/c", b->top, "theirs"), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 1), 0);
	assert_int_equal(where(b, ALICE, 5, ""), -ENOENT);
	assert_int_equal(withdraw_dir(b, ALICE, 5), -ENOENT);
	assert_true(exists(b->top, "theirs/d"));
	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
}

static void sent_again_it_is_the_same(void **state)
{
	struct box *b = *state;
	uint8_t id[WIRE_ID_BYTES], first[WIRE_ID_BYTES];

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	assert_int_equal(make(b, ALICE, 11, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 12, 11, "b"), 0);
	assert_int_equal(make(b, ALICE, 13, 12, "new"), 0);
	assert_int_equal(make(b, ALICE, 21, 0, "a"), 0);
	assert_int_equal(entries(b->top, "."), 1);
	assert_int_equal(where(b, ALICE, 21, "a"), 0);
	assert_int_equal(where(b, ALICE, 12, "a/b"), 0);
	assert_int_equal(where(b, ALICE, 13, "a/b/new"), 0);
	make_id(12, id);
	folders_first_id(b->fo, ALICE, id, id);
	make_id(2, first);
	assert_memory_equal(id, first, WIRE_ID_BYTES);
	/* Under any of its ids. */
	assert_int_equal(move_dir(b, ALICE, 11, 0, "r"), 0);
	assert_int_equal(where(b, ALICE, 1, "r"), 0);
	assert_int_equal(where(b, ALICE, 13, "r/b/new"), 0);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "r"), 0);
	/* Under its old name it is no longer there. */
	assert_int_equal(make(b, ALICE, 31, 0, "a"), 0);
	assert_int_equal(where(b, ALICE, 31, "a"), 0);
	assert_int_equal(where(b, ALICE, 21, "r"), 0);
	/* Under its new one it is. */
	assert_int_equal(make(b, ALICE, 41, 0, "r"), 0);
	assert_int_equal(where(b, ALICE, 41, "r"), 0);
	assert_int_equal(entries(b->top, "."), 2);
}

static void what_is_used_again_is_not_withdrawn(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 3, 2, "below"), 0);
	assert_int_equal(make(b, ALICE, 4, 0, "a"), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 3), 0);
	/* Both were made again: what takes them back comes late. */
	assert_int_equal(withdraw_dir(b, ALICE, 1), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 2), 0);
	assert_int_equal(where(b, ALICE, 4, "a"), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 4), 0);
	assert_int_equal(withdraw_dir(b, ALICE, 1), -ENOENT);
	assert_int_equal(entries(b->top, "."), 0);
}

static void another_ones_is_not_the_same(void **state)
{
	struct box *b = *state;

	assert_int_equal(mkdirat(b->top, "user", 0700), 0);
	assert_int_equal(make(b, ALICE, 1, 0, "user"), 0);
	assert_int_equal(where(b, ALICE, 1, "user (2)"), 0);
	assert_int_equal(make(b, ALICE, 2, 0, "user"), 0);
	assert_int_equal(where(b, ALICE, 2, "user (2)"), 0);
	assert_int_equal(make(b, BOB, 1, 0, "user"), 0);
	assert_int_equal(where(b, BOB, 1, "user (3)"), 0);
	assert_int_equal(make(b, BOB, 2, 0, "user (2)"), 0);
	assert_int_equal(where(b, BOB, 2, "user (2) (2)"), 0);
	/* Moved by its user, it is theirs. */
	assert_int_equal(renameat(b->top, "user (2)", b->top, "theirs"), 0);
	assert_int_equal(make(b, ALICE, 3, 0, "user"), 0);
	assert_int_equal(where(b, ALICE, 3, "user (2)"), 0);
	assert_int_equal(where(b, ALICE, 1, ""), -ESTALE);
	assert_int_equal(make(b, ALICE, 4, 0, "user"), 0);
	assert_int_equal(where(b, ALICE, 4, "user (2)"), 0);
	assert_int_equal(make(b, ALICE, 1, 0, "user"), 0); /* done before */
	assert_int_equal(where(b, ALICE, 1, ""), -ESTALE);
}

static void the_oldest_leaf_is_forgotten(void **state)
{
	struct box *b = *state;

	close_box(b);
	open_box(b, 4 * (FOLDERS_ID_BYTES + 8));
	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 0, "a"), 0); /* an id of 1 */
	assert_int_equal(make(b, ALICE, 3, 1, "b"), 0);
	assert_int_equal(make(b, ALICE, 4, 0, "c"), 0);
	assert_int_equal(make(b, ALICE, 5, 3, "d"), 0);
	assert_int_equal(where(b, ALICE, 2, ""), -ENOENT);
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
	assert_int_equal(where(b, ALICE, 5, "a/b/d"), 0);
	/* A move takes what is below along in the order of use, too. */
	assert_int_equal(move_dir(b, ALICE, 3, 4, "b"), 0);
	assert_int_equal(make(b, ALICE, 6, 5, "e"), 0);
	assert_int_equal(where(b, ALICE, 1, ""), -ENOENT);
	assert_int_equal(where(b, ALICE, 6, "c/b/d/e"), 0);
	assert_int_equal(make(b, ALICE, 7, 6, "f"), -EDQUOT);
	assert_int_equal(withdraw_dir(b, ALICE, 6), 0);
	assert_int_equal(make(b, ALICE, 7, 5, "f"), 0);
	assert_int_equal(where(b, ALICE, 7, "c/b/d/f"), 0);
}

/* Names are not free: neither as they are sent nor as they stand there. */
static void long_names_push_more_out(void **state)
{
	enum { IDS = 30 };
	struct box *b = *state;
	unsigned known = 0;
	char name[WIRE_NAME_MAX + 1];

	close_box(b);
	open_box(b, IDS * (FOLDERS_ID_BYTES + 8));
	assert_int_equal(make(b, BOB, 1, 0, "bob"), 0);
	for (unsigned i = 1; i < IDS; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(make(b, ALICE, i, 0, name), 0);
	}
	for (unsigned i = 1; i < IDS; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(where(b, ALICE, i, name), 0);
	}
	/* Nor are they when they come later. */
	for (unsigned i = 1; i < IDS; i++) {
		snprintf(name, sizeof(name), "%0*u", WIRE_NAME_MAX - 1, i);
		move_dir(b, ALICE, i, 0, name);
	}
	for (unsigned i = 1; i < IDS; i++) {
		snprintf(name, sizeof(name), "%0*u", WIRE_NAME_MAX - 1, i);
		known += where(b, ALICE, i, name) == 0;
	}
	assert_in_range(known, IDS / 3, IDS * 3 / 5);
	assert_int_equal(where(b, BOB, 1, "bob"), 0);
}

static void mode_times_and_attributes(void **state)
{
	struct box *b = *state;
	struct wire_meta m = { .mask = WIRE_META_MODE | WIRE_META_MTIME,
		.mode = 07055,
		.mtime = { 1000000000, 5 } };
	struct wire_xattr x = {
		.name = "user.test", .bytes = (const uint8_t *)"v", .len = 1
	};
	uint8_t id[WIRE_ID_BYTES];
	struct stat st;
	char value[8];
	int fd;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	make_id(1, id);
	assert_int_equal(folders_patch(b->fo, ALICE, id, &m, true), 0);
	st = stat_path(b->top, "a");
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	assert_int_equal(folders_patch(b->fo, BOB, id, &m, true), -ENOENT);
	m.mtime.nsec = 1000000000;
	assert_int_equal(folders_patch(b->fo, ALICE, id, &m, true), -EINVAL);
	assert_int_equal(folders_xattr(b->fo, ALICE, id, &x, true), 0);
	fd = open_dir(b->top, "a");
	if (fgetxattr(fd, "user.test", value, sizeof(value)) != 1)
		assert_int_equal(errno, ENOTSUP);
	x.remove = true;
	assert_int_equal(folders_xattr(b->fo, ALICE, id, &x, true), 0);
	assert_int_equal(folders_xattr(b->fo, ALICE, id, &x, true), 0);
	assert_int_equal(fgetxattr(fd, "user.test", value, sizeof(value)), -1);
	close(fd);
	snprintf(x.name, sizeof(x.name), "security.capability");
	assert_int_equal(folders_xattr(b->fo, ALICE, id, &x, true), -EINVAL);
	make_id(0, id);
	assert_int_equal(folders_xattr(b->fo, ALICE, id, &x, true), -ENOENT);
	assert_int_equal(folders_patch(b->fo, ALICE, id, &m, true), -ENOENT);
	assert_int_equal(unlinkat(b->top, "a", AT_REMOVEDIR), 0);
	make_id(1, id);
	assert_int_equal(folders_patch(b->fo, ALICE, id, &m, true), -ESTALE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(renamed_with_all_below),
		T(a_taken_name_gets_a_number),
		T(only_an_empty_own_one_is_replaced),
		T(what_cannot_be_renamed),
		T(a_path_stays_shorter_than_path_max),
		T(links_below_may_not_leave),
		T(withdrawn_when_empty),
		T(sent_again_it_is_the_same),
		T(what_is_used_again_is_not_withdrawn),
		T(another_ones_is_not_the_same),
		T(the_oldest_leaf_is_forgotten),
		T(long_names_push_more_out),
		T(mode_times_and_attributes),
	};

	return cmocka_run_group_tests_name("folders", tests, NULL, NULL);
}
