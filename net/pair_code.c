/*
 * A code, its end, and what is left of it. An exchange bears the number of the
 * code that was there when it began.
 */
#include "pair_code.h"

#include <errno.h>
#include <string.h>

#include "locked.h"
#include "sync.h"

struct pair_code {
	struct mutex lock;
	char code[WORDS_CODE_MAX] GUARDED_BY(lock); /* empty: none is open */
	int64_t end_ms GUARDED_BY(lock);
	unsigned guesses GUARDED_BY(lock); /* left */
	bool looking GUARDED_BY(lock);     /* at a guess, now */
	uint64_t number GUARDED_BY(lock);  /* of the code */
};

struct pair_code *pair_code_new(void)
{
	struct pair_code *c = locked_alloc(sizeof(*c));

	if (c)
		mutex_init(&c->lock);
	return c;
}

void pair_code_free(struct pair_code *c)
{
	if (!c)
		return;
	mutex_fini(&c->lock);
	locked_free(c, sizeof(*c));
}

static void close_locked(struct pair_code *c) REQUIRES(c->lock)
{
	explicit_bzero(c->code, sizeof(c->code));
	c->guesses = 0;
	c->looking = false;
	c->number++;
}

static bool open_locked(struct pair_code *c, int64_t now) REQUIRES(c->lock)
{
	if (c->guesses && now >= c->end_ms)
		close_locked(c);
	return c->guesses && !c->looking;
}

void pair_code_renew(
    struct pair_code *c, int64_t now, char ret_code[WORDS_CODE_MAX])
{
	mutex_lock(&c->lock);
	close_locked(c);
	words_code(c->code);
	c->end_ms = now + PAIR_CODE_MS;
	c->guesses = PAIR_CODE_GUESSES;
	memcpy(ret_code, c->code, sizeof(c->code));
	mutex_unlock(&c->lock);
}

int pair_code_begin(struct pair_code *c, int64_t now, uint64_t *ret_exchange,
    char ret_code[WORDS_CODE_MAX])
{
	int r = -EACCES;

	mutex_lock(&c->lock);
	if (open_locked(c, now)) {
		*ret_exchange = c->number;
		memcpy(ret_code, c->code, sizeof(c->code));
		r = 0;
	}
	mutex_unlock(&c->lock);
	return r;
}

int pair_code_guess(struct pair_code *c, int64_t now, uint64_t exchange)
{
	int r = -EACCES;

	mutex_lock(&c->lock);
	if (open_locked(c, now) && exchange == c->number) {
		c->guesses--;
		c->looking = true;
		r = 0;
	}
	mutex_unlock(&c->lock);
	return r;
}

unsigned pair_code_looked(struct pair_code *c, uint64_t exchange, bool right)
{
	unsigned left;

	mutex_lock(&c->lock);
	if (exchange == c->number) {
		c->looking = false;
		if (right || !c->guesses)
			close_locked(c);
	}
	left = c->guesses;
	mutex_unlock(&c->lock);
	return left;
}
