/*
 * Thin wrappers over pthreads. Failures of pthread calls on valid objects are
 * our own mistakes and are asserted.
 */
#include "sync.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

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

int thread_start(
    pthread_t *ret, const char *name, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SYNC_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	r = pthread_create(&t, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	pthread_setname_np(t, name);
	*ret = t;
	return 0;
}
