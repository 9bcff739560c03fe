/*
 * Tests fs/command.h and what it stands on (test_records.c has the parts that
 * need no mount). The commands run against a real FUSE mount of type fuse.gtfs,
 * served by a child process that has a .gtfs folder and nothing else; that part
 * needs root and /dev/fuse, and has its own mount namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse.h>

#include <cmocka.h>

#include "command.h"
#include "mounts.h"

#define WORDS_MAX 8
#define READY_MS  10000

static bool fuse_possible;

/* The daemon's side, in a child. */

static const struct {
	const char *path, *text;
} files[] = {
	{ "/.gtfs/self", NULL }, /* made when it is read: the pid */
	{ "/.gtfs/peers",
	    "laptop\tonline\tabcd-efgh\t10.0.0.7:4717,[fe80::1%eth0]:4717\t3\t"
	    "5000000000\taccept\task\tno\n"
	    "d\xc3\xa9sk (2)\toffline\tijkl-mnop\t-\t-\t-\trefuse\t-\tyes\n"
	    "a\\\\b \\u{202e}\\x1b[m\tkey-rejected\tq\t-\t200\t0\t-\t-\t-\n" },
	{ "/.gtfs/transfers",
	    "1\tsend\tlaptop\ta \\xff b\t1500\t3000\t10\tactive\t-\n"
	    "2\treceive\tlaptop\t-\t7\t-\t-\tfailed\tthe disk is full\n" },
	{ "/.gtfs/requests/desk",
	    "name: desk\nfingerprint: abcd-efgh\nwords: one two three four\n"
	    "file: a \\x1b[m b\nsize: 1500\naddress: 10.0.0.8:9\nasked: 3\n"
	    "expires: 27\nlater: unknown\n" },
	{ "/.gtfs/requests/odd", "name: odd\nsize: -\n" },
	{ "/.gtfs/why/laptop", "laptop: online\\x1b.\nIts files too.\n" },
	{ "/.gtfs/why/desk", "desk: offline.\n" },
	{ "/.gtfs/control", "" },
};

#define FILES   (sizeof(files) / sizeof(files[0]))
#define CONTROL (FILES - 1)

static bool is_folder(const char *path)
{
	return !strcmp(path, "/") || !strcmp(path, "/.gtfs") ||
	       !strcmp(path, "/.gtfs/requests") || !strcmp(path, "/.gtfs/why");
}

static char answer[256];
static size_t told; /* of it: read in order, whatever the offset */

static size_t find(const char *path)
{
	size_t i = 0;

	while (i < FILES && strcmp(path, files[i].path))
		i++;
	return i;
}

static int serve_getattr(
    const char *path, struct stat *st, struct fuse_file_info *fi)
{
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0600;
	if (is_folder(path))
		st->st_mode = S_IFDIR | 0700;
	else if (find(path) == FILES)
		return -ENOENT;
	return 0;
}

static int serve_readdir(const char *path, void *buf, fuse_fill_dir_t fill,
    off_t off, struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	size_t len = strlen(path);

	fill(buf, ".", NULL, 0, 0);
	fill(buf, "..", NULL, 0, 0);
	for (size_t i = 0; i < FILES; i++)
		if (!strncmp(files[i].path, path, len) &&
		    files[i].path[len] == '/' &&
		    !strchr(files[i].path + len + 1, '/'))
			fill(buf, files[i].path + len + 1, NULL, 0, 0);
	if (!strcmp(path, "/.gtfs/requests"))
		fill(buf, "gone", NULL, 0, 0); /* by the time it is opened */
	return 0;
}

static int serve_open(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	answer[0] = '\0';
	return find(path) < FILES ? 0 : -ENOENT;
}

static int serve_read(const char *path, char *buf, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	size_t i = find(path), len;
	const char *text = files[i].text;
	char self[256];

	if (i == 0) {
		snprintf(self, sizeof(self),
		    "name: test\nport: 4717\npid: %d\ninbox: /a\\tb\n",
		    getpid());
		text = self;
	} else if (i == CONTROL) {
		text = answer + told;
		off = 0;
	}
	len = strlen(text);
	if ((size_t)off >= len)
		return 0;
	len -= (size_t)off;
	len = len < size ? len : size;
	memcpy(buf, text + off, len);
	told += i == CONTROL ? len : 0;
	return (int)len;
}

static const struct {
	const char *line, *answer;
	int r;
} dialogue[] = {
	{ "accept laptop (2)\n", "laptop (2) is accepted\nits \x1b[31m name\n",
	    0 },
	{ "accept laptop\t--quota 5G,100\n", "it may\n", 0 },
	{ "verify laptop\n", "name: laptop\nwords: one two\nverified: no\n",
	    0 },
	{ "verify desk\n", "fingerprint: \\x1b[m\nverified: yes\n", 0 },
	{ "verify laptop\tyes\n", "laptop is verified\n", 0 },
	{ "pair\n", "7-abandon-zoo\ntype it there\n", 0 },
	{ "pair laptop\t7-abandon-zoo\n", "laptop is paired\n", 0 },
	{ "pair laptop\t8-abandon-zoo\n", "laptop shows another code\n",
	    -EKEYREJECTED },
	{ "forget nobody\n", "", -ENOENT },
	{ "refuse laptop\n", "the disk would not have it\n", -EIO },
	{ "stop\n", "", 0 },
};

static int serve_write(const char *path, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	if (find(path) != CONTROL)
		return -EINVAL;
	told = 0;
	if (size == 5 && !memcmp(buf, "stop\n", 5))
		fuse_exit(fuse_get_context()->fuse);
	for (size_t i = 0; i < sizeof(dialogue) / sizeof(dialogue[0]); i++) {
		if (size != strlen(dialogue[i].line) ||
		    memcmp(buf, dialogue[i].line, size))
			continue;
		strcpy(answer, dialogue[i].answer);
		return dialogue[i].r ? dialogue[i].r : (int)size;
	}
	return -EINVAL;
}

static void serve(const char *mountpoint)
{
	static const struct fuse_operations operations = {
		.getattr = serve_getattr,
		.readdir = serve_readdir,
		.open = serve_open,
		.read = serve_read,
		.write = serve_write,
	};
	char *words[] = { strdup("test"), strdup("-f"), strdup("-s"),
		strdup("-osubtype=gtfs,fsname=gtfs"), strdup(mountpoint),
		NULL };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(fuse_main(5, words, &operations, NULL));
}

/* The commands' side. */

struct served {
	char path[64];
	pid_t pid;
};

static char out[16384], err[4096];
static const char *typed = ""; /* on the standard input of run */

static void read_back(int fd, char *ret, size_t cap)
{
	ssize_t n = pread(fd, ret, cap - 1, 0);

	assert_true(n >= 0);
	ret[n] = '\0';
	close(fd);
}

/* Runs gtfs with these words in a child; its exit status. */
static int run(const char *const *words)
{
	int out_fd = memfd_create("out", 0), err_fd = memfd_create("err", 0);
	char *argv[WORDS_MAX + 2] = { strdup("gtfs") };
	int argc = 1, status, in_fd;
	pid_t pid;

	for (; *words; words++)
		argv[argc++] = strdup(*words);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		in_fd = memfd_create("in", 0);
		if (pwrite(in_fd, typed, strlen(typed), 0) < 0)
			_exit(99);
		dup2(in_fd, STDIN_FILENO);
		dup2(out_fd, STDOUT_FILENO);
		dup2(err_fd, STDERR_FILENO);
		status = command_run(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	read_back(out_fd, out, sizeof(out));
	read_back(err_fd, err, sizeof(err));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

/* Failed with one line that contains part, and nothing on its output. */
static void assert_failed(int status, const char *part)
{
	const char *end = strchr(err, '\n');

	assert_int_equal(status, 1);
	assert_string_equal(out, "");
	assert_true(strncmp(err, "gtfs: ", 6) == 0);
	assert_non_null(end);
	assert_string_equal(end, "\n");
	if (!strstr(err, part))
		fail_msg("'%s' is not in: %s", part, err);
}

static bool is_mounted(const char *path)
{
	bool found = false;
	struct mounts m;

	assert_int_equal(mounts_read(&m), 0);
	for (unsigned i = 0; i < m.n; i++)
		found |= strcmp(m.entries[i].path, path) == 0;
	mounts_fini(&m);
	return found;
}

static struct served *serve_one(void)
{
	struct served *s = calloc(1, sizeof(*s));
	int fd = mounts_watch();

	assert_true(fd >= 0);
	strcpy(s->path, "/tmp/gtfs test \\ XXXXXX");
	assert_non_null(mkdtemp(s->path));
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
		serve(s->path);
	while (!is_mounted(s->path))
		assert_int_equal(mounts_wait(fd, -1, READY_MS), 0);
	close(fd);
	return s;
}

static void end_one(struct served *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	while (umount2(s->path, MNT_DETACH) == 0)
		;
	assert_int_equal(rmdir(s->path), 0);
	free(s);
}

static int setup(void **state)
{
	*state = fuse_possible ? serve_one() : NULL;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		end_one(*state);
	return 0;
}

#define NEEDS_FUSE(state)       \
	do {                    \
		if (!*(state))  \
			skip(); \
	} while (0)

static void records_are_printed_as_json(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("peers", "--json"), 0);
	assert_string_equal(err, "");
	assert_string_equal(out,
	    "[{\"name\": \"laptop\", \"state\": \"online\", "
	    "\"fingerprint\": \"abcd-efgh\", \"addresses\": "
	    "[\"10.0.0.7:4717\", \"[fe80::1%eth0]:4717\"], \"seen\": 3, "
	    "\"free\": 5000000000, \"policy\": \"accept\", "
	    "\"their_policy\": \"ask\", \"verified\": \"no\"},\n"
	    " {\"name\": \"d\xc3\xa9sk (2)\", \"state\": \"offline\", "
	    "\"fingerprint\": \"ijkl-mnop\", \"addresses\": [], "
	    "\"seen\": null, \"free\": null, \"policy\": \"refuse\", "
	    "\"their_policy\": null, \"verified\": \"yes\"},\n"
	    " {\"name\": \"a\\\\b \\u202e\\u001b[m\", "
	    "\"state\": \"key-rejected\", \"fingerprint\": \"q\", "
	    "\"addresses\": [], \"seen\": 200, \"free\": 0, "
	    "\"policy\": null, \"their_policy\": null, "
	    "\"verified\": null}]\n");
	assert_int_equal(RUN("status", "--json"), 0);
	assert_non_null(strstr(out, "{\"self\": {\"name\": \"test\", "
				    "\"port\": 4717, \"pid\": "));
	assert_non_null(strstr(out, "\"inbox\": \"/a\\u0009b\"}"));
	assert_non_null(strstr(out, "\"name\": \"a \\\\xff b\", \"bytes\": "
				    "1500, \"total\": 3000, \"rate\": 10"));
	assert_non_null(strstr(out, "\"name\": \"-\", \"bytes\": 7, "
				    "\"total\": null, \"rate\": null, \"state\""
				    ": \"failed\", \"reason\": "
				    "\"the disk is full\"}]}\n"));
}

static void tables_are_aligned_and_safe(void **state)
{
	const char *line, *row;

	NEEDS_FUSE(state);
	assert_int_equal(RUN("peers"), 0);
	assert_string_equal(err, "");
	assert_null(strchr(out, '\x1b'));
	assert_null(strstr(out, "\xe2\x80\xae"));
	line = strstr(out, "STATE");
	row = strstr(out, "\nlaptop");
	assert_non_null(row);
	assert_int_equal(strstr(row, "online") - (row + 1), line - out);
	assert_non_null(strstr(out, "a\\\\b \\u{202e}\\x1b[m  key-rejected"));
	assert_non_null(strstr(out, "5.0 GB"));
	assert_non_null(strstr(out, "3 min"));
	assert_int_equal(RUN("status"), 0);
	assert_non_null(strstr(out, "a \\xff b"));
	assert_non_null(strstr(out, "1.5 kB of 3.0 kB"));
	assert_non_null(strstr(out, "10 B/s"));
	assert_non_null(strstr(out, "/a\\tb"));
}

static void verbs_are_told_and_answered(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("accept", "laptop (2)"), 0);
	assert_string_equal(
	    out, "laptop (2) is accepted\nits \\x1b[31m name\n");
	assert_failed(RUN("forget", "nobody"), "no peer is called 'nobody'");
	assert_failed(RUN("refuse", "laptop"), "the disk would not have it");
	assert_failed(RUN("accept", "other"), "does not know this command");
}

static void questions_are_listed(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("requests", "--json"), 0);
	assert_string_equal(err, "");
	assert_string_equal(out,
	    "[{\"name\": \"desk\", \"fingerprint\": \"abcd-efgh\", "
	    "\"words\": \"one two three four\", "
	    "\"file\": \"a \\u001b[m b\", \"size\": 1500, "
	    "\"address\": \"10.0.0.8:9\", \"asked\": 3, "
	    "\"expires\": 27},\n"
	    " {\"name\": \"odd\", \"fingerprint\": \"-\", \"words\": \"-\", "
	    "\"file\": \"-\", \"size\": null, \"address\": \"-\", "
	    "\"asked\": null, \"expires\": null}]\n");
	assert_int_equal(RUN("requests"), 0);
	assert_non_null(strstr(out, "desk  a \\x1b[m b  1.5 kB  27 s"));
	assert_null(strchr(out, '\x1b'));
}

static void reasons_are_sentences(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("why"), 0);
	assert_string_equal(
	    out, "desk: offline.\nlaptop: online\\x1b. Its files too.\n");
	assert_int_equal(RUN("why", "desk", "--json"), 0);
	assert_string_equal(
	    out, "[{\"name\": \"desk\", \"why\": \"desk: offline.\"}]\n");
	assert_failed(RUN("why", "nobody"), "no peer is called 'nobody'");
	assert_failed(RUN("why", "../self"), "can be called");
	assert_failed(RUN("why", "a", "b"), "too many words");
}

static void quotas_go_behind_a_tab(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("accept", "laptop", "--quota", "5G,100"), 0);
	assert_string_equal(out, "it may\n");
	assert_failed(RUN("accept", "laptop", "--quota"), "a size is missing");
	assert_failed(RUN("accept", "laptop", "--quota", "5\n"), "SIZE");
	assert_failed(RUN("refuse", "laptop", "--quota", "5"), "--quota");
}

static void words_are_shown_and_confirmed(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("verify", "laptop"), 0);
	assert_non_null(strstr(out, "words     one two\n"));
	assert_null(strstr(out, "is verified"));
	assert_int_equal(RUN("verify", "laptop", "--yes"), 0);
	assert_non_null(strstr(out, "laptop is verified\n"));
	/* It is already: nothing is told. */
	assert_int_equal(RUN("verify", "desk", "--yes"), 0);
	assert_non_null(strstr(out, "fingerprint  \\x1b[m\n"));
	assert_failed(RUN("verify"), "NAME of a peer is missing");
	assert_failed(RUN("accept", "laptop", "--yes"), "--yes");
}

static void codes_are_read_and_never_arguments(void **state)
{
	NEEDS_FUSE(state);
	assert_int_equal(RUN("pair"), 0);
	assert_string_equal(out, "7-abandon-zoo\ntype it there\n");
	typed = " 7 Abandon zoo\nmore\n";
	assert_int_equal(RUN("pair", "laptop"), 0);
	assert_string_equal(out, "laptop is paired\n");
	typed = "8-abandon-zoo";
	assert_failed(RUN("pair", "laptop"), "shows another code");
	typed = "7-abandon-zooo\n";
	assert_failed(RUN("pair", "laptop"), "word 2 of the code");
	typed = "abandon\n";
	assert_failed(RUN("pair", "laptop"), "a digit and two words");
	typed = "";
	assert_failed(RUN("pair", "laptop"), "no code was typed");
	assert_failed(RUN("pair", "laptop", "7-abandon-zoo"), "too many words");
	assert_failed(RUN("pair", "a/b"), "can be called");
}

static void bad_arguments_are_refused(void **state)
{
	static const char *const names[] = { "", "..", "a/b", "a\nstop",
		"\xff" };

	NEEDS_FUSE(state);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_failed(RUN("accept", names[i]), "can be called");
	assert_failed(RUN("accept"), "NAME of a peer is missing");
	assert_failed(RUN("accept", "a", "b"), "too many words");
	assert_failed(RUN("peers", "a"), "takes options only, and not 'a'");
	assert_failed(RUN("peers", "--frob"), "--frob: no such option");
	assert_failed(RUN("peers", "--mount"), "a folder is missing");
	assert_failed(RUN("stop", "--json"), "--json");
	assert_int_equal(RUN("accept", "--help"), 0);
	assert_string_equal(
	    out, "gtfs accept NAME [--quota SIZE[,FILES]] [--mount DIR]\n");
}

static void the_mount_is_found(void **state)
{
	struct served *s = *state, *second;
	char inside[128];

	NEEDS_FUSE(state);
	assert_int_equal(RUN("peers", "--mount", s->path), 0);
	snprintf(inside, sizeof(inside), "%s/.gtfs", s->path);
	assert_int_equal(RUN("peers", "--mount", inside), 0);
	assert_failed(RUN("peers", "--mount", "/"), "not in a gtfs mount");
	assert_failed(RUN("peers", "--mount", "/nowhere/x"), "No such file");

	second = serve_one();
	assert_failed(RUN("peers"), second->path + 20); /* both are listed */
	assert_failed(RUN("peers"), "--mount");
	assert_int_equal(RUN("peers", "--mount", second->path), 0);
	end_one(second);
	assert_int_equal(RUN("peers"), 0);
}

static void a_dead_mount_is_told_apart(void **state)
{
	struct served *s = *state;

	NEEDS_FUSE(state);
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	assert_failed(RUN("peers"), "has died");
	assert_failed(RUN("status", "--mount", s->path), "has died");
	assert_failed(RUN("accept", "laptop"), "has died");
	assert_failed(RUN("stop"), "has died");
	assert_int_equal(umount2(s->path, MNT_DETACH), 0);
	assert_failed(RUN("peers"), "no gtfs mount is running");
}

static void stop_returns_when_all_is_over(void **state)
{
	struct served *s = *state;
	int status;

	NEEDS_FUSE(state);
	assert_int_equal(RUN("stop", "--mount", s->path), 0);
	assert_string_equal(err, "");
	assert_false(is_mounted(s->path));
	/* It has ended already, and only waits to be noticed. */
	assert_int_equal(waitpid(s->pid, &status, WNOHANG), s->pid);
	assert_int_equal(status, 0);
	assert_failed(RUN("stop"), "no gtfs mount is running");
}

static void commands_are_known_by_word(void **state)
{
	static const char *const words[] = { "peers", "status", "requests",
		"why", "accept", "refuse", "forget", "verify", "pair", "stop" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_true(command_is(words[i]));
	assert_false(command_is("./peers") || command_is("peer") ||
		     command_is("") || command_is("--help"));
}

/* Away from the mounts of others: a namespace in which there are none. */
static bool prepare_fuse(void)
{
	struct mounts m;

	/* EINVAL: a chroot, whose root is no mount point. */
	if (geteuid() || access("/dev/fuse", R_OK | W_OK) ||
	    unshare(CLONE_NEWNS) ||
	    (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		errno != EINVAL))
		return false;
	while (mounts_read(&m) == 0 && m.n > 0) {
		for (unsigned i = 0; i < m.n; i++)
			if (umount2(m.entries[i].path, MNT_DETACH))
				return false;
		mounts_fini(&m);
	}
	return true;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(records_are_printed_as_json),
		TEST(tables_are_aligned_and_safe),
		TEST(verbs_are_told_and_answered),
		TEST(questions_are_listed),
		TEST(reasons_are_sentences),
		TEST(quotas_go_behind_a_tab),
		TEST(words_are_shown_and_confirmed),
		TEST(codes_are_read_and_never_arguments),
		TEST(bad_arguments_are_refused),
		TEST(the_mount_is_found),
		TEST(a_dead_mount_is_told_apart),
		TEST(stop_returns_when_all_is_over),
		cmocka_unit_test(commands_are_known_by_word),
	};

	fuse_possible = prepare_fuse();
	if (!fuse_possible)
		fprintf(stderr,
		    "without root and /dev/fuse the tests of a running "
		    "mount are skipped\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
