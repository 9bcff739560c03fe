/*
 * Names in the inbox. Runs in the threads that receive, through fs/place
 * (files), fs/folders and fs/links; what a name means afterwards is theirs.
 */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "inbox.h"
#include "random.h"

/* Longer, or with a space: not an extension ("Mr. Smith goes home"). */
#define EXTENSION_MAX 32
/* After the numbers in order: some of ten digits. */
#define RANDOM_TRIES 4
#define RANDOM_LEAST 0x80000000u

/* Is there anything but dots in the first len bytes? Else: a dot file. */
static bool has_stem(const char *name, size_t len)
{
	return strspn(name, ".") < len;
}

/* The length of name without its extension (with the dot). */
static size_t stem_length(const char *name)
{
	size_t len = strlen(name), stem;
	const char *dot = strrchr(name, '.');

	if (!dot || !dot[1] || strlen(dot) > EXTENSION_MAX || strchr(dot, ' '))
		return len;
	stem = (size_t)(dot - name);
	if (!has_stem(name, stem))
		return len;
	if (stem > 4 && !strncasecmp(name + stem - 4, ".tar", 4) &&
	    has_stem(name, stem - 4))
		stem -= 4;
	return stem;
}

/* The most of len bytes, at most max, that do not end inside a character. */
static size_t cut_utf8(const char *s, size_t len, size_t max)
{
	size_t cut = max;

	if (len <= max)
		return len;
	/* A character has at most 3 continuation bytes; else it is not UTF-8.
	 */
	for (int i = 0; i < 3 && cut && ((uint8_t)s[cut] & 0xc0) == 0x80; i++)
		cut--;
	return ((uint8_t)s[cut] & 0xc0) == 0x80 ? max : cut;
}

void publish_candidate(const char *want, enum publish_kind kind, unsigned n,
    char ret[WIRE_NAME_MAX + 1])
{
	char number[16];
	size_t len = strlen(want), stem = len;
	int digits;

	if (n <= 1) {
		snprintf(ret, WIRE_NAME_MAX + 1, "%s", want);
		return;
	}
	if (kind == PUBLISH_FILE)
		stem = stem_length(want);
	digits = snprintf(number, sizeof(number), " (%u)", n);
	len = cut_utf8(
	    want, stem, WIRE_NAME_MAX - (size_t)digits - strlen(want + stem));
	snprintf(ret, WIRE_NAME_MAX + 1, "%.*s%s%s", (int)len, want, number,
	    want + stem);
}

int publish_choose(const char *want, enum publish_kind kind, bool top,
    publish_take *take, void *arg, char ret_name[WIRE_NAME_MAX + 1])
{
	char name[WIRE_NAME_MAX + 1];
	unsigned n = 1;
	int r;

	/* The wire has refused these; a slip there must not leave the inbox. */
	if (!wire_name_ok(want, strnlen(want, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	/* If the spool was removed, its name must not become a delivery. */
	if (top && !strcasecmp(want, INBOX_SPOOL_NAME))
		n = 2;
	do {
		publish_candidate(want, kind, n, name);
		r = take(arg, name);
	} while (r == -EEXIST && ++n <= PUBLISH_TRIES_MAX);
	/* So many of that name: the next free one is not worth the wait. */
	for (int i = 0; r == -EEXIST && i < RANDOM_TRIES; i++) {
		random_bytes(&n, sizeof(n));
		publish_candidate(want, kind, n | RANDOM_LEAST, name);
		r = take(arg, name);
	}
	if (!r)
		memcpy(ret_name, name, sizeof(name));
	return r;
}

/*
 * Without RENAME_NOREPLACE (rename(2): EINVAL where the file system has none)
 * link(2), which replaces nothing either. A name in the spool that then cannot
 * be removed is a second link that nobody sees and the next start removes.
 */
int publish_move(int from, const char *from_name, int to, const char *name)
{
	if (!renameat2(from, from_name, to, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(from, from_name, to, name, 0))
		return -errno;
	(void)unlinkat(from, from_name, 0);
	return 0;
}

struct move {
	int from;
	const char *from_name;
	int to;
};

static int take(void *arg, const char *name)
{
	const struct move *m = arg;

	return publish_move(m->from, m->from_name, m->to, name);
}

int publish_file(int from, const char *from_name, int to, bool top,
    const char *want, char ret_name[WIRE_NAME_MAX + 1])
{
	struct move m = { .from = from, .from_name = from_name, .to = to };

	return publish_choose(want, PUBLISH_FILE, top, take, &m, ret_name);
}
