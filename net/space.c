/*
 * The last answer of the sink about its space, under a lock of its own that
 * nobody holds while he asks. Connections ask when they are pinged, in their
 * own threads; the keeper, which has to speak for those that hang in a disk,
 * only looks.
 */
#include "space.h"

#include <stdlib.h>

#include "sync.h"

struct space {
	struct sink *sink;
	struct mutex lock;
	struct sink_space last GUARDED_BY(lock);
};

struct space *space_new(struct sink *sink)
{
	struct space *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->sink = sink;
	mutex_init(&s->lock);
	return s;
}

void space_free(struct space *s)
{
	if (!s)
		return;
	mutex_fini(&s->lock);
	free(s);
}

void space_ask(struct space *s)
{
	struct sink_space now;

	if (s->sink->ops->space(s->sink, &now))
		return; /* the last answer stays */
	mutex_lock(&s->lock);
	s->last = now;
	mutex_unlock(&s->lock);
}

void space_last(struct space *s, struct sink_space *ret)
{
	mutex_lock(&s->lock);
	*ret = s->last;
	mutex_unlock(&s->lock);
}
