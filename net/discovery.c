/*
 * The discovery thread: one client of the avahi daemon at a time, made anew
 * with back-off whenever it fails, because the daemon's death (and D-Bus's) is
 * a normal event. What the client serves is in net/discovery_announce (our own
 * service) and net/discovery_browse (those of others).
 *
 * Everything of avahi belongs to that thread. Other threads set a flag under
 * the lock and write to wake_fd. Requests to the daemon wait for its answer, 25
 * seconds at worst (libdbus), which is why discovery_stop cuts the connection
 * if the thread does not end by itself.
 */
#include "discovery.h"

#include <avahi-client/client.h>
#include <avahi-common/error.h>
#include <avahi-common/simple-watch.h>
#include <avahi-common/watch.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "discovery_announce.h"
#include "discovery_browse.h"
#include "hint.h"
#include "sync.h"

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000

/* discovery_stop: how long the goodbye, then the cut connection, may take. */
#define STOP_PATIENCE_MS 600
#define STOP_CUT_MS      300

#define WHY_MAX          160
#define WHY_NO_DAEMON                                                      \
	"The avahi daemon is not running: start it with 'systemctl start " \
	"avahi-daemon', or name peers with --peer."
#define WHY_NO_BUS                                                          \
	"The avahi daemon cannot be reached because D-Bus is not running: " \
	"start dbus and avahi-daemon, or name peers with --peer."

struct discovery {
	struct mutex lock;
	struct cond ended_cv;
	bool stop GUARDED_BY(lock);
	bool burst GUARDED_BY(lock);
	bool ended GUARDED_BY(lock);
	bool abandoned GUARDED_BY(lock); /* the thread frees it all */
	int bus_fd GUARDED_BY(lock); /* the client's socket, dup'ed; 0: none */
	int wake_fd;                 /* an eventfd */
	pthread_t thread;

	/* The rest belongs to the discovery thread. */
	const struct discovery_events *events;
	void *ctx;
	struct announce announce;
	struct browse *browse;
	AvahiSimplePoll *loop;
	AvahiPoll api; /* the loop's, with watch_new replaced */
	const AvahiPoll *loop_api;
	AvahiWatch *wake_watch;
	AvahiClient *client;
	AvahiClientState client_state; /* as the callback last said */
	bool host_changed;             /* its host name was not settled */
	bool running;                  /* browse has the client */
	int client_error;
	int64_t backoff_ms;
	int64_t running_since_ms;
	enum discovery_state state;
	char why[WHY_MAX];
};

static void discovery_free(struct discovery *d)
{
	browse_free(d->browse);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	cond_fini(&d->ended_cv);
	mutex_fini(&d->lock);
	free(d);
}

static bool stopping(struct discovery *d)
{
	bool stop;

	mutex_lock(&d->lock);
	stop = d->stop;
	mutex_unlock(&d->lock);
	return stop;
}

/* What net/discovery_browse tells passes through here until discovery_stop. */

static void on_found(void *ctx, const struct discovery_hint *hint)
{
	struct discovery *d = ctx;

	if (!stopping(d))
		d->events->found(d->ctx, hint);
}

static void on_lost(void *ctx, const char *id)
{
	struct discovery *d = ctx;

	if (!stopping(d))
		d->events->lost(d->ctx, id);
}

static const struct discovery_events browse_events = {
	.found = on_found,
	.lost = on_lost,
};

/* why: "" unless failed. */
static void state_set(
    struct discovery *d, enum discovery_state state, const char *why)
{
	if (d->state == state && strcmp(d->why, why) == 0)
		return;
	d->state = state;
	snprintf(d->why, sizeof(d->why), "%s", why);
	if (!stopping(d))
		d->events->state(d->ctx, state, why[0] ? d->why : NULL);
}

static void state_set_failed(struct discovery *d, int avahi_error)
{
	char why[WHY_MAX];

	switch (avahi_error) {
	case AVAHI_ERR_NO_DAEMON:
	case AVAHI_ERR_DISCONNECTED:
		state_set(d, DISCOVERY_FAILED, WHY_NO_DAEMON);
		break;
	case AVAHI_ERR_DBUS_ERROR:
		state_set(d, DISCOVERY_FAILED, WHY_NO_BUS);
		break;
	default:
		snprintf(why, sizeof(why),
		    "The avahi daemon does not do its work (%s): see its log, "
		    "or name peers with --peer.",
		    avahi_strerror(avahi_error));
		state_set(d, DISCOVERY_FAILED, why);
		break;
	}
}

/* The loop */

/*
 * libdbus has no way to end a call that waits for a frozen daemon, but it
 * watches its socket through our poll API: so the socket is known here, and
 * shutting it down from another thread ends the call.
 */
static AvahiWatch *watch_new(const AvahiPoll *api, int fd,
    AvahiWatchEvent event, AvahiWatchCallback callback, void *ctx)
{
	struct discovery *d =
	    (struct discovery *)((char *)(uintptr_t)api -
				 offsetof(struct discovery, api));
	int copy;

	mutex_lock(&d->lock);
	if (d->bus_fd == 0 && fd != d->wake_fd) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (copy >= 0)
			d->bus_fd = copy;
		if (d->stop)
			shutdown(fd, SHUT_RDWR);
	}
	mutex_unlock(&d->lock);
	return d->loop_api->watch_new(api, fd, event, callback, ctx);
}

static void wake_drain(struct discovery *d)
{
	uint64_t n;

	if (read(d->wake_fd, &n, sizeof(n)) < 0)
		assert(errno == EAGAIN);
}

static void on_wake(AvahiWatch *w, int fd, AvahiWatchEvent event, void *ctx)
{
	wake_drain(ctx);
}

static void on_client(AvahiClient *client, AvahiClientState state, void *ctx)
{
	struct discovery *d = ctx;

	d->client_state = state;
	if (state == AVAHI_CLIENT_S_REGISTERING ||
	    state == AVAHI_CLIENT_S_COLLISION)
		d->host_changed = true;
	if (state == AVAHI_CLIENT_FAILURE)
		d->client_error = avahi_client_errno(client);
}

static void client_close(struct discovery *d)
{
	int fd;

	announce_detach(&d->announce);
	browse_detach(d->browse);
	d->running = false;
	if (d->client)
		avahi_client_free(d->client);
	d->client = NULL;
	mutex_lock(&d->lock);
	fd = d->bus_fd;
	d->bus_fd = 0;
	mutex_unlock(&d->lock);
	if (fd > 0)
		close(fd);
	if (d->wake_watch)
		d->api.watch_free(d->wake_watch);
	d->wake_watch = NULL;
	if (d->loop)
		avahi_simple_poll_free(d->loop);
	d->loop = NULL;
}

/* Returns 0 or an AVAHI_ERR_*, with everything closed. */
static int client_open(struct discovery *d)
{
	int error = AVAHI_ERR_NO_MEMORY;

	d->client_state = AVAHI_CLIENT_CONNECTING;
	d->client_error = 0;
	d->loop = avahi_simple_poll_new();
	if (!d->loop)
		goto failed;
	d->loop_api = avahi_simple_poll_get(d->loop);
	d->api = *d->loop_api;
	d->api.watch_new = watch_new;
	d->wake_watch =
	    d->api.watch_new(&d->api, d->wake_fd, AVAHI_WATCH_IN, on_wake, d);
	if (!d->wake_watch)
		goto failed;
	d->client = avahi_client_new(
	    &d->api, AVAHI_CLIENT_NO_FAIL, on_client, d, &error);
	if (!d->client) {
		/* NO_FAIL waits for the daemon, so what is missing is D-Bus. */
		if (error == AVAHI_ERR_NO_DAEMON)
			error = AVAHI_ERR_DBUS_ERROR;
		goto failed;
	}
	return 0;

failed:
	client_close(d);
	return error;
}

/* Follows what the daemon last said of itself. Returns 0 or an AVAHI_ERR_*. */
static int client_follow(struct discovery *d)
{
	if (d->host_changed && d->announce.wanted)
		announce_unwanted(&d->announce);
	d->host_changed = false;
	switch (d->client_state) {
	case AVAHI_CLIENT_S_RUNNING:
		if (!d->announce.wanted)
			announce_wanted(&d->announce);
		if (d->running)
			return 0;
		if (browse_attach(d->browse, d->client))
			return avahi_client_errno(d->client);
		d->running = true;
		d->running_since_ms = now_ms();
		state_set(d, DISCOVERY_RUNNING, "");
		return 0;
	case AVAHI_CLIENT_S_REGISTERING:
	case AVAHI_CLIENT_S_COLLISION: return 0;
	case AVAHI_CLIENT_CONNECTING:
		state_set_failed(d, AVAHI_ERR_NO_DAEMON);
		return 0;
	case AVAHI_CLIENT_FAILURE:
	default: return d->client_error ? d->client_error : AVAHI_ERR_FAILURE;
	}
}

/* The thread */

static int timeout_until(int64_t due)
{
	int64_t left;

	if (due == INT64_MAX)
		return -1;
	left = due - now_ms();
	if (left < 0)
		return 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

static void burst_take(struct discovery *d)
{
	bool burst;

	mutex_lock(&d->lock);
	burst = d->burst;
	d->burst = false;
	mutex_unlock(&d->lock);
	if (burst)
		browse_burst(d->browse);
}

/* Serves one client until discovery_stop (0) or an AVAHI_ERR_*. */
static int client_serve(struct discovery *d)
{
	int64_t due, browse_at;
	int r;

	while (!stopping(d)) {
		r = client_follow(d);
		if (r)
			return r;
		due = INT64_MAX;
		if (d->running) {
			burst_take(d);
			if (announce_run(&d->announce, d->client, now_ms()) ||
			    browse_run(d->browse, now_ms()))
				return avahi_client_errno(d->client);
			due = announce_due(&d->announce);
			browse_at = browse_due(d->browse);
			if (browse_at < due)
				due = browse_at;
		}
		if (avahi_simple_poll_iterate(d->loop, timeout_until(due)) < 0)
			return AVAHI_ERR_FAILURE;
	}
	return 0;
}

/* Waits before the next client. */
static void back_off(struct discovery *d)
{
	struct pollfd pfd = { .fd = d->wake_fd, .events = POLLIN };
	int64_t until = now_ms() + d->backoff_ms;

	while (!stopping(d) && now_ms() < until) {
		if (poll(&pfd, 1, timeout_until(until)) > 0)
			wake_drain(d);
	}
	d->backoff_ms *= 2;
	if (d->backoff_ms > BACKOFF_MAX_MS)
		d->backoff_ms = BACKOFF_MAX_MS;
}

static void *discovery_run(void *arg)
{
	struct discovery *d = arg;
	bool abandoned;
	int r;

	while (!stopping(d)) {
		r = client_open(d);
		if (r == 0)
			r = client_serve(d);
		if (stopping(d))
			break;
		if (d->running &&
		    now_ms() >= d->running_since_ms + BACKOFF_MAX_MS)
			d->backoff_ms = BACKOFF_MIN_MS;
		client_close(d);
		state_set_failed(d, r);
		back_off(d);
	}
	announce_withdraw(&d->announce);
	client_close(d);

	mutex_lock(&d->lock);
	d->ended = true;
	abandoned = d->abandoned;
	cond_signal(&d->ended_cv);
	mutex_unlock(&d->lock);
	if (abandoned)
		discovery_free(d);
	return NULL;
}

/* From other threads */

static void wake(struct discovery *d)
{
	const uint64_t one = 1;

	/* Full (EAGAIN) is as good: the thread will wake. */
	if (write(d->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

int discovery_start(const struct discovery_config *config,
    const struct discovery_events *events, void *ctx, struct discovery **ret)
{
	struct discovery *d;
	int r;

	assert(hint_id_valid(config->id, strlen(config->id)));
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	mutex_init(&d->lock);
	cond_init(&d->ended_cv);
	d->events = events;
	d->ctx = ctx;
	d->backoff_ms = BACKOFF_MIN_MS;
	announce_init(&d->announce, config);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0) {
		r = -errno;
		goto failed;
	}
	d->browse = browse_new(config->id, &browse_events, d);
	if (!d->browse) {
		r = -ENOMEM;
		goto failed;
	}
	r = thread_start(&d->thread, "discovery", discovery_run, d);
	if (r)
		goto failed;
	*ret = d;
	return 0;

failed:
	discovery_free(d);
	return r;
}

void discovery_burst(struct discovery *d)
{
	mutex_lock(&d->lock);
	d->burst = true;
	mutex_unlock(&d->lock);
	wake(d);
}

static bool ended_within_locked(struct discovery *d, int64_t ms)
    REQUIRES(d->lock)
{
	int64_t deadline = now_ms() + ms;

	while (
	    !d->ended && cond_wait_until(&d->ended_cv, &d->lock, deadline) == 0)
		;
	return d->ended;
}

void discovery_stop(struct discovery *d)
{
	pthread_t thread;
	bool ended;

	if (!d)
		return;
	thread = d->thread;
	mutex_lock(&d->lock);
	d->stop = true;
	wake(d);
	ended = ended_within_locked(d, STOP_PATIENCE_MS);
	if (!ended) {
		if (d->bus_fd > 0)
			shutdown(d->bus_fd, SHUT_RDWR);
		ended = ended_within_locked(d, STOP_CUT_MS);
	}
	/*
	 * Still waiting: for a D-Bus daemon that accepts and says nothing,
	 * before there is a socket to cut. The thread frees d when it wakes.
	 */
	if (!ended) {
		d->abandoned = true;
		pthread_detach(thread);
	}
	mutex_unlock(&d->lock);
	if (ended) {
		pthread_join(thread, NULL);
		discovery_free(d);
	}
}
