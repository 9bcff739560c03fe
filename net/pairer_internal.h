/*
 * For pairer.c (exchanges) and pairer_dial.c (those that a person began) alone.
 */
#ifndef PAIRER_INTERNAL_H
#define PAIRER_INTERNAL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "guess.h"
#include "pair_code.h"
#include "pairer.h"
#include "pairing.h"
#include "sync.h"

/* An exchange under way, on its thread's stack. */
struct exchange {
	LIST_ENTRY(exchange) entry;
	bool listed;
	struct conn *conn;
	enum handshake_role role;
	enum pairing_kind kind;
	struct pairing *pairing;
	int64_t deadline_ms;
	int wake_fd;
	uint64_t code; /* pair_code's number, at the responder */
	/* The responder has said its last word: nothing of it is under way on
	 * the connection any more. */
	bool over;
};
LIST_HEAD(exchange_list, exchange);

struct attempt;
LIST_HEAD(attempt_list, attempt);

struct pairer {
	struct pairer_config config;
	struct pair_code *code;
	struct guess *guess; /* NULL: in no group */
	struct mutex lock;
	struct cond looked;
	bool looking GUARDED_BY(lock); /* at a step 3 */
	struct exchange_list exchanges GUARDED_BY(lock);
	struct attempt_list attempts GUARDED_BY(lock);
	unsigned n_attempts GUARDED_BY(lock); /* that run */
	uint64_t last_serial GUARDED_BY(lock);
	bool stopping GUARDED_BY(lock);
};

/* --- pairer.c -------------------------------------------------------------
 *
 * All of it as the initiator, x's first fields (conn, kind, deadline_ms and
 * wake_fd) being set: 0 (proven and pinned as name), the errno of UNPAIRED,
 * -EKEYREJECTED, -EBUSY (one that goes first is under way) or -EAGAIN (no guess
 * may be made now), both before anything is sent, -ECANCELED, -ETIMEDOUT,
 * -ECONNRESET, ...
 */
int pairer_initiate(struct pairer *p, struct exchange *x, const char *secret,
    size_t secret_len, const char *name);

/* --- pairer_dial.c --------------------------------------------------------
 */
void pairer_stop_attempts(struct pairer *p);

#endif
