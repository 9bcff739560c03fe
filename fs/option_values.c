/*
 * The values of options: each parser complains once, on stderr, with what can
 * be done. Runs on the main thread, before anything else.
 */
#include "option_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "complain.h"
#include "escape.h"

#define PATIENCE_MAX 86400 /* a day, in seconds */
/* The program that asks is hung for as long. */
#define ASK_MAX  600
#define HOST_MAX 253 /* RFC 1035 2.3.4, as text */
/* Peers dial no port below it: those are other services'. */
#define PORT_LEAST 1024

static int out_of_memory(void)
{
	complain("out of memory");
	return -ENOMEM;
}

/* Replaces *to by a copy of value. */
static int set_string(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return out_of_memory();
	free(*to);
	*to = copy;
	return 0;
}

/* Takes from into *to without "//", "/./" and a '/' at the end. */
static void squeeze(const char *from, char *to)
{
	size_t len;
	char *at = to;

	while (*from) {
		from += strspn(from, "/");
		len = strcspn(from, "/");
		if (len > 0 && !(len == 1 && from[0] == '.')) {
			*at++ = '/';
			memmove(at, from, len);
			at += len;
		}
		from += len;
	}
	if (at == to)
		*at++ = '/';
	*at = '\0';
}

int option_path(const char *what, const char *path, char **ret)
{
	char *cwd = NULL, *joined;
	size_t len;

	if (path[0] == '\0') {
		complain("%s: a folder is missing", what);
		return -EINVAL;
	}
	if (path[0] == '~' && (path[1] == '/' || path[1] == '\0')) {
		complain("%s: the shell left '~' as it is; "
			 "write $HOME%s",
		    what, path + 1);
		return -EINVAL;
	}
	if (path[0] != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd) {
			complain("%s: %s is relative, and the current "
				 "folder has no path; write it in full",
			    what, path);
			return -EINVAL;
		}
	}
	len = (cwd ? strlen(cwd) : 0) + 1 + strlen(path) + 1;
	joined = malloc(len + 1);
	if (!joined) {
		free(cwd);
		return out_of_memory();
	}
	strcpy(joined, cwd ? cwd : "");
	strcat(joined, "/");
	strcat(joined, path);
	free(cwd);
	squeeze(joined, joined);
	*ret = joined;
	return 0;
}

static int set_path(char **to, const char *what, const char *value)
{
	char *path;
	int r = option_path(what, value, &path);

	if (r == 0) {
		free(*to);
		*to = path;
	}
	return r;
}

static int set_inbox(struct options *o, const char *what, const char *value)
{
	return set_path(&o->inbox, what, value);
}

static int set_state(struct options *o, const char *what, const char *value)
{
	return set_path(&o->state, what, value);
}

/* Names are folders and lines on screens of others: only safe ones. */
static int check_name(const char *what, const char *name)
{
	char safe[WIRE_PEER_NAME_MAX + 1];

	escape_name(name, strlen(name), safe);
	if (strcmp(safe, name) == 0)
		return 0;
	complain("%s: no name for a machine (1 to %d bytes, no '/', "
		 "no control characters, no '.' or '-' in front); '%s' would "
		 "do",
	    what, WIRE_PEER_NAME_MAX, safe);
	return -EINVAL;
}

static int set_name(struct options *o, const char *what, const char *value)
{
	int r = check_name(what, value);

	return r ? r : set_string(&o->name, value);
}

/* Digits only. */
static int parse_number(const char *text, unsigned max, unsigned *ret)
{
	size_t len = strlen(text);
	unsigned n = 0;

	if (len == 0 || len > 6 || strspn(text, "0123456789") != len)
		return -EINVAL;
	for (; *text; text++)
		n = n * 10 + (unsigned)(*text - '0');
	if (n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int set_listen(struct options *o, const char *what, const char *value)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	const char *colon = strrchr(value, ':');
	unsigned port = 0;
	char *host;
	int r;

	r = parse_number(colon ? colon + 1 : value, UINT16_MAX, &port);
	if (r == 0 && colon) {
		host = strndup(value, (size_t)(colon - value));
		if (!host)
			return out_of_memory();
		/* Without brackets the end of an address may look like one. */
		if (host[0] != '[' && strchr(host, ':'))
			r = -EINVAL;
		else
			r = address_parse(host, OPTIONS_PORT, &address);
		free(host);
	}
	if (r) {
		complain("%s: '%s' is no [ADDR:]PORT of this machine; "
			 "for example %d, 10.0.0.7:%d or [::1]:%d",
		    what, value, OPTIONS_PORT, OPTIONS_PORT, OPTIONS_PORT);
		return -EINVAL;
	}
	if (port > 0 && port < PORT_LEAST) {
		complain("%s: other machines look for gtfs at no port "
			 "below %d; take a higher one",
		    what, PORT_LEAST);
		return -EINVAL;
	}
	address_set_port((struct sockaddr *)&address, 0);
	o->listen_address = address;
	o->listen_port = (uint16_t)port;
	o->listen_given = true;
	return 0;
}

/* One of two words. */
static int choose(const char *what, const char *value, const char *yes,
    const char *no, bool *ret)
{
	if (strcmp(value, yes) && strcmp(value, no)) {
		complain("%s: '%s' is not known; write %s or %s", what, value,
		    yes, no);
		return -EINVAL;
	}
	*ret = strcmp(value, yes) == 0;
	return 0;
}

static int set_discovery(struct options *o, const char *what, const char *value)
{
	return choose(what, value, "avahi", "off", &o->discovery);
}

static int set_ack(struct options *o, const char *what, const char *value)
{
	return choose(what, value, "durable", "received", &o->durable);
}

static int set_accept(struct options *o, const char *what, const char *value)
{
	if (!strcmp(value, "ask"))
		o->accept = TRUST_ASKED;
	else if (!strcmp(value, "known"))
		o->accept = TRUST_KNOWN;
	else if (!strcmp(value, "lan"))
		o->accept = TRUST_LAN;
	else {
		complain("%s: '%s' is not known; write ask, known or lan", what,
		    value);
		return -EINVAL;
	}
	return 0;
}

static int set_seconds(const char *what, const char *value, unsigned least,
    unsigned most, unsigned *ret)
{
	unsigned n;

	if (parse_number(value, most, &n) == 0 && n >= least) {
		*ret = n;
		return 0;
	}
	complain("%s: '%s' is no number of seconds from %u to %u", what, value,
	    least, most);
	return -EINVAL;
}

static int set_group(struct options *o, const char *what, const char *value)
{
	return set_path(&o->group, what, value);
}

static int set_patience(struct options *o, const char *what, const char *value)
{
	return set_seconds(what, value, 0, PATIENCE_MAX, &o->patience_s);
}

static int set_ask_timeout(
    struct options *o, const char *what, const char *value)
{
	return set_seconds(what, value, 1, ASK_MAX, &o->ask_timeout_s);
}

/*
 * HOST, HOST:PORT, [IPV6]:PORT, or a bare IPv6 address. *ret_len of text are
 * the host, from *ret_host on.
 */
static int split_host(const char *text, const char **ret_host, size_t *ret_len,
    unsigned *ret_port)
{
	const char *colon = strchr(text, ':'), *end;
	size_t len = strlen(text);

	*ret_host = text;
	*ret_port = OPTIONS_PORT;
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*ret_host = text + 1;
		len = (size_t)(end - *ret_host);
		colon = end[1] ? end + 1 : NULL;
	} else if (colon && strchr(colon + 1, ':')) {
		colon = NULL; /* all of it is an address */
	} else if (colon) {
		len = (size_t)(colon - text);
	}
	*ret_len = len;
	if (len == 0 || len > HOST_MAX || strcspn(*ret_host, " \t\n/") < len)
		return -EINVAL;
	if (colon &&
	    (parse_number(colon + 1, UINT16_MAX, ret_port) || *ret_port == 0))
		return -EINVAL;
	return 0;
}

static int add_peer(
    struct options *o, char *name, const char *host, size_t len, unsigned port)
{
	struct options_peer *more;
	char *copy = strndup(host, len);

	more = reallocarray(o->peers, o->n_peers + 1, sizeof(*more));
	if (more)
		o->peers = more;
	if (!more || !copy) {
		free(copy);
		return out_of_memory();
	}
	more[o->n_peers++] = (struct options_peer){
		.name = name,
		.host = copy,
		.port = (uint16_t)port,
	};
	return 0;
}

static int set_peer(struct options *o, const char *what, const char *value)
{
	const char *equals = strchr(value, '='), *host;
	unsigned port;
	char *name;
	size_t len;
	int r;

	if (!equals || split_host(equals + 1, &host, &len, &port)) {
		complain("%s: '%s' is no NAME=HOST[:PORT]; for example "
			 "laptop=10.0.0.7",
		    what, value);
		return -EINVAL;
	}
	name = strndup(value, (size_t)(equals - value));
	if (!name)
		return out_of_memory();
	r = check_name(what, name);
	if (r == 0)
		r = add_peer(o, name, host, len, port);
	if (r)
		free(name);
	return r;
}

const struct option_value option_values[OPTION_VALUES] = {
	{ "name", set_name },
	{ "inbox", set_inbox },
	{ "state", set_state },
	{ "listen", set_listen },
	{ "discovery", set_discovery },
	{ "peer", set_peer },
	{ "accept", set_accept },
	{ "group", set_group },
	{ "ack", set_ack },
	{ "patience", set_patience },
	{ "ask-timeout", set_ask_timeout },
};
