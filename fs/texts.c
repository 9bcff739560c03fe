/*
 * Runs in the threads that serve FUSE; keeps nothing. fs/gather reads what is
 * written here.
 */
#include "texts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "escape.h"
#include "sync.h"
#include "why.h"
#include "words.h"

static const char *const folders[TEXTS_FOLDERS] = { "requests", "why" };

const char *texts_folder_name(unsigned folder)
{
	return folders[folder];
}

static int find_peer(
    const struct ctl_config *c, const char *name, struct peer_info *ret)
{
	struct peer *p = peers_find_name(network_peers(c->network), name);

	if (!p)
		return -ENOENT;
	peer_info(p, ret);
	peer_put(p);
	return 0;
}

int texts_find(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t *ret_serial)
{
	struct consent_question q;
	struct peer_info p;
	int r;

	if (folder == TEXTS_REQUESTS) {
		r = consent_find(network_consent(c->network), name, &q);
		if (!r)
			*ret_serial = q.serial;
		return r;
	}
	r = find_peer(c, name, &p);
	if (!r)
		*ret_serial = p.serial;
	return r;
}

static int each_question(const struct ctl_config *c,
    int (*each)(void *ctx, const char *name), void *ctx)
{
	struct consent_question *all;
	int n = consent_snapshot(network_consent(c->network), &all), r = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n && !r; i++)
		r = each(ctx, all[i].name);
	free(all);
	return r;
}

static int each_peer(const struct ctl_config *c,
    int (*each)(void *ctx, const char *name), void *ctx)
{
	struct peer_info *all;
	int n = peers_snapshot(network_peers(c->network), &all), r = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n && !r; i++)
		r = each(ctx, all[i].name);
	free(all);
	return r;
}

int texts_each(const struct ctl_config *c, unsigned folder,
    int (*each)(void *ctx, const char *name), void *ctx)
{
	return folder == TEXTS_REQUESTS ? each_question(c, each, ctx)
					: each_peer(c, each, ctx);
}

static int64_t seconds(int64_t ms)
{
	return ms > 0 ? ms / 1000 : 0;
}

static void put_question(FILE *out, const struct consent_question *q)
{
	char file[4 * WIRE_NAME_MAX + 1], name[4 * WIRE_PEER_NAME_MAX + 1];
	char words[WORDS_COMPARE_MAX], fingerprint[FINGERPRINT_CHARS];
	char address[ADDRESS_TEXT_MAX];
	int64_t now = now_ms();

	escape_text(q->name, strlen(q->name), name, sizeof(name));
	escape_text(q->file, strlen(q->file), file, sizeof(file));
	identity_fingerprint(q->key, fingerprint);
	words_compare(q->words, words);
	address_format((const void *)&q->address, address);
	fprintf(out, "name: %s\nfingerprint: %s\nwords: %s\nfile: %s\n", name,
	    fingerprint, words, file);
	if (q->size == WIRE_SIZE_UNKNOWN)
		fputs("size: -\n", out);
	else
		fprintf(out, "size: %" PRIu64 "\n", q->size);
	fprintf(out, "address: %s\nasked: %" PRId64 "\nexpires: %" PRId64 "\n",
	    address, seconds(now - q->asked_ms), seconds(q->deadline_ms - now));
}

static int read_question(const struct ctl_config *c, const char *name,
    uint64_t serial, char **ret, size_t *ret_len)
{
	struct consent_question q;
	char *text = NULL;
	size_t len = 0;
	bool failed;
	FILE *out;

	if (consent_find(network_consent(c->network), name, &q) ||
	    q.serial != serial)
		return -ENOENT;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	put_question(out, &q);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int write_why(const struct ctl_config *c, const struct why *w,
    const struct peer_info *p, char **ret)
{
	struct consent *consent = network_consent(c->network);
	struct usage_limits limits = { p->quota_bytes, p->quota_files };
	struct usage_share share;
	struct consent_question q;
	struct why_here here = {
		.asks = !consent_find_key(consent, p->key, &q),
		.quiet = consent_quiet(
		    consent, p->key, p->n_addresses ? p->addresses : NULL),
	};

	if (c->arrivals && !inbox_share(c->arrivals, p->key, &limits, &share))
		here.share = &share;
	return why_text(w, p, &here, ret);
}

static int read_why(const struct ctl_config *c, const char *name,
    uint64_t serial, char **ret, size_t *ret_len)
{
	struct why w = { .own_name = c->name,
		.own_fingerprint = c->fingerprint,
		.strangers = c->strangers,
		.now = now_ms() };
	struct peer_info *all;
	int n = peers_snapshot(network_peers(c->network), &all);
	int r = -ENOENT;

	if (n < 0)
		return n;
	w.all = all;
	w.n = (unsigned)n;
	for (int i = 0; i < n; i++) {
		if (all[i].serial != serial || strcmp(all[i].name, name))
			continue;
		r = write_why(c, &w, &all[i], ret);
		break;
	}
	free(all);
	if (!r)
		*ret_len = strlen(*ret);
	return r;
}

int texts_read(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t serial, char **ret, size_t *ret_len)
{
	return folder == TEXTS_REQUESTS
		   ? read_question(c, name, serial, ret, ret_len)
		   : read_why(c, name, serial, ret, ret_len);
}

static bool says(const char *buf, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(buf, word, len);
}

int texts_write(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t serial, const char *buf, size_t len)
{
	bool accept;

	(void)name;
	if (folder != TEXTS_REQUESTS)
		return -EPERM;
	if (len && buf[len - 1] == '\n')
		len--;
	accept = says(buf, len, "accept");
	if (!accept && !says(buf, len, "refuse"))
		return -EINVAL;
	/* Not the one that was read, but a later one of the same name. */
	return network_answer(c->network, serial, accept);
}
