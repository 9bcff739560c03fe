/* Tests fs/inuse.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "inuse.h"

static void assert_all(const char *const *names, enum inuse what)
{
	for (; *names; names++) {
		if (inuse_of(*names) != what)
			fail_msg("\"%s\" is %d, not %d", *names,
			    (int)inuse_of(*names), (int)what);
	}
}

static void names_of_files_being_written_are_known(void **state)
{
	static const char *const names[] = { ".x.AbC123", ".r.bin.7vOMoA",
		"..bashrc.aB_9zZ", ".com.google.Chrome.k1L2m3",
		".goutputstream-UCIJZ3", ".goutputstream-", "sedSwnjc9",
		"ziiTNrZE", "zi51hhli", "steelxnt", "XXwixeiu", "d2utmpwLqMPw",
		"tmpff_3ak36", "film.mkv.part", ".part", "a.b.partial~",
		"setup.exe.crdownload", "a.tmp", ".tmp", "lu12345a.tmp",
		"letter.txt~", "~", "#letter.txt#", "4913", "x.db-journal",
		"x.db-wal", "x.db-shm", "letter.txt.AbCdEf", "ghi.jKlMnO",
		NULL };

	assert_all(names, INUSE_WRITING);
}

static void locks_and_swaps_are_told_apart(void **state)
{
	static const char *const names[] = { ".~lock.letter.odt#", ".~lock.#",
		".#letter.txt", ".#lk0x0000557", ".letter.txt.swp", ".a.swo",
		".a.swx", ".a.swpx", ".a.b.swn", "..swp", NULL };

	assert_all(names, INUSE_LOCK);
}

static void all_other_names_are_ordinary(void **state)
{
	static const char *const names[] = { "letter.txt", "", ".", "a",
		".bashrc", ".x.AbC12", ".x.AbC1234", ".x.AbC-23", "x.AbC123",
		".AbC123", "goutputstream-UCIJZ3", "sedSwnjc", "sedSwnjc9a",
		"used12345", "sed.12345", "zip", "ziiTNrZ", "zebra123",
		"starfish9", "XX", "XX.wixei", "tmp", "tmpff_3ak3",
		"tmpFILE.txt", "part", "a.parts", "a.part.txt", "a.partial",
		"x.crdownload2", "tmp.a", "a.tmp.gz", "~a", "a~b", "#a", "a#",
		"49130", "x4913", "journal", "x.db", "x-wallet", "~lock.a#",
		".~lock.a", "letter.txt.swp", ".a.sw", ".a.swap", "#letter",
		"db.sqlite", "app.config", "README.BACKUP", "a.AbCdE",
		"a.AbCdEfg", "a.AbC1Ef", ".AbCdEf", "\xff\xfe", NULL };

	assert_all(names, INUSE_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_files_being_written_are_known),
		cmocka_unit_test(locks_and_swaps_are_told_apart),
		cmocka_unit_test(all_other_names_are_ordinary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
