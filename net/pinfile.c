/*
 * The text of a pin, and its way to the disk and back. Called by net/trust,
 * which keeps the table and lets one thread in at a time.
 */
#include "pinfile.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "address.h"
#include "escape.h"
#include "textfile.h"

#define VERSION_LINE "gtfs-pin: 1\n"
#define CHECK_LABEL  "check: "
#define CHECK_BYTES  (sizeof(CHECK_LABEL) - 1 + 16 + 1)
#define HEX_DIGITS   (2 * IDENTITY_KEY_BYTES) /* of keys and words alike */

_Static_assert(
    TRUST_WORDS_BYTES == IDENTITY_KEY_BYTES, "HEX_DIGITS are those of both");

static const char *const policy_names[] = {
	[TRUST_ACCEPT] = "accept",
	[TRUST_ASK] = "ask",
	[TRUST_REFUSE] = "refuse",
};

static void check_line(const char *text, size_t len, char ret[CHECK_BYTES + 1])
{
	snprintf(ret, CHECK_BYTES + 1, CHECK_LABEL "%016" PRIx64 "\n",
	    (uint64_t)XXH3_64bits(text, len));
}

static void to_hex(
    const uint8_t bytes[IDENTITY_KEY_BYTES], char ret[HEX_DIGITS + 1])
{
	for (size_t i = 0; i < IDENTITY_KEY_BYTES; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

/* Behind at; returns the new end. */
static size_t put_optional(const struct trust_pin *pin, char *ret, size_t at)
{
	char words[HEX_DIGITS + 1];

	if (pin->automatic)
		at += (size_t)snprintf(
		    ret + at, PINFILE_TEXT_MAX - at, "automatic: yes\n");
	if (pin->verified)
		at += (size_t)snprintf(
		    ret + at, PINFILE_TEXT_MAX - at, "verified: yes\n");
	if (pin->has_words) {
		to_hex(pin->words, words);
		at += (size_t)snprintf(
		    ret + at, PINFILE_TEXT_MAX - at, "words: %s\n", words);
	}
	if (pin->quota_bytes || pin->quota_files)
		at += (size_t)snprintf(ret + at, PINFILE_TEXT_MAX - at,
		    "quota: %" PRIu64 " %" PRIu64 "\n", pin->quota_bytes,
		    pin->quota_files);
	return at;
}

size_t pinfile_encode(const struct trust_pin *pin, char ret[PINFILE_TEXT_MAX])
{
	char key[HEX_DIGITS + 1], address[ADDRESS_TEXT_MAX];
	size_t at;

	to_hex(pin->key, key);
	at = (size_t)snprintf(ret, PINFILE_TEXT_MAX,
	    VERSION_LINE "name: %s\nkey: %s\npolicy: %s\n", pin->name, key,
	    policy_names[pin->policy]);
	at = put_optional(pin, ret, at);
	for (unsigned i = 0; i < pin->n_addresses; i++) {
		address_format(
		    (const struct sockaddr *)&pin->addresses[i], address);
		at += (size_t)snprintf(
		    ret + at, PINFILE_TEXT_MAX - at, "address: %s\n", address);
	}
	assert(at + CHECK_BYTES < PINFILE_TEXT_MAX);
	check_line(ret, at, ret + at);
	return at + CHECK_BYTES;
}

/*
 * The value of the next line if its label is this one, cut off as a string,
 * and *at moved behind it; else NULL.
 */
static char *take_line(char **at, const char *label)
{
	size_t len = strlen(label);
	char *value, *end;

	if (strncmp(*at, label, len))
		return NULL;
	value = *at + len;
	end = strchr(value, '\n');
	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return value;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex(const char *text, uint8_t ret[IDENTITY_KEY_BYTES])
{
	int high, low;

	if (strlen(text) != HEX_DIGITS)
		return -EBADMSG;
	for (size_t i = 0; i < IDENTITY_KEY_BYTES; i++) {
		high = hex_digit(text[2 * i]);
		low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int parse_policy(const char *text, enum trust_policy *ret)
{
	for (size_t i = 0; i < sizeof(policy_names) / sizeof(*policy_names);
	     i++) {
		if (strcmp(text, policy_names[i]) == 0) {
			*ret = (enum trust_policy)i;
			return 0;
		}
	}
	return -EBADMSG;
}

/* A name that was made safe is not changed by making it safe again. */
static int parse_name(const char *text, char ret[WIRE_PEER_NAME_MAX + 1])
{
	char safe[WIRE_PEER_NAME_MAX + 1];

	escape_name(text, strlen(text), safe);
	if (strcmp(text, safe))
		return -EBADMSG;
	strcpy(ret, safe);
	return 0;
}

/* A decimal number as encode writes it, followed by end. */
static int parse_number(const char **at, char end, uint64_t *ret)
{
	uint64_t n = 0;
	const char *p = *at;

	if (*p < '0' || *p > '9' || (*p == '0' && p[1] != end))
		return -EBADMSG;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -EBADMSG;
	if (*p != end)
		return -EBADMSG;
	*at = p + 1;
	*ret = n;
	return 0;
}

/* Is there the line "label yes"? */
static int parse_yes(char **at, const char *label, bool *ret)
{
	const char *value = take_line(at, label);

	*ret = value != NULL;
	return value && strcmp(value, "yes") ? -EBADMSG : 0;
}

static int parse_optional(char **at, struct trust_pin *pin)
{
	const char *value;

	if (parse_yes(at, "automatic: ", &pin->automatic) ||
	    parse_yes(at, "verified: ", &pin->verified))
		return -EBADMSG;
	value = take_line(at, "words: ");
	if (value && parse_hex(value, pin->words))
		return -EBADMSG;
	pin->has_words = value != NULL;
	value = take_line(at, "quota: ");
	if (value && (parse_number(&value, ' ', &pin->quota_bytes) ||
			 parse_number(&value, '\0', &pin->quota_files) ||
			 (!pin->quota_bytes && !pin->quota_files)))
		return -EBADMSG;
	return 0;
}

static int parse_addresses(char **at, struct trust_pin *pin)
{
	struct sockaddr_storage address;
	char *value;
	int r;

	while ((value = take_line(at, "address: "))) {
		r = address_parse(value, 0, &address);
		if (r == -ENODEV) /* an adapter that is not plugged in */
			continue;
		if (r || pin->n_addresses == TRUST_ADDRESSES)
			return -EBADMSG;
		pin->addresses[pin->n_addresses++] = address;
	}
	return 0;
}

int pinfile_decode(const char *text, size_t len, struct trust_pin *ret)
{
	char copy[PINFILE_TEXT_MAX], check[CHECK_BYTES + 1], *at = copy;
	char *name, *key, *policy;
	struct trust_pin pin = { 0 };

	if (len <= CHECK_BYTES || len >= sizeof(copy) || memchr(text, 0, len))
		return -EBADMSG;
	memcpy(copy, text, len);
	copy[len] = '\0';
	len -= CHECK_BYTES;
	check_line(copy, len, check);
	if (strcmp(copy + len, check))
		return -EBADMSG;
	copy[len] = '\0';

	if (strncmp(at, VERSION_LINE, strlen(VERSION_LINE)))
		return -EBADMSG;
	at += strlen(VERSION_LINE);
	name = take_line(&at, "name: ");
	key = name ? take_line(&at, "key: ") : NULL;
	policy = key ? take_line(&at, "policy: ") : NULL;
	if (!policy || parse_name(name, pin.name) || parse_hex(key, pin.key) ||
	    parse_policy(policy, &pin.policy) || parse_optional(&at, &pin) ||
	    parse_addresses(&at, &pin) || *at)
		return -EBADMSG;
	*ret = pin;
	return 0;
}

int pinfile_read(int dirfd, const char *name, struct trust_pin *ret)
{
	char text[PINFILE_TEXT_MAX], fingerprint[FINGERPRINT_CHARS];
	struct trust_pin pin;
	size_t len;
	int r = textfile_read(dirfd, name, text, sizeof(text), &len);

	if (r == 0)
		r = pinfile_decode(text, len, &pin);
	if (r)
		return r;
	identity_fingerprint(pin.key, fingerprint);
	if (strcmp(fingerprint, name))
		return -EBADMSG;
	*ret = pin;
	return 0;
}

int pinfile_salvage(int dirfd, const char *file,
    const char fingerprint[FINGERPRINT_CHARS], struct trust_pin *ret)
{
	char text[PINFILE_TEXT_MAX], found[FINGERPRINT_CHARS], *at = text;
	struct trust_pin pin = { .policy = TRUST_REFUSE, .damaged = true };
	char *name, *key;
	size_t len;
	int r = textfile_read(dirfd, file, text, sizeof(text) - 1, &len);

	if (r)
		return r;
	text[len] = '\0';
	name = take_line(&at, VERSION_LINE "name: ");
	key = name ? take_line(&at, "key: ") : NULL;
	if (!key || parse_name(name, pin.name) || parse_hex(key, pin.key))
		return -EBADMSG;
	identity_fingerprint(pin.key, found);
	if (strcmp(found, fingerprint))
		return -EBADMSG;
	*ret = pin;
	return 0;
}

int pinfile_write(int dirfd, const struct trust_pin *pin)
{
	char text[PINFILE_TEXT_MAX], fingerprint[FINGERPRINT_CHARS];
	size_t len = pinfile_encode(pin, text);

	identity_fingerprint(pin->key, fingerprint);
	return textfile_write(dirfd, fingerprint, text, len);
}

int pinfile_remove(
    int dirfd, const uint8_t key[IDENTITY_KEY_BYTES], bool *ret_gone)
{
	char fingerprint[FINGERPRINT_CHARS];

	identity_fingerprint(key, fingerprint);
	*ret_gone = unlinkat(dirfd, fingerprint, 0) == 0 || errno == ENOENT;
	if (!*ret_gone)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}
