/*
 * Moments at which something is to be done unless it has been called off: one
 * thread, "deadline", for all of them, started when the first one is set.
 */
#ifndef DEADLINE_H
#define DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Embedded by the caller, zeroed at first but for passed, and kept alive while
 * it is set. passed is called with no lock held, in the thread; it may set the
 * deadline again, or free it.
 */
struct deadline {
	void (*passed)(struct deadline *d);
	/* The rest belongs to deadline.c. */
	TAILQ_ENTRY(deadline) entry;
	int64_t at_ms;
	bool is_set;
};

struct deadlines;

/* NULL: out of memory. */
struct deadlines *deadlines_new(void);
/* Ends the thread; those that are still set are not called. NULL is fine. */
void deadlines_free(struct deadlines *t);

/* At at_ms of now_ms(), whatever it was set to before. 0 or -errno: there is no
 * thread, and it is not set. */
int deadline_set(struct deadlines *t, struct deadline *d, int64_t at_ms);

/* True: it was set, and passed will not be called. */
bool deadline_clear(struct deadlines *t, struct deadline *d);

#endif
