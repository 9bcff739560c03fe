/*
 * Browses and resolves. Runs on the discovery thread. avahi's callbacks change
 * the table and call found and lost; objects of avahi are made and freed by
 * browse_run and, for a service that has gone, on the spot. The client is
 * net/discovery's; what a record may say is net/hint's.
 */
#include "discovery_browse.h"

#include <avahi-client/lookup.h>
#include <avahi-common/error.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hint.h"
#include "log.h"
#include "sync.h"

/*
 * Anybody can announce any number of instances. The daemon allows a client
 * 1,024 objects (objects-per-client-max); resolvers leave some for the rest.
 */
#define SERVICES_MAX     960
#define PER_INSTANCE_MAX 8

/* Resolvers that time out (after 5 s) are made again after this, doubled. */
#define RESOLVE_RETRY_MIN_MS 1000
#define RESOLVE_RETRY_MAX_MS 64000

/*
 * A resolver whose answer changes is made anew, because avahi 0.8's goes on
 * with the address of the old host when the name is now another host's. Not
 * before records that were replaced have left the daemon's cache (1 s: RFC 6762
 * section 10.2), and not more often than this.
 */
#define RESOLVE_SETTLE_MS 1100
#define RESOLVE_AGAIN_MS  3000

/* A service known from a burst alone is given up after so many in a row. */
#define UNLISTED_FAILURES_MAX 3

/*
 * The daemon asks 0, 1 and 3 s after a question is new, and forgets it at its
 * next turn, 7 s after, if nobody waits for the answer any more.
 */
#define BURST_FIRST_MS 300
#define BURST_LIFE_MS  4000
#define BURST_JOIN_MS  2500 /* until then a wish for a burst has its own */
#define BURST_PAUSE_MS 7500 /* from start to start */

/* After a new client: what is still there has long answered by then. */
#define SWEEP_MS 15000

/* Which browser lists a service. */
enum { LISTED_STANDING = 1, LISTED_BURST = 2 };

struct service {
	struct browse *owner;
	AvahiIfIndex ifindex;
	AvahiProtocol protocol;
	char name[DISCOVERY_INSTANCE_MAX + 1];
	unsigned listed;
	bool stale; /* of an earlier client, not heard since */
	AvahiServiceResolver *resolver;
	int64_t made_ms; /* when the resolver was made */
	bool answered;   /* it has, with what known and hint say */
	bool changed;    /* its answer has changed: make another */
	bool failed;     /* it has given up: free it */
	unsigned failures;
	int64_t resolve_ms; /* without a resolver: when to make one */
	bool known;         /* hint is what was last resolved */
	struct discovery_hint hint;
};

struct browse {
	char own_id[DISCOVERY_ID_CHARS + 1];
	const struct discovery_events *events;
	void *ctx;
	AvahiClient *client; /* NULL: none now */
	AvahiServiceBrowser *standing, *burst;
	bool broken; /* the client is of no use any more */
	bool full_logged;
	bool burst_wanted;
	int64_t burst_due_ms;   /* not before this */
	int64_t burst_start_ms; /* of the last one */
	int64_t sweep_ms;
	size_t count;
	struct service *services[SERVICES_MAX];
};

bool browse_error_is_fatal(int avahi_error)
{
	switch (avahi_error) {
	case AVAHI_ERR_DBUS_ERROR:
	case AVAHI_ERR_DISCONNECTED:
	case AVAHI_ERR_NO_DAEMON:
	case AVAHI_ERR_TIMEOUT:
	case AVAHI_ERR_BAD_STATE: return true;
	default: return false;
	}
}

struct browse *browse_new(
    const char *own_id, const struct discovery_events *events, void *ctx)
{
	struct browse *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	memcpy(b->own_id, own_id, sizeof(b->own_id));
	b->events = events;
	b->ctx = ctx;
	b->sweep_ms = INT64_MAX;
	return b;
}

void browse_free(struct browse *b)
{
	if (!b)
		return;
	browse_detach(b);
	for (size_t i = 0; i < b->count; i++)
		free(b->services[i]);
	free(b);
}

/* The table */

static struct service *service_find(struct browse *b, AvahiIfIndex ifindex,
    AvahiProtocol protocol, const char *name)
{
	for (size_t i = 0; i < b->count; i++) {
		struct service *s = b->services[i];

		if (s->ifindex == ifindex && s->protocol == protocol &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static size_t service_count(const struct browse *b, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += strcmp(b->services[i]->name, name) == 0;
	return n;
}

/* Tells that id has gone, if no service with it is left. */
static void lost_unless_elsewhere(struct browse *b, const char *id)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->services[i]->known &&
		    strcmp(b->services[i]->hint.id, id) == 0)
			return;
	b->events->lost(b->ctx, id);
}

static void service_drop(struct browse *b, struct service *s)
{
	for (size_t i = 0; i < b->count; i++) {
		if (b->services[i] == s) {
			b->services[i] = b->services[--b->count];
			break;
		}
	}
	if (s->resolver)
		avahi_service_resolver_free(s->resolver);
	if (s->known && strcmp(s->hint.id, b->own_id) != 0)
		lost_unless_elsewhere(b, s->hint.id);
	free(s);
}

/*
 * Room for one more instance by that name? When the table is full, one that
 * could not be resolved makes room, so that a flood of names with nothing
 * behind them does not shut out who comes later.
 */
static bool room_for(struct browse *b, const char *name)
{
	if (service_count(b, name) >= PER_INSTANCE_MAX)
		goto full;
	if (b->count < SERVICES_MAX)
		return true;
	for (size_t i = 0; i < b->count; i++) {
		if (!b->services[i]->known && b->services[i]->failures > 0) {
			service_drop(b, b->services[i]);
			return true;
		}
	}
full:
	if (!b->full_logged)
		log_warning("more is announced on the network than is looked "
			    "at: some machines may not be found");
	b->full_logged = true;
	return false;
}

static struct service *service_add(struct browse *b, AvahiIfIndex ifindex,
    AvahiProtocol protocol, const char *name)
{
	struct service *s;

	if (!hint_instance_valid(name) || !room_for(b, name))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->owner = b;
	s->ifindex = ifindex;
	s->protocol = protocol;
	memcpy(s->name, name, strlen(name));
	b->services[b->count++] = s;
	return s;
}

/* Resolving */

static void service_heard(struct service *s, const struct discovery_hint *hint)
{
	struct browse *b = s->owner;
	char before[DISCOVERY_ID_CHARS + 1] = "";

	if (s->known)
		memcpy(before, s->hint.id, sizeof(before));
	s->known = hint != NULL;
	if (hint) {
		s->hint = *hint;
		if (strcmp(hint->id, b->own_id) != 0)
			b->events->found(b->ctx, hint);
	}
	if (before[0] && strcmp(before, b->own_id) != 0 &&
	    (!hint || strcmp(before, hint->id) != 0))
		lost_unless_elsewhere(b, before);
}

/* Returns 0, -EBADMSG or -EADDRNOTAVAIL. */
static int hint_read(const struct service *s, const AvahiAddress *address,
    uint16_t port, AvahiStringList *txt, struct discovery_hint *ret)
{
	struct hint_txt t;
	int r;

	hint_txt_init(&t);
	for (; txt; txt = avahi_string_list_get_next(txt))
		hint_txt_add(&t, avahi_string_list_get_text(txt),
		    avahi_string_list_get_size(txt));
	r = hint_txt_check(&t);
	if (r)
		return r;
	*ret = (struct discovery_hint){ .ifindex = s->ifindex,
		.version = t.version };
	memcpy(ret->instance, s->name, sizeof(ret->instance));
	memcpy(ret->id, t.id, sizeof(ret->id));
	return hint_address(avahi_proto_to_af(address->proto), &address->data,
	    port, s->ifindex, &ret->address);
}

/* Of the same service: do they say the same? */
static bool same(const struct discovery_hint *a, const struct discovery_hint *b)
{
	return a->version == b->version && strcmp(a->id, b->id) == 0 &&
	       memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

static void on_resolved(AvahiServiceResolver *r, AvahiIfIndex ifindex,
    AvahiProtocol protocol, AvahiResolverEvent event, const char *name,
    const char *type, const char *domain, const char *host_name,
    const AvahiAddress *address, uint16_t port, AvahiStringList *txt,
    AvahiLookupResultFlags flags, void *ctx)
{
	struct service *s = ctx;
	struct discovery_hint hint;
	bool good;

	if (event == AVAHI_RESOLVER_FAILURE) {
		s->failed = true;
		return;
	}
	s->failures = 0;
	good = hint_read(s, address, port, txt, &hint) == 0;
	if (!s->answered) {
		s->answered = true;
		service_heard(s, good ? &hint : NULL);
	} else if (good != s->known || (good && !same(&hint, &s->hint))) {
		s->changed = true;
	}
}

static void resolve_later(struct service *s, int64_t now)
{
	unsigned shift = s->failures < 6 ? s->failures : 6;
	int64_t delay = RESOLVE_RETRY_MIN_MS << shift;

	s->failures++;
	s->resolve_ms =
	    now + (delay < RESOLVE_RETRY_MAX_MS ? delay : RESOLVE_RETRY_MAX_MS);
}

static void resolver_end(struct service *s)
{
	if (s->resolver)
		avahi_service_resolver_free(s->resolver);
	s->resolver = NULL;
	s->answered = false;
	s->changed = false;
	s->failed = false;
}

/* One service's turn. May drop it. */
static void service_run(struct browse *b, struct service *s, int64_t now)
{
	if (s->failed) {
		resolver_end(s);
		resolve_later(s, now);
		if (!s->listed && s->failures >= UNLISTED_FAILURES_MAX) {
			service_drop(b, s);
			return;
		}
	}
	if (s->changed) {
		resolver_end(s);
		s->resolve_ms = now + RESOLVE_SETTLE_MS;
		if (s->resolve_ms < s->made_ms + RESOLVE_AGAIN_MS)
			s->resolve_ms = s->made_ms + RESOLVE_AGAIN_MS;
	}
	if (s->resolver || s->stale || now < s->resolve_ms)
		return;
	s->made_ms = now;
	/* Of the address family that it was heard over, not by chance. */
	s->resolver = avahi_service_resolver_new(b->client, s->ifindex,
	    s->protocol, s->name, DISCOVERY_SERVICE_TYPE, NULL, s->protocol, 0,
	    on_resolved, s);
	if (s->resolver)
		return;
	resolve_later(s, now);
	if (browse_error_is_fatal(avahi_client_errno(b->client)))
		b->broken = true;
}

/* Browsing */

static void on_new(struct browse *b, unsigned list, AvahiIfIndex ifindex,
    AvahiProtocol protocol, const char *name)
{
	struct service *s = service_find(b, ifindex, protocol, name);

	if (!s)
		s = service_add(b, ifindex, protocol, name);
	if (!s)
		return;
	s->listed |= list;
	s->stale = false;
	/* Whoever asked for the burst may have given up on it meanwhile. */
	if (list == LISTED_BURST && s->known && s->resolver &&
	    strcmp(s->hint.id, b->own_id) != 0)
		b->events->found(b->ctx, &s->hint);
}

static void on_listed(struct browse *b, unsigned list, AvahiIfIndex ifindex,
    AvahiProtocol protocol, AvahiBrowserEvent event, const char *name)
{
	struct service *s;

	switch (event) {
	case AVAHI_BROWSER_NEW: on_new(b, list, ifindex, protocol, name); break;
	case AVAHI_BROWSER_REMOVE:
		s = service_find(b, ifindex, protocol, name);
		if (!s)
			break;
		s->listed &= ~list;
		if (!s->listed)
			service_drop(b, s);
		break;
	case AVAHI_BROWSER_FAILURE: b->broken = true; break;
	case AVAHI_BROWSER_CACHE_EXHAUSTED:
	case AVAHI_BROWSER_ALL_FOR_NOW: break;
	}
}

static void on_standing(AvahiServiceBrowser *browser, AvahiIfIndex ifindex,
    AvahiProtocol protocol, AvahiBrowserEvent event, const char *name,
    const char *type, const char *domain, AvahiLookupResultFlags flags,
    void *ctx)
{
	on_listed(ctx, LISTED_STANDING, ifindex, protocol, event, name);
}

static void on_burst(AvahiServiceBrowser *browser, AvahiIfIndex ifindex,
    AvahiProtocol protocol, AvahiBrowserEvent event, const char *name,
    const char *type, const char *domain, AvahiLookupResultFlags flags,
    void *ctx)
{
	on_listed(ctx, LISTED_BURST, ifindex, protocol, event, name);
}

static AvahiServiceBrowser *browser_new(
    struct browse *b, const char *type, AvahiServiceBrowserCallback callback)
{
	AvahiServiceBrowser *browser = avahi_service_browser_new(b->client,
	    AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, type, NULL, 0, callback, b);

	if (!browser)
		b->broken = true;
	return browser;
}

int browse_attach(struct browse *b, AvahiClient *client)
{
	int64_t now = now_ms();

	b->client = client;
	b->broken = false;
	b->full_logged = false;
	b->standing = browser_new(b, DISCOVERY_SERVICE_TYPE, on_standing);
	b->burst_wanted = true;
	b->burst_due_ms = now + BURST_FIRST_MS;
	b->burst_start_ms = 0;
	b->sweep_ms = now + SWEEP_MS;
	return b->broken ? -EIO : 0;
}

void browse_detach(struct browse *b)
{
	/* Freed one by one only while the client goes on: it frees the rest. */
	b->client = NULL;
	b->standing = NULL;
	b->burst = NULL;
	b->sweep_ms = INT64_MAX;
	for (size_t i = 0; i < b->count; i++) {
		struct service *s = b->services[i];

		s->resolver = NULL;
		resolver_end(s);
		s->failures = 0;
		s->resolve_ms = 0;
		s->listed = 0;
		s->stale = true;
	}
}

void browse_burst(struct browse *b)
{
	if (!b->burst || now_ms() >= b->burst_start_ms + BURST_JOIN_MS)
		b->burst_wanted = true;
}

/* Ends a burst that is over, begins one that is wanted and due. */
static void burst_run(struct browse *b, int64_t now)
{
	if (b->burst && now >= b->burst_start_ms + BURST_LIFE_MS) {
		avahi_service_browser_free(b->burst);
		b->burst = NULL;
		for (size_t i = 0; i < b->count; i++)
			b->services[i]->listed &= ~(unsigned)LISTED_BURST;
	}
	if (!b->burst && b->burst_wanted && now >= b->burst_due_ms) {
		b->burst_wanted = false;
		b->burst_start_ms = now;
		b->burst_due_ms = now + BURST_PAUSE_MS;
		b->burst = browser_new(b, DISCOVERY_SERVICE_SUBTYPE, on_burst);
	}
}

int browse_run(struct browse *b, int64_t now)
{
	burst_run(b, now);
	if (now >= b->sweep_ms)
		b->sweep_ms = INT64_MAX;
	/* Backwards: a dropped one's place is taken by the last. */
	for (size_t i = b->count; i-- > 0 && !b->broken;) {
		struct service *s = b->services[i];

		if (s->stale && b->sweep_ms == INT64_MAX)
			service_drop(b, s);
		else
			service_run(b, s, now);
	}
	return b->broken ? -EIO : 0;
}

int64_t browse_due(const struct browse *b)
{
	int64_t due = b->sweep_ms;

	if (!b->client)
		return INT64_MAX;
	if (b->burst && b->burst_start_ms + BURST_LIFE_MS < due)
		due = b->burst_start_ms + BURST_LIFE_MS;
	if (!b->burst && b->burst_wanted && b->burst_due_ms < due)
		due = b->burst_due_ms;
	for (size_t i = 0; i < b->count; i++) {
		const struct service *s = b->services[i];

		if (s->failed || s->changed)
			return 0;
		if (!s->resolver && !s->stale && s->resolve_ms < due)
			due = s->resolve_ms;
	}
	return due;
}
