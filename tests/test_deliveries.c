/*
 * Tests of fs/deliveries.h: what a sender may still do with what has arrived.
 */
#include "inbox_fixture.h"

#include <sys/xattr.h>

#include "deliveries.h"
#include "held.h"

static const char *at(struct fixture *fx, const char *name)
{
	static char paths[4][800];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 800, "%s/%s", fx->inbox, name);
	return path;
}

static int hold(struct fixture *fx, unsigned id, unsigned parent,
    const char *name, const char *content)
{
	char got[WIRE_NAME_MAX + 1];

	return deliver_as(fx, ALICE, id, parent, name, content, true, got);
}

static int set_xattr(struct fixture *fx, const uint8_t *sender, unsigned id,
    const char *name, const char *value)
{
	struct wire_xattr x = { .bytes = (const uint8_t *)value };
	uint8_t bytes[WIRE_ID_BYTES];

	make_id(id, bytes);
	x.len = strlen(value);
	snprintf(x.name, sizeof(x.name), "%s", name);
	return deliveries_xattr(fx->in, sender, bytes, &x);
}

static void attributes_come_late(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1], value[8];
	ssize_t n;

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "x", name), 0);
	assert_int_equal(set_xattr(fx, ALICE, 1, "user.a", "1"), 0);
	assert_int_equal(set_xattr(fx, ALICE, 1, "user.a", "22"), 0);
	assert_int_equal(set_xattr(fx, BOB, 1, "user.a", "1"), -ENOENT);
	assert_int_equal(set_xattr(fx, ALICE, 1, "user.gtfs.a", "1"), -EINVAL);
	assert_int_equal(
	    set_xattr(fx, ALICE, 1, "security.capability", "1"), -EINVAL);
	n = getxattr(at(fx, "f"), "user.a", value, sizeof(value));
	assert_true(n == 2 || (n < 0 && errno == ENOTSUP));
	assert_int_equal(chmod(at(fx, "f"), 0600), 0);
	assert_int_equal(set_xattr(fx, ALICE, 1, "user.a", "3"), -ESTALE);
	/* Held ones have attributes, and a mode, that they keep. */
	assert_int_equal(hold(fx, 2, 0, "g.tmp", "x"), 0);
	assert_int_equal(set_xattr(fx, ALICE, 2, "user.a", "1"), 0);
	assert_int_equal(patch_id(fx, ALICE, 2,
			     &(struct wire_meta){
				 .mask = WIRE_META_MTIME, .mtime = { 5, 6 } }),
	    0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "g", false), 0);
	n = getxattr(at(fx, "g"), "user.a", value, sizeof(value));
	assert_true(n == 1 || (n < 0 && errno == ENOTSUP));
}

static void held_file_is_shown_under_its_new_name(void **state)
{
	struct fixture *fx = *state;
	char value[16];
	struct stat st;
	ssize_t n;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(hold(fx, 1, 0, ".f.AbC123", "x"), 0);
	assert_int_equal(rename_id(fx, BOB, 1, 0, "f", false), -ENOENT);
	assert_int_equal(rename_id(fx, ALICE, 1, 7, "f", false), -ESTALE);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "a/b", false), -EILSEQ);
	assert_int_equal(rename_id(fx, ALICE, 1, 9, "f", false), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 9, "f", false), 0);
	assert_content(at(fx, "d"), "f", "x");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 1);
	assert_string_equal(fx->last_path, "d/f");
	assert_string_equal(fx->last_peer, "laptop");
	assert_int_equal(stat(at(fx, "d/f"), &st), 0);
	n = getxattr(at(fx, "d/f"), "user.gtfs.name", value, sizeof(value));
	assert_true((n == 1 && *value == 'f') || (n < 0 && errno == ENOTSUP));
	/* And once more, now that it is shown: no arrival. */
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "g", false), 0);
	assert_content(fx->inbox, "g", "x");
	assert_int_equal(entries(at(fx, "d")), 0);
	assert_int_equal(fx->arrived, 1);
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(entries(fx->inbox), 1);
}

static void rename_replaces_ones_own_only(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	/* As an editor or rsync does it: the new one over the old one. */
	assert_int_equal(deliver(fx, ALICE, 1, 0, "f.txt", "old", name), 0);
	assert_int_equal(hold(fx, 2, 0, "f.tmp", "new"), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f.txt", false), 0);
	assert_content(fx->inbox, "f.txt", "new");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ENOENT);
	/* Both shown. */
	assert_int_equal(deliver(fx, ALICE, 3, 0, "g.txt", "third", name), 0);
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "f.txt", false), 0);
	assert_content(fx->inbox, "f.txt", "third");
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	/* Not what was touched, nor another's. */
	put_file(fx->inbox, "f.txt", "mine");
	assert_int_equal(deliver(fx, ALICE, 4, 0, "g.txt", "fourth", name), 0);
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "f.txt", false), 0);
	assert_content(fx->inbox, "f.txt", "mine");
	assert_content(fx->inbox, "f (2).txt", "fourth");
	assert_int_equal(deliver(fx, BOB, 5, 0, "h.txt", "bob", name), 0);
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "h.txt", false), 0);
	assert_content(fx->inbox, "h.txt", "bob");
	assert_content(fx->inbox, "h (2).txt", "fourth");
	/* And its old name is free again, for itself too. */
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "f.txt", false), 0);
	assert_content(fx->inbox, "f (2).txt", "fourth");
	/* A touched one is nobody's to rename. */
	put_file(fx->inbox, "f (2).txt", "mine");
	assert_int_equal(rename_id(fx, ALICE, 4, 0, "i", false), -ESTALE);
	assert_int_equal(entries(fx->inbox), 3);
	assert_int_equal(entries(fx->spool), 0);
}

static void same_bytes_under_the_new_name_are_enough(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	put_file(fx->inbox, "f", "same");
	assert_int_equal(hold(fx, 1, 0, "f.tmp", "same"), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "f", false), 0);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "g", "same", name), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f", false), 0);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	assert_content(fx->inbox, "f", "same");
	/* Both ids mean that file, which is not theirs to change. */
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_int_equal(show_id(fx, ALICE, 2), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "h", false), -ESTALE);
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 2), 0);
	assert_content(fx->inbox, "f", "same");
}

/* vim: f becomes f~, the new f is written, f~ is removed. */
static void shown_file_can_be_taken_back(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "old", name), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "f~", true), 0);
	assert_int_equal(rename_id(fx, ALICE, 1, 0, "f~", true), 0);
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(entries(fx->spool), 2);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "new", name), 0);
	assert_string_equal(name, "f");
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ENOENT);
	assert_int_equal(entries(fx->spool), 0);
	assert_content(fx->inbox, "f", "new");
	/* Or it is renamed back. */
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f~", true), 0);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f.bak", true), 0);
	assert_int_equal(entries(fx->spool), 2);
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f", false), 0);
	assert_content(fx->inbox, "f", "new");
	assert_int_equal(entries(fx->inbox), 1);
	/* Not a touched one. */
	put_file(fx->inbox, "f", "mine");
	assert_int_equal(rename_id(fx, ALICE, 2, 0, "f~", true), -ESTALE);
	assert_content(fx->inbox, "f", "mine");
	assert_int_equal(entries(fx->spool), 0);
}

static void shown_when_asked_even_without_its_directory(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(hold(fx, 1, 9, "a.tmp", "a"), 0);
	assert_int_equal(hold(fx, 2, 9, "b.tmp", "b"), 0);
	assert_int_equal(show_id(fx, BOB, 1), -ENOENT);
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_int_equal(show_id(fx, ALICE, 1), 0);
	assert_content(at(fx, "d"), "a.tmp", "a");
	assert_string_equal(fx->last_path, "d/a.tmp");
	assert_int_equal(unlink(at(fx, "d/a.tmp")), 0);
	assert_int_equal(rmdir(at(fx, "d")), 0);
	assert_int_equal(show_id(fx, ALICE, 2), 0);
	assert_content(fx->inbox, "b.tmp", "b");
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(fx->arrived, 2);
}

static void withdrawn_only_while_untouched(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "x", name), 0);
	assert_int_equal(withdraw_id(fx, BOB, 1), -ENOENT);
	put_file(fx->inbox, "f", "mine");
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ESTALE);
	assert_content(fx->inbox, "f", "mine");
	assert_int_equal(unlink(at(fx, "f")), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 1), -ESTALE);
	assert_int_equal(deliver(fx, ALICE, 2, 0, "f", "x", name), 0);
	assert_int_equal(rename(at(fx, "f"), at(fx, "moved")), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 2), -ESTALE);
	assert_int_equal(deliver(fx, ALICE, 3, 0, "f", "x", name), 0);
	assert_int_equal(withdraw_id(fx, ALICE, 3), 0);
	assert_int_equal(entries(fx->inbox), 1);
	assert_int_equal(entries(fx->spool), 0);
	assert_int_equal(deliver(fx, ALICE, 4, 0, "f", "x", name), 0);
	assert_string_equal(name, "f");
}

static void too_many_are_shown_at_once(void **state)
{
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	unsigned i;

	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0);
	for (i = 1; i <= DELIVERED_HELD_PER_PEER; i++) {
		snprintf(name, sizeof(name), "%u.tmp", i);
		assert_int_equal(hold(fx, i, 0, name, "x"), SINK_RECEIVED);
	}
	assert_int_equal(entries(fx->inbox), 0);
	assert_int_equal(deliver_as(fx, ALICE, i, 0, "a.tmp", "a", true, name),
	    SINK_RECEIVED);
	assert_string_equal(name, "a.tmp");
	/* Also what is renamed to such a name. */
	assert_int_equal(rename_id(fx, ALICE, i, 0, "b.tmp", true), 0);
	assert_content(fx->inbox, "b.tmp", "a");
	assert_int_equal(withdraw_id(fx, ALICE, 1), 0);
	assert_int_equal(rename_id(fx, ALICE, i, 0, "c.tmp", true), 0);
	assert_int_equal(entries(fx->inbox), 0);
	/* Another sender has a share of its own. */
	assert_int_equal(
	    deliver_as(fx, BOB, 1, 0, "a.tmp", "a", true, name), SINK_RECEIVED);
	assert_int_equal(entries(fx->inbox), 0);
	/* All of them are shown at the next start. */
	inbox_close(fx->in);
	assert_int_equal(open_inbox(fx, false), 0);
	assert_int_equal(entries(fx->inbox), DELIVERED_HELD_PER_PEER + 1);
	assert_int_equal(entries(fx->spool), 0);
}

static void requests_cannot_leave_the_inbox(void **state)
{
	static const char *const bad[] = { "..", ".", "", "a/b", "/etc/x",
		"../canary" };
	struct fixture *fx = *state;
	char name[WIRE_NAME_MAX + 1];
	struct wire_rename m = { .hold = false };
	char outside[400];

	assert_int_equal(deliver(fx, ALICE, 1, 0, "f", "x", name), 0);
	assert_int_equal(hold(fx, 2, 0, "g.tmp", "x"), 0);
	for (unsigned i = 0; i < 12; i++) {
		make_id(1 + i % 2, m.id);
		m.hold = i & 2;
		snprintf(m.name, sizeof(m.name), "%s", bad[i / 2]);
		assert_int_equal(deliveries_rename(fx->in, ALICE, &m), -EILSEQ);
	}
	assert_int_equal(
	    rename_id(fx, ALICE, 1, 0, INBOX_SPOOL_NAME, false), 0);
	assert_content(fx->inbox, INBOX_SPOOL_NAME " (2)", "x");
	/* A directory that was swapped for a link out of the inbox. */
	snprintf(outside, sizeof(outside), "%s/outside", fx->home);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(make_dir(fx, ALICE, 9, 0, "d"), 0);
	assert_int_equal(deliver(fx, ALICE, 3, 9, "h", "x", name), 0);
	assert_int_equal(rename(at(fx, "d"), at(fx, "e")), 0);
	assert_int_equal(symlink(outside, at(fx, "d")), 0);
	put_file(outside, "h", "x");
	assert_int_equal(rename_id(fx, ALICE, 2, 9, "g", false), -ESTALE);
	assert_int_equal(rename_id(fx, ALICE, 3, 0, "g", false), -ESTALE);
	assert_int_equal(withdraw_id(fx, ALICE, 3), -ESTALE);
	assert_int_equal(entries(outside), 1);
	assert_content(fx->home, "canary", "sings");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(attributes_come_late),
		T(held_file_is_shown_under_its_new_name),
		T(rename_replaces_ones_own_only),
		T(same_bytes_under_the_new_name_are_enough),
		T(shown_file_can_be_taken_back),
		T(shown_when_asked_even_without_its_directory),
		T(withdrawn_only_while_untouched),
		T(too_many_are_shown_at_once),
		T(requests_cannot_leave_the_inbox),
	};

	return cmocka_run_group_tests_name("deliveries", tests, NULL, NULL);
}
