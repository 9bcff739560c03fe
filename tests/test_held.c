/*
 * Tests of fs/held.h, fs/held_open.h and fs/held_watch.h: records that come
 * back as they were, or are not believed; and what is shown without being asked
 * for. A receiver that dies in between is tests/test_held_crash.c's.
 */
#include "inbox_fixture.h"

#include <sys/xattr.h>
#include <time.h>

#include "delivered.h"
#include "held.h"
#include "held_watch.h"
#include "inbox_internal.h"
#include "ophash.h"

static const char *at(struct fixture *fx, const char *name)
{
	static char paths[4][800];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 800, "%s/%s", fx->inbox, name);
	return path;
}

static int hold(struct fixture *fx, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name, const char *content)
{
	char got[WIRE_NAME_MAX + 1];

	return deliver_as(fx, sender, id, parent, name, content, true, got);
}

static void reopen(struct fixture *fx)
{
	inbox_close(fx->in);
	fx->in = NULL;
	assert_int_equal(open_inbox(fx, true), 0);
}

/* The path of the one record in the spool; *ret_name: of its file. */
static const char *record_path(
    struct fixture *fx, char ret_name[SPOOL_NAME_BYTES])
{
	static char path[800];
	const struct dirent *e;
	DIR *d = opendir(fx->spool);

	path[0] = '\0';
	while ((e = readdir(d)))
		if (strstr(e->d_name, HELD_SUFFIX)) {
			snprintf(
			    path, sizeof(path), "%s/%s", fx->spool, e->d_name);
			memcpy(ret_name, e->d_name, SPOOL_NAME_BYTES - 1);
			ret_name[SPOOL_NAME_BYTES - 1] = '\0';
		}
	closedir(d);
	assert_true(path[0]);
	return path;
}

static void records_come_back(void **state)
{
	struct fixture *fx = *state;
	struct held_record in, out;
	char name[SPOOL_NAME_BYTES];
	unsigned seed = 5;

	for (unsigned i = 0; i < 200; i++) {
		uint8_t *bytes = (uint8_t *)&in;

		memset(&in, 0, sizeof(in));
		for (size_t k = 0; k < sizeof(in.sender) + sizeof(in.id); k++)
			bytes[k] = (uint8_t)rand_r(&seed);
		memset(in.want, 1 + rand_r(&seed) % 40, WIRE_NAME_MAX - i);
		memset(in.peer, '\n', i);
		for (unsigned k = 0; k < i / 11; k++)
			strcat(in.path, k ? "/\xff d" : "a");
		memset(in.path + strlen(in.path), 'p', i);
		assert_int_equal(spool_name(in.sender, in.id, name), 0);
		if (i & 1)
			memcpy(in.over[0], name, sizeof(name));
		if (i & 2)
			memcpy(in.over[1], name, sizeof(name));
		assert_int_equal(held_write(&fx->in->spool, name, &in), 0);
		memset(&out, 0x55, sizeof(out));
		assert_int_equal(held_read(&fx->in->spool, name, &out), 0);
		assert_memory_equal(&in, &out, sizeof(in));
		assert_int_equal(held_forget(&fx->in->spool, name), 0);
		assert_int_equal(held_forget(&fx->in->spool, name), 0);
	}
	assert_int_equal(entries(fx->spool), 0);
}

/* Writes bytes with a digest that fits them as the record of name. */
static void forge(
    struct fixture *fx, const char *name, const uint8_t *bytes, size_t len)
{
	uint8_t sum[WIRE_HASH_BYTES];
	struct ophash *h = ophash_new();
	char path[800];
	FILE *f;

	ophash_bytes(h, bytes, len);
	ophash_digest(h, sum);
	ophash_free(h);
	snprintf(path, sizeof(path), "%s/%s%s", fx->spool, name, HELD_SUFFIX);
	f = fopen(path, "w");
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fwrite(sum, 1, sizeof(sum), f), sizeof(sum));
	fclose(f);
}

static size_t put_text(uint8_t *at_byte, const char *text, size_t len)
{
	at_byte[0] = (uint8_t)(len >> 8);
	at_byte[1] = (uint8_t)len;
	memcpy(at_byte + 2, text, len);
	return 2 + len;
}

/* What held_read says to a record with these texts. */
static int read_forged(struct fixture *fx, const char *want, const char *path,
    const char *over, bool trailing)
{
	char name[SPOOL_NAME_BYTES];
	uint8_t bytes[8192] = "gtfs-held 1\n";
	struct held_record out;
	size_t len = 12 + 64;
	int r;

	len += put_text(bytes + len, want, strlen(want));
	len += put_text(bytes + len, "peer", 4);
	len += put_text(bytes + len, path, strlen(path));
	len += put_text(bytes + len, over, strlen(over));
	len += put_text(bytes + len, "", 0);
	assert_int_equal(spool_name(ALICE, ALICE, name), 0);
	forge(fx, name, bytes, len + trailing);
	r = held_read(&fx->in->spool, name, &out);
	assert_int_equal(held_forget(&fx->in->spool, name), 0);
	return r;
}

static void no_record_names_what_is_not_below_the_inbox(void **state)
{
	static const char *const paths[] = { "..", "../x", "/etc", "a/../b",
		"a//b", "a/", ".", INBOX_SPOOL_NAME, INBOX_SPOOL_NAME "/x",
		".GTFS-SPOOL" };
	static const char *const wants[] = { "", ".", "..", "a/b", "/" };
	struct fixture *fx = *state;
	char name[SPOOL_NAME_BYTES];

	assert_int_equal(spool_name(ALICE, ALICE, name), 0);
	assert_int_equal(read_forged(fx, "f", "", "", false), 0);
	assert_int_equal(read_forged(fx, "f", "a/b", name, false), 0);
	assert_int_equal(
	    read_forged(fx, "f", "a/" INBOX_SPOOL_NAME, "", false), 0);
	assert_int_equal(read_forged(fx, "f", "", "", true), -EBADMSG);
	assert_int_equal(read_forged(fx, "f", "", "../f", false), -EBADMSG);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		assert_int_equal(
		    read_forged(fx, "f", paths[i], "", false), -EBADMSG);
	for (unsigned i = 0; i < sizeof(wants) / sizeof(*wants); i++)
		assert_int_equal(
		    read_forged(fx, wants[i], "", "", false), -EBADMSG);
}

static void damaged_records_are_not_believed(void **state)
{
	struct fixture *fx = *state;
	char name[SPOOL_NAME_BYTES];
	struct held_record out;
	uint8_t bytes[1024] = { 0 };
	const char *path;
	size_t len;
	FILE *f;

	assert_int_equal(hold(fx, ALICE, 1, 0, "f.tmp", "x"), 0);
	path = record_path(fx, name);
	f = fopen(path, "r");
	len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (size_t i = 0; i <= len; i++) {
		uint8_t kept = i < len ? bytes[i] : 0;

		/* Cut there; changed there; too long. */
		f = fopen(path, "w");
		fwrite(bytes, 1, i, f);
		fclose(f);
		assert_int_equal(held_read(&fx->in->spool, name, &out),
		    i < len ? -EBADMSG : 0);
		bytes[i] ^= 1;
		f = fopen(path, "w");
		fwrite(bytes, 1, len + (i == len), f);
		fclose(f);
		assert_int_equal(
		    held_read(&fx->in->spool, name, &out), -EBADMSG);
		bytes[i] = kept;
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(held_read(&fx->in->spool, name, &out), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("../../canary", path), 0);
	assert_int_equal(held_read(&fx->in->spool, name, &out), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(truncate(fx->home, 0), -1);
	f = fopen(path, "w");
	assert_int_equal(ftruncate(fileno(f), 1 << 30), 0);
	fclose(f);
	assert_int_equal(held_read(&fx->in->spool, name, &out), -EBADMSG);
}

static void next_start_shows_all(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct stat st;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 8, 9, "e"), 0);
	assert_int_equal(hold(fx, ALICE, 1, 8, "a.tmp", "a"), 0);
	assert_int_equal(hold(fx, ALICE, 2, 9, "b.tmp", "b"), 0);
	assert_int_equal(hold(fx, BOB, 2, 0, "c.tmp", "c"), 0);
	put_file(fx->inbox, "c.tmp", "mine");
	put_file(fx->spool, "orphan", "half");
	reopen(fx);
	assert_content(at(fx, "d/e"), "a.tmp", "a");
	assert_content(at(fx, "d"), "b.tmp", "b");
	assert_content(fx->inbox, "c.tmp", "mine");
	assert_content(fx->inbox, "c (2).tmp", "c");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 3);
	assert_string_equal(fx->last_peer, "laptop");
	assert_int_equal(stat(at(fx, "d/b.tmp"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	/* What stands in the top its sender still knows. */
	assert_int_equal(show_id(fx, BOB, 2), 0);
	assert_int_equal(rename_id(fx, BOB, 2, 0, "c.new", false), 0);
	assert_content(fx->inbox, "c.new", "c");
	assert_int_equal(deliver(fx, BOB, 3, 0, "c.new", "d", name), 0);
	assert_string_equal(name, "c.new");
	assert_int_equal(withdraw_id(fx, BOB, 3), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ESTALE);
}

static void directory_that_has_gone_is_not_made_again(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 8, 9, "e"), 0);
	assert_int_equal(make_dir(fx, ALICE, 7, 0, "l"), 0);
	assert_int_equal(hold(fx, ALICE, 1, 8, "a.tmp", "a"), 0);
	assert_int_equal(hold(fx, ALICE, 2, 7, "b.tmp", "b"), 0);
	remove_tree(at(fx, "d"));
	/* A link in its place is not followed. */
	assert_int_equal(rmdir(at(fx, "l")), 0);
	assert_int_equal(symlink("..", at(fx, "l")), 0);
	reopen(fx);
	assert_content(fx->inbox, "a.tmp", "a");
	assert_content(fx->inbox, "b.tmp", "b");
	assert_int_equal(entries(fx->inbox), 3);
	assert_int_equal(entries(fx->home), 2);
	assert_int_equal(entries(fx->spool), 0);
}

static void renamed_directory_is_found_at_the_next_start(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(make_dir(fx, ALICE, 8, 9, "e"), 0);
	assert_int_equal(make_dir(fx, ALICE, 7, 0, "t"), 0);
	assert_int_equal(make_dir(fx, BOB, 9, 0, "b"), 0);
	assert_int_equal(hold(fx, ALICE, 1, 8, "a.tmp", "a"), 0);
	assert_int_equal(hold(fx, ALICE, 2, 9, "b.tmp", "b"), 0);
	assert_int_equal(hold(fx, ALICE, 3, 0, "c.tmp", "c"), 0);
	assert_int_equal(hold(fx, BOB, 1, 9, "d.tmp", "d"), 0);
	assert_int_equal(rename_id(fx, ALICE, 9, 7, "n", false), 0);
	reopen(fx);
	assert_content(at(fx, "t/n/e"), "a.tmp", "a");
	assert_content(at(fx, "t/n"), "b.tmp", "b");
	assert_content(fx->inbox, "c.tmp", "c");
	assert_content(at(fx, "b"), "d.tmp", "d");
	assert_int_equal(entries(fx->inbox), 3);
	assert_int_equal(entries(fx->spool), 0);
}

static struct timespec mtime(struct fixture *fx, const char *name)
{
	struct stat st;

	assert_int_equal(lstat(at(fx, name), &st), 0);
	return st.st_mtim;
}

static void directory_keeps_the_times_that_it_was_given(void **state)
{
	struct wire_meta m = { .mask = WIRE_META_MTIME, .mtime = { 5, 6 } };
	struct fixture *fx = *state;

	for (unsigned i = 1; i <= 3; i++) {
		char name[2] = { (char)('c' + i), '\0' };

		assert_int_equal(make_dir(fx, ALICE, 10 + i, 0, name), 0);
		assert_int_equal(hold(fx, ALICE, i, 10 + i, "a.tmp", "a"), 0);
		assert_int_equal(hold(fx, ALICE, 3 + i, 10 + i, "b", "b"), 0);
		assert_int_equal(patch_id(fx, ALICE, 10 + i, &m), 0);
	}
	if (getxattr(at(fx, "d"), "user.gtfs.id", NULL, 0) < 0)
		skip();
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_content(at(fx, "d"), "a.tmp", "a");
	assert_int_equal(mtime(fx, "d").tv_sec, 5);
	assert_int_equal(mtime(fx, "d").tv_nsec, 6);
	/* A rename is what its sender has asked for. */
	assert_int_equal(rename_id(fx, ALICE, 4, 11, "c", false), 0);
	assert_int_not_equal(mtime(fx, "d").tv_sec, 5);
	/* As is what its user does. */
	put_file(at(fx, "e"), "mine", "mine");
	reopen(fx);
	assert_content(at(fx, "e"), "a.tmp", "a");
	assert_content(at(fx, "f"), "a.tmp", "a");
	assert_content(at(fx, "f"), "b", "b");
	assert_int_not_equal(mtime(fx, "e").tv_sec, 5);
	assert_int_equal(mtime(fx, "f").tv_sec, 5);
	assert_int_equal(mtime(fx, "f").tv_nsec, 6);
}

static void what_nobody_remembers_is_found_by_its_rename(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	if (getxattr(at(fx, "d"), "user.gtfs.id", NULL, 0) < 0)
		skip();
	assert_int_equal(hold(fx, ALICE, 1, 9, ".a.AbC120", "a"), 0);
	assert_int_equal(hold(fx, ALICE, 2, 9, ".b.AbC120", "b"), 0);
	assert_int_equal(hold(fx, ALICE, 3, 9, ".c.AbC120", "c"), 0);
	assert_int_equal(hold(fx, ALICE, 4, 0, "e.tmp", "e"), 0);
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "e", false), 0);
	reopen(fx);
	reopen(fx);
	/* Done in another life. */
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "e", false), 0);
	assert_content(fx->inbox, "e", "e");
	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(rename_id(fx, BOB, 1, 0, "a", false), -ENOENT);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "a", false), -ENOENT);
	put_file(at(fx, "d"), "a", "mine");
	assert_int_equal(rename_id(fx, ALICE, 1, 9, "a", false), 0);
	assert_content(at(fx, "d"), "a", "mine");
	assert_content(at(fx, "d"), "a (2)", "a");
	assert_int_equal(rename_id(fx, ALICE, 1, 9, "a", false), 0);
	reopen(fx);
	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 9, "a", false), 0);
	assert_int_equal(access(at(fx, "d/a (2)"), F_OK), 0);
	/* Its user has renamed one, and written into the other. */
	assert_int_equal(rename(at(fx, "d/.b.AbC120"), at(fx, "d/keep")), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 9, "b", false), -ESTALE);
	put_file(at(fx, "d"), ".c.AbC120", "mine");
	assert_int_equal(utimensat(AT_FDCWD, at(fx, "d/.c.AbC120"),
			     (struct timespec[]){ { .tv_nsec = UTIME_OMIT },
				 { .tv_sec = time(NULL) + 1 } },
			     0),
	    0);
	assert_int_equal(rename_id(fx, ALICE, 3, 9, "c", false), -ESTALE);
	assert_content(at(fx, "d"), ".c.AbC120", "mine");
	assert_int_equal(entries(at(fx, "d")), 4);
}

/* As chmod -R or a backup program of the user's does it. */
static void change_the_spool(struct fixture *fx)
{
	char path[800], second[800];
	const struct dirent *e;
	DIR *d = opendir(fx->spool);

	snprintf(second, sizeof(second), "%s/second", fx->home);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", fx->spool, e->d_name);
		if (*e->d_name == '.')
			continue;
		assert_int_equal(chmod(path, 0640), 0);
		assert_int_equal(link(path, second), 0);
		assert_int_equal(unlink(second), 0);
	}
	closedir(d);
}

static void changes_of_the_spool_keep_nothing_from_view(void **state)
{
	struct wire_meta m = { .mask = WIRE_META_MTIME, .mtime = { 5, 6 } };
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	for (unsigned i = 1; i <= 5; i++) {
		snprintf(name, sizeof(name), "%u.tmp", i);
		assert_int_equal(hold(fx, ALICE, i, 0, name, name), 0);
	}
	assert_int_equal(start_version(fx, ALICE, 6, 5, 0, "6.tmp", &f), 0);
	change_the_spool(fx);
	assert_int_equal(patch_id(fx, ALICE, 1, &m), 0);
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "two", false), 0);
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "3.part", true), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 4), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_content(fx->inbox, "1.tmp", "1.tmp");
	assert_content(fx->inbox, "two", "2.tmp");
	assert_content(fx->inbox, "6.tmp", "5.tmp");
	assert_int_equal(entries(fx->inbox), 3);
	change_the_spool(fx);
	/* What has a version is looked at in the same way. */
	assert_int_equal(start_version(fx, ALICE, 7, 3, 0, "7", &f), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_content(fx->inbox, "7", "3.tmp");
	assert_int_equal(entries(fx->spool), 0);
}

static void damaged_record_loses_no_file(void **state)
{
	struct fixture *fx = *state;
	char name[SPOOL_NAME_BYTES];

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
		    hold(fx, ALICE, 1, 0, "f.tmp", i ? "one" : "two"), 0);
		assert_int_equal(truncate(record_path(fx, name), 50), 0);
		reopen(fx);
		assert_int_equal(entries(fx->spool), 0);
	}
	assert_content(fx->inbox, "recovered file", "two");
	assert_content(fx->inbox, "recovered file (2)", "one");
	/* A record without its file is none. */
	assert_int_equal(hold(fx, ALICE, 1, 0, "f.tmp", "x"), 0);
	record_path(fx, name);
	assert_int_equal(unlinkat(fx->in->spool.fd, name, 0), 0);
	reopen(fx);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(entries(fx->inbox), 2);
}

static void what_is_replaced_is_not_shown(void **state)
{
	struct fixture *fx = *state;
	struct held_record record;
	char first[SPOOL_NAME_BYTES], second[SPOOL_NAME_BYTES];

	assert_int_equal(hold(fx, ALICE, 1, 0, "f.tmp", "old"), 0);
	record_path(fx, first);
	assert_int_equal(held_read(&fx->in->spool, first, &record), 0);
	/* The one that replaces it, and a death before the old one went. */
	assert_int_equal(spool_name(ALICE, ALICE, second), 0);
	put_file(fx->spool, second, "new");
	memcpy(record.over[1], first, sizeof(first));
	assert_int_equal(held_write(&fx->in->spool, second, &record), 0);
	reopen(fx);
	assert_content(fx->inbox, "f.tmp", "new");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
}

static bool alice_is_here;

static bool is_here(void *ctx, const uint8_t key[IDENTITY_KEY_BYTES])
{
	++*(unsigned *)ctx;
	return alice_is_here && !memcmp(key, ALICE, IDENTITY_KEY_BYTES);
}

static void set_patience(struct fixture *fx, int ms)
{
	held_watch_free(fx->in->watch);
	assert_int_equal(held_watch_new(ms, &fx->in->watch), 0);
}

static void files_of_those_who_have_gone_are_shown(void **state)
{
	struct fixture *fx = *state;
	unsigned asked = 0;

	fx->sink->ops->tick(fx->sink, is_here, &asked);
	assert_int_equal(asked, 0);
	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(hold(fx, ALICE, 1, 0, "a.tmp", "a"), 0);
	assert_int_equal(hold(fx, ALICE, 2, 9, "b.tmp", "b"), 0);
	assert_int_equal(hold(fx, BOB, 3, 0, "c.tmp", "c"), 0);
	alice_is_here = true;
	/* Not yet: nobody has been away for that long. */
	fx->sink->ops->tick(fx->sink, is_here, &asked);
	fx->sink->ops->tick(fx->sink, is_here, &asked);
	assert_int_equal(asked, 4); /* once a sender, each time */
	assert_int_equal(entries(fx->inbox), 1);
	set_patience(fx, 0);
	fx->sink->ops->tick(fx->sink, is_here, &asked);
	assert_int_equal(entries(fx->inbox), 2);
	assert_content(fx->inbox, "c.tmp", "c");
	assert_string_equal(fx->last_path, "c.tmp");
	/* Its directory has gone as well. */
	assert_int_equal(rmdir(at(fx, "d")), 0);
	alice_is_here = false;
	fx->sink->ops->tick(fx->sink, is_here, &asked);
	assert_content(fx->inbox, "a.tmp", "a");
	assert_content(fx->inbox, "b.tmp", "b");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 3);
	/* The sender that comes back learns that it is done. */
	assert_int_equal(show_id(fx, ALICE, 1), 0);
}

static void who_comes_back_in_time_is_waited_for_anew(void **state)
{
	struct fixture *fx = *state;
	int64_t until;
	unsigned asked = 0, rounds = 0;

	set_patience(fx, 200);
	assert_int_equal(hold(fx, ALICE, 1, 0, "a.tmp", "a"), 0);
	/* For three times the patience it is away and back in turns. */
	for (until = now_ms() + 600; now_ms() < until; rounds++) {
		alice_is_here = false;
		fx->sink->ops->tick(fx->sink, is_here, &asked);
		alice_is_here = true;
		fx->sink->ops->tick(fx->sink, is_here, &asked);
	}
	assert_true(rounds > 1);
	assert_int_equal(entries(fx->inbox), 0);
	alice_is_here = false;
	for (until = now_ms() + 10000; !entries(fx->inbox);) {
		assert_true(now_ms() < until);
		fx->sink->ops->tick(fx->sink, is_here, &asked);
	}
	assert_content(fx->inbox, "a.tmp", "a");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(records_come_back),
		T(no_record_names_what_is_not_below_the_inbox),
		T(damaged_records_are_not_believed),
		T(next_start_shows_all),
		T(directory_that_has_gone_is_not_made_again),
		T(renamed_directory_is_found_at_the_next_start),
		T(directory_keeps_the_times_that_it_was_given),
		T(what_nobody_remembers_is_found_by_its_rename),
		T(changes_of_the_spool_keep_nothing_from_view),
		T(damaged_record_loses_no_file),
		T(what_is_replaced_is_not_shown),
		T(files_of_those_who_have_gone_are_shown),
		T(who_comes_back_in_time_is_waited_for_anew),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
