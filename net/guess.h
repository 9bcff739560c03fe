/*
 * Guesses at a group's passphrase: after each wrong one the next has to wait,
 * longer each time, for the address that it came from and, less, for all. A
 * file of the state directory remembers, so that a restart forgives nothing;
 * time does, slowly. What is pinned needs no guess, and so is never kept
 * waiting.
 *
 * Whatever strangers do, GUESS_ALL_MAX guesses are made at once and then one
 * each GUESS_ALL_LEAK_S: 60 an hour, half a million a year, which is nothing
 * against a passphrase that is on no list of common ones.
 *
 * Who was wrong lately, or has a neighbour in an IPv6 network of 64 bits who
 * was, leaves the last places to others. So an honest newcomer does not wait at
 * all while the guessing comes from fewer than GUESS_ALL_MAX - GUESS_ALL_FREE
 * other sources an hour; after more, GUESS_ALL_LEAK_S at most when that ends.
 *
 * Any thread; guess_take and guess_right block on the disk. now_s is time(2),
 * given by the caller.
 */
#ifndef GUESS_H
#define GUESS_H

#include <stdint.h>
#include <sys/socket.h>

enum {
	GUESS_ADDRESSES = 64,  /* remembered; the oldest goes */
	GUESS_FIRST_MS = 1000, /* doubled by each wrong one */
	GUESS_MOST_MS = 3600 * 1000,
	GUESS_LEAK_S = 3600, /* one of an address is forgotten */
	/* And for all of them together: */
	GUESS_ALL_LEAK_S = 60,
	GUESS_ALL_FREE = 16, /* before who was wrong has to wait */
	GUESS_ALL_MAX = 32,  /* before everybody has to */
};

struct guess;

/* state_fd is borrowed, for as long as it lives. A damaged file is set aside
 * and said. 0 or -errno. */
int guess_open(int state_fd, struct guess **ret);
void guess_close(struct guess *g);

/* How long a guess from there has to wait, in ms; 0: it may be made. */
int64_t guess_wait(struct guess *g, const struct sockaddr *from, int64_t now_s);

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
