/*
 * Guesses at a group's passphrase: after each wrong one the next has to wait,
 * longer each time, for the address that it came from and, less, for all. A
 * file of the state directory remembers, so that a restart forgives nothing.
 * What is pinned needs no guess, and so is never kept waiting.
 *
 * Any thread; guess_take and guess_right block on the disk. now_s is time(2),
 * given by the caller.
 */
#ifndef GUESS_H
#define GUESS_H

#include <stdint.h>
#include <sys/socket.h>

enum {
	GUESS_ADDRESSES = 64,        /* remembered; the oldest goes */
	GUESS_FIRST_MS = 1000,       /* doubled by each wrong one */
	GUESS_MOST_MS = 3600 * 1000, /* and for all of them together: */
	GUESS_ALL_FREE = 16,         /* wrong ones before all have to wait */
	GUESS_ALL_MOST_MS = 60 * 1000,
};

struct guess;

/* state_fd is borrowed, for as long as it lives. A damaged file is set aside
 * and said. 0 or -errno. */
int guess_open(int state_fd, struct guess **ret);
void guess_close(struct guess *g);

/*
 * How long a guess from there has to wait, in ms; 0: it may be made, whatever
 * becomes of so many others that are about to be made from elsewhere.
 */
int64_t guess_wait(struct guess *g, const struct sockaddr *from,
    unsigned others, int64_t now_s);

/*
 * One is about to be made, and counts as wrong from now on, so that those that
 * are made at the same time wait for each other. Durable on return: 0; -EAGAIN:
 * it has to wait, and has not counted; or -errno: it counts, and is not to be
 * made.
 */
int guess_take(struct guess *g, const struct sockaddr *from, int64_t now_s);
/* What was taken was right: the address starts anew, as if it had never been
 * wrong. 0 or -errno. */
int guess_right(struct guess *g, const struct sockaddr *from);

#endif
