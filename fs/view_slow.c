/*
 * The view's own thread and its queue. The thread is owned by the view, which
 * joins it in view_slow_free(); what a job does is left to view_file.c.
 */
#include "view_slow.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "sync.h"

struct view_slow {
	struct mutex lock;
	struct cond wake;
	bool stop GUARDED_BY(lock);
	bool started GUARDED_BY(lock);
	struct view_job *head GUARDED_BY(lock);
	struct view_job **tail GUARDED_BY(lock);
	pthread_t thread;
};

int view_slow_new(struct view_slow **ret) NO_THREAD_ANALYSIS
{
	struct view_slow *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	mutex_init(&s->lock);
	cond_init(&s->wake);
	s->tail = &s->head;
	*ret = s;
	return 0;
}

/* The next job, or NULL: the end. */
static struct view_job *next_job(struct view_slow *s)
{
	struct view_job *job;

	mutex_lock(&s->lock);
	while (s->head == NULL && !s->stop)
		cond_wait(&s->wake, &s->lock);
	job = s->head;
	if (job != NULL) {
		s->head = job->next;
		if (s->head == NULL)
			s->tail = &s->head;
	}
	mutex_unlock(&s->lock);
	return job;
}

static void *run_jobs(void *arg)
{
	struct view_slow *s = arg;
	struct view_job *job;

	while ((job = next_job(s)) != NULL)
		job->run(job);
	return NULL;
}

void view_slow_push(struct view_slow *s, struct view_job *job)
{
	bool started;

	job->next = NULL;
	mutex_lock(&s->lock);
	if (!s->started)
		s->started =
		    thread_start(&s->thread, "view-slow", run_jobs, s) == 0;
	started = s->started;
	if (started) {
		*s->tail = job;
		s->tail = &job->next;
		cond_signal(&s->wake);
	}
	mutex_unlock(&s->lock);
	if (!started)
		job->run(job);
}

void view_slow_free(struct view_slow *s)
{
	bool started;

	if (s == NULL)
		return;
	mutex_lock(&s->lock);
	s->stop = true;
	started = s->started;
	cond_signal(&s->wake);
	mutex_unlock(&s->lock);
	if (started)
		pthread_join(s->thread, NULL);
	cond_fini(&s->wake);
	mutex_fini(&s->lock);
	free(s);
}
