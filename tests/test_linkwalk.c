/*
 * Tests of fs/linkwalk.h: which links below a directory would leave.
 */
#include "folders_fixture.h"

#include "linkwalk.h"

/* Of home/inbox/at, moved from depth was to is. */
static int walk(struct box *b, const char *at, unsigned was, unsigned is)
{
	int fd = open_dir(b->top, at);
	int r = linkwalk_check(fd, was, is, LINKWALK_MAX);

	close(fd);
	return r;
}

static void the_depth_of_each_link_counts(void **state)
{
	struct box *b = *state;

	assert_int_equal(mkdirat(b->top, "t", 0700), 0);
	assert_int_equal(walk(b, "t", 5, 0), 0);
	assert_int_equal(mkdirat(b->top, "t/a", 0700), 0);
	assert_int_equal(mkdirat(b->top, "t/a/b", 0700), 0);
	put_at(b->top, "t/a/file", "x");
	assert_int_equal(symlinkat("../../f", b->top, "t/a/b/l"), 0);
	assert_int_equal(walk(b, "t", 5, 0), 0);
	assert_int_equal(symlinkat("../../f", b->top, "t/a/l"), 0);
	assert_int_equal(walk(b, "t", 5, 1), 0);
	assert_int_equal(walk(b, "t", 1, 0), -EXDEV);
	assert_int_equal(walk(b, "t/a", 2, 1), -EXDEV);
	assert_int_equal(walk(b, "t/a/b", 2, 1), -EXDEV);
	/* What leaves already. */
	assert_int_equal(walk(b, "t/a/b", 1, 0), 0);
	/* Further down nothing can happen. */
	assert_int_equal(walk(b, "t", 1, 1), 0);
	assert_int_equal(walk(b, "t", 1, 2), 0);
}

static void no_link_is_followed(void **state)
{
	struct box *b = *state;

	assert_int_equal(mkdirat(b->outside, "trap", 0700), 0);
	assert_int_equal(symlinkat("../x", b->outside, "trap/l"), 0);
	assert_int_equal(mkdirat(b->top, "t", 0700), 0);
	assert_int_equal(symlinkat("../../trap", b->top, "t/d"), 0);
	assert_int_equal(walk(b, "t", 1, 0), 0); /* d leaves already */
	assert_int_equal(walk(b, "t", 2, 1), -EXDEV);
	assert_int_equal(mkfifoat(b->top, "t/fifo", 0600), 0);
	assert_int_equal(walk(b, "t", 1, 0), 0);
}

static void too_much_to_be_sure(void **state)
{
	struct box *b = *state;
	char name[WIRE_NAME_MAX + 1];
	int fd, fds[21];

	assert_int_equal(mkdirat(b->top, "t", 0700), 0);
	fd = open_dir(b->top, "t");
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%u", i);
		if (i % 2)
			put_at(fd, name, "");
		else
			assert_int_equal(mkdirat(fd, name, 0700), 0);
	}
	assert_int_equal(linkwalk_check(fd, 1, 0, 100), 0);
	assert_int_equal(linkwalk_check(fd, 1, 0, 99), -EXDEV);
	/* Deeper than any path. */
	memset(name, 'n', WIRE_NAME_MAX);
	name[WIRE_NAME_MAX] = '\0';
	fds[0] = fd;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(mkdirat(fds[i], name, 0700), 0);
		fds[i + 1] = open_dir(fds[i], name);
	}
	assert_int_equal(linkwalk_check(fd, 1, 0, 1000), -EXDEV);
	assert_int_equal(linkwalk_check(fd, 0, 1, 1000), 0);
	/* Nor can it be removed by its path. */
	for (unsigned i = 20; i--;) {
		close(fds[i + 1]);
		assert_int_equal(unlinkat(fds[i], name, AT_REMOVEDIR), 0);
	}
	close(fd);
}

/* Names of several kilobytes in all, at the same depth and below each other. */
static void a_broad_tree(void **state)
{
	struct box *b = *state;
	char path[64];

	assert_int_equal(mkdirat(b->top, "t", 0700), 0);
	for (unsigned i = 0; i < 30; i++) {
		snprintf(path, sizeof(path), "t/directory %u", i);
		assert_int_equal(mkdirat(b->top, path, 0700), 0);
		for (unsigned j = 0; j < 30; j++) {
			snprintf(path, sizeof(path), "t/directory %u/%u", i, j);
			assert_int_equal(mkdirat(b->top, path, 0700), 0);
		}
	}
	assert_int_equal(walk(b, "t", 1, 0), 0);
	assert_int_equal(
	    symlinkat("../../x", b->top, "t/directory 29/29/l"), 0);
	assert_int_equal(walk(b, "t", 1, 0), 0);
	assert_int_equal(
	    symlinkat("../../../x", b->top, "t/directory 7/23/l"), 0);
	assert_int_equal(walk(b, "t", 1, 0), -EXDEV);
	assert_int_equal(walk(b, "t", 2, 1), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(the_depth_of_each_link_counts),
		T(no_link_is_followed),
		T(too_much_to_be_sure),
		T(a_broad_tree),
	};

	return cmocka_run_group_tests_name("linkwalk", tests, NULL, NULL);
}
