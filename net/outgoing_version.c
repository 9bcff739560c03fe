/*
 * The versions of a file, one after the other: a transfer that continues
 * another one, whose COMMIT is still under way, is queued at the peer when that
 * has ended. Callers of any thread; nothing blocks.
 *
 * A follower counts as a transfer of its peer from the beginning, so that the
 * peer does not leave the table, nor gtfs stop go on, without it. Until it is
 * queued the list of the version before it holds the reference that is the
 * queue's later.
 */
#include <assert.h>

#include "outgoing_internal.h"

int outgoing_follow(struct outgoing *o, struct outgoing *before)
{
	int r = 0;

	mutex_lock(&before->lock);
	assert(before->commit_seq || before->error);
	if (before->state == OUTGOING_FAILED)
		r = o->versioned ? before->error : 1;
	else if (before->state == OUTGOING_PUBLISHED)
		r = 1;
	if (!r) {
		TAILQ_INSERT_TAIL(&before->followers, o, follow);
		o->following = true;
	}
	mutex_unlock(&before->lock);
	return r;
}

void outgoing_unafter(struct outgoing *o)
{
	struct outgoing *before;

	mutex_lock(&o->lock);
	before = o->after;
	o->after = NULL;
	mutex_unlock(&o->lock);
	outgoing_put(before);
}

bool outgoing_unfollow(struct outgoing *o)
{
	struct outgoing *before;
	bool was;

	mutex_lock(&o->lock);
	before = o->after ? outgoing_get(o->after) : NULL;
	mutex_unlock(&o->lock);
	if (!before)
		return false;
	mutex_lock(&before->lock);
	was = o->following;
	if (was)
		TAILQ_REMOVE(&before->followers, o, follow);
	o->following = false;
	mutex_unlock(&before->lock);
	outgoing_put(before);
	if (was)
		outgoing_unafter(o);
	return was;
}

void outgoing_followers_locked(struct outgoing *o, struct outgoing_list *ret)
{
	struct outgoing *f;

	TAILQ_FOREACH(f, &o->followers, follow)
		f->following = false;
	TAILQ_CONCAT(ret, &o->followers, follow);
}

void outgoing_settle(struct outgoing_list *list, int err)
{
	struct outgoing *o;

	/* Those after a follower join the list: no recursion. */
	while ((o = TAILQ_FIRST(list))) {
		bool queued = false;

		TAILQ_REMOVE(list, o, follow);
		outgoing_unafter(o);
		/* It is a version of that one, or goes on without it. */
		if (err && (o->versioned || peers_stopping(o->peer->table))) {
			outgoing_fail_one(o, err, list);
		} else {
			outgoing_get(o);
			peer_enqueue(o->peer, o);
			/* Aborted meanwhile: it need not wait for a link. */
			queued =
			    !outgoing_error(o) || !peer_dequeue(o->peer, o);
			outgoing_put(o);
		}
		if (!queued) {
			peer_transfer_done(o->peer);
			outgoing_put(o);
		}
	}
}
