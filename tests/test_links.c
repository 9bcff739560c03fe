/*
 * Tests of fs/links.h: made, renamed, withdrawn, changed, and never leaving.
 */
#include "folders_fixture.h"

/* top/in/deep: 1, 2, 3. */
static int set_up_tree(void **state)
{
	struct box *b;

	set_up(state);
	b = *state;
	assert_int_equal(make(b, ALICE, 1, 0, "top"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "in"), 0);
	assert_int_equal(make(b, ALICE, 3, 2, "deep"), 0);
	assert_int_equal(make(b, BOB, 1, 0, "bobs"), 0);
	return 0;
}

static void only_what_stays_inside_is_made(void **state)
{
	static const struct {
		unsigned parent;
		const char *target;
		int result;
	} tries[] = {
		{ 1, "f", 0 },
		{ 1, ".", 0 },
		{ 1, "in/../f", -EPERM },
		{ 1, "..", -EPERM },
		{ 1, "../top/f", -EPERM },
		{ 1, "/etc/passwd", -EPERM },
		{ 1, "", -EPERM },
		{ 2, "../f", 0 },
		{ 2, "..", 0 },
		{ 2, "../../x", -EPERM },
		{ 2, ".././..//x", -EPERM },
		{ 3, "../../x", 0 },
		{ 3, "../../../x", -EPERM },
		{ 3, "../../../inbox/top", -EPERM },
		{ 0, "f", -EPERM },
		{ 9, "f", -ESTALE },
	};
	struct box *b = *state;
	unsigned made = 0;

	for (unsigned i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		char name[16];
		int r;

		snprintf(name, sizeof(name), "l%u", i);
		r = make_link(
		    b, ALICE, 100 + i, tries[i].parent, name, tries[i].target);
		if (r != tries[i].result)
			fail_msg("%s in %u: %d", tries[i].target,
			    tries[i].parent, r);
		made += !r;
	}
	assert_link(b->top, "top/l0", "f");
	assert_link(b->top, "top/in/deep/l11", "../../x");
	assert_int_equal(entries(b->top, "top") + entries(b->top, "top/in") +
			     entries(b->top, "top/in/deep"),
	    made + 2);
	assert_int_equal(entries(b->top, "."), 2);
	assert_int_equal(make_link(b, ALICE, 0, 1, "x", "f"), -EINVAL);
	assert_int_equal(make_link(b, ALICE, 90, 1, "..", "f"), -EILSEQ);
	assert_int_equal(make_link(b, ALICE, 90, 1, "a/b", "f"), -EILSEQ);
	assert_int_equal(make_link(b, BOB, 90, 2, "x", "f"), -ESTALE);
	assert_int_equal(entries(b->top, "top/in"), 3);
}

static void replaces_only_ones_own(void **state)
{
	struct box *b = *state;

	assert_int_equal(make_link(b, ALICE, 10, 1, "l", "one"), 0);
	assert_int_equal(make_link(b, ALICE, 10, 1, "l", "one"), 0);
	assert_int_equal(entries(b->top, "top"), 2);
	/* Sent again, and then with another target. */
	assert_int_equal(make_link(b, ALICE, 11, 1, "l", "one"), 0);
	assert_int_equal(make_link(b, ALICE, 12, 1, "l", "two"), 0);
	assert_int_equal(entries(b->top, "top"), 2);
	assert_link(b->top, "top/l", "two");
	assert_int_equal(withdraw_link(b, ALICE, 10), -ENOENT);
	assert_int_equal(withdraw_link(b, ALICE, 11), -ENOENT);
	/* The user's own. */
	assert_int_equal(unlinkat(b->top, "top/l", 0), 0);
	assert_int_equal(symlinkat("mine", b->top, "top/l"), 0);
	assert_int_equal(make_link(b, ALICE, 13, 1, "l", "three"), 0);
	assert_link(b->top, "top/l", "mine");
	assert_link(b->top, "top/l (2)", "three");
	assert_int_equal(withdraw_link(b, ALICE, 12), -ESTALE);
	/* That one is replaced where it stands, too. */
	assert_int_equal(make_link(b, ALICE, 14, 1, "l", "four"), 0);
	assert_link(b->top, "top/l (2)", "four");
	/* The same there already: no second one, but not ours either. */
	assert_int_equal(symlinkat("mine", b->top, "top/u"), 0);
	assert_int_equal(make_link(b, ALICE, 15, 1, "u", "mine"), 0);
	assert_int_equal(withdraw_link(b, ALICE, 15), -ENOENT);
	put_at(b->top, "top/file", "mine");
	assert_int_equal(make_link(b, ALICE, 16, 1, "file", "x"), 0);
	assert_link(b->top, "top/file (2)", "x");
	assert_int_equal(mkdirat(b->top, "top/d", 0700), 0);
	assert_int_equal(make_link(b, ALICE, 17, 1, "d", "x"), 0);
	assert_link(b->top, "top/d (2)", "x");
	assert_int_equal(entries(b->top, "top"), 8);
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
}

static void found_under_all_ids_of_its_directory(void **state)
{
	struct box *b = *state;

	assert_int_equal(make_link(b, ALICE, 10, 2, "l", "one"), 0);
	assert_int_equal(make(b, ALICE, 21, 0, "top"), 0);
	assert_int_equal(make(b, ALICE, 22, 21, "in"), 0);
	assert_int_equal(make_link(b, ALICE, 11, 22, "l", "two"), 0);
	assert_int_equal(entries(b->top, "top/in"), 2);
	assert_link(b->top, "top/in/l", "two");
	assert_int_equal(move_link(b, ALICE, 11, 2, "l"), 0);
	assert_link(b->top, "top/in/l", "two");
	assert_int_equal(move_link(b, ALICE, 11, 22, "m"), 0);
	assert_int_equal(withdraw_link(b, ALICE, 11), 0);
	assert_int_equal(entries(b->top, "top/in"), 1);
}

static void renamed_when_it_stays_inside(void **state)
{
	struct box *b = *state;

	assert_int_equal(make_link(b, ALICE, 10, 3, "l", "../../x"), 0);
	assert_int_equal(move_link(b, ALICE, 10, 3, "m"), 0);
	assert_int_equal(move_link(b, ALICE, 10, 3, "m"), 0);
	assert_int_equal(move_link(b, ALICE, 10, 2, "m"), -EXDEV);
	assert_int_equal(move_link(b, ALICE, 10, 0, "m"), -EXDEV);
	assert_int_equal(move_link(b, ALICE, 10, 9, "m"), -ESTALE);
	assert_int_equal(move_link(b, ALICE, 10, 3, "a/b"), -EILSEQ);
	assert_int_equal(move_link(b, BOB, 10, 1, "m"), -ENOENT);
	assert_int_equal(move_link(b, ALICE, 99, 1, "m"), -ENOENT);
	assert_link(b->top, "top/in/deep/m", "../../x");
	/* The directory above it moves: the link is still ours. */
	assert_int_equal(move_dir(b, ALICE, 3, 2, "d"), 0);
	assert_int_equal(move_link(b, ALICE, 10, 3, "n"), 0);
	assert_link(b->top, "top/in/d/n", "../../x");
	assert_int_equal(move_dir(b, ALICE, 3, 1, "d"), -EXDEV);
	/* What is in the way. */
	put_at(b->top, "top/in/d/o", "mine");
	assert_int_equal(move_link(b, ALICE, 10, 3, "o"), 0);
	assert_link(b->top, "top/in/d/o (2)", "../../x");
	assert_int_equal(move_link(b, ALICE, 10, 3, "o"), 0);
	assert_int_equal(make_link(b, ALICE, 11, 2, "p", "one"), 0);
	assert_int_equal(move_link(b, ALICE, 11, 3, "o"), 0);
	assert_link(b->top, "top/in/d/o (2)", "one");
	assert_int_equal(withdraw_link(b, ALICE, 10), -ENOENT);
	assert_int_equal(entries(b->top, "top/in/d"), 2);
	assert_int_equal(entries(b->top, "top/in"), 1);
	/* Two wishes for one name, as rsync and ln -sf have them. */
	assert_int_equal(make_link(b, ALICE, 12, 1, "q", "old"), 0);
	assert_int_equal(make_link(b, ALICE, 13, 1, ".q.AbC123", "new"), 0);
	assert_int_equal(move_link(b, ALICE, 13, 1, "q"), 0);
	assert_link(b->top, "top/q", "new");
	assert_int_equal(entries(b->top, "top"), 2);
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
}

static void touched_it_is_the_users(void **state)
{
	struct box *b = *state;
	struct timespec ts[2] = { { 5, 5 }, { 5, 5 } };
	struct wire_meta m = { .mask = WIRE_META_MTIME, .mtime = { 7, 7 } };
	uint8_t id[WIRE_ID_BYTES];

	for (unsigned i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(make_link(b, ALICE, 10 + i, 1, name, "x"), 0);
	}
	assert_int_equal(
	    utimensat(b->top, "top/l0", ts, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(renameat(b->top, "top/l1", b->top, "top/m"), 0);
	assert_int_equal(unlinkat(b->top, "top/l2", 0), 0);
	assert_int_equal(symlinkat("x", b->top, "top/l2"), 0);
	assert_int_equal(unlinkat(b->top, "top/l3", 0), 0);
	put_at(b->top, "top/l3", "mine");
	for (unsigned i = 0; i < 4; i++) {
		make_id(10 + i, id);
		assert_int_equal(move_link(b, ALICE, 10 + i, 1, "z"), -ESTALE);
		assert_int_equal(
		    links_patch(b->links, ALICE, id, &m, true), -ESTALE);
		assert_int_equal(withdraw_link(b, ALICE, 10 + i), -ESTALE);
		assert_int_equal(links_find(b->links, ALICE, id), 0);
	}
	assert_int_equal(entries(b->top, "top"), 5);
	assert_int_equal(stat_path(b->top, "top/l0").st_mtim.tv_sec, 5);
	/* Its directory was moved away. */
	assert_int_equal(make_link(b, ALICE, 20, 2, "l", "x"), 0);
	assert_int_equal(renameat(b->top, "top/in", b->top, "theirs"), 0);
	assert_int_equal(symlinkat("../theirs", b->top, "top/in"), 0);
	assert_int_equal(move_link(b, ALICE, 20, 1, "z"), -ESTALE);
	assert_int_equal(withdraw_link(b, ALICE, 20), -ESTALE);
	assert_int_equal(make_link(b, ALICE, 21, 2, "z", "x"), -ESTALE);
	assert_true(exists(b->top, "theirs/l"));
}

static void changed_and_withdrawn(void **state)
{
	struct box *b = *state;
	struct wire_meta m = { .mask = WIRE_META_MTIME | WIRE_META_MODE,
		.mode = 0600,
		.mtime = { 1000000000, 7 } };
	uint8_t id[WIRE_ID_BYTES];
	struct stat st;

	put_at(b->top, "top/x", "the target");
	st = stat_path(b->top, "top/x");
	assert_int_equal(make_link(b, ALICE, 10, 1, "l", "x"), 0);
	make_id(10, id);
	assert_int_equal(links_patch(b->links, ALICE, id, &m, true), 0);
	assert_int_equal(links_patch(b->links, ALICE, id, &m, true), 0);
	assert_int_equal(stat_path(b->top, "top/l").st_mtim.tv_sec, 1000000000);
	assert_int_equal(stat_path(b->top, "top/l").st_mtim.tv_nsec, 7);
	assert_int_equal(
	    stat_path(b->top, "top/x").st_mtim.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(stat_path(b->top, "top/x").st_mode, st.st_mode);
	m.mtime.nsec = 1000000000;
	assert_int_equal(links_patch(b->links, ALICE, id, &m, true), -EINVAL);
	assert_int_equal(links_patch(b->links, BOB, id, &m, true), -ENOENT);
	assert_int_equal(links_find(b->links, ALICE, id), 0);
	assert_int_equal(links_find(b->links, BOB, id), -ENOENT);
	assert_int_equal(withdraw_link(b, BOB, 10), -ENOENT);
	assert_int_equal(move_link(b, ALICE, 10, 2, "l"), 0);
	assert_int_equal(withdraw_link(b, ALICE, 10), 0);
	assert_int_equal(withdraw_link(b, ALICE, 10), -ENOENT);
	assert_int_equal(links_find(b->links, ALICE, id), -ENOENT);
	assert_int_equal(entries(b->top, "top/in"), 1);
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
}

static void the_newest_are_remembered(void **state)
{
	struct box *b = *state;
	char name[16];

	for (unsigned i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(make_link(b, ALICE, 10 + i, 1, name, "x"), 0);
	}
	assert_int_equal(withdraw_link(b, ALICE, 10), -ENOENT);
	assert_int_equal(withdraw_link(b, ALICE, 15), -ENOENT);
	assert_int_equal(withdraw_link(b, ALICE, 16), 0);
	assert_int_equal(withdraw_link(b, ALICE, 79), 0);
	assert_int_equal(entries(b->top, "top"), 69);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up_tree, tear_down)
	const struct CMUnitTest tests[] = {
		T(only_what_stays_inside_is_made),
		T(replaces_only_ones_own),
		T(found_under_all_ids_of_its_directory),
		T(renamed_when_it_stays_inside),
		T(touched_it_is_the_users),
		T(changed_and_withdrawn),
		T(the_newest_are_remembered),
	};

	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
