/*
 * Tests of what fs/arrival.h and fs/requests.h let a sender have: its quota, as
 * fs/usage.h counts it, on a real inbox. The floor of a small disk is
 * tests/test_inbox_open.c's.
 */
#include "inbox_fixture.h"

#include <sys/xattr.h>

#include "folders.h"
#include "inbox_internal.h"
#include "sync.h"
#include "usage.h"

#define MIB (1024 * 1024)

static uint8_t block[MIB];

/* So many MiB at once; the first error. */
static int fill(struct sink_file *f, unsigned from, unsigned to)
{
	int r = 0;

	memset(block, 'x', sizeof(block));
	for (unsigned i = from; i < to && !r; i++)
		r = f->ops->write(f, block, MIB, (uint64_t)i * MIB);
	return r;
}

/* A file of so many MiB, whole or not at all. */
static int send_mib(struct fixture *fx, const uint8_t *sender, unsigned id,
    const char *name, unsigned mib, bool hold)
{
	char got[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	int r = start(fx, sender, id, 0, name, &f);

	if (r)
		return r;
	r = fill(f, 0, mib);
	if (!r)
		return finish(f, hold, got);
	assert_int_equal(f->ops->commit(f, hold, got), -EIO);
	f->ops->abort(f);
	return r;
}

/* As a user sees it who has made room: at the latest after USAGE_WALK_MS. */
static int send_again(struct fixture *fx, const uint8_t *sender, unsigned id,
    const char *name, unsigned mib)
{
	int64_t until = now_ms() + USAGE_WALK_MS + USAGE_WAIT_MS;
	int r;

	do
		r = send_mib(fx, sender, id, name, mib, false);
	while (r == -EDQUOT && now_ms() < until);
	return r;
}

static void remove_from(struct fixture *fx, const char *name)
{
	char path[800];

	snprintf(path, sizeof(path), "%s/%s", fx->inbox, name);
	assert_int_equal(unlink(path), 0);
}

static bool has_attributes(struct fixture *fx)
{
	return getxattr(fx->inbox, "user.gtfs.from", NULL, 0) >= 0 ||
	       errno != ENOTSUP;
}

static void what_is_too_much_is_refused_whole(void **state)
{
	struct fixture *fx = *state;

	fx->quota_bytes = 4 * MIB;
	assert_int_equal(send_mib(fx, ALICE, 1, "big", 5, false), -EDQUOT);
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(entries(fx->spool), 0);
	/* All of it was given back. */
	assert_int_equal(send_mib(fx, ALICE, 2, "a", 3, false), 0);
	assert_int_equal(send_mib(fx, ALICE, 3, "b", 2, false), -EDQUOT);
	assert_int_equal(send_mib(fx, BOB, 4, "c", 3, false), 0);
	assert_int_equal(entries(fx->inbox), 2);
	remove_from(fx, "a");
	assert_int_equal(send_again(fx, ALICE, 5, "b", 2), 0);
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
	/* In another life it is what stands there. */
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, true), 0);
	if (has_attributes(fx))
		assert_int_equal(
		    send_mib(fx, ALICE, 6, "d", 3, false), -EDQUOT);
	remove_from(fx, "b");
	assert_int_equal(send_again(fx, ALICE, 7, "d", 3), 0);
}

static void holes_and_what_is_written_twice_take_nothing(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	fx->quota_bytes = 4 * MIB;
	assert_int_equal(start(fx, ALICE, 1, 0, "f", &f), 0);
	assert_int_equal(f->ops->truncate(f, UINT64_C(1) << 30), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(fill(f, i % 2 * 500, i % 2 * 500 + 1), 0);
	/* What is cut off is given back. */
	assert_int_equal(fill(f, 501, 502), 0);
	assert_int_equal(f->ops->truncate(f, 10), 0);
	assert_int_equal(fill(f, 1, 3), 0);
	assert_int_equal(finish(f, false, name), 0);
}

static void reserving_is_taking(void **state)
{
	struct fixture *fx = *state;
	static const enum wire_reserve all[] = { WIRE_RESERVE_EXTEND,
		WIRE_RESERVE_KEEP, WIRE_RESERVE_CHECK, WIRE_RESERVE_ZERO,
		WIRE_RESERVE_ZERO_KEEP };
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	uint64_t size;

	fx->quota_bytes = 4 * MIB + 64 * 1024; /* with attributes */
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		assert_int_equal(start(fx, ALICE, i + 1, 0, "f", &f), 0);
		assert_int_equal(
		    f->ops->reserve(f, 0, 5 * MIB, all[i]), -EDQUOT);
		assert_int_equal(f->ops->size(f, &size), 0);
		assert_int_equal(size, 0);
		assert_int_equal(f->ops->reserve(f, 0, 3 * MIB, all[i]), 0);
		/* It is there already: nothing more is taken. */
		assert_int_equal(f->ops->reserve(f, 0, 3 * MIB, all[i]), 0);
		assert_int_equal(fill(f, 0, 3), 0);
		f->ops->abort(f);
	}
	/* Beyond the end of a file it counts, too, and asking does not. */
	assert_int_equal(start(fx, ALICE, 9, 0, "f", &f), 0);
	assert_int_equal(f->ops->reserve(f, 0, 3 * MIB, WIRE_RESERVE_CHECK), 0);
	assert_int_equal(send_mib(fx, ALICE, 10, "g", 1, false), 0);
	assert_int_equal(f->ops->reserve(f, 0, 2 * MIB, WIRE_RESERVE_KEEP), 0);
	assert_int_equal(send_mib(fx, ALICE, 11, "h", 2, false), -EDQUOT);
	assert_int_equal(finish(f, false, name), 0);
	assert_int_equal(entries(fx->inbox), 2);
}

/* On another connection. */
static bool withdraw_two(void *arg)
{
	struct fixture *fx = arg;

	fx->is_over = NULL;
	assert_int_equal(withdraw_id(fx, ALICE, 2), -ENOENT);
	return false;
}

static void withdraw_while_it_is_copied(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	struct stat st;

	assert_int_equal(send_mib(fx, ALICE, 1, "f", 3, false), 0);
	fx->is_over = withdraw_two;
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), 0);
	/* Where the disk shares the blocks nobody asks meanwhile. */
	if (fx->is_over)
		assert_int_equal(withdraw_id(fx, ALICE, 2), -ENOENT);
	fx->is_over = NULL;
	assert_int_equal(f->ops->write(f, "!", 1, 0), 0);
	assert_int_equal(finish(f, false, name), -ECANCELED);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fstatat(inbox_dirfd(fx->in), "f", &st, 0), 0);
	assert_int_equal(st.st_size, 3 * MIB);
}

static bool over(void *arg)
{
	(void)arg;
	return true;
}

static void base_is_copied_only_where_it_fits(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(send_mib(fx, ALICE, 1, "f", 3, false), 0);
	fx->quota_bytes = 4 * MIB;
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), -EDQUOT);
	assert_int_equal(entries(fx->spool), 0);
	fx->quota_bytes = 7 * MIB;
	/* Nobody waits for it. */
	fx->is_over = over;
	assert_int_equal(
	    start_version(fx, ALICE, 2, 1, 0, "f", &f), -ECONNRESET);
	assert_int_equal(entries(fx->spool), 0);
	fx->is_over = NULL;
	/* Again and again: what is replaced counts no more. */
	for (unsigned i = 1; i < 5; i++) {
		assert_int_equal(
		    start_version(fx, ALICE, i + 1, i, 0, "f", &f), 0);
		assert_int_equal(f->ops->write(f, "!", 1, 0), 0);
		assert_int_equal(finish(f, false, name), 0);
	}
	for (unsigned i = 5; i < 10; i++)
		assert_int_equal(send_mib(fx, ALICE, i + 1, "f", 3, false), 0);
	assert_int_equal(entries(fx->inbox), 1);
}

static void what_is_held_counts(void **state)
{
	struct fixture *fx = *state;

	fx->quota_bytes = 4 * MIB + 64 * 1024; /* with attributes */
	assert_int_equal(send_mib(fx, ALICE, 1, "f.tmp", 3, true), 0);
	assert_int_equal(send_mib(fx, ALICE, 2, "g", 2, false), -EDQUOT);
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_int_equal(send_mib(fx, ALICE, 2, "g", 2, false), -EDQUOT);
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(send_again(fx, ALICE, 3, "g", 2), 0);
	/* One held instead of another one. */
	for (unsigned i = 4; i < 8; i++)
		assert_int_equal(send_mib(fx, ALICE, i, "h.tmp", 1, true), 0);
}

static int make_link_to(struct fixture *fx, unsigned id, unsigned parent,
    const char *name, const char *target)
{
	struct wire_msg m = { .type = WIRE_SYMLINK,
		.symlink = {
		    .bytes = (const uint8_t *)target, .len = strlen(target) } };

	make_id(id, m.symlink.id);
	make_id(parent, m.symlink.parent);
	snprintf(m.symlink.name, sizeof(m.symlink.name), "%s", name);
	return ask(fx, ALICE, &m);
}

static int make_link(struct fixture *fx, unsigned id, unsigned parent)
{
	char name[16];

	snprintf(name, sizeof(name), "l%u", id);
	return make_link_to(fx, id, parent, name, "x");
}

/* Without a walk: it is not counted anew. */
static void assert_files(struct fixture *fx, uint64_t files)
{
	uint64_t bytes, has;

	usage_of(fx->in->usage, ALICE, &bytes, &has);
	assert_int_equal(has, files);
}

static void assert_mib(struct fixture *fx, uint64_t mib)
{
	uint64_t bytes, files;

	usage_of(fx->in->usage, ALICE, &bytes, &files);
	assert_true(bytes >= mib * MIB && bytes <= mib * (MIB + 4096));
	assert_files(fx, mib);
}

static void file_that_goes_counts_no_more(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	/* As an editor saves: what it replaces is gone. */
	assert_int_equal(send_mib(fx, ALICE, 1, "f", 1, false), 0);
	for (unsigned i = 2; i < 6; i++) {
		assert_int_equal(send_mib(fx, ALICE, i, "f.tmp", 1, true), 0);
		assert_mib(fx, 2);
		assert_int_equal(rename_id(fx, ALICE, i, 0, "f", false), 0);
		assert_mib(fx, 1);
	}
	/* One that is held, and one that is seen, by another that is seen. */
	assert_int_equal(send_mib(fx, ALICE, 6, "g.tmp", 1, true), 0);
	assert_int_equal(rename_id(fx, ALICE, 5, 0, "g.tmp", true), 0);
	assert_mib(fx, 1);
	assert_int_equal(show_id(fx, ALICE, 5), 0);
	assert_int_equal(send_mib(fx, ALICE, 7, "h", 1, false), 0);
	assert_int_equal(rename_id(fx, ALICE, 7, 0, "g.tmp", false), 0);
	assert_mib(fx, 1);
	assert_int_equal(entries(fx->inbox), 1);
	/* Withdrawn: seen, and held. */
	assert_int_equal(withdraw_id(fx, ALICE, 7), 0);
	assert_mib(fx, 0);
	assert_int_equal(send_mib(fx, ALICE, 8, "i.tmp", 1, true), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 8), 0);
	assert_mib(fx, 0);
	/* There is such a file of the user's already. */
	put_file(fx->inbox, "t", "same");
	assert_int_equal(
	    deliver_as(fx, ALICE, 9, 0, "t.tmp", "same", true, name), 0);
	assert_files(fx, 1);
	assert_int_equal(rename_id(fx, ALICE, 9, 0, "t", false), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 9), 0);
	assert_mib(fx, 0);
	assert_int_equal(entries(fx->inbox), 1);
}

static void directory_and_link_that_go_count_no_more(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "e"), 0);
	assert_int_equal(make_dir(fx, ALICE, 3, 1, "f"), 0);
	assert_files(fx, 3);
	assert_int_equal(rename_id(fx, ALICE, 3, 1, "e", false), 0);
	assert_files(fx, 2);
	assert_int_equal(withdraw_id(fx, ALICE, 3), 0);
	assert_files(fx, 1);
	/* Made again, replaced by another one, and by a rename. */
	assert_int_equal(make_link_to(fx, 4, 1, "l", "x"), 0);
	assert_int_equal(make_link_to(fx, 5, 1, "l", "x"), 0);
	assert_files(fx, 2);
	assert_int_equal(make_link_to(fx, 6, 1, "l", "y"), 0);
	assert_files(fx, 2);
	assert_int_equal(make_link_to(fx, 7, 1, "m", "z"), 0);
	assert_files(fx, 3);
	assert_int_equal(rename_id(fx, ALICE, 7, 1, "l", false), 0);
	assert_files(fx, 2);
	assert_int_equal(withdraw_id(fx, ALICE, 7), 0);
	assert_files(fx, 1);
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_files(fx, 0);
}

static void files_directories_and_links_are_counted(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	fx->quota_files = 4;
	assert_int_equal(make_dir(fx, ALICE, 1, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "e"), 0);
	assert_int_equal(make_link(fx, 3, 1), 0);
	assert_int_equal(deliver(fx, ALICE, 4, 1, "f", "x", name), 0);
	assert_int_equal(deliver(fx, ALICE, 5, 1, "g", "x", name), -EDQUOT);
	assert_int_equal(make_dir(fx, ALICE, 5, 0, "g"), -EDQUOT);
	assert_int_equal(make_link(fx, 5, 1), -EDQUOT);
	/* Asked again, what is there is there. */
	assert_int_equal(make_dir(fx, ALICE, 2, 1, "e"), 0);
	assert_int_equal(make_link(fx, 3, 1), 0);
	assert_int_equal(make_dir(fx, BOB, 6, 0, "g"), 0);
	assert_int_equal(entries(fx->spool), 0);
}

static void nests_are_not_deeper_than_that(void **state)
{
	struct fixture *fx = *state;
	unsigned depth = 0;
	int r;

	do
		r = make_dir(fx, ALICE, depth + 1, depth, "n");
	while (!r && ++depth < 1000);
	assert_int_equal(r, -EDQUOT);
	assert_int_equal(depth, FOLDERS_DEPTH_MAX);
	/* Nor by a rename, with all that is below. */
	assert_int_equal(make_dir(fx, ALICE, 2000, 0, "m"), 0);
	assert_int_equal(make_dir(fx, ALICE, 2001, 2000, "m"), 0);
	assert_int_equal(
	    rename_id(fx, ALICE, 2000, FOLDERS_DEPTH_MAX - 1, "x", false),
	    -EDQUOT);
	assert_int_equal(
	    rename_id(fx, ALICE, 2000, FOLDERS_DEPTH_MAX - 2, "x", false), 0);
}

/* Its attributes take all the room there is; of a name a little more. */
static void attributes_do_not_hide_whose_it_is(void **state)
{
	static const uint8_t value[WIRE_XATTR_MAX];
	struct wire_xattr x = { .bytes = value };
	static const uint8_t root[WIRE_ID_BYTES];
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], path[800];
	struct sink_file *f;
	unsigned n = 0;

	if (!has_attributes(fx))
		return;
	assert_int_equal(start(fx, ALICE, 1, 0, "f", &f), 0);
	for (uint32_t len = 4096; len; len -= len > 64 ? 16 : 1) {
		snprintf(x.name, sizeof(x.name), "user.%u", n++);
		x.len = len;
		assert_int_equal(f->ops->set_xattr(f, &x), 0);
	}
	memset(name, 'n', 200);
	name[200] = '\0';
	assert_int_equal(f->ops->move(f, root, name), 0);
	assert_int_equal(finish(f, false, name), 0);
	snprintf(path, sizeof(path), "%s/%s", fx->inbox, name);
	assert_int_equal(
	    getxattr(path, "user.gtfs.from", NULL, 0), FINGERPRINT_CHARS - 1);
	assert_int_equal(
	    getxattr(path, "user.gtfs.id", NULL, 0), 2 * WIRE_ID_BYTES);
	assert_int_equal(getxattr(path, "user.gtfs.received", NULL, 0), 20);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(what_is_too_much_is_refused_whole),
		T(holes_and_what_is_written_twice_take_nothing),
		T(reserving_is_taking),
		T(base_is_copied_only_where_it_fits),
		T(withdraw_while_it_is_copied),
		T(what_is_held_counts),
		T(file_that_goes_counts_no_more),
		T(directory_and_link_that_go_count_no_more),
		T(files_directories_and_links_are_counted),
		T(attributes_do_not_hide_whose_it_is),
		T(nests_are_not_deeper_than_that),
	};

	return cmocka_run_group_tests_name("arrival_room", tests, NULL, NULL);
}
