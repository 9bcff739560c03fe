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
		TEST(what_the_kernel_still_knows_is_freed_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
