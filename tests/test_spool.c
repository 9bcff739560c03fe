/*
 * Tests of fs/spool.h: what a range is after reserve, copies with their holes
 * and attributes, reads; each also where the file system can do nothing.
 */
#include "inbox_fixture.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "spool.h"

/* The file system has none of fallocate, FICLONE, copy_file_range. */
static _Thread_local bool poor;

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (poor) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

ssize_t copy_file_range(
    int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
	if (poor) {
		errno = EXDEV;
		return -1;
	}
	return syscall(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
}

struct box {
	struct fixture *fx;
	struct spool spool;
	struct spool_file file;
	int home;
};

static const uint8_t ID[WIRE_ID_BYTES] = { 1 };

static int open_box(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	set_up((void **)&b->fx);
	b->home = open(b->fx->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->home >= 0);
	assert_int_equal(spool_open(b->home, "spool", true, &b->spool), 0);
	assert_int_equal(spool_create(&b->spool, ALICE, ID, &b->file), 0);
	*state = b;
	return 0;
}

static int close_box(void **state)
{
	struct box *b = *state;

	poor = false;
	spool_drop(&b->file);
	spool_fini(&b->spool);
	close(b->home);
	tear_down((void **)&b->fx);
	free(b);
	return 0;
}

enum { BLOCK = 64 * 1024, SIZE = 4 * BLOCK };

static void fill(struct spool_file *f)
{
	static uint8_t bytes[SIZE];

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(spool_write(f, bytes, sizeof(bytes), 0), 0);
}

static uint64_t size_of(struct spool_file *f)
{
	uint64_t size;

	assert_int_equal(spool_size(f, &size), 0);
	return size;
}

/* Is every byte of [from, to) that one? */
static void assert_range(
    struct spool_file *f, uint64_t from, uint64_t to, uint8_t byte)
{
	static uint8_t got[2 * SIZE];
	size_t n;

	assert_int_equal(spool_read(f, got, to - from, from, &n), 0);
	assert_int_equal(n, to - from);
	for (size_t i = 0; i < n; i++)
		if (got[i] != byte)
			fail_msg("byte %zu is %d", (size_t)from + i, got[i]);
}

static void each_way_to_reserve(struct box *b)
{
	struct spool_file *f = &b->file;

	fill(f);
	assert_int_equal(spool_reserve(f, 10, BLOCK, WIRE_RESERVE_PUNCH), 0);
	assert_range(f, 0, 10, 'x');
	assert_range(f, 10, 10 + BLOCK, 0);
	assert_range(f, 10 + BLOCK, SIZE, 'x');
	assert_int_equal(
	    spool_reserve(f, SIZE - 5, BLOCK, WIRE_RESERVE_PUNCH), 0);
	assert_int_equal(size_of(f), SIZE);
	assert_range(f, SIZE - 5, SIZE, 0);

	assert_int_equal(
	    spool_reserve(f, 2 * BLOCK, BLOCK, WIRE_RESERVE_ZERO), 0);
	assert_range(f, BLOCK + 10, 2 * BLOCK, 'x');
	assert_range(f, 2 * BLOCK, 3 * BLOCK, 0);
	assert_range(f, 3 * BLOCK, SIZE - 5, 'x');
	assert_int_equal(
	    spool_reserve(f, SIZE - 10, 30, WIRE_RESERVE_ZERO_KEEP), 0);
	assert_int_equal(size_of(f), SIZE);
	assert_range(f, SIZE - 11, SIZE - 10, 'x');
	assert_range(f, SIZE - 10, SIZE, 0);
	assert_int_equal(spool_reserve(f, SIZE - 20, 50, WIRE_RESERVE_ZERO), 0);
	assert_int_equal(size_of(f), SIZE + 30);
	assert_range(f, SIZE - 20, SIZE + 30, 0);

	assert_int_equal(spool_reserve(f, 0, 2 * SIZE, WIRE_RESERVE_KEEP), 0);
	assert_int_equal(size_of(f), SIZE + 30);
	assert_int_equal(spool_reserve(f, 0, 2 * SIZE, WIRE_RESERVE_EXTEND), 0);
	assert_int_equal(size_of(f), 2 * SIZE);
	assert_range(f, 0, 10, 'x');
	assert_range(f, SIZE, 2 * SIZE, 0);
	assert_int_equal(
	    spool_reserve(f, 0, INT64_MAX, WIRE_RESERVE_CHECK), -ENOSPC);
	assert_int_equal(spool_reserve(f, 0, SIZE, WIRE_RESERVE_CHECK), 0);
	assert_int_equal(size_of(f), 2 * SIZE);
	assert_int_equal(
	    spool_reserve(f, INT64_MAX, 1, WIRE_RESERVE_PUNCH), -EFBIG);
	assert_int_equal(spool_reserve(f, 0, 0, WIRE_RESERVE_ZERO), -EINVAL);
	assert_int_equal(spool_sync(f), 0);
}

static void ranges_are_what_was_asked(void **state)
{
	each_way_to_reserve(*state);
}

static void also_where_the_file_system_cannot(void **state)
{
	poor = true;
	each_way_to_reserve(*state);
}

/* A peer may make a file as large as it likes: only its bytes cost anything. */
static void holes_are_not_filled_with_zeros(void **state)
{
	const uint64_t size = UINT64_C(1) << 42, middle = size / 2;
	struct box *b = *state;
	struct spool_file *f = &b->file;
	struct stat st;

	poor = true;
	assert_int_equal(spool_truncate(f, size), 0);
	assert_int_equal(spool_write(f, "x", 1, middle), 0);
	assert_int_equal(spool_write(f, "y", 1, size - 1), 0);
	assert_int_equal(spool_reserve(f, 1, size - 2, WIRE_RESERVE_PUNCH), 0);
	assert_range(f, middle, middle + 1, 0);
	assert_range(f, size - 1, size, 'y');
	assert_int_equal(
	    spool_reserve(f, 1, INT64_MAX - 1, WIRE_RESERVE_PUNCH), 0);
	assert_int_equal(spool_reserve(f, size, 1, WIRE_RESERVE_PUNCH), 0);
	assert_range(f, size - 1, size, 0);
	assert_int_equal(size_of(f), size);
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_in_range(st.st_blocks * 512, 0, 1 << 20);
}

static void room_is_checked_for_what_is_new_only(void **state)
{
	struct box *b = *state;
	struct statvfs vfs;
	uint64_t all;

	fill(&b->file);
	assert_int_equal(spool_sync(&b->file), 0);
	assert_int_equal(statvfs(b->fx->home, &vfs), 0);
	all = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	assert_int_equal(
	    spool_reserve(&b->file, 0, all + all / 2, WIRE_RESERVE_CHECK),
	    -ENOSPC);
	assert_int_equal(
	    spool_reserve(&b->file, 0, all / 2, WIRE_RESERVE_CHECK), 0);
	assert_int_equal(size_of(&b->file), SIZE);
}

static void read_ends_where_the_file_does(void **state)
{
	struct box *b = *state;
	char got[100];
	size_t n = 77;

	assert_int_equal(spool_write(&b->file, "0123456789", 10, 0), 0);
	assert_int_equal(spool_read(&b->file, got, 4, 3, &n), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "3456", 4);
	assert_int_equal(spool_read(&b->file, got, 100, 3, &n), 0);
	assert_int_equal(n, 7);
	assert_int_equal(spool_read(&b->file, got, 100, 10, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(spool_read(&b->file, got, 100, UINT64_MAX, &n), 0);
	assert_int_equal(n, 0);
}

static void copy_has_everything(struct box *b)
{
	struct spool_file copy;
	char value[8];
	struct stat st;
	bool attributes;

	assert_int_equal(spool_write(&b->file, "begin", 5, 0), 0);
	assert_int_equal(spool_write(&b->file, "end", 3, 8 << 20), 0);
	assert_int_equal(spool_truncate(&b->file, 16 << 20), 0);
	attributes = !fsetxattr(b->file.fd, "user.a", "1", 1, 0) &&
		     !fsetxattr(b->file.fd, "user.b", "", 0, 0);
	assert_int_equal(spool_create(&b->spool, ALICE, ID, &copy), 0);
	assert_int_equal(spool_copy(&copy, b->file.fd, NULL, NULL), 0);
	assert_int_equal(size_of(&copy), 16 << 20);
	assert_range(&copy, 0, 1, 'b');
	assert_range(&copy, 5, 5 + SIZE, 0);
	assert_range(&copy, 8 << 20, (8 << 20) + 1, 'e');
	assert_range(&copy, (16 << 20) - SIZE, 16 << 20, 0);
	assert_int_equal(spool_sync(&copy), 0);
	assert_int_equal(fstat(copy.fd, &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20); /* holes stay holes */
	if (attributes) {
		assert_int_equal(fgetxattr(copy.fd, "user.a", value, 8), 1);
		assert_int_equal(fgetxattr(copy.fd, "user.b", value, 8), 0);
	}
	/* It is another file. */
	assert_int_equal(spool_write(&copy, "X", 1, 0), 0);
	assert_range(&b->file, 0, 1, 'b');
	spool_drop(&copy);
}

static void copy_is_whole_and_sparse(void **state)
{
	copy_has_everything(*state);
}

static void copy_by_hand_is_the_same(void **state)
{
	poor = true;
	copy_has_everything(*state);
}

static bool keep_one(void *arg, const char *name)
{
	return !strcmp(name, arg);
}

static void orphans_go_but_those_that_are_kept(void **state)
{
	struct box *b = *state;
	struct spool_file other;
	char path[500];

	assert_int_equal(spool_create(&b->spool, ALICE, ID, &other), 0);
	assert_true(spool_name_ok(other.name));
	assert_false(spool_name_ok("x"));
	assert_false(
	    spool_name_ok("a100000000000000-01000000000000000000000000000000-/"
			  "../../../../x"));
	assert_int_equal(
	    spool_remove_orphans(&b->spool, keep_one, b->file.name), 0);
	snprintf(path, sizeof(path), "%s/spool", b->fx->home);
	assert_int_equal(entries(path), 1);
	spool_close(&other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_box, close_box)
	const struct CMUnitTest tests[] = {
		T(ranges_are_what_was_asked),
		T(also_where_the_file_system_cannot),
		T(holes_are_not_filled_with_zeros),
		T(room_is_checked_for_what_is_new_only),
		T(read_ends_where_the_file_does),
		T(copy_is_whole_and_sparse),
		T(copy_by_hand_is_the_same),
		T(orphans_go_but_those_that_are_kept),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
