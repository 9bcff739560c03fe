/*
 * Tests of fs/inbox.h with system calls that fail: the definitions here take
 * the place of libc's, note what is called, and let call N of the armed thread
 * fail.
 */
#include "inbox_fixture.h"

#include <sys/syscall.h>

enum call { NONE, FSYNC, RENAME, LINK, CHMOD, UTIMES, MKDIR, CALLS };

static _Thread_local bool armed;
static unsigned counts[CALLS], all; /* of calls while armed */
static unsigned fail_at;            /* the call of all that fails; 0: none */
static enum call fail_kind;         /* every such call fails */
static unsigned fail_kind_at;       /* only this one of that kind; 0: all */
static int fail_with;
static char history[256]; /* F fsync of a file, D of a directory, R, L */

static void arm(void)
{
	memset(counts, 0, sizeof(counts));
	all = fail_at = fail_kind_at = 0;
	fail_kind = NONE;
	fail_with = EIO;
	history[0] = '\0';
	armed = true;
}

static bool fails(enum call kind, char letter)
{
	size_t len = strlen(history);

	if (!armed)
		return false;
	counts[kind]++;
	all++;
	if (letter && len + 1 < sizeof(history)) {
		history[len] = letter;
		history[len + 1] = '\0';
	}
	if (all != fail_at &&
	    (kind != fail_kind ||
		(fail_kind_at && counts[kind] != fail_kind_at)))
		return false;
	errno = fail_with;
	return true;
}

int fsync(int fd)
{
	struct stat st;
	bool dir = armed && !fstat(fd, &st) && S_ISDIR(st.st_mode);

	return fails(FSYNC, dir ? 'D' : 'F') ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat2(
    int from, const char *old, int to, const char *new, unsigned flags)
{
	if (fails(RENAME, 'R'))
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (fails(LINK, 'L'))
		return -1;
	return (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int fchmod(int fd, mode_t mode)
{
	return fails(CHMOD, 0) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int futimens(int fd, const struct timespec ts[2])
{
	if (fails(UTIMES, 0))
		return -1;
	return (int)syscall(SYS_utimensat, fd, NULL, ts, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	if (fails(MKDIR, 0))
		return -1;
	return (int)syscall(SYS_mkdirat, dir, name, mode);
}

static void bytes_then_name_then_directory(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	arm();
	assert_int_equal(deliver(fx, ALICE, 1, 0, "a", "1", name), 0);
	armed = false;
	assert_string_equal(history, "FRD");

	put_file(fx->inbox, "b", "mine");
	arm();
	assert_int_equal(deliver(fx, ALICE, 2, 0, "b", "2", name), 0);
	armed = false;
	assert_string_equal(history, "FRRD");
	assert_string_equal(name, "b (2)");

	arm();
	assert_int_equal(make_dir(fx, ALICE, 3, 0, "d"), 0);
	armed = false;
	assert_string_equal(history, "DD");
}

static void without_durable_no_fsync_at_all(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0);
	arm();
	assert_int_equal(
	    deliver(fx, ALICE, 1, 0, "a", "1", name), SINK_RECEIVED);
	assert_int_equal(make_dir(fx, ALICE, 3, 0, "d"), 0);
	armed = false;
	assert_string_equal(history, "R");
	assert_content(fx->inbox, "a", "1");
}

/* One whole delivery with times, for the loops over all calls. */
static int deliver_with_times(struct fixture *fx, unsigned id)
{
	struct wire_meta m = { .mask = WIRE_META_MTIME, .mtime = { 1000, 5 } };
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	int r;

	assert_int_equal(start(fx, ALICE, id, 0, "x.txt", &f), 0);
	r = f->ops->set_meta(f, &m);
	if (!r)
		r = f->ops->write(f, "whole", 5, 0);
	if (!r)
		r = f->ops->checkpoint(f);
	if (!r)
		r = f->ops->commit(f, false, name);
	if (!r) {
		f->ops->close(f);
		return 0;
	}
	/* Nothing is visible behind the error, not even before the abort. */
	armed = false;
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(f->ops->commit(f, false, name), -EIO);
	assert_int_equal(f->ops->write(f, "x", 1, 0), -EIO);
	assert_int_equal(f->ops->checkpoint(f), -EIO);
	f->ops->abort(f);
	assert_int_equal(entries(fx->inbox), 0);
	return r;
}

static void failed_commit_leaves_no_name(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EROFS };
	struct fixture *fx = *state;
	unsigned n = 0, failures = 0;
	int r;

	do {
		arm();
		fail_at = ++n;
		fail_with = errors[n % 4];
		r = deliver_with_times(fx, n);
		armed = false;
		assert_int_equal(entries(fx->spool), 0);
		if (r) {
			assert_int_equal(r, -fail_with);
			failures++;
		}
	} while (r);
	/* mode, times, two fsyncs, rename, fsync of the directory */
	assert_int_equal(failures, 6);
	assert_int_equal(fx->arrived, 1);
	assert_content(fx->inbox, "x.txt", "whole");
}

static void name_is_taken_back_where_it_is_not_durable(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f), 0);
	arm();
	fail_kind = FSYNC;
	fail_kind_at = 2;
	assert_int_equal(f->ops->commit(f, false, name), -EIO);
	armed = false;
	assert_string_equal(history, "FRD");
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(entries(fx->spool), 1);
	f->ops->abort(f);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 0);
}

static void failed_fsync_is_never_repeated(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;
	uint64_t size;

	assert_int_equal(start(fx, ALICE, 1, 0, "x", &f), 0);
	assert_int_equal(f->ops->write(f, "x", 1, 0), 0);
	arm();
	fail_kind = FSYNC;
	fail_kind_at = 1;
	assert_int_equal(f->ops->checkpoint(f), -EIO);
	assert_int_equal(f->ops->checkpoint(f), -EIO);
	assert_int_equal(f->ops->commit(f, false, name), -EIO);
	assert_int_equal(f->ops->truncate(f, 0), -EIO);
	assert_int_equal(f->ops->reserve(f, 0, 1, 0), -EIO);
	assert_int_equal(f->ops->size(f, &size), -EIO);
	armed = false;
	assert_string_equal(history, "F");
	f->ops->abort(f);
	assert_int_equal(entries(fx->inbox), 0);
}

/* rename(2): EINVAL where the file system cannot do RENAME_NOREPLACE. */
static void link_serves_where_noreplace_does_not_exist(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct wire_meta m = { .mask = WIRE_META_MODE, .mode = 0600 };

	put_file(fx->inbox, "x", "mine");
	arm();
	fail_kind = RENAME;
	fail_with = EINVAL;
	assert_int_equal(deliver(fx, ALICE, 1, 0, "x", "theirs", name), 0);
	armed = false;
	assert_string_equal(history, "FRLRLD");
	assert_string_equal(name, "x (2)");
	assert_content(fx->inbox, "x", "mine");
	assert_content(fx->inbox, "x (2)", "theirs");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(patch_id(fx, ALICE, 1, &m), 0);

	/* Taken back by the same way. */
	arm();
	fail_kind = RENAME;
	fail_with = EINVAL;
	fail_at = 9; /* chmod, F, RLRLRL, and then D */
	assert_int_equal(deliver(fx, ALICE, 2, 0, "x", "no", name), -EINVAL);
	armed = false;
	assert_int_equal(entries(fx->inbox), 2);
	assert_int_equal(entries(fx->spool), 0);
}

static void failed_mkdir_makes_nothing_and_can_be_repeated(void **state)
{
	struct fixture *fx = *state;
	unsigned n = 0;
	int r;

	do {
		arm();
		fail_at = ++n;
		r = make_dir(fx, ALICE, 1, 0, "d");
		armed = false;
		assert_int_equal(entries(fx->inbox), r ? 0 : 1);
	} while (r);
	assert_int_equal(n, 5); /* mkdir, chmod, two fsyncs, none */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(bytes_then_name_then_directory),
		T(without_durable_no_fsync_at_all),
		T(failed_commit_leaves_no_name),
		T(name_is_taken_back_where_it_is_not_durable),
		T(failed_fsync_is_never_repeated),
		T(link_serves_where_noreplace_does_not_exist),
		T(failed_mkdir_makes_nothing_and_can_be_repeated),
	};

	return cmocka_run_group_tests_name("inbox_faults", tests, NULL, NULL);
}
