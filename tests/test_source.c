/* Tests fs/source.h on real processes. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "procs_fixture.h"

#include "source.h"

enum { SIZE = 3 * 1024 * 1024, FIRST = 1024 * 1024 };

static const dev_t none; /* the device of no mount */

static int flags;
static off_t position;

static void read_from_it(void)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0 || lseek(fd, position, SEEK_SET) != position)
		_exit(97);
	hold();
}

static uint64_t size_seen(int with, off_t at, dev_t own)
{
	struct child c;
	uint64_t size;

	flags = with;
	position = at;
	c = spawn(read_from_it);
	size = source_size(heard(&c), own, FIRST);
	finish(&c);
	return size;
}

static void fill(void)
{
	static char bytes[SIZE];
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	memset(bytes, 'x', sizeof(bytes));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, SIZE), SIZE);
	close(fd);
}

static void what_is_read_as_far_as_written_is_the_source(void **state)
{
	fill();
	assert_int_equal(size_seen(O_RDONLY, FIRST, none), SIZE);
	assert_int_equal(size_seen(O_RDONLY, FIRST + 65536, none), SIZE);
	assert_int_equal(size_seen(O_RDONLY, 2 * FIRST, none), SIZE);
}

static void what_is_read_elsewhere_is_not(void **state)
{
	fill();
	assert_int_equal(size_seen(O_RDONLY, 0, none), 0);
	assert_int_equal(size_seen(O_RDONLY, FIRST - 1, none), 0);
	assert_int_equal(size_seen(O_RDONLY, FIRST + 512, none), 0);
	assert_int_equal(size_seen(O_RDONLY, 6 * FIRST, none), 0);
}

static void what_may_be_written_is_not(void **state)
{
	fill();
	assert_int_equal(size_seen(O_RDWR, FIRST, none), 0);
	assert_int_equal(size_seen(O_WRONLY, FIRST, none), 0);
}

static void the_mount_itself_is_not_asked(void **state)
{
	fill();
	assert_int_equal(size_seen(O_RDONLY, FIRST, file.dev), 0);
}

static void one_with_holes_needs_less_than_it_shows(void **state)
{
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, SIZE), 0);
	assert_int_equal(size_seen(O_RDONLY, FIRST, none), 0);
}

static void a_process_that_has_gone_reads_nothing(void **state)
{
	struct child c = spawn(just_hold);
	pid_t pid = heard(&c);

	finish(&c);
	assert_int_equal(source_size(pid, none, FIRST), 0);
	assert_int_equal(source_size(0, none, FIRST), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_as_far_as_written_is_the_source),
		cmocka_unit_test(what_is_read_elsewhere_is_not),
		cmocka_unit_test(what_may_be_written_is_not),
		cmocka_unit_test(the_mount_itself_is_not_asked),
		cmocka_unit_test(one_with_holes_needs_less_than_it_shows),
		cmocka_unit_test(a_process_that_has_gone_reads_nothing),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
