/*
 * Called by net/consent, under its lock.
 */
#include "hush.h"

#include <string.h>

#include "address.h"
#include "consent.h"
#include "sync.h"

enum {
	STRIKES_MAX = 16,
	STRIKES_MS = 3600 * 1000, /* forgotten after that */
};

static bool is_for(const struct hushed *k, enum hush_what what,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
{
	if (k->what != what)
		return false;
	return what == HUSH_KEY
		   ? !memcmp(k->key, key, IDENTITY_KEY_BYTES)
		   : address_same_host((const struct sockaddr *)&k->address,
			 (const struct sockaddr *)a);
}

/* Its own entry, else a free one, else the one that would end first. */
static struct hushed *entry_of(struct hush *h, enum hush_what what,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
{
	struct hushed *k, *room = h->entries;

	for (k = h->entries; k < h->entries + HUSH_MAX; k++) {
		if (is_for(k, what, key, a))
			return k;
		if (room->what != HUSH_FREE &&
		    (k->what == HUSH_FREE || k->until_ms < room->until_ms))
			room = k;
	}
	room->what = HUSH_FREE;
	return room;
}

void hush_add(struct hush *h, enum hush_what what,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a,
    enum hush_weight weight, int64_t at_least)
{
	struct hushed *k = entry_of(h, what, key, a);
	int64_t now = now_ms(), pause;

	if (k->what == HUSH_FREE || now - k->since_ms > STRIKES_MS)
		*k = (struct hushed){ .what = what };
	memcpy(k->key, key, sizeof(k->key));
	k->address = *a;
	k->since_ms = now;
	pause = k->strikes < HUSH_ENDED
		    ? 0
		    : (int64_t)CONSENT_PAUSE_MS << (k->strikes / 2 - 1);
	if (k->strikes < STRIKES_MAX)
		k->strikes += weight;
	if (pause > CONSENT_DECLINED_MS)
		pause = CONSENT_DECLINED_MS;
	k->until_ms = now + (pause > at_least ? pause : at_least);
}

bool hush_stands(const struct hush *h, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *a)
{
	int64_t now = now_ms();

	for (const struct hushed *k = h->entries; k < h->entries + HUSH_MAX;
	     k++)
		if (now < k->until_ms &&
		    (is_for(k, HUSH_KEY, key, a) ||
			(a && is_for(k, HUSH_ADDRESS, key, a))))
			return true;
	return false;
}

void hush_forgive(struct hush *h, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *a)
{
	for (struct hushed *k = h->entries; k < h->entries + HUSH_MAX; k++)
		if (!memcmp(k->key, key, IDENTITY_KEY_BYTES) ||
		    (a && is_for(k, HUSH_ADDRESS, key, a)))
			k->what = HUSH_FREE;
}
