/*
 * What the helper is asked, and what its operations get. The helper does one
 * thing after the other, and in each asks for the name below .gtfs first
 * (rename(2) looks its old name up before the new one, for mkdir the helper
 * does so itself): from then on the new name is not there for it, until the
 * operation comes. The kernel holds the directories' locks meanwhile.
 *
 * Any thread asks; FUSE workers answer.
 */
#include "announce.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync.h"
#include "tree.h"

#define TOKEN "arrived-"

struct arrival_event {
	TAILQ_ENTRY(arrival_event) entry;
	uint64_t number;
	bool directory;
	char *name; /* the last component, in path */
	char path[];
};

struct announce {
	struct helper *helper;
	struct mutex lock;
	TAILQ_HEAD(, arrival_event) events GUARDED_BY(lock);
	unsigned n GUARDED_BY(lock);
	uint64_t last GUARDED_BY(lock);
	uint64_t current GUARDED_BY(lock); /* the one that was looked up */
};

struct announce *announce_new(struct helper *helper) NO_THREAD_ANALYSIS
{
	struct announce *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->helper = helper;
	mutex_init(&a->lock);
	TAILQ_INIT(&a->events);
	return a;
}

static void drop_first_locked(struct announce *a) REQUIRES(a->lock)
{
	struct arrival_event *e = TAILQ_FIRST(&a->events);

	TAILQ_REMOVE(&a->events, e, entry);
	a->n--;
	free(e);
}

void announce_free(struct announce *a)
{
	if (!a)
		return;
	mutex_lock(&a->lock);
	while (!TAILQ_EMPTY(&a->events))
		drop_first_locked(a);
	mutex_unlock(&a->lock);
	mutex_fini(&a->lock);
	free(a);
}

static struct arrival_event *event_new(const char *path, bool directory)
{
	size_t len = strlen(path) + 1;
	struct arrival_event *e = malloc(sizeof(*e) + len);
	char *slash;

	if (!e)
		return NULL;
	memcpy(e->path, path, len);
	slash = strrchr(e->path, '/');
	e->name = slash ? slash + 1 : e->path;
	e->directory = directory;
	return e;
}

/* Asks the helper for it. */
static bool ask(struct announce *a, const struct arrival_event *e)
{
	char from[64], dir[PATH_MAX];
	size_t len = (size_t)(e->name - e->path);
	int n = snprintf(dir, sizeof(dir), "inbox/%.*s", (int)len, e->path);

	snprintf(from, sizeof(from), ".gtfs/" TOKEN "%llu",
	    (unsigned long long)e->number);
	return n > 0 && (size_t)n < sizeof(dir) &&
	       helper_ask(a->helper,
		   e->directory ? HELPER_MKDIR : HELPER_RENAME, from, dir,
		   e->name);
}

void announce_arrival(struct announce *a, const char *path, bool directory)
{
	struct arrival_event *e = event_new(path, directory);

	if (!e)
		return;
	mutex_lock(&a->lock);
	e->number = ++a->last;
	/* Under the lock, so that they stand here in the helper's order. */
	if (a->n < ANNOUNCE_MAX && ask(a, e)) {
		TAILQ_INSERT_TAIL(&a->events, e, entry);
		a->n++;
		e = NULL;
	}
	mutex_unlock(&a->lock);
	free(e);
}

bool announce_owns(const struct announce *a, fuse_req_t req)
{
	return a->helper->fd >= 0 && fuse_req_ctx(req)->pid == a->helper->pid;
}

/*
 * The event of this number, which is what the helper does now; those before it
 * are over. ret_path: its path. True: there is one.
 */
static bool begin(struct announce *a, uint64_t number, char ret_path[PATH_MAX],
    bool *ret_directory)
{
	struct arrival_event *e;
	bool found = false;

	mutex_lock(&a->lock);
	while ((e = TAILQ_FIRST(&a->events)) && e->number < number)
		drop_first_locked(a);
	if (e && e->number == number) {
		found = true;
		a->current = number;
		*ret_directory = e->directory;
		snprintf(ret_path, PATH_MAX, "%s", e->path);
	}
	mutex_unlock(&a->lock);
	return found;
}

/* Is name the new name of what the helper does now? end: it is done. */
static bool is_current(struct announce *a, const char *name, bool end)
{
	struct arrival_event *e;
	bool hit;

	mutex_lock(&a->lock);
	e = TAILQ_FIRST(&a->events);
	hit = e && a->current == e->number && (!name || !strcmp(e->name, name));
	if (hit && end) {
		drop_first_locked(a);
		a->current = 0;
	}
	mutex_unlock(&a->lock);
	return hit;
}

static void lookup_token(struct mount *m, fuse_req_t req, const char *number)
{
	char path[PATH_MAX];
	bool directory;

	if (!begin(m->announce, strtoull(number, NULL, 10), path, &directory) ||
	    directory)
		fuse_reply_err(req, ENOENT);
	else
		view_lookup_path(m->view, req, path);
}

void announce_lookup(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (parent == NODE_ID_CTL && !strncmp(name, TOKEN, strlen(TOKEN)))
		lookup_token(m, req, name + strlen(TOKEN));
	else if (!view_owns(parent))
		tree_lookup(m, req, parent, name);
	else if (is_current(m->announce, name, false))
		fuse_reply_err(req, ENOENT);
	else
		view_lookup(m->view, req, parent, name);
}

/* The answer to MKDIR is that to LOOKUP: the directory that is there. */
void announce_mkdir(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (view_owns(parent) && is_current(m->announce, name, true))
		view_lookup(m->view, req, parent, name);
	else
		fuse_reply_err(req, EPERM);
}

void announce_rename(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	bool ours = parent == NODE_ID_CTL &&
		    !strncmp(name, TOKEN, strlen(TOKEN)) &&
		    is_current(m->announce, NULL, true);

	fuse_reply_err(req, ours ? 0 : EPERM);
}
