/*
 * Tests of crypto/identity: the key is made once and kept, and a file that is
 * not just right is refused and left as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "identity.h"

#define NAME       "identity"
#define TEXT_BYTES 172
#define PROCESSES  8

struct place {
	char path[64];
	int dirfd;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->path, "/tmp/test_identity.XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dirfd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dirfd >= 0);
	*state = p;
	return 0;
}

static int remove_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int tear_down(void **state)
{
	struct place *p = *state;

	close(p->dirfd);
	assert_int_equal(nftw(p->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(p);
	return 0;
}

static size_t read_file(const struct place *p, char *buf, size_t cap)
{
	int fd = openat(p->dirfd, NAME, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, buf, cap);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

/* Not O_TRUNC: ext4 flushes a file cut to nothing and written again. */
static void write_file(const struct place *p, const char *bytes, size_t len)
{
	int fd = openat(p->dirfd, NAME, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, 0), len);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	close(fd);
}

static size_t count_entries(const struct place *p)
{
	DIR *d = opendir(p->path);
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(d);
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Refused with `expected`, *ret as it was. */
static void assert_refused(const struct place *p, int expected)
{
	struct identity id, before;

	memset(&id, 0x5a, sizeof(id));
	before = id;
	assert_int_equal(identity_load(p->dirfd, NAME, &id), expected);
	assert_memory_equal(&id, &before, sizeof(id));
}

static void the_key_is_made_once_and_kept(void **state)
{
	const struct place *p = *state;
	char text[TEXT_BYTES + 1], again[TEXT_BYTES + 1];
	struct identity first, second;
	uint8_t public[32];
	struct stat st, st_again;
	mode_t mask = umask(0777);

	assert_int_equal(identity_load(p->dirfd, NAME, &first), 0);
	umask(mask);
	crypto_scalarmult_base(public, first.secret);
	assert_memory_equal(first.public, public, sizeof(public));
	assert_int_equal(fstatat(p->dirfd, NAME, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_size, TEXT_BYTES);
	assert_int_equal(count_entries(p), 1);
	assert_int_equal(read_file(p, text, sizeof(text)), TEXT_BYTES);
	assert_int_equal(strncmp(text, "gtfs identity v1\nsecret ", 24), 0);

	assert_int_equal(identity_load(p->dirfd, NAME, &second), 0);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(fstatat(p->dirfd, NAME, &st_again, 0), 0);
	assert_int_equal(st_again.st_ino, st.st_ino);
	assert_int_equal(st_again.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(read_file(p, again, sizeof(again)), TEXT_BYTES);
	assert_memory_equal(text, again, TEXT_BYTES);

	identity_fini(&first);
	assert_true(sodium_is_zero(first.secret, sizeof(first.secret)));
}

/* Waits for the start, loads, and reports the key. */
static void child(const struct place *p, int start, int out)
{
	struct identity id;
	char c;

	if (read(start, &c, 1) != 0)
		_exit(1);
	if (identity_load(p->dirfd, NAME, &id) < 0)
		_exit(2);
	if (write(out, &id, sizeof(id)) != (ssize_t)sizeof(id))
		_exit(3);
	_exit(0);
}

static void processes_at_once_get_one_key(void **state)
{
	const struct place *p = *state;

	for (int round = 0; round < 3; round++) {
		struct identity first, other;
		int start[2], out[2];

		assert_int_equal(pipe(start), 0);
		assert_int_equal(pipe(out), 0);
		for (int i = 0; i < PROCESSES; i++) {
			pid_t pid = fork();

			assert_true(pid >= 0);
			if (pid == 0) {
				close(start[1]);
				child(p, start[0], out[1]);
			}
		}
		close(start[0]);
		close(start[1]); /* all of them read its end */
		for (int i = 0; i < PROCESSES; i++) {
			int status;

			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
		}
		assert_int_equal(
		    read(out[0], &first, sizeof(first)), sizeof(first));
		for (int i = 1; i < PROCESSES; i++) {
			assert_int_equal(
			    read(out[0], &other, sizeof(other)), sizeof(other));
			assert_memory_equal(&first, &other, sizeof(first));
		}
		close(out[0]);
		close(out[1]);
		assert_int_equal(count_entries(p), 1);
		assert_int_equal(unlinkat(p->dirfd, NAME, 0), 0);
	}
}

static void a_damaged_file_is_refused_and_kept(void **state)
{
	const struct place *p = *state;
	char text[TEXT_BYTES + 1], after[TEXT_BYTES + 2];
	struct identity id;

	assert_int_equal(identity_load(p->dirfd, NAME, &id), 0);
	assert_int_equal(read_file(p, text, sizeof(text)), TEXT_BYTES);
	text[TEXT_BYTES] = '\n';
	for (size_t len = 0; len <= TEXT_BYTES + 1; len++) {
		if (len == TEXT_BYTES)
			continue;
		write_file(p, text, len);
		assert_refused(p, -EBADMSG);
		assert_int_equal(read_file(p, after, sizeof(after)), len);
		assert_memory_equal(after, text, len);
	}
	for (size_t bit = 0; bit < TEXT_BYTES * 8; bit++) {
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		write_file(p, text, TEXT_BYTES);
		assert_refused(p, -EBADMSG);
		assert_int_equal(
		    read_file(p, after, sizeof(after)), TEXT_BYTES);
		assert_memory_equal(after, text, TEXT_BYTES);
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
	}
	write_file(p, text, TEXT_BYTES);
	assert_int_equal(identity_load(p->dirfd, NAME, &id), 0);
	assert_int_equal(count_entries(p), 1);
}

static void a_file_open_to_others_is_refused(void **state)
{
	static const mode_t refused[] = { 0640, 0604, 0620, 0602, 0610, 0601,
		0666, 0777, 0660 };
	const struct place *p = *state;
	struct identity id;

	assert_int_equal(identity_load(p->dirfd, NAME, &id), 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(fchmodat(p->dirfd, NAME, refused[i], 0), 0);
		assert_refused(p, -EPERM);
	}
	assert_int_equal(fchmodat(p->dirfd, NAME, 0400, 0), 0);
	assert_int_equal(identity_load(p->dirfd, NAME, &id), 0);
	/* Only root can make the case of another owner. */
	if (geteuid() == 0) {
		assert_int_equal(fchownat(p->dirfd, NAME, 65534, 0, 0), 0);
		assert_refused(p, -EPERM);
	}
}

static void what_is_not_a_file_is_refused(void **state)
{
	const struct place *p = *state;
	struct identity id;

	assert_int_equal(identity_load(p->dirfd, "elsewhere", &id), 0);
	assert_int_equal(symlinkat("elsewhere", p->dirfd, NAME), 0);
	assert_refused(p, -EPERM);
	assert_int_equal(unlinkat(p->dirfd, NAME, 0), 0);
	assert_int_equal(symlinkat("missing", p->dirfd, NAME), 0);
	assert_refused(p, -EPERM);
	assert_int_equal(unlinkat(p->dirfd, NAME, 0), 0);
	assert_int_equal(mkfifoat(p->dirfd, NAME, 0600), 0);
	assert_refused(p, -EPERM);
	assert_int_equal(unlinkat(p->dirfd, NAME, 0), 0);
	assert_int_equal(mkdirat(p->dirfd, NAME, 0700), 0);
	assert_refused(p, -EPERM);
	assert_int_equal(count_entries(p), 2);
}

static void a_directory_that_fails_says_so(void **state)
{
	char long_name[256];
	const struct place *p = *state;
	struct identity id;

	assert_int_equal(identity_load(-1, NAME, &id), -EBADF);
	memset(long_name, 'a', sizeof(long_name));
	long_name[255] = '\0'; /* no room for a temporary name beside it */
	assert_int_equal(
	    identity_load(p->dirfd, long_name, &id), -ENAMETOOLONG);
	assert_int_equal(rmdir(p->path), 0);
	assert_int_equal(identity_load(p->dirfd, NAME, &id), -ENOENT);
	assert_int_equal(mkdir(p->path, 0700), 0);
}

/* Made with Python's hashlib.blake2b(digest_size=32) and base64.b32encode. */
static void a_fingerprint_is_that_of_the_key(void **state)
{
	char text[FINGERPRINT_CHARS], other[FINGERPRINT_CHARS];
	uint8_t key[32];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	identity_fingerprint(key, text);
	assert_string_equal(text, "ub7n-isg5-z5zp-ofto-6ehy-omle-c4op-uzvk");
	key[31] ^= 0x80;
	identity_fingerprint(key, other);
	assert_string_not_equal(text, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    the_key_is_made_once_and_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    processes_at_once_get_one_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_damaged_file_is_refused_and_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_file_open_to_others_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_not_a_file_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_directory_that_fails_says_so, set_up, tear_down),
		cmocka_unit_test(a_fingerprint_is_that_of_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
