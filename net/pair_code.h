/*
 * The one-time code of `gtfs pair`: one at a time, good for PAIR_CODE_MS and
 * PAIR_CODE_GUESSES guesses, and for one machine.
 *
 * A guess is counted before anybody looks at it, over all connections, and one
 * is looked at at a time. Any number of exchanges may be under way, each of
 * them with one guess (the caller's to see to): who begins one costs nobody
 * anything.
 *
 * Any thread; the lock is a leaf, nothing blocks. Times are now_ms(), given by
 * the caller.
 */
#ifndef PAIR_CODE_H
#define PAIR_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "words.h"

enum { PAIR_CODE_MS = 600 * 1000, PAIR_CODE_GUESSES = 3 };

struct pair_code;

/* No code is open yet. NULL: out of memory. */
struct pair_code *pair_code_new(void);
/* Wipes it. NULL is fine. */
void pair_code_free(struct pair_code *c);

/* A new one, in place of the one before: a secret, as words_code() says. */
void pair_code_renew(
    struct pair_code *c, int64_t now, char ret_code[WORDS_CODE_MAX]);

/*
 * An exchange begins. 0 with its code's number and the code (to be wiped), or
 * -EACCES: none is open, or it is expired, locked, or used up.
 */
int pair_code_begin(struct pair_code *c, int64_t now, uint64_t *ret_exchange,
    char ret_code[WORDS_CODE_MAX]);

/*
 * Its guess has come, and counts from now on. 0: look at it, and tell
 * pair_code_looked; -EACCES: another one is looked at, another code has taken
 * the place of its own, or the time is over: it must not be looked at, and has
 * not counted.
 */
int pair_code_guess(struct pair_code *c, int64_t now, uint64_t exchange);

/* What it was. Returns how many guesses the code has left: 0, it is gone. */
unsigned pair_code_looked(struct pair_code *c, uint64_t exchange, bool right);

#endif
