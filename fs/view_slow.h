/*
 * One thread for the calls of the view that may wait for the disk (fsync,
 * fallocate, copies), so that no FUSE worker does. Jobs run in order. Each is a
 * request that the kernel is waiting on, so the kernel bounds their number.
 */
#ifndef VIEW_SLOW_H
#define VIEW_SLOW_H

struct view_slow;

/* Embedded in a job of the caller's. */
struct view_job {
	void (*run)(struct view_job *job); /* answers, and frees */
	struct view_job *next;
};

/* The thread starts with the first job, so this may come before a fork(). */
int view_slow_new(struct view_slow **ret);
/* Runs what is queued, then ends. */
void view_slow_free(struct view_slow *s);

/*
 * Takes job. Does not block; where no thread can be started the job is run at
 * once.
 */
void view_slow_push(struct view_slow *s, struct view_job *job);

#endif
