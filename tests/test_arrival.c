/*
 * Tests of fs/arrival.h: a file on its way in, its new versions, and what the
 * same name again means.
 */
#include "inbox_fixture.h"

#include <sched.h>
#include <sys/xattr.h>

#include "sync.h"

static const char *at(struct fixture *fx, const char *name)
{
	static char paths[4][800];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 800, "%s/%s", fx->inbox, name);
	return path;
}

static ino_t inode(struct fixture *fx, const char *name)
{
	struct stat st;

	assert_int_equal(lstat(at(fx, name), &st), 0);
	return st.st_ino;
}

/* A version of base with text at the end; what its commit said. */
static int append(struct fixture *fx, unsigned id, unsigned base,
    const char *name, const char *text, char ret_name[WIRE_NAME_MAX + 1])
{
	struct sink_file *f;
	uint64_t size;
	int r = start_version(fx, ALICE, id, base, 0, name, &f);

	if (r)
		return r;
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_int_equal(f->ops->write(f, text, strlen(text), size), 0);
	return finish(f, false, ret_name);
}

static void version_replaces_its_base(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	ino_t first;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	first = inode(fx, "f");
	assert_int_equal(append(fx, 2, 1, "f", " two", name), 0);
	assert_string_equal(name, "f");
	assert_content(fx->inbox, "f", "one two");
	assert_int_not_equal(inode(fx, "f"), first);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	/* The old id is forgotten, the new one names it. */
	assert_int_equal(append(fx, 3, 1, "f", "x", name), -ESTALE);
	assert_int_equal(append(fx, 3, 2, "f", " three", name), 0);
	assert_content(fx->inbox, "f", "one two three");
	assert_int_equal(fx->arrived, 3);
	/* As what stands beside it, too. */
	assert_int_equal(deliver(fx, BOB, 4, 0, "f", "bob", name), 0);
	assert_string_equal(name, "f (2)");
	assert_int_equal(deliver(fx, ALICE, 5, 0, "g", "g", name), 0);
	assert_content(fx->inbox, "f (2)", "bob");
}

static void version_has_attributes_and_holes_of_its_base(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], value[64];
	struct wire_xattr x = {
		.name = "user.tag", .bytes = (const uint8_t *)"red", .len = 3
	};
	struct wire_xattr ours = { .name = "user.gtfs.from" };
	struct wire_meta m = { .mask = WIRE_META_MODE, .mode = 0751 };
	struct sink_file *f;
	struct stat st;
	ssize_t n;

	assert_int_equal(start(fx, ALICE, 1, 0, "f", &f), 0);
	assert_int_equal(f->ops->set_xattr(f, &x), 0);
	assert_int_equal(f->ops->set_xattr(f, &ours), -EINVAL);
	assert_int_equal(f->ops->set_meta(f, &m), 0);
	assert_int_equal(f->ops->truncate(f, 8 << 20), 0);
	assert_int_equal(f->ops->write(f, "end", 3, 8 << 20), 0);
	assert_int_equal(finish(f, false, name), 0);

	assert_int_equal(append(fx, 2, 1, "f", "!", name), 0);
	assert_int_equal(stat(at(fx, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0751);
	assert_int_equal(st.st_size, (8 << 20) + 4);
	assert_true(st.st_blocks * 512 < 1 << 20);
	n = getxattr(at(fx, "f"), "user.tag", value, sizeof(value));
	if (n < 0 && errno == ENOTSUP)
		return;
	assert_int_equal(n, 3);
	n = getxattr(at(fx, "f"), "user.gtfs.id", value, sizeof(value));
	assert_int_equal(n, 32);
	assert_memory_equal(value, "02", 2);

	/* Removed in the next one. */
	x.remove = true;
	assert_int_equal(start_version(fx, ALICE, 3, 2, 0, "f", &f), 0);
	assert_int_equal(f->ops->set_xattr(f, &x), 0);
	assert_int_equal(f->ops->set_xattr(f, &x), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_int_equal(getxattr(at(fx, "f"), "user.tag", value, 64), -1);
}

static void attribute_too_large_for_the_disk_is_none(void **state)
{
	struct fixture *fx = *state;
	static uint8_t big[WIRE_XATTR_MAX];
	struct wire_xattr x = {
		.name = "user.big", .bytes = big, .len = sizeof(big)
	};
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(start(fx, ALICE, 1, 0, "f", &f), 0);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(x.name, sizeof(x.name), "user.big%u", i);
		assert_int_equal(f->ops->set_xattr(f, &x), 0);
	}
	assert_int_equal(finish(f, false, name), 0);
	assert_int_equal(inode(fx, "f") != 0, 1);
}

static void touched_base_is_stale(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(start_version(fx, BOB, 2, 1, 0, "f", &f), -ESTALE);
	assert_int_equal(start_version(fx, ALICE, 2, 9, 0, "f", &f), -ESTALE);
	/* Touched while the version is written. */
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), 0);
	put_file(fx->inbox, "f", "mine now");
	assert_int_equal(finish(f, false, name), -ESTALE);
	assert_content(fx->inbox, "f", "mine now");
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), -ESTALE);
	/* Moved away, or removed, is touched too. */
	assert_int_equal(deliver(fx, ALICE, 3, 0, "g", "one", name), 0);
	assert_int_equal(start_version(fx, ALICE, 4, 3, 0, "g", &f), 0);
	assert_int_equal(rename(at(fx, "g"), at(fx, "g2")), 0);
	assert_int_equal(finish(f, false, name), -ESTALE);
	assert_content(fx->inbox, "g2", "one");
	assert_int_equal(unlink(at(fx, "g2")), 0);
	assert_int_equal(start_version(fx, ALICE, 4, 3, 0, "g", &f), -ESTALE);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 2);
}

static void own_changes_do_not_touch(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct wire_meta m = { .mask = WIRE_META_MODE, .mode = 0600 };
	struct sink_file *f;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), 0);
	assert_int_equal(patch_id(fx, ALICE, 1, &m), 0);
	assert_int_equal(f->ops->write(f, "two", 3, 0), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_content(fx->inbox, "f", "two");
	assert_int_equal(patch_id(fx, ALICE, 1, &m), -ENOENT);
	assert_int_equal(patch_id(fx, ALICE, 2, &m), 0);
}

static void moved_version_leaves_its_base_behind(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	uint8_t parent[WIRE_ID_BYTES] = { 0 };
	struct sink_file *f;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "one", name), 0);
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f", &f), 0);
	assert_int_equal(f->ops->write(f, "two", 3, 0), 0);
	make_id(8, parent);
	assert_int_equal(f->ops->move(f, parent, "g"), -ESTALE);
	make_id(9, parent);
	assert_int_equal(f->ops->move(f, parent, "../g"), -EILSEQ);
	assert_int_equal(f->ops->move(f, parent, "g"), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_string_equal(name, "g");
	assert_string_equal(fx->last_path, "d/g");
	assert_content(at(fx, "d"), "g", "two");
	assert_int_equal(entries(fx->inbox), 1);
	/* Not where somebody has touched the base. */
	assert_int_equal(start_version(fx, ALICE, 3, 2, 0, "h", &f), 0);
	put_file(at(fx, "d"), "g", "mine");
	assert_int_equal(finish(f, false, name), -ESTALE);
	assert_int_equal(entries(fx->inbox), 1);
	assert_content(at(fx, "d"), "g", "mine");
	assert_int_equal(entries(fx->spool), 0);
}

static void reads_what_was_written(void **state)
{
	struct fixture *fx = *state;
	char got[16];
	struct sink_file *f;
	size_t n;

	assert_int_equal(start(fx, ALICE, 1, 0, "f", &f), 0);
	assert_int_equal(f->ops->write(f, "hello", 5, 3), 0);
	assert_int_equal(f->ops->read(f, got, sizeof(got), 0, &n), 0);
	assert_int_equal(n, 8);
	assert_memory_equal(got, "\0\0\0hello", 8);
	f->ops->abort(f);
	assert_int_equal(entries(fx->spool), 0);
}

static void same_name_again_replaces_ones_own(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	ino_t ino;

	put_file(fx->inbox, "f.txt", "mine");
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f.txt", "one", name), 0);
	assert_string_equal(name, "f (2).txt");
	/* Where it stands, although its name is another one. */
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f.txt", "two", name), 0);
	assert_string_equal(name, "f (2).txt");
	assert_content(fx->inbox, "f (2).txt", "two");
	assert_content(fx->inbox, "f.txt", "mine");
	/* Never another sender's. */
	assert_int_equal(deliver(fx, BOB, 3, 0, "f.txt", "bob", name), 0);
	assert_string_equal(name, "f (3).txt");
	/* Never what its user has touched, by whatever means. */
	ino = inode(fx, "f (2).txt");
	assert_int_equal(chmod(at(fx, "f (2).txt"), 0600), 0);
	assert_int_equal(deliver(fx, ALICE, 4, 0, "f.txt", "four", name), 0);
	assert_string_equal(name, "f (4).txt");
	assert_int_equal(inode(fx, "f (2).txt"), ino);
	/* In another directory it is another file. */
	assert_int_equal(make_dir(fx, ALICE, 50, 0, "d"), 0);
	assert_int_equal(deliver(fx, ALICE, 5, 50, "f.txt", "five", name), 0);
	assert_string_equal(name, "f.txt");
	assert_content(fx->inbox, "f (4).txt", "four");
	/* The same directory, made again: the same place. */
	assert_int_equal(make_dir(fx, ALICE, 51, 0, "d"), 0);
	assert_int_equal(deliver(fx, ALICE, 6, 51, "f.txt", "six", name), 0);
	assert_string_equal(name, "f.txt");
	assert_content(at(fx, "d"), "f.txt", "six");
	assert_int_equal(entries(fx->spool), 0);
}

static void same_bytes_again_make_no_second_copy(void **state)
{
	struct fixture *fx = *state;
	struct wire_meta m = { .mask = WIRE_META_MODE, .mode = 0600 };
	char name[WIRE_NAME_MAX + 1];
	struct stat st;

	put_file(fx->inbox, "f", "same");
	assert_int_equal(chmod(at(fx, "f"), 0644), 0);
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "same", name), 0);
	assert_string_equal(name, "f");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	/* The file is its owner's: late changes leave it as it is. */
	assert_int_equal(patch_id(fx, ALICE, 1, &m), 0);
	assert_int_equal(stat(at(fx, "f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "g", false), -ESTALE);
	assert_int_equal(append(fx, 2, 1, "f", "!", name), 0);
	assert_string_equal(name, "f (2)");
	assert_content(fx->inbox, "f", "same");
	assert_content(fx->inbox, "f (2)", "same!");
	assert_int_equal(deliver(fx, ALICE, 3, 0, "f", "new", name), 0);
	assert_content(fx->inbox, "f", "same");
	/* Withdrawn, it stays. */
	assert_int_equal(deliver(fx, BOB, 4, 0, "f", "same", name), 0);
	assert_string_equal(name, "f");
	assert_int_equal(withdraw_id(fx, BOB, 4), 0);
	assert_content(fx->inbox, "f", "same");
}

static void two_senders_both_keep_their_file(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "same", name), 0);
	assert_int_equal(deliver(fx, BOB, 1, 0, "f", "same", name), 0);
	assert_string_equal(name, "f (2)");
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(entries(fx->inbox), 1);
	assert_content(fx->inbox, "f (2)", "same");
}

static void no_link_or_fifo_is_a_twin(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(symlink("../canary", at(fx, "l")), 0);
	assert_int_equal(deliver(fx, ALICE, 1, 0, "l", "sings", name), 0);
	assert_string_equal(name, "l (2)");
	assert_int_equal(mkfifo(at(fx, "p"), 0600), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "p", "", name), 0);
	assert_string_equal(name, "p (2)");
	assert_content(fx->home, "canary", "sings");
}

static void held_name_is_taken(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1] = "untouched";
	struct sink_file *f;

	assert_int_equal(
	    deliver_as(fx, ALICE, 1, 0, "f.tmp", "one", true, name), 0);
	assert_string_equal(name, "");
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(entries(fx->spool), 2);
	assert_int_equal(fx->arrived, 0);
	assert_int_equal(start(fx, ALICE, 1, 0, "f.tmp", &f), -EEXIST);
	/* The same name again, held or shown, is instead of it. */
	assert_int_equal(
	    deliver_as(fx, ALICE, 2, 0, "f.tmp", "two", true, name), 0);
	assert_int_equal(entries(fx->spool), 2);
	assert_int_equal(show_id(fx, ALICE, 1), -ENOENT);
	assert_int_equal(deliver(fx, ALICE, 3, 0, "f.tmp", "three", name), 0);
	assert_int_equal(entries(fx->spool), 0);
	assert_content(fx->inbox, "f.tmp", "three");
	assert_int_equal(show_id(fx, ALICE, 2), -ENOENT);
	assert_int_equal(fx->arrived, 1);
}

static void held_one_has_versions(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(
	    deliver_as(fx, ALICE, 1, 0, "f.tmp", "one", true, name), 0);
	assert_int_equal(start_version(fx, ALICE, 2, 1, 0, "f.tmp", &f), 0);
	assert_int_equal(f->ops->write(f, " two", 4, 3), 0);
	assert_int_equal(finish(f, true, name), 0);
	assert_int_equal(entries(fx->spool), 2);
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(show_id(fx, ALICE, 1), -ENOENT);
	/* And the next one may be shown at once, under another name. */
	assert_int_equal(start_version(fx, ALICE, 3, 2, 0, "f", &f), 0);
	assert_int_equal(f->ops->write(f, "!", 1, 7), 0);
	assert_int_equal(finish(f, false, name), 0);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(entries(fx->inbox), 1);
	assert_content(fx->inbox, "f", "one two!");
	/* A version of what is shown there is shown. */
	assert_int_equal(start_version(fx, ALICE, 4, 3, 0, "f", &f), 0);
	assert_int_equal(finish(f, true, name), 0);
	assert_string_equal(name, "f");
	/* Under another name it is held, and nothing is shown meanwhile. */
	assert_int_equal(start_version(fx, ALICE, 5, 4, 0, "f~", &f), 0);
	assert_int_equal(finish(f, true, name), 0);
	assert_string_equal(name, "");
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(show_id(fx, ALICE, 5), 0);
	assert_content(fx->inbox, "f~", "one two!");
}

static void withdrawn_on_its_way_it_never_comes(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	for (unsigned hold = 0; hold < 2; hold++) {
		assert_int_equal(start(fx, ALICE, 1, 0, "f.tmp", &f), 0);
		assert_int_equal(withdraw_id(fx, BOB, 1), -ENOENT);
		assert_int_equal(withdraw_id(fx, ALICE, 2), -ENOENT);
		assert_int_equal(withdraw_id(fx, ALICE, 1), -ENOENT);
		assert_int_equal(finish(f, hold, name), -ECANCELED);
		assert_int_equal(withdraw_id(fx, ALICE, 1), -ENOENT);
		assert_int_equal(entries(fx->inbox), 0);
		assert_int_equal(entries(fx->spool), 0);
	}
	/* What is begun later under that id is another matter. */
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "x", name), 0);
	assert_content(fx->inbox, "f", "x");
}

struct commit {
	struct fixture *fx;
	unsigned id;
	bool hold;
	_Atomic bool begins;
	int result;
};

static void *commit(void *arg)
{
	struct commit *c = arg;
	char name[WIRE_NAME_MAX + 1];
	struct sink_file *f;

	assert_int_equal(start(c->fx, ALICE, c->id, 0, "f.tmp", &f), 0);
	c->begins = true;
	c->result = finish(f, c->hold, name);
	return NULL;
}

/* On another connection, while the COMMIT is under way on an old one. */
static void withdrawal_races_with_the_commit(void **state)
{
	struct fixture *fx = *state;
	unsigned before = 0;
	pthread_t t;

	for (unsigned i = 1; i <= 400; i++) {
		struct commit c = { .fx = fx, .id = i, .hold = i & 1 };
		int r;

		assert_int_equal(thread_start(&t, "commit", commit, &c), 0);
		while (!c.begins)
			;
		for (unsigned k = 0; i & 2 && k < i; k++)
			sched_yield();
		r = withdraw_id(fx, ALICE, i);
		pthread_join(t, NULL);
		assert_int_equal(r, c.result ? -ENOENT : 0);
		before += c.result != 0;
		assert_int_equal(entries(fx->inbox), 0);
		assert_int_equal(entries(fx->spool), 0);
	}
	assert_true(before > 0);
}

struct writer {
	struct fixture *fx;
	_Atomic bool stop;
	unsigned committed;
};

enum { USER_FILES = 400 };

/* A file of the user's, with a second link that shows whether one is lost. */
static void put_own(struct fixture *fx, unsigned n, bool replace)
{
	char own[800], second[800];
	int fd;

	snprintf(own, sizeof(own), "%s/own%u", fx->home, n);
	snprintf(second, sizeof(second), "%s/second", fx->home);
	fd = open(own, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
	if (link(own, at(fx, "f")) == 0)
		return;
	/* What stands there stays too, beside it. */
	assert_int_equal(link(own, second), 0);
	if (!replace || renameat2(AT_FDCWD, second, AT_FDCWD, at(fx, "f"),
			    RENAME_EXCHANGE)) {
		unlink(own);
		unlink(second);
		return;
	}
	snprintf(own, sizeof(own), "%s/taken%u", fx->home, n);
	assert_int_equal(rename(second, own), 0);
}

/* The user: moves away, puts own things there, edits, changes the mode. */
static void *meddle(void *arg)
{
	struct writer *w = arg;
	unsigned seed = 7, kept = 0, own = 0;
	char path[400], other[400];

	snprintf(path, sizeof(path), "%s/f", w->fx->inbox);
	while (!w->stop) {
		int fd;

		switch (rand_r(&seed) % 5) {
		case 0:
			snprintf(other, sizeof(other), "%s/kept%u",
			    w->fx->inbox, kept);
			kept += !renameat2(
			    AT_FDCWD, path, AT_FDCWD, other, RENAME_NOREPLACE);
			break;
		case 1:
		case 2:
			if (own < USER_FILES)
				put_own(w->fx, own++, seed & 1);
			break;
		case 3:
			fd = open(path, O_WRONLY | O_APPEND);
			if (fd >= 0) {
				assert_int_equal(write(fd, "USER", 4), 4);
				close(fd);
			}
			break;
		default: (void)chmod(path, 0600);
		}
		usleep(rand_r(&seed) % 2000);
	}
	return NULL;
}

/*
 * A user who meddles while versions are committed: what the user has put there
 * is never replaced, and no commit breaks.
 */
static void versions_race_with_their_user(void **state)
{
	struct fixture *fx = *state;
	struct writer w = { .fx = fx };
	char name[WIRE_NAME_MAX + 1], text[32], path[400];
	unsigned lost = 0, seen = 0;
	struct stat st;
	pthread_t t;
	int r;

	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0);
	assert_int_equal(thread_start(&t, "meddle", meddle, &w), 0);
	for (unsigned i = 1; i <= 1000; i++) {
		snprintf(text, sizeof(text), "version %u", i);
		r = deliver(fx, ALICE, i, 0, "f", text, name);
		assert_true(r == SINK_RECEIVED || r == -ESTALE);
		w.committed += r >= 0;
	}
	w.stop = true;
	pthread_join(t, NULL);
	assert_true(w.committed > 700);
	assert_int_equal(entries(fx->spool), 0);
	/* The user replaces own things too, and only those. */
	for (unsigned i = 0; i < USER_FILES; i++) {
		snprintf(text, sizeof(text), "own%u", i);
		snprintf(path, sizeof(path), "%s/%s", fx->home, text);
		if (lstat(path, &st))
			continue;
		seen++;
		lost += st.st_nlink != 2;
	}
	assert_true(seen > 10);
	assert_int_equal(lost, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(version_replaces_its_base),
		T(version_has_attributes_and_holes_of_its_base),
		T(attribute_too_large_for_the_disk_is_none),
		T(touched_base_is_stale),
		T(own_changes_do_not_touch),
		T(moved_version_leaves_its_base_behind),
		T(reads_what_was_written),
		T(same_name_again_replaces_ones_own),
		T(same_bytes_again_make_no_second_copy),
		T(two_senders_both_keep_their_file),
		T(no_link_or_fifo_is_a_twin),
		T(held_name_is_taken),
		T(held_one_has_versions),
		T(withdrawn_on_its_way_it_never_comes),
		T(withdrawal_races_with_the_commit),
		T(versions_race_with_their_user),
	};

	return cmocka_run_group_tests_name("arrival", tests, NULL, NULL);
}
