/* Tests fs/options.h: the command line, -o, defaults and complaints. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "options.h"

#define WORDS_MAX 30
#define N(a)      (sizeof(a) / sizeof((a)[0]))

/* As bytes of a name: three more are allowed. */
#define SIXTY "012345678901234567890123456789012345678901234567890123456789"

static char said[8192]; /* on standard output and error, by parse */

/* Parses "gtfs" and the words up to NULL. */
static int parse(const char *const *words, struct options *ret)
{
	char *argv[WORDS_MAX + 2] = { strdup("gtfs") };
	char *all[WORDS_MAX + 2];
	int argc = 1, r, fd, out, err;
	ssize_t n;

	for (; *words; words++)
		argv[argc++] = strdup(*words);
	memcpy(all, argv, sizeof(all));
	fflush(stdout);
	fd = memfd_create("said", MFD_CLOEXEC);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	r = options_parse(argc, argv, ret);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	n = pread(fd, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = '\0';
	close(fd);
	for (int i = 0; i < argc; i++)
		free(all[i]);
	return r;
}

#define PARSE(o, ...) parse((const char *const[]){ __VA_ARGS__, NULL }, (o))

/* Refused, with one line that begins with gtfs: and contains this. */
static void assert_refused(const char *part, const char *const *words)
{
	struct options o, before;
	const char *line_end;

	memset(&o, 0x5a, sizeof(o));
	before = o;
	assert_int_equal(parse(words, &o), -EINVAL);
	assert_memory_equal(&o, &before, sizeof(o));
	assert_true(strncmp(said, "gtfs: ", 6) == 0);
	line_end = strchr(said, '\n');
	assert_non_null(line_end);
	assert_string_equal(line_end, "\n");
	if (!strstr(said, part))
		fail_msg("'%s' is not in: %s", part, said);
}

#define REFUSED(part, ...) \
	assert_refused(part, (const char *const[]){ __VA_ARGS__, NULL })

static int clear_environment(void **state)
{
	setenv("HOME", "/home/u", 1);
	unsetenv("XDG_DATA_HOME");
	unsetenv("XDG_STATE_HOME");
	unsetenv("POSIXLY_CORRECT");
	return 0;
}

static void defaults_are_those_of_the_page(void **state)
{
	struct options o;
	char host[256] = "";

	assert_int_equal(PARSE(&o, "/mnt/gt"), 0);
	assert_string_equal(said, "");
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	assert_string_equal(o.name, host);
	assert_string_equal(o.mountpoint, "/mnt/gt");
	assert_string_equal(o.inbox, "/home/u/.local/share/gtfs/inbox");
	assert_string_equal(o.state, "/home/u/.local/state/gtfs");
	assert_int_equal(o.listen_address.ss_family, AF_UNSPEC);
	assert_int_equal(o.listen_port, 4717);
	assert_false(o.listen_given);
	assert_true(o.discovery);
	assert_int_equal(o.n_peers, 0);
	assert_int_equal(o.accept, TRUST_ASKED);
	assert_true(o.durable);
	assert_int_equal(o.patience_s, 60);
	assert_int_equal(o.ask_timeout_s, 30);
	assert_false(o.foreground);
	assert_false(o.debug);
	assert_string_equal(o.fuse, "");
	options_fini(&o);
	options_fini(&o);
}

static void xdg_directories_are_kept_to(void **state)
{
	struct options o;

	setenv("XDG_DATA_HOME", "/data", 1);
	setenv("XDG_STATE_HOME", "relative", 1); /* to be ignored */
	assert_int_equal(PARSE(&o, "/m"), 0);
	assert_string_equal(o.inbox, "/data/gtfs/inbox");
	assert_string_equal(o.state, "/home/u/.local/state/gtfs");
	options_fini(&o);
	unsetenv("HOME"); /* as at boot: the password file knows */
	assert_int_equal(PARSE(&o, "/m"), 0);
	assert_true(o.state[0] == '/');
	options_fini(&o);
}

static void every_option_is_taken(void **state)
{
	struct sockaddr_storage want;
	struct options o;

	assert_int_equal(
	    PARSE(&o, "--name", "lap top", "--inbox=/i", "--state", "/s/",
		"--listen", "10.0.0.7:5000", "--discovery=off", "--peer",
		"b=10.0.0.8", "--peer", "c d=host.example:99", "--accept",
		"lan", "--ack", "received", "--patience", "5", "--ask-timeout",
		"7", "-f", "/m"),
	    0);
	assert_string_equal(o.name, "lap top");
	assert_string_equal(o.inbox, "/i");
	assert_string_equal(o.state, "/s");
	assert_int_equal(address_parse("10.0.0.7:1", 0, &want), 0);
	assert_true(address_same_host(
	    (struct sockaddr *)&o.listen_address, (struct sockaddr *)&want));
	assert_int_equal(o.listen_port, 5000);
	assert_true(o.listen_given);
	assert_false(o.discovery);
	assert_int_equal(o.n_peers, 2);
	assert_string_equal(o.peers[0].name, "b");
	assert_string_equal(o.peers[0].host, "10.0.0.8");
	assert_int_equal(o.peers[0].port, 4717);
	assert_string_equal(o.peers[1].name, "c d");
	assert_string_equal(o.peers[1].host, "host.example");
	assert_int_equal(o.peers[1].port, 99);
	assert_int_equal(o.accept, TRUST_LAN);
	assert_false(o.durable);
	assert_int_equal(o.patience_s, 5);
	assert_int_equal(o.ask_timeout_s, 7);
	assert_true(o.foreground);
	assert_false(o.debug);
	options_fini(&o);
	assert_int_equal(PARSE(&o, "/m", "--name", SIXTY "123"), 0);
	options_fini(&o);
	assert_int_equal(PARSE(&o, "/m", "-d"), 0);
	assert_true(o.foreground && o.debug);
	options_fini(&o);
}

static void the_last_one_counts(void **state)
{
	struct options o;

	assert_int_equal(PARSE(&o, "--name=a", "--name=b", "--inbox=/a", "-o",
			     "inbox=/b", "/m"),
	    0);
	assert_string_equal(o.name, "b");
	assert_string_equal(o.inbox, "/b");
	options_fini(&o);
}

static void the_list_takes_what_fstab_has(void **state)
{
	struct options o;

	/* As mount.fuse3 calls it: source, folder, -o with dev and suid. */
	assert_int_equal(
	    PARSE(&o, "none", "/m", "-o",
		"rw,name=x,noauto,_netdev,x-systemd.automount,comment=a,,"
		"allow_other,noexec,max_read=4096,inbox=/a\\,b\\\\c,dev,suid,"
		"peer=b=[fe80::1%lo]:9,listen=[::]:5000,discovery=off,"
		"accept=lan,ack=received,patience=0,state=/s,debug"),
	    0);
	assert_string_equal(o.mountpoint, "/m");
	assert_string_equal(o.name, "x");
	assert_string_equal(o.inbox, "/a,b\\c");
	assert_string_equal(o.state, "/s");
	assert_string_equal(o.fuse, "allow_other,noexec,max_read=4096");
	assert_string_equal(o.peers[0].host, "fe80::1%lo");
	assert_int_equal(o.peers[0].port, 9);
	assert_int_equal(o.listen_address.ss_family, AF_INET6);
	assert_int_equal(o.listen_port, 5000);
	assert_int_equal(o.patience_s, 0);
	assert_true(o.debug);
	options_fini(&o);
	assert_int_equal(
	    PARSE(&o, "-o", "ask_timeout=600,accept=known", "/m"), 0);
	assert_int_equal(o.ask_timeout_s, 600);
	assert_int_equal(o.accept, TRUST_KNOWN);
	options_fini(&o);
	assert_int_equal(PARSE(&o, "-o", "group,accept=lan", "/m"), 0);
	assert_null(o.group); /* that word alone is fstab(5)'s */
	options_fini(&o);
	assert_int_equal(PARSE(&o, "-o", "group=/g/f", "/m"), 0);
	assert_string_equal(o.group, "/g/f");
	options_fini(&o);
	assert_int_equal(PARSE(&o, "-o", "accept=ask", "/m"), 0);
	assert_int_equal(o.accept, TRUST_ASKED);
	options_fini(&o);
	assert_int_equal(PARSE(&o, "-o", "nodev", "-o", "nosuid", "/m"), 0);
	assert_string_equal(o.fuse, "nodev,nosuid");
	options_fini(&o);
}

static void the_list_refuses_the_rest(void **state)
{
	REFUSED("-o ro: ", "-o", "ro", "/m");
	REFUSED("-o fsname: ", "-o", "fsname=x", "/m");
	REFUSED("-o subtype: ", "-o", "subtype=x", "/m");
	REFUSED("-o auto_unmount: ", "-o", "auto_unmount", "/m");
	REFUSED("did you mean 'allow_other'", "-o", "alow_other", "/m");
	REFUSED("did you mean 'inbox'", "-o", "in_box=/x", "/m");
	REFUSED("-o frobnicate: no such option", "-o", "frobnicate", "/m");
	REFUSED("-o name: a value is missing", "-o", "name", "/m");
	REFUSED("-o max_read: a number", "-o", "max_read=x", "/m");
	REFUSED("-o max_read: a number", "-o", "max_read", "/m");
	REFUSED("-o noexec: takes no value", "-o", "noexec=1", "/m");
	REFUSED("-o accept: 'all'", "-o", "accept=all", "/m");
	REFUSED("-o: a value is missing", "/m", "-o");
	/* Nothing of libfuse's or fusermount3's own gets through. */
	REFUSED("-o modules: ", "-o", "modules=subdir", "/m");
	REFUSED("-o context: ", "-o", "context=x", "/m");
}

static void unknown_options_get_a_hint(void **state)
{
	REFUSED("did you mean '--name'", "--nmae=x", "/m");
	REFUSED("did you mean '--patience'", "--patiance", "5", "/m");
	REFUSED("--frobnicate: no such option", "--frobnicate", "/m");
	REFUSED("-x: no such option", "-x", "/m");
	REFUSED("-x: no such option", "-fx", "/m");
	REFUSED("--name: a value is missing", "/m", "--name");
	REFUSED("takes no value", "--foreground=yes", "/m");
	REFUSED("--mount: belongs behind a command", "--mount", "/m");
	REFUSED("\\x1b", "--\x1b[31m", "/m");
}

static void folders_are_one_and_absolute(void **state)
{
	struct options o;

	REFUSED("no folder", "-f");
	REFUSED("one folder", "/a", "/b");
	REFUSED("one folder", "/a", "/b", "/c", "-o", "rw");
	REFUSED("is missing", "");
	REFUSED("write $HOME/gt", "~/gt");
	REFUSED("write $HOME/in", "--inbox=~/in", "/m");
	REFUSED("is missing", "--state=", "/m");
	assert_int_equal(chdir("/usr"), 0);
	assert_int_equal(
	    PARSE(&o, "--inbox", "./a//b/./", "--state", "..", "."), 0);
	assert_string_equal(o.inbox, "/usr/a/b");
	assert_string_equal(o.state, "/usr/..");
	assert_string_equal(o.mountpoint, "/usr");
	options_fini(&o);
	assert_int_equal(PARSE(&o, "--", "-m"), 0);
	assert_string_equal(o.mountpoint, "/usr/-m");
	options_fini(&o);
	assert_int_equal(PARSE(&o, "//"), 0);
	assert_string_equal(o.mountpoint, "/");
	options_fini(&o);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(PARSE(&o, "gt"), 0);
	assert_string_equal(o.mountpoint, "/gt");
	options_fini(&o);
}

static void bad_values_are_refused(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/b", " a", "a ",
		".hidden", "a\nb", "\x1b[m", "\xff", "a\\b", SIXTY "1234" };
	static const char *const listens[] = { "", "x", "-1", "65536", ":",
		":4717", "10.0.0.7", "10.0.0.7:", "localhost:4717",
		"fe80::1:4717", "[::1]", "[::1]4717", "[::1:4717", "4717 ",
		"1e3", "0x10" };
	static const char *const peers[] = { "", "b", "=10.0.0.1",
		"b=", "b=:99", "b=[::1", "b=[::1]x", "b=[]:9", "b=h:0",
		"b=h:65536", "b=h:x", "b=a b", "b=a/b", "a/b=h", "b=h:" };
	static const char *const seconds[] = { "", "x", "-1", "1.5", "86401",
		"9999999999", "60s" };

	for (size_t i = 0; i < N(names); i++)
		REFUSED("--name: ", "--name", names[i], "/m");
	for (size_t i = 0; i < N(listens); i++)
		REFUSED("--listen: ", "--listen", listens[i], "/m");
	for (size_t i = 0; i < N(peers); i++)
		REFUSED("--peer: ", "--peer", peers[i], "/m");
	for (size_t i = 0; i < N(seconds); i++)
		REFUSED("--patience: ", "--patience", seconds[i], "/m");
	for (size_t i = 0; i < N(seconds); i++)
		REFUSED("--ask-timeout: ", "--ask-timeout", seconds[i], "/m");
	REFUSED("from 1 to 600", "--ask-timeout", "0", "/m");
	REFUSED("from 1 to 600", "-o", "ask_timeout=601", "/m");
	REFUSED("below 1024", "--listen", "1023", "/m");
	REFUSED("write avahi or off", "--discovery", "on", "/m");
	REFUSED("write ask, known or lan", "--accept", "all", "/m");
	REFUSED("write durable or received", "--ack", "", "/m");
}

static void ports_at_the_edges_are_taken(void **state)
{
	static const struct {
		const char *text;
		uint16_t port;
	} good[] = { { "0", 0 }, { "1024", 1024 }, { "65535", 65535 },
		{ "127.0.0.1:0", 0 }, { "[::]:4717", 4717 } };
	struct options o;

	for (size_t i = 0; i < N(good); i++) {
		assert_int_equal(PARSE(&o, "--listen", good[i].text, "/m"), 0);
		assert_int_equal(o.listen_port, good[i].port);
		assert_true(o.listen_given);
		options_fini(&o);
	}
	assert_int_equal(PARSE(&o, "--peer", "b=fe80::1%lo", "/m"), 0);
	assert_string_equal(o.peers[0].host, "fe80::1%lo");
	assert_int_equal(o.peers[0].port, 4717);
	options_fini(&o);
}

static void help_fits_on_a_screen(void **state)
{
	struct options o;
	unsigned lines = 0;

	assert_int_equal(PARSE(&o, "--help"), OPTIONS_DONE);
	for (const char *line = said, *end; *line; line = end + 1, lines++) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_true(end - line <= 80);
	}
	assert_in_range(lines, 10, 24);
	assert_int_equal(PARSE(&o, "--version"), OPTIONS_DONE);
	assert_string_equal(said, "gtfs " GTFS_VERSION "\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, clear_environment)
	static const struct CMUnitTest tests[] = {
		TEST(defaults_are_those_of_the_page),
		TEST(xdg_directories_are_kept_to),
		TEST(every_option_is_taken),
		TEST(the_last_one_counts),
		TEST(the_list_takes_what_fstab_has),
		TEST(the_list_refuses_the_rest),
		TEST(unknown_options_get_a_hint),
		TEST(folders_are_one_and_absolute),
		TEST(bad_values_are_refused),
		TEST(ports_at_the_edges_are_taken),
		TEST(help_fits_on_a_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
