/*
 * They are few and nearly all of the same length, so the earliest is looked
 * for, not kept in order. The thread sleeps for as long as there is none.
 */
#include "deadline.h"

#include <stdlib.h>

#include "sync.h"

struct deadlines {
	struct mutex lock;
	struct cond changed;
	TAILQ_HEAD(, deadline) list GUARDED_BY(lock);
	bool started GUARDED_BY(lock);
	bool stop GUARDED_BY(lock);
	pthread_t thread;
};

static struct deadline *earliest_locked(struct deadlines *t) REQUIRES(t->lock)
{
	struct deadline *d, *first = TAILQ_FIRST(&t->list);

	TAILQ_FOREACH(d, &t->list, entry)
		if (d->at_ms < first->at_ms)
			first = d;
	return first;
}

static void *deadlines_run(void *arg)
{
	struct deadlines *t = arg;
	struct deadline *d;

	mutex_lock(&t->lock);
	while (!t->stop) {
		d = earliest_locked(t);
		if (!d) {
			cond_wait(&t->changed, &t->lock);
		} else if (d->at_ms > now_ms()) {
			cond_wait_until(&t->changed, &t->lock, d->at_ms);
		} else {
			TAILQ_REMOVE(&t->list, d, entry);
			d->is_set = false;
			mutex_unlock(&t->lock);
			d->passed(d);
			mutex_lock(&t->lock);
		}
	}
	mutex_unlock(&t->lock);
	return NULL;
}

/* Nobody else has it yet: no lock. */
struct deadlines *deadlines_new(void) NO_THREAD_ANALYSIS
{
	struct deadlines *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	mutex_init(&t->lock);
	cond_init(&t->changed);
	TAILQ_INIT(&t->list);
	return t;
}

void deadlines_free(struct deadlines *t)
{
	bool started;

	if (!t)
		return;
	mutex_lock(&t->lock);
	t->stop = true;
	started = t->started;
	cond_signal(&t->changed);
	mutex_unlock(&t->lock);
	if (started)
		pthread_join(t->thread, NULL);
	cond_fini(&t->changed);
	mutex_fini(&t->lock);
	free(t);
}

int deadline_set(struct deadlines *t, struct deadline *d, int64_t at_ms)
{
	int r = 0;

	mutex_lock(&t->lock);
	if (!t->started)
		r = thread_start(&t->thread, "deadline", deadlines_run, t);
	if (!r) {
		t->started = true;
		if (!d->is_set)
			TAILQ_INSERT_TAIL(&t->list, d, entry);
		d->is_set = true;
		d->at_ms = at_ms;
		cond_signal(&t->changed);
	}
	mutex_unlock(&t->lock);
	return r;
}

bool deadline_clear(struct deadlines *t, struct deadline *d)
{
	bool was;

	mutex_lock(&t->lock);
	was = d->is_set;
	if (was)
		TAILQ_REMOVE(&t->list, d, entry);
	d->is_set = false;
	mutex_unlock(&t->lock);
	return was;
}
