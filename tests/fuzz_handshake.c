/*
 * Fuzz target of crypto/handshake. The first byte says which side meets the
 * input and how:
 *
 *     0  a responder reads it as message 1, then the rest as message 3
 *     1  an initiator reads it as message 2
 *     2  a responder meets a peer that keeps Noise's rules, with the input as
 *        the payload of message 1 (32 bytes) and of message 3
 *     3  an initiator meets one, with the input as the payload of message 2
 *
 * Random numbers are the same for every input, so that one input always does
 * the same thing.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROLOGUE      "gtfs fuzz"
#define MESSAGE_1     64
#define COMMITMENT    32
#define PEER_CAPACITY 2048

static uint64_t drawn;

static const char *source_name(void)
{
	return "counter";
}

static void source_fill(void *const buf, const size_t size)
{
	static uint8_t seed[randombytes_SEEDBYTES];

	drawn++;
	memcpy(seed, &drawn, sizeof(drawn));
	randombytes_buf_deterministic(buf, size, seed);
}

static uint32_t source_word(void)
{
	uint32_t word;

	source_fill(&word, sizeof(word));
	return word;
}

static struct randombytes_implementation source = {
	.implementation_name = source_name,
	.random = source_word,
	.buf = source_fill,
};

static struct identity ours, theirs;

static void start_once(void)
{
	static bool started;

	if (!started) {
		randombytes_set_implementation(&source);
		if (identity_generate(&ours) < 0 ||
		    identity_generate(&theirs) < 0)
			abort();
		started = true;
	}
	drawn = 1000;
}

static int read_into(struct handshake *h, const uint8_t *msg, size_t len)
{
	uint8_t app[HANDSHAKE_APP_MAX];
	size_t app_len = 0;
	int r = handshake_read(h, msg, len, app, sizeof(app), &app_len);

	if (app_len > sizeof(app) || (r < 0 && handshake_complete(h)))
		abort();
	return r;
}

/* Who has not met the true peer must not end up complete. */
static void raw_responder(struct handshake *h, const uint8_t *data, size_t size)
{
	size_t first = size < MESSAGE_1 ? size : MESSAGE_1;
	uint8_t msg[HANDSHAKE_MESSAGE_MAX];
	size_t len;

	if (read_into(h, data, first) == 0 &&
	    handshake_write(h, "app", 3, msg, sizeof(msg), &len) == 0 &&
	    read_into(h, data + first, size - first) == 0)
		abort();
}

static void raw_initiator(struct handshake *h, const uint8_t *data, size_t size)
{
	uint8_t msg[HANDSHAKE_MESSAGE_MAX];
	size_t len;

	if (handshake_write(h, NULL, 0, msg, sizeof(msg), &len) < 0)
		abort();
	if (read_into(h, data, size) == 0)
		abort();
}

/* Complete: everything that is asked of such a handshake works. */
static void use(struct handshake *h)
{
	uint8_t words[HANDSHAKE_WORDS_BYTES];
	struct record_key send, receive;

	if (!handshake_complete(h) ||
	    memcmp(handshake_remote_key(h), theirs.public, 32) != 0)
		abort();
	handshake_words(h, words);
	if (handshake_split(h, &send, &receive) == 0) {
		if (!(record_ciphers() & send.cipher))
			abort();
		record_key_fini(&send);
		record_key_fini(&receive);
	}
}

static void peer_init(struct noise *n, bool initiator)
{
	const struct noise_config config = {
		.pattern = &noise_xx,
		.cipher = &suite_chacha_poly,
		.hash = &suite_sha256,
		.initiator = initiator,
		.prologue = PROLOGUE,
		.prologue_len = strlen(PROLOGUE),
		.static_secret = theirs.secret,
		.static_public = theirs.public,
	};

	noise_init(n, &config);
}

static void met_responder(struct handshake *h, const uint8_t *data, size_t size)
{
	uint8_t msg[PEER_CAPACITY], out[PEER_CAPACITY];
	uint8_t commitment[COMMITMENT], committed[64];
	size_t first = size < COMMITMENT ? size : COMMITMENT;
	size_t len, out_len;
	struct noise peer;

	/* All zeros stand for the commitment to what follows. */
	memcpy(commitment, data, first);
	if (size >= COMMITMENT + 32 && sodium_is_zero(data, COMMITMENT)) {
		memcpy(committed, data + COMMITMENT, 32);
		memcpy(committed + 32, theirs.public, 32);
		suite_digest("gtfs commitment v1", committed, sizeof(committed),
		    commitment);
	}
	peer_init(&peer, true);
	if (noise_write(&peer, commitment, first, msg, sizeof(msg), &len) < 0)
		abort();
	if (read_into(h, msg, len) == 0) {
		if (handshake_write(h, "app", 3, msg, sizeof(msg), &len) < 0 ||
		    noise_read(&peer, msg, len, out, sizeof(out), &out_len) < 0)
			abort();
		if (noise_write(&peer, data + first, size - first, msg,
			sizeof(msg), &len) == 0 &&
		    read_into(h, msg, len) == 0)
			use(h);
	}
	noise_fini(&peer);
}

static void met_initiator(struct handshake *h, const uint8_t *data, size_t size)
{
	uint8_t msg[PEER_CAPACITY], out[PEER_CAPACITY];
	size_t len, out_len;
	struct noise peer;

	peer_init(&peer, false);
	if (handshake_write(h, NULL, 0, msg, sizeof(msg), &len) < 0 ||
	    noise_read(&peer, msg, len, out, sizeof(out), &out_len) < 0)
		abort();
	if (noise_write(&peer, data, size, msg, sizeof(msg), &len) == 0 &&
	    read_into(h, msg, len) == 0) {
		if (handshake_write(h, data, size < 512 ? size : 512, msg,
			sizeof(msg), &len) < 0)
			abort();
		use(h);
	}
	noise_fini(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const modes[])(
	    struct handshake *, const uint8_t *, size_t) = { raw_responder,
		raw_initiator, met_responder, met_initiator };
	struct handshake *h;
	unsigned mode;

	if (size == 0)
		return 0;
	start_once();
	mode = data[0] % 4;
	h = handshake_new(mode % 2 ? HANDSHAKE_INITIATOR : HANDSHAKE_RESPONDER,
	    &ours, PROLOGUE, strlen(PROLOGUE));
	if (!h)
		abort();
	modes[mode](h, data + 1, size - 1);
	handshake_free(h);
	return 0;
}
