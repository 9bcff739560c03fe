/*
 * Tests of fs/folders.h and fs/links.h with system calls that fail, or just
 * before or after which somebody else acts: the definitions here take the place
 * of libc's, note what is called, and let call N fail, or call back.
 */
#include "folders_fixture.h"

#include <sys/syscall.h>
#include <sys/xattr.h>

#include "aside.h"
#include "spool.h"

static bool armed;
static unsigned calls;      /* while armed */
static unsigned fail_at;    /* this call fails; 0: none */
static bool old_filesystem; /* renameat2 knows no flags */
static int no_attribute;    /* this is why fsetxattr fails; 0: it does not */
static char history[64];    /* D fsync, R rename, M mkdir, L link, U unlink */

/* Called once, around the next call with this letter. */
static struct box *hook_box;
static char hook_letter;
static void (*before_call)(struct box *b);
static void (*after_call)(struct box *b);

static void call_back(char letter, void (**hook)(struct box *b))
{
	void (*h)(struct box * b) = *hook;

	if (!h || letter != hook_letter)
		return;
	*hook = NULL;
	h(hook_box);
}

static void arm(unsigned at)
{
	calls = 0;
	fail_at = at;
	history[0] = '\0';
	armed = true;
}

static bool fails(char letter)
{
	size_t len = strlen(history);

	call_back(letter, &before_call);
	if (!armed)
		return false;
	if (len + 1 < sizeof(history)) {
		history[len] = letter;
		history[len + 1] = '\0';
	}
	errno = EIO;
	return ++calls == fail_at;
}

int fsync(int fd)
{
	return fails('D') ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat2(
    int from, const char *old, int to, const char *new, unsigned flags)
{
	int r;

	if (old_filesystem && flags) {
		errno = EINVAL;
		return -1;
	}
	if (fails('R'))
		return -1;
	r = (int)syscall(SYS_renameat2, from, old, to, new, flags);
	call_back('R', &after_call);
	return r;
}

int renameat(int from, const char *old, int to, const char *new)
{
	if (fails('R'))
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	return fails('M') ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

int symlinkat(const char *target, int dir, const char *name)
{
	return fails('L') ? -1 : (int)syscall(SYS_symlinkat, target, dir, name);
}

int unlinkat(int dir, const char *name, int flags)
{
	return fails('U') ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

int fsetxattr(
    int fd, const char *name, const void *value, size_t size, int flags)
{
	errno = no_attribute;
	if (no_attribute)
		return -1;
	return (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
}

static int rename_durably(struct box *b, unsigned id, const char *name)
{
	struct wire_rename m = to(id, 0, name);

	return folders_rename(b->fo, ALICE, &m, true);
}

static void both_directories_are_durable(void **state)
{
	struct box *b = *state;
	struct wire_rename m = to(2, 0, "c");
	struct wire_symlink s = {
		.name = "l", .bytes = (const uint8_t *)"x", .len = 1
	};
	uint8_t id[WIRE_ID_BYTES];

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	arm(0);
	assert_int_equal(folders_rename(b->fo, ALICE, &m, true), 0);
	assert_string_equal(history, "RDD");
	arm(0);
	make_id(2, id);
	assert_int_equal(folders_withdraw(b->fo, ALICE, id, true), 0);
	assert_string_equal(history, "UD");
	make_id(10, s.id);
	make_id(1, s.parent);
	arm(0);
	assert_int_equal(links_make(b->links, ALICE, &s, true), 0);
	assert_string_equal(history, "LD");
	m = to(10, 1, "m");
	arm(0);
	assert_int_equal(links_rename(b->links, ALICE, &m, true), 0);
	assert_string_equal(history, "RDD");
	arm(0);
	assert_int_equal(links_withdraw(b->links, ALICE, s.id, true), 0);
	assert_string_equal(history, "RRUUD"); /* with a note (fs/aside.h) */
	armed = false;
}

/* Whatever fails, the directory is where it was, and the next try works. */
static void a_rename_that_fails_changes_nothing(void **state)
{
	struct box *b = *state;
	unsigned failed = 0;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "below"), 0);
	put_at(b->top, "taken", "mine");
	for (unsigned at = 1;; at++) {
		int r;

		arm(at);
		r = rename_durably(b, 1, "taken");
		armed = false;
		if (!r)
			break;
		failed++;
		assert_int_equal(r, -EIO);
		assert_int_equal(where(b, ALICE, 2, "a/below"), 0);
		assert_int_equal(entries(b->top, "."), 2);
	}
	assert_int_equal(failed, 4); /* two names, two fsyncs */
	assert_int_equal(where(b, ALICE, 2, "taken (2)/below"), 0);
}

static void a_withdrawal_that_fails(void **state)
{
	struct box *b = *state;
	uint8_t id[WIRE_ID_BYTES];

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	make_id(1, id);
	arm(1);
	assert_int_equal(folders_withdraw(b->fo, ALICE, id, true), -EIO);
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
	/* Gone, but not known to be for ever. */
	arm(2);
	assert_int_equal(folders_withdraw(b->fo, ALICE, id, true), -EIO);
	armed = false;
	assert_int_equal(where(b, ALICE, 1, ""), -ENOENT);
	assert_int_equal(entries(b->top, "."), 0);
}

static void a_file_system_without_flags(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	assert_int_equal(make_link(b, ALICE, 10, 2, "l", "one"), 0);
	assert_int_equal(make_link(b, ALICE, 11, 2, "m", "two"), 0);
	put_at(b->top, "taken", "mine");
	old_filesystem = true;
	assert_int_equal(move_dir(b, ALICE, 1, 0, "taken"), 0);
	assert_int_equal(where(b, ALICE, 2, "taken (2)/b"), 0);
	assert_int_equal(move_dir(b, ALICE, 2, 1, "c"), 0);
	assert_int_equal(where(b, ALICE, 2, "taken (2)/c"), 0);
	assert_int_equal(move_link(b, ALICE, 11, 2, "n"), 0);
	assert_link(b->top, "taken (2)/c/n", "two");
	/* Nothing can be replaced there. */
	assert_int_equal(move_link(b, ALICE, 11, 2, "l"), 0);
	assert_int_equal(make_link(b, ALICE, 12, 2, "l", "three"), 0);
	assert_link(b->top, "taken (2)/c/l", "one");
	assert_link(b->top, "taken (2)/c/l (2)", "two");
	assert_link(b->top, "taken (2)/c/l (3)", "three");
	assert_int_equal(withdraw_link(b, ALICE, 12), 0);
	old_filesystem = false;
	assert_int_equal(entries(b->top, "taken (2)/c"), 2);
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
	assert_int_equal(entries(b->top, "."), 2);
}

/* A directory that does not say whose it is would be nobody's. */
static void a_directory_says_whose_it_is(void **state)
{
	struct box *b = *state;

	no_attribute = ENOSPC;
	assert_int_equal(make(b, ALICE, 1, 0, "a"), -ENOSPC);
	assert_int_equal(entries(b->top, "."), 0);
	no_attribute = EOPNOTSUPP; /* nothing does, there */
	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
	/* Under another id it is the same one, or not made. */
	no_attribute = EIO;
	assert_int_equal(make(b, ALICE, 2, 0, "a"), -EIO);
	no_attribute = 0;
	assert_int_equal(where(b, ALICE, 1, "a"), 0);
	assert_int_equal(make(b, ALICE, 3, 0, "a"), 0);
	assert_int_equal(where(b, ALICE, 3, "a"), 0);
	assert_int_equal(entries(b->top, "."), 1);
}

static void tidy_spool(struct box *b)
{
	struct spool sp = { .fd = open_dir(b->top, ".gtfs-spool") };

	assert_int_equal(aside_rescue(&sp, b->top), 0);
	close(sp.fd);
}

/* What fails when one link replaces another leaves nothing half done. */
static void a_link_that_fails_to_replace(void **state)
{
	struct box *b = *state;

	for (unsigned at = 1;; at++) {
		unsigned id = 10 * at;
		struct wire_rename m = to(id + 2, id, "l");
		char dir[16];
		int fd, r;

		snprintf(dir, sizeof(dir), "%u", at);
		assert_int_equal(make(b, ALICE, id, 0, dir), 0);
		assert_int_equal(make_link(b, ALICE, id + 1, id, "l", "o"), 0);
		assert_int_equal(make_link(b, ALICE, id + 2, id, "m", "n"), 0);
		arm(at);
		r = links_rename(b->links, ALICE, &m, true);
		armed = false;
		fd = open_dir(b->top, dir);
		/* But for a note whose removal failed: the next start does it.
		 */
		assert_in_range(entries(b->top, ".gtfs-spool"), 0, 1);
		tidy_spool(b);
		assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
		if (r) {
			assert_int_equal(r, -EIO);
			assert_int_equal(entries(fd, "."), 2);
			assert_link(fd, "l", "o");
			assert_link(fd, "m", "n");
		} else if (exists(fd, "l (2)")) {
			assert_int_equal(at, 1); /* no exchange, it seemed */
			assert_link(fd, "l", "o");
		} else {
			/* The old one may be left at the other name. */
			assert_link(fd, "l", "n");
			if (calls < at)
				assert_int_equal(entries(fd, "."), 1);
			else if (exists(fd, "m"))
				assert_link(fd, "m", "o");
		}
		/* Both are still known for what they are. */
		assert_int_equal(withdraw_link(b, ALICE, id + 2), 0);
		if (r)
			assert_int_equal(withdraw_link(b, ALICE, id + 1), 0);
		close(fd);
		if (!r && calls < at)
			break;
	}
}

static void a_link_sent_again_that_fails(void **state)
{
	struct box *b = *state;

	for (unsigned at = 1;; at++) {
		unsigned id = 10 * at;
		struct wire_symlink s = {
			.name = "l", .bytes = (const uint8_t *)"n", .len = 1
		};
		char dir[16];
		int fd, r;

		snprintf(dir, sizeof(dir), "%u", at);
		assert_int_equal(make(b, ALICE, id, 0, dir), 0);
		assert_int_equal(make_link(b, ALICE, id + 1, id, "l", "o"), 0);
		make_id(id + 2, s.id);
		make_id(id, s.parent);
		arm(at);
		r = links_make(b->links, ALICE, &s, true);
		armed = false;
		fd = open_dir(b->top, dir);
		if (r) {
			assert_int_equal(r, -EIO);
			assert_int_equal(entries(fd, "."), 1);
			assert_link(fd, "l", "o");
			assert_int_equal(withdraw_link(b, ALICE, id + 1), 0);
		} else if (exists(fd, "l (2)")) {
			assert_link(fd, "l", "o");
			assert_link(fd, "l (2)", "n");
		} else {
			assert_link(fd, "l", "n");
			assert_int_equal(entries(fd, "."), 1);
			assert_int_equal(withdraw_link(b, ALICE, id + 2), 0);
		}
		close(fd);
		if (!r && calls < at)
			break;
	}
}

static void a_link_that_cannot_be_made_durable(void **state)
{
	struct box *b = *state;
	struct wire_symlink s = {
		.name = "l", .bytes = (const uint8_t *)"x", .len = 1
	};

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	make_id(10, s.id);
	make_id(1, s.parent);
	arm(2);
	assert_int_equal(links_make(b->links, ALICE, &s, true), -EIO);
	assert_string_equal(history, "LDRRUU");
	armed = false;
	assert_int_equal(entries(b->top, "a"), 0);
	assert_int_equal(links_find(b->links, ALICE, s.id), -ENOENT);
	assert_int_equal(links_make(b->links, ALICE, &s, true), 0);
	assert_link(b->top, "a/l", "x");
}

/* As the user does it, past the definitions above. */
static void user_swap(struct box *b, const char *x, const char *y)
{
	assert_int_equal(
	    syscall(SYS_renameat2, b->top, x, b->top, y, RENAME_EXCHANGE), 0);
}

static void hook(struct box *b, char letter, void (*before)(struct box *b),
    void (*after)(struct box *b))
{
	hook_box = b;
	hook_letter = letter;
	before_call = before;
	after_call = after;
}

static void swap_directories(struct box *b)
{
	user_swap(b, "a", "users");
}

static void what_the_user_put_there_is_not_renamed(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 0, "over"), 0);
	assert_int_equal(mkdirat(b->top, "users", 0700), 0);
	put_at(b->top, "users/file", "mine");
	hook(b, 'R', swap_directories, NULL);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "b"), -ESTALE);
	assert_true(exists(b->top, "a/file"));
	assert_false(exists(b->top, "b"));
	/* Put back by the user, it goes on; now as one that replaces. */
	swap_directories(b);
	hook(b, 'R', swap_directories, NULL);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "over"), -ESTALE);
	assert_true(exists(b->top, "a/file"));
	swap_directories(b);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "b"), 0);
	assert_int_equal(where(b, ALICE, 1, "b"), 0);
	assert_true(exists(b->top, "users/file"));
}

static void swap_link(struct box *b)
{
	user_swap(b, "a/l", "users");
}

static void what_the_user_put_there_is_not_removed(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make_link(b, ALICE, 10, 1, "l", "one"), 0);
	assert_int_equal(make_link(b, ALICE, 11, 1, "m", "two"), 0);
	put_at(b->top, "users", "mine");
	hook(b, 'R', swap_link, NULL);
	assert_int_equal(withdraw_link(b, ALICE, 10), -ESTALE);
	assert_true(S_ISREG(stat_path(b->top, "a/l").st_mode));
	/* One that is replaced; and one that is renamed itself. */
	swap_link(b);
	assert_int_equal(make_link(b, ALICE, 12, 1, "l", "three"), 0);
	assert_link(b->top, "a/l (2)", "three");
	assert_int_equal(withdraw_link(b, ALICE, 12), 0);
	assert_int_equal(unlinkat(b->top, "a/l", 0), 0);
	assert_int_equal(make_link(b, ALICE, 13, 1, "l", "one"), 0);
	hook(b, 'R', swap_link, NULL);
	assert_int_equal(move_link(b, ALICE, 11, 1, "l"), 0);
	assert_true(S_ISREG(stat_path(b->top, "a/l").st_mode));
	assert_link(b->top, "a/l (2)", "two");
	assert_int_equal(make_link(b, ALICE, 14, 1, "o", "one"), 0);
	assert_int_equal(unlinkat(b->top, "users", 0), 0);
	assert_int_equal(renameat(b->top, "a/l", b->top, "users"), 0);
	assert_int_equal(make_link(b, ALICE, 15, 1, "l", "one"), 0);
	hook(b, 'R', swap_link, NULL);
	assert_int_equal(move_link(b, ALICE, 15, 1, "p"), -ESTALE);
	assert_true(S_ISREG(stat_path(b->top, "a/l").st_mode));
	assert_false(exists(b->top, "a/p"));
	assert_int_equal(entries(b->top, ".gtfs-spool"), 0);
}

/* Another connection, which has to wait until the call in question is over. */
static pthread_t other;
static int other_result;
static bool other_waited;

static void start_other(struct box *b, void *(*run)(void *))
{
	struct timespec until;

	assert_int_equal(thread_start(&other, "other", run, b), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 200 * 1000 * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	other_waited = pthread_timedjoin_np(other, NULL, &until) == ETIMEDOUT;
}

static void *open_below(void *arg)
{
	other_result = where(arg, ALICE, 2, "c/b");
	return NULL;
}

static void open_meanwhile(struct box *b)
{
	start_other(b, open_below);
}

static void opened_while_it_is_renamed(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	hook(b, 'R', NULL, open_meanwhile);
	assert_int_equal(move_dir(b, ALICE, 1, 0, "c"), 0);
	assert_true(other_waited);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(other_result, 0);
}

static void *rename_above(void *arg)
{
	other_result = move_dir(arg, ALICE, 2, 0, "b");
	return NULL;
}

static void rename_meanwhile(struct box *b)
{
	start_other(b, rename_above);
}

static void a_link_is_made_while_its_directory_is_renamed(void **state)
{
	struct box *b = *state;

	assert_int_equal(make(b, ALICE, 1, 0, "a"), 0);
	assert_int_equal(make(b, ALICE, 2, 1, "b"), 0);
	hook(b, 'L', rename_meanwhile, NULL);
	assert_int_equal(make_link(b, ALICE, 10, 2, "l", "../x"), 0);
	assert_true(other_waited);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(other_result, -EXDEV);
	assert_link(b->top, "a/b/l", "../x");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(both_directories_are_durable),
		T(a_rename_that_fails_changes_nothing),
		T(a_withdrawal_that_fails),
		T(a_directory_says_whose_it_is),
		T(a_file_system_without_flags),
		T(a_link_that_fails_to_replace),
		T(a_link_sent_again_that_fails),
		T(a_link_that_cannot_be_made_durable),
		T(what_the_user_put_there_is_not_renamed),
		T(what_the_user_put_there_is_not_removed),
		T(opened_while_it_is_renamed),
		T(a_link_is_made_while_its_directory_is_renamed),
	};

	return cmocka_run_group_tests_name("folders_faults", tests, NULL, NULL);
}
