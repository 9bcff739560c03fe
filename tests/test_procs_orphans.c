/* Tests fs/procs.h, who has inherited a file, on real processes. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "procs_fixture.h"

#include "procs.h"

/* By one that is nobody's here any more. */
static bool is_held(void)
{
	struct procs_id me = id_of(getpid());

	return procs_orphans(&me, &file, NULL, 0);
}

static int open_as(int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		_exit(97);
	return fd;
}

/* Its parent is gone before it says that it is there. */
static void hold_orphaned(int flags)
{
	pid_t parent;

	open_as(flags);
	parent = getpid();
	if (fork())
		_exit(0);
	while (getppid() == parent)
		usleep(1000);
	hold();
}

static void hold_open(void)
{
	open_as(O_WRONLY);
	hold();
}

static void hold_orphaned_for_writing(void)
{
	hold_orphaned(O_WRONLY);
}

static void hold_orphaned_for_reading(void)
{
	hold_orphaned(O_RDONLY);
}

static void an_orphan_is_found(void **state)
{
	struct child c = spawn(hold_orphaned_for_writing);
	struct procs_id id = id_of(heard(&c)), me = id_of(getpid());
	struct procs_holders h;

	assert_int_equal(procs_holders(&me, &file, &h), 0);
	assert_int_equal(h.own + h.descendants, 0);
	assert_true(is_held());
	assert_false(procs_orphans(&me, &file, &id, 1));
	assert_true(procs_orphans(&me, &file, &me, 1));
	finish(&c);
	/* It ends in its own time: nobody here is its parent. */
	for (int i = 0; i < DEADLINE_S * 100 && is_held(); i++)
		usleep(10000);
	assert_false(is_held());
}

static void one_s_own_are_no_orphans(void **state)
{
	struct child c = spawn(hold_open);

	heard(&c);
	assert_false(is_held());
	finish(&c);
}

static void a_reader_is_no_heir(void **state)
{
	struct child c = spawn(hold_orphaned_for_reading);

	heard(&c);
	assert_false(is_held());
	finish(&c);
}

static void hold_for_reading_too(void)
{
	open_as(O_RDONLY);
	open_as(O_RDWR);
	hold();
}

static void descriptors_for_reading_do_not_count(void **state)
{
	struct child c = spawn(hold_for_reading_too);
	struct procs_id id = id_of(heard(&c));
	struct procs_holders h;

	assert_int_equal(procs_holders(&id, &file, &h), 0);
	assert_int_equal(h.own, 1);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_orphan_is_found),
		cmocka_unit_test(one_s_own_are_no_orphans),
		cmocka_unit_test(a_reader_is_no_heir),
		cmocka_unit_test(descriptors_for_reading_do_not_count),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
