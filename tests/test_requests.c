/*
 * Tests of fs/requests.h through the sink of a real inbox: what an id may mean,
 * what is refused, and that directories, links and files fit together. What
 * becomes of a file alone is tests/test_deliveries*.c's.
 */
#include "inbox_fixture.h"

#include <sys/xattr.h>

#include "sync.h"

static struct stat stat_in(struct fixture *fx, const char *name)
{
	struct stat st;
	char path[800];

	snprintf(path, sizeof(path), "%s/%s", fx->inbox, name);
	if (lstat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static bool is_in(struct fixture *fx, const char *name)
{
	struct stat st;
	char path[800];

	snprintf(path, sizeof(path), "%s/%s", fx->inbox, name);
	return !lstat(path, &st);
}

static int entries_in(struct fixture *fx, const char *name)
{
	char path[800];

	snprintf(path, sizeof(path), "%s/%s", fx->inbox, name);
	return entries(path);
}

static int make_link(struct fixture *fx, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name, const char *target)
{
	struct wire_msg m = { .type = WIRE_SYMLINK,
		.symlink = {
		    .bytes = (const uint8_t *)target, .len = strlen(target) } };

	make_id(id, m.symlink.id);
	if (parent)
		make_id(parent, m.symlink.parent);
	snprintf(m.symlink.name, sizeof(m.symlink.name), "%s", name);
	return ask(fx, sender, &m);
}

static int set_xattr(struct fixture *fx, const uint8_t *sender, unsigned id,
    const char *name, const char *value)
{
	struct wire_msg m = { .type = WIRE_SETXATTR,
		.setxattr.xattr = {
		    .bytes = (const uint8_t *)value, .len = strlen(value) } };

	make_id(id, m.setxattr.id);
	snprintf(
	    m.setxattr.xattr.name, sizeof(m.setxattr.xattr.name), "%s", name);
	return ask(fx, sender, &m);
}

/* dir: 1, dir/in: 2, dir/in/link: 3, dir/file: 4, by Alice. */
static void send_tree(struct fixture *fx, unsigned first, const char *content,
    char ret_name[WIRE_NAME_MAX + 1])
{
	assert_int_equal(make_dir(fx, ALICE, first, 0, "dir"), 0);
	assert_int_equal(make_dir(fx, ALICE, first + 1, first, "in"), 0);
	assert_int_equal(
	    make_link(fx, ALICE, first + 2, first + 1, "link", "../file"), 0);
	assert_int_equal(
	    deliver(fx, ALICE, first + 3, first, "file", content, ret_name), 0);
}

static void an_id_is_one_of_three_things(void **state)
{
	struct fixture *fx = *state;
	struct wire_meta m = { .mask = WIRE_META_MODE | WIRE_META_MTIME,
		.mode = 0600,
		.mtime = { 1000000000, 0 } };
	char name[WIRE_NAME_MAX + 1];

	send_tree(fx, 1, "x", name);
	for (unsigned id = 1; id <= 4; id++) {
		assert_int_equal(patch_id(fx, ALICE, id, &m), 0);
		assert_int_equal(set_xattr(fx, ALICE, id, "user.test", "v"), 0);
		assert_int_equal(show_id(fx, ALICE, id), 0);
		assert_int_equal(patch_id(fx, BOB, id, &m), -ENOENT);
		assert_int_equal(
		    set_xattr(fx, BOB, id, "user.test", "v"), -ENOENT);
		assert_int_equal(show_id(fx, BOB, id), -ENOENT);
		assert_int_equal(
		    rename_id(fx, BOB, id, 0, "x", false), -ENOENT);
		assert_int_equal(withdraw_id(fx, BOB, id), -ENOENT);
	}
	assert_int_equal(stat_in(fx, "dir").st_mode, S_IFDIR | 0700);
	assert_int_equal(stat_in(fx, "dir/file").st_mode, S_IFREG | 0600);
	assert_int_equal(stat_in(fx, "dir/in/link").st_mtim.tv_sec, 1000000000);
	assert_int_equal(rename_id(fx, ALICE, 2, 1, "i", false), 0);
	assert_int_equal(rename_id(fx, ALICE, 3, 2, "l", true), 0);
	assert_int_equal(rename_id(fx, ALICE, 4, 2, "f", false), 0);
	assert_true(is_in(fx, "dir/i/l") && is_in(fx, "dir/i/f"));
	assert_int_equal(withdraw_id(fx, ALICE, 2), -ENOTEMPTY);
	assert_int_equal(withdraw_id(fx, ALICE, 4), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 3), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 2), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(entries(fx->inbox), 0);
	for (unsigned id = 1; id <= 4; id++) {
		assert_int_equal(withdraw_id(fx, ALICE, id), -ENOENT);
		assert_int_equal(
		    rename_id(fx, ALICE, id, 0, "x", false), -ENOENT);
		assert_int_equal(patch_id(fx, ALICE, id, &m), -ENOENT);
	}
}

static void what_the_wire_should_have_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "/", "a/b", "../x" };
	static const char *const targets[] = { "", "/", "/etc/passwd", "..",
		"../x", "a/../../x", "a/.." };
	struct fixture *fx = *state;
	struct wire_msg m = { .type = WIRE_WRITE };
	char name[WIRE_NAME_MAX + 1];

	send_tree(fx, 1, "x", name);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(make_dir(fx, ALICE, 50, 1, bad[i]), -EILSEQ);
		assert_int_equal(
		    make_link(fx, ALICE, 50, 1, bad[i], "x"), -EILSEQ);
		for (unsigned id = 1; id <= 4; id++)
			assert_int_equal(
			    rename_id(fx, ALICE, id, 1, bad[i], false),
			    -EILSEQ);
	}
	for (unsigned i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		assert_int_equal(
		    make_link(fx, ALICE, 50, 1, "x", targets[i]), -EPERM);
	assert_int_equal(make_link(fx, ALICE, 50, 0, "x", "y"), -EPERM);
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "x", false), -EXDEV);
	assert_int_equal(rename_id(fx, ALICE, 3, 1, "x", false), -EXDEV);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "x", false), -EXDEV);
	assert_int_equal(
	    set_xattr(fx, ALICE, 4, "security.capability", "v"), -EINVAL);
	assert_int_equal(
	    set_xattr(fx, ALICE, 1, "user.gtfs.from", "v"), -EINVAL);
	assert_int_equal(ask(fx, ALICE, &m), -EOPNOTSUPP);
	/* An id of zeros is the top, and nobody's. */
	for (m.type = WIRE_MKDIR; m.type <= WIRE_WITHDRAW; m.type++)
		assert_int_equal(ask(fx, ALICE, &m),
		    m.type == WIRE_RESULT ? -EOPNOTSUPP : -EINVAL);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries_in(fx, "dir"), 2);
	assert_int_equal(entries_in(fx, "dir/in"), 1);
}

static void a_tree_sent_again_fills_the_same_tree(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], path[800];

	snprintf(path, sizeof(path), "%s/dir", fx->inbox);
	send_tree(fx, 1, "one", name);
	send_tree(fx, 11, "two", name);
	assert_string_equal(name, "file");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries_in(fx, "dir"), 2);
	assert_int_equal(entries_in(fx, "dir/in"), 1);
	assert_content(path, "file", "two");
	/* The user keeps something of their own in it. */
	put_file(path, "notes", "mine");
	send_tree(fx, 21, "three", name);
	assert_int_equal(entries_in(fx, "dir"), 3);
	assert_content(path, "file", "three");
	assert_content(path, "notes", "mine");
	assert_int_equal(withdraw_id(fx, ALICE, 21), -ENOTEMPTY);
}

static void a_file_on_its_way_follows_its_directory(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], path[800];
	struct sink_file *f;

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "b"), 0);
	assert_int_equal(start(fx, ALICE, 3, 2, "file", &f), 0);
	assert_int_equal(f->ops->write(f, "late", 4, 0), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "c", false), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 1, "d", false), 0);
	assert_int_equal(finish(f, false, name), 0);
	snprintf(path, sizeof(path), "%s/c/d", fx->inbox);
	assert_content(path, "file", "late");
	assert_string_equal(fx->last_path, "c/d/file");
	/* And it is still this sender's. */
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "e", false), 0);
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "out", false), 0);
	assert_content(fx->inbox, "out", "late");

	/* Its directory is withdrawn. */
	assert_int_equal(start(fx, ALICE, 4, 2, "file", &f), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 2), 0);
	assert_int_equal(finish(f, false, name), -ESTALE);
	assert_int_equal(entries_in(fx, "e"), 0);
}

static void an_inbox_that_is_no_longer_there(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], away[400];

	send_tree(fx, 1, "x", name);
	snprintf(away, sizeof(away), "%s/away", fx->home);
	assert_int_equal(rename(fx->inbox, away), 0);
	assert_int_equal(make_dir(fx, ALICE, 10, 0, "x"), -ESTALE);
	assert_int_equal(make_link(fx, ALICE, 10, 1, "x", "y"), -ESTALE);
	for (unsigned id = 1; id <= 4; id++) {
		assert_int_equal(
		    rename_id(fx, ALICE, id, 0, "x", false), -ESTALE);
		assert_int_equal(withdraw_id(fx, ALICE, id), -ESTALE);
	}
	assert_int_equal(entries(away), 1);
	assert_int_equal(rename(away, fx->inbox), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "x", false), 0);
	assert_int_equal(entries_in(fx, "x"), 2);
}

struct connection {
	struct fixture *fx;
	unsigned n;
	unsigned arrived; /* commits that were acknowledged */
};

enum { CONNECTIONS = 4, ROUNDS = 60 };

/* A tree of its own, whose directories another connection moves about. */
static void *send_files(void *arg)
{
	struct connection *c = arg;
	char name[WIRE_NAME_MAX + 1], want[32];

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned id = 1000 * (c->n + 1) + i;

		snprintf(want, sizeof(want), "f%u", id);
		c->arrived += deliver(c->fx, ALICE, id, 1 + i % 3, want, want,
				  name) == SINK_RECEIVED;
	}
	return NULL;
}

static void *move_directories(void *arg)
{
	struct connection *c = arg;
	char name[32];

	for (unsigned i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		c->arrived += !rename_id(c->fx, ALICE, 1 + i % 3,
		    i % 3 && i % 2 ? i % 3 : 0, name, false);
	}
	return NULL;
}

static unsigned seen;

static int count_file(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	seen += type == FTW_F && path[ftw->base] == 'f';
	return 0;
}

static void nothing_is_lost_while_directories_move(void **state)
{
	struct fixture *fx = *state;
	struct connection c[CONNECTIONS];
	pthread_t t[CONNECTIONS];

	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0); /* quick: no fsyncs */
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(make_dir(fx, ALICE, i, i - 1, "d"), 0);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		c[i] = (struct connection){ .fx = fx, .n = i };
		assert_int_equal(thread_start(&t[i], "connection",
				     i ? send_files : move_directories, &c[i]),
		    0);
	}
	for (unsigned i = 0; i < CONNECTIONS; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 1; i < CONNECTIONS; i++)
		assert_int_equal(c[i].arrived, ROUNDS);
	assert_true(c[0].arrived > ROUNDS / 2);
	seen = 0;
	assert_int_equal(nftw(fx->inbox, count_file, 16, FTW_PHYS), 0);
	assert_int_equal(seen, (CONNECTIONS - 1) * ROUNDS);
	assert_int_equal(fx->arrived, (CONNECTIONS - 1) * ROUNDS);
	assert_int_equal(entries(fx->spool), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(an_id_is_one_of_three_things),
		T(what_the_wire_should_have_refused),
		T(a_tree_sent_again_fills_the_same_tree),
		T(a_file_on_its_way_follows_its_directory),
		T(an_inbox_that_is_no_longer_there),
		T(nothing_is_lost_while_directories_move),
	};

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
