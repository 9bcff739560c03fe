/*
 * Registers our service. Runs on the discovery thread; avahi's callbacks only
 * note the new state, and announce_run, called from the loop, acts on it,
 * because the first callback comes from inside avahi_entry_group_new. The
 * client, its life and its errors are net/discovery's.
 */
#include "discovery_announce.h"

#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/strlst.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "discovery_browse.h"
#include "escape.h"
#include "hint.h"
#include "log.h"
#include "sync.h"
#include "wire.h"

/*
 * RFC 6762 8.1: after fifteen conflicts within ten seconds, wait five seconds
 * before each further attempt. A host that answers every probe must not keep
 * us and the link busy.
 */
#define COLLISIONS_AT_ONCE  5
#define COLLISION_PAUSE_MS  5000
#define REGISTER_FAILURE_MS 10000

void announce_init(struct announce *a, const struct discovery_config *config)
{
	*a = (struct announce){ .port = config->port };
	/* What others would make of the name when they show it; cut to fit. */
	escape_name(config->name, strlen(config->name), a->name);
	memcpy(a->id, config->id, sizeof(a->id));
}

static void plan(struct announce *a, int64_t delay_ms)
{
	a->pending = true;
	a->due_ms = now_ms() + delay_ms;
}

static void rename_us(struct announce *a)
{
	char *other = avahi_alternative_service_name(a->name);

	if (other && hint_instance_valid(other))
		snprintf(a->name, sizeof(a->name), "%s", other);
	avahi_free(other);
	a->collisions++;
	plan(a, a->collisions < COLLISIONS_AT_ONCE ? 0 : COLLISION_PAUSE_MS);
}

static void on_group(
    AvahiEntryGroup *group, AvahiEntryGroupState state, void *ctx)
{
	struct announce *a = ctx;

	a->state = state;
	if (!a->wanted)
		return;
	if (state == AVAHI_ENTRY_GROUP_ESTABLISHED)
		a->collisions = 0;
	else if (state == AVAHI_ENTRY_GROUP_COLLISION)
		rename_us(a);
	else if (state == AVAHI_ENTRY_GROUP_FAILURE)
		plan(a, REGISTER_FAILURE_MS);
}

/* Fills the group and commits it. Returns 0 or an AVAHI_ERR_*. */
static int fill(struct announce *a)
{
	AvahiStringList *txt = NULL;
	int r;

	txt = avahi_string_list_add_printf(txt, "v=%d", WIRE_MAJOR);
	txt = avahi_string_list_add_printf(txt, "id=%s", a->id);
	r = avahi_entry_group_add_service_strlst(a->group, AVAHI_IF_UNSPEC,
	    AVAHI_PROTO_UNSPEC, 0, a->name, DISCOVERY_SERVICE_TYPE, NULL, NULL,
	    a->port, txt);
	avahi_string_list_free(txt);
	if (r)
		return r;
	r = avahi_entry_group_add_service_subtype(a->group, AVAHI_IF_UNSPEC,
	    AVAHI_PROTO_UNSPEC, 0, a->name, DISCOVERY_SERVICE_TYPE, NULL,
	    DISCOVERY_SERVICE_SUBTYPE);
	if (r)
		return r;
	return avahi_entry_group_commit(a->group);
}

int announce_run(struct announce *a, AvahiClient *client, int64_t now)
{
	int r;

	if (!a->pending || now < a->due_ms)
		return 0;
	a->pending = false;
	if (!a->group)
		a->group = avahi_entry_group_new(client, on_group, a);
	if (!a->group)
		r = avahi_client_errno(client);
	else
		r = avahi_entry_group_reset(a->group);
	if (r == 0)
		r = fill(a);
	/* Another service of this very daemon may have the name: no probe. */
	if (r == AVAHI_ERR_COLLISION) {
		rename_us(a);
	} else if (browse_error_is_fatal(r)) {
		return -EIO;
	} else if (r) {
		log_warning("this machine is not announced: avahi says: %s",
		    avahi_strerror(r));
		plan(a, REGISTER_FAILURE_MS);
	}
	return 0;
}

int64_t announce_due(const struct announce *a)
{
	return a->pending ? a->due_ms : INT64_MAX;
}

void announce_wanted(struct announce *a)
{
	a->wanted = true;
	plan(a, 0);
}

void announce_unwanted(struct announce *a)
{
	a->wanted = false;
	a->pending = false;
	if (a->group)
		avahi_entry_group_reset(a->group);
}

void announce_withdraw(struct announce *a)
{
	if (a->group)
		avahi_entry_group_free(a->group);
	announce_detach(a);
}

void announce_detach(struct announce *a)
{
	a->group = NULL;
	a->wanted = false;
	a->pending = false;
}
