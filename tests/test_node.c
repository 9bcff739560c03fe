/* Tests fs/node.h: the table of nodes and their lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node.h"

/* One thread: no lock is needed. */
struct tree {
	struct nodes *t;
	struct node *root, *dir;
};

static int setup(void **state)
{
	static struct tree tree;

	tree.t = nodes_new();
	assert_non_null(tree.t);
	tree.root =
	    node_add_locked(tree.t, NULL, NODE_ROOT, "", 0755, NODE_ID_ROOT);
	tree.dir = node_add_locked(
	    tree.t, tree.root, NODE_PEERS, "peers", 0755, NODE_ID_PEERS);
	assert_non_null(tree.dir);
	*state = &tree;
	return 0;
}

static int teardown(void **state)
{
	struct tree *tree = *state;

	nodes_free(tree->t);
	return 0;
}

static struct node *add(struct tree *tree, struct node *dir, const char *name)
{
	struct node *n =
	    node_add_locked(tree->t, dir, NODE_FILE, name, 0640, 0);

	assert_non_null(n);
	return n;
}

static void nodes_are_found_by_id_and_by_name(void **state)
{
	struct tree *tree = *state;
	struct node *a = add(tree, tree->dir, "a");
	struct node *b = add(tree, tree->dir, "b");
	struct node *other = add(tree, tree->root, "a");

	assert_true(a->id >= NODE_ID_FIRST && a->id < b->id);
	assert_int_equal(tree->root->id, NODE_ID_ROOT);
	assert_ptr_equal(node_by_id_locked(tree->t, a->id), a);
	assert_ptr_equal(node_by_id_locked(tree->t, NODE_ID_PEERS), tree->dir);
	assert_null(node_by_id_locked(tree->t, 12345));
	assert_ptr_equal(node_child_locked(tree->t, tree->dir, "a"), a);
	assert_ptr_equal(node_child_locked(tree->t, tree->root, "a"), other);
	assert_null(node_child_locked(tree->t, tree->dir, "c"));
	assert_null(node_child_locked(tree->t, tree->dir, ""));
	assert_int_equal(a->mode, 0640);
	assert_ptr_equal(a->parent, tree->dir);
}

static void an_unlisted_node_lives_while_it_is_known(void **state)
{
	struct tree *tree = *state;
	struct node *n = add(tree, tree->dir, "a");
	uint64_t id = n->id;

	node_ref_locked(n, 3); /* three lookups */
	node_unlist_locked(tree->t, n);
	node_unlist_locked(tree->t, n); /* once is enough */
	assert_null(node_child_locked(tree->t, tree->dir, "a"));
	assert_ptr_equal(node_by_id_locked(tree->t, id), n);
	assert_null(n->parent);
	assert_false(n->listed);
	/* The name is free; the id is not used again. */
	assert_true(add(tree, tree->dir, "a")->id > id);
	node_unref_locked(tree->t, n, 2);
	assert_ptr_equal(node_by_id_locked(tree->t, id), n);
	node_unref_locked(tree->t, n, 1);
	assert_null(node_by_id_locked(tree->t, id));
}

static void a_listed_node_outlives_its_lookups(void **state)
{
	struct tree *tree = *state;
	struct node *n = add(tree, tree->dir, "a");
	uint64_t id = n->id;

	node_ref_locked(n, 2);
	node_unref_locked(tree->t, n, 2);
	assert_ptr_equal(node_by_id_locked(tree->t, id), n);
	node_unlist_locked(tree->t, n);
	assert_null(node_by_id_locked(tree->t, id));
}

static void a_directory_takes_all_below_with_it(void **state)
{
	enum { DEPTH = 3000 };
	struct tree *tree = *state;
	struct node *top = add(tree, tree->dir, "top");
	struct node *deep = top, *held = NULL;
	uint64_t first = top->id, held_id;

	for (unsigned i = 0; i < DEPTH; i++) {
		add(tree, deep, "beside");
		deep = add(tree, deep, "down");
		if (i == DEPTH / 2)
			held = deep;
	}
	held_id = held->id;
	node_ref_locked(held, 1);
	node_unlist_locked(tree->t, top);
	for (uint64_t id = first; id <= first + 2 * DEPTH; id++)
		if (id != held_id)
			assert_null(node_by_id_locked(tree->t, id));
	assert_ptr_equal(node_by_id_locked(tree->t, held_id), held);
	assert_true(LIST_EMPTY(&held->children));
	node_unref_locked(tree->t, held, 1);
	assert_null(node_by_id_locked(tree->t, held_id));
	assert_true(LIST_EMPTY(&tree->dir->children));
}

static void the_oldest_deliveries_leave_first(void **state)
{
	enum { MORE = 10 };
	struct tree *tree = *state;
	struct node *n, *gone;
	uint64_t first = 0;
	char name[16];

	for (unsigned i = 0; i < NODE_SENT_MAX + MORE; i++) {
		snprintf(name, sizeof(name), "%u", i);
		n = add(tree, tree->dir, name);
		first = first ? first : n->id;
		if (i == 5) /* deleted by the user meanwhile */
			node_unlist_locked(tree->t, n);
		else
			node_delivered_locked(tree->t, n);
		if (i != 5)
			node_delivered_locked(tree->t, n); /* once counts */
	}
	for (uint64_t i = 0; i < NODE_SENT_MAX + MORE; i++) {
		gone = node_by_id_locked(tree->t, first + i);
		assert_int_equal(gone == NULL, i < MORE);
	}
}

static void what_is_sent_anew_is_not_old(void **state)
{
	struct tree *tree = *state;
	struct node *again = add(tree, tree->dir, "again");
	char name[16];

	node_delivered_locked(tree->t, again);
	node_begun_locked(tree->t, again);
	assert_false(again->delivered);
	for (unsigned i = 0; i < NODE_SENT_MAX + 1; i++) {
		snprintf(name, sizeof(name), "%u", i);
		node_delivered_locked(tree->t, add(tree, tree->dir, name));
	}
	assert_ptr_equal(node_child_locked(tree->t, tree->dir, "again"), again);
	assert_null(node_child_locked(tree->t, tree->dir, "0"));
}

static void what_is_held_never_leaves(void **state)
{
	struct tree *tree = *state;
	struct node *held = add(tree, tree->dir, "held");
	char name[16];

	held->held = true;
	node_delivered_locked(tree->t, held);
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < NODE_SENT_MAX; i++) {
			snprintf(name, sizeof(name), "%u-%u", turn, i);
			node_delivered_locked(
			    tree->t, add(tree, tree->dir, name));
		}
	assert_ptr_equal(node_child_locked(tree->t, tree->dir, "held"), held);
	assert_null(node_child_locked(tree->t, tree->dir, "0-0"));
}

static void what_is_open_never_leaves(void **state)
{
	struct tree *tree = *state;
	struct node *used = add(tree, tree->dir, "open");
	char name[16];

	node_delivered_locked(tree->t, used);
	node_ref_locked(used, 1);
	for (unsigned i = 0; i < 2 * NODE_SENT_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		node_delivered_locked(tree->t, add(tree, tree->dir, name));
	}
	assert_ptr_equal(node_child_locked(tree->t, tree->dir, "open"), used);
	assert_null(node_child_locked(tree->t, tree->dir, "0"));
	/* And then it is as old as any other. */
	node_unref_locked(tree->t, used, 1);
	for (unsigned i = 0; i < NODE_SENT_MAX; i++) {
		snprintf(name, sizeof(name), "more %u", i);
		node_delivered_locked(tree->t, add(tree, tree->dir, name));
	}
	assert_null(node_child_locked(tree->t, tree->dir, "open"));
}

static void set_old(struct node *n)
{
	n->mtime = (struct timespec){ .tv_sec = 1000000000 };
}

static bool is_old(const struct node *n)
{
	return n->mtime.tv_sec == 1000000000;
}

static void a_directorys_time_is_that_of_its_last_change(void **state)
{
	struct tree *tree = *state;
	struct node *from = add(tree, tree->dir, "from");
	struct node *to = add(tree, tree->dir, "to");
	struct node *n;

	set_old(from);
	n = add(tree, from, "n");
	assert_false(is_old(from));
	set_old(from);
	set_old(to);
	set_old(n);
	assert_int_equal(node_move_locked(tree->t, n, to, "m"), 0);
	assert_false(is_old(from) || is_old(to));
	assert_true(is_old(n));
	set_old(to);
	node_unlist_locked(tree->t, n);
	assert_false(is_old(to));
}

static void what_is_forgotten_changes_no_time(void **state)
{
	struct tree *tree = *state;
	struct node *dir = add(tree, tree->dir, "dir");
	struct node *first = add(tree, dir, "first");
	char name[16];

	node_delivered_locked(tree->t, first);
	set_old(dir);
	for (unsigned i = 0; i < NODE_SENT_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		node_delivered_locked(tree->t, add(tree, tree->dir, name));
	}
	assert_true(LIST_EMPTY(&dir->children));
	assert_true(is_old(dir));
}

static void a_node_moves_with_all_below(void **state)
{
	struct tree *tree = *state;
	struct node *a = add(tree, tree->dir, "a");
	struct node *b = add(tree, tree->dir, "b");
	struct node *n = add(tree, a, "n");
	struct node *below = add(tree, n, "below");
	unsigned refs_a = a->refs, refs_b = b->refs;
	uint64_t id = n->id;

	node_ref_locked(n, 1); /* the kernel knows it */
	assert_int_equal(node_move_locked(tree->t, n, b, "m"), 0);
	assert_ptr_equal(node_child_locked(tree->t, b, "m"), n);
	assert_null(node_child_locked(tree->t, a, "n"));
	assert_null(node_child_locked(tree->t, b, "n"));
	assert_ptr_equal(node_child_locked(tree->t, n, "below"), below);
	assert_ptr_equal(node_by_id_locked(tree->t, id), n);
	assert_ptr_equal(n->parent, b);
	assert_string_equal(n->name, "m");
	assert_int_equal(a->refs, refs_a - 1);
	assert_int_equal(b->refs, refs_b + 1);
	/* Within its directory; what it left is free. */
	assert_int_equal(node_move_locked(tree->t, n, b, "l"), 0);
	assert_null(node_child_locked(tree->t, b, "m"));
	assert_ptr_equal(node_child_locked(tree->t, b, "l"), n);
	node_unlist_locked(tree->t, a);
	assert_ptr_equal(node_child_locked(tree->t, b, "l"), n);
	node_unlist_locked(tree->t, n);
	node_unref_locked(tree->t, n, 1);
	assert_null(node_by_id_locked(tree->t, id));
}

static struct node *add_dir(
    struct tree *tree, struct node *dir, const char *name)
{
	struct node *n = node_add_locked(tree->t, dir, NODE_DIR, name, 0755, 0);

	assert_non_null(n);
	return n;
}

static void old_directories_leave_when_nothing_uses_them(void **state)
{
	struct tree *tree = *state;
	struct node *top = add_dir(tree, tree->dir, "top");
	struct node *old = add_dir(tree, top, "old");
	struct node *open = add_dir(tree, top, "open");
	uint64_t gone = old->id;
	char name[16];

	node_ref_locked(open, 1);
	set_old(top);
	for (unsigned i = 3; i < NODE_DIRS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		add_dir(tree, tree->dir, name);
	}
	assert_ptr_equal(node_by_id_locked(tree->t, gone), old);
	add_dir(tree, tree->dir, "one more");
	assert_null(node_by_id_locked(tree->t, gone));
	assert_true(is_old(top));
	/* Those that cannot leave do not keep others from leaving. */
	gone = node_child_locked(tree->t, tree->dir, "3")->id;
	add_dir(tree, tree->dir, "and one");
	assert_null(node_by_id_locked(tree->t, gone));
	assert_ptr_equal(node_child_locked(tree->t, top, "open"), open);
	node_unref_locked(tree->t, open, 1);
}

static void what_the_kernel_still_knows_is_freed_at_the_end(void **state)
{
	struct tree *tree = *state;
	struct node *d = add(tree, tree->dir, "d");
	struct node *n = add(tree, d, "n");

	node_ref_locked(d, 5);
	node_ref_locked(n, 7);
	node_unlist_locked(tree->t, n);
	add(tree, d, "m");
	/* The rest is the sanitizer's: nodes_free leaks nothing. */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(nodes_are_found_by_id_and_by_name),
		TEST(an_unlisted_node_lives_while_it_is_known),
		TEST(a_listed_node_outlives_its_lookups),
		TEST(a_directory_takes_all_below_with_it),
		TEST(the_oldest_deliveries_leave_first),
		TEST(what_is_sent_anew_is_not_old),
		TEST(what_is_held_never_leaves),
		TEST(what_is_open_never_leaves),
		TEST(a_directorys_time_is_that_of_its_last_change),
		TEST(what_is_forgotten_changes_no_time),
		TEST(a_node_moves_with_all_below),
		TEST(old_directories_leave_when_nothing_uses_them),
		TEST(what_the_kernel_still_knows_is_freed_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
