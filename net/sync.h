/*
 * Locks that clang's -Wthread-safety can follow, and the one place where the
 * order of locks is written down:
 *
 *     node tables (fs) -> transfer -> peers table -> connection's send lock
 *         -> pool -> log
 *
 * A thread that holds a lock takes only locks further right. Nothing blocks,
 * calls back or notifies the kernel under any of them.
 */
#ifndef SYNC_H
#define SYNC_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#if defined(__clang__)
#define SYNC_ATTR(x) __attribute__((x))
#else
#define SYNC_ATTR(x)
#endif

#define CAPABILITY(name) SYNC_ATTR(capability(name))
/* clang 14 resolves no member names in C: guarded_var checks only that some
 * lock is held; the name documents which. */
#define GUARDED_BY(lock)   SYNC_ATTR(guarded_var)
#define REQUIRES(...)      SYNC_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...)      SYNC_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...)      SYNC_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASES(...)      SYNC_ATTR(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...)  SYNC_ATTR(try_acquire_capability(__VA_ARGS__))
#define NO_THREAD_ANALYSIS SYNC_ATTR(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
};

#define MUTEX_INIT                        \
	{                                 \
		PTHREAD_MUTEX_INITIALIZER \
	}

void mutex_init(struct mutex *mu);
void mutex_fini(struct mutex *mu);
void mutex_lock(struct mutex *mu) ACQUIRES(mu);
void mutex_unlock(struct mutex *mu) RELEASES(mu);

/* A condition variable on CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *cv);
void cond_fini(struct cond *cv);
void cond_signal(struct cond *cv);
void cond_broadcast(struct cond *cv);
void cond_wait(struct cond *cv, struct mutex *mu) REQUIRES(mu);
/* Until deadline_ms of now_ms(). Returns 0, or -ETIMEDOUT. */
int cond_wait_until(struct cond *cv, struct mutex *mu, int64_t deadline_ms)
    REQUIRES(mu);

/* CLOCK_MONOTONIC in milliseconds: for every deadline and interval. */
int64_t now_ms(void);

/*
 * At most max things that take each descriptors, so that with RLIMIT_NOFILE
 * as it is those of one kind leave room for all others.
 */
unsigned descriptor_share(unsigned max, unsigned each);

/*
 * What every thread calls before anything else, with its name and the name of
 * the thread that started it ("": main). Set once, before the first thread.
 */
void thread_on_start(void (*begin)(const char *name, const char *by));

/*
 * Starts a joinable thread with a small stack (SYNC_STACK_BYTES), all signals
 * blocked, named name (15 characters at most). Returns 0 or -errno.
 */
#define SYNC_STACK_BYTES (256 * 1024)
#define SYNC_NAME_MAX    16 /* pthread_setname_np(3), with the NUL */
int thread_start(
    pthread_t *ret, const char *name, void *(*run)(void *), void *arg);

#endif
