/*
 * Thin wrappers over pthreads. Failures of pthread calls on valid objects are
 * our own mistakes and are asserted.
 */
#include "sync.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

void mutex_init(struct mutex *mu)
{
	int r = pthread_mutex_init(&mu->m, NULL);

	assert(r == 0);
	(void)r;
}

void mutex_fini(struct mutex *mu)
{
	pthread_mutex_destroy(&mu->m);
}

void mutex_lock(struct mutex *mu) NO_THREAD_ANALYSIS
{
	int r = pthread_mutex_lock(&mu->m);

	assert(r == 0);
	(void)r;
}

void mutex_unlock(struct mutex *mu) NO_THREAD_ANALYSIS
{
	int r = pthread_mutex_unlock(&mu->m);

	assert(r == 0);
	(void)r;
}

void cond_init(struct cond *cv)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cv->c, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_fini(struct cond *cv)
{
	pthread_cond_destroy(&cv->c);
}

void cond_signal(struct cond *cv)
{
	pthread_cond_signal(&cv->c);
}

void cond_broadcast(struct cond *cv)
{
	pthread_cond_broadcast(&cv->c);
}

void cond_wait(struct cond *cv, struct mutex *mu)
{
	pthread_cond_wait(&cv->c, &mu->m);
}

int cond_wait_until(struct cond *cv, struct mutex *mu, int64_t deadline_ms)
{
	struct timespec ts = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = (deadline_ms % 1000) * 1000000,
	};

	return -pthread_cond_timedwait(&cv->c, &mu->m, &ts);
}

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

unsigned descriptor_share(unsigned max, unsigned each)
{
	enum { OTHERS = 24, LEAST = 2 };
	struct rlimit limit;
	rlim_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return max;
	n = limit.rlim_cur > OTHERS ? (limit.rlim_cur - OTHERS) / each : 0;
	if (n < LEAST)
		n = LEAST;
	return n < max ? (unsigned)n : max;
}

/* Set before the first thread starts, and only read from then on. */
static void (*on_start)(const char *name, const char *by);

void thread_on_start(void (*begin)(const char *name, const char *by))
{
	on_start = begin;
}

struct start {
	char name[SYNC_NAME_MAX], by[SYNC_NAME_MAX];
	void *(*run)(void *);
	void *arg;
};

static void *begin(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	/* Here and not by the one who starts it: another thread's name is a
	 * file in /proc, which a confined thread cannot write. */
	pthread_setname_np(pthread_self(), s.name);
	if (on_start)
		on_start(s.name, s.by);
	return s.run(s.arg);
}

int thread_start(
    pthread_t *ret, const char *name, void *(*run)(void *), void *arg)
{
	struct start *s = calloc(1, sizeof(*s));
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int r;

	if (!s)
		return -ENOMEM;
	snprintf(s->name, sizeof(s->name), "%s", name);
	if (gettid() != getpid())
		pthread_getname_np(pthread_self(), s->by, sizeof(s->by));
	s->run = run;
	s->arg = arg;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SYNC_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	r = pthread_create(&t, &attr, begin, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r) {
		free(s);
		return -r;
	}
	*ret = t;
	return 0;
}
