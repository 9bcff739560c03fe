/*
 * The worked example of gtfs-protocol(7): the code still produces its bytes.
 * The random numbers of both sides are fixed; everything else is the real
 * handshake, record layer and messages. Every byte string must stand in the
 * page (the first argument, or that of this tree), in this order.
 *
 * The strings themselves were computed by another implementation, from the
 * page.
 */
#include <ctype.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "handshake.h"
#include "identity.h"
#include "ophash.h"
#include "pairing.h"
#include "record.h"
#include "wire.h"
#include "words.h"

#define PORT      4717
#define PAGE_MAX  (256 * 1024)
#define BYTES_MAX 512

static const char *page_path;
static char *page_left; /* the page's hexadecimal digits, not yet matched */

/*
 * A side draws its nonce and then its ephemeral secret, as it starts: each is
 * its first byte, counted up.
 */
static struct {
	uint8_t nonce, ephemeral;
	unsigned drawn;
} randoms;

static const char *example_name(void)
{
	return "example";
}

static uint32_t example_random(void)
{
	return 0;
}

static void example_buf(void *const buf, const size_t size)
{
	uint8_t first = randoms.drawn++ ? randoms.ephemeral : randoms.nonce;
	uint8_t *p = buf;

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(first + i);
}

static randombytes_implementation example_implementation = {
	.implementation_name = example_name,
	.random = example_random,
	.buf = example_buf,
};

/* The literal displays of the page, without their blanks. */
static char *load_digits(const char *path)
{
	char line[512], *digits = calloc(1, PAGE_MAX);
	size_t used = 0;
	FILE *f = fopen(path, "re");

	assert_non_null(digits);
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		for (char *c = line; *c; c++)
			if (!isspace((unsigned char)*c) && used < PAGE_MAX - 1)
				digits[used++] = *c;
	}
	fclose(f);
	return digits;
}

/* These bytes come next in the page (not necessarily at once). */
static void expect_in_page(const char *what, const uint8_t *bytes, size_t len)
{
	char hex[2 * BYTES_MAX + 1], *found;

	assert_true(len <= BYTES_MAX);
	sodium_bin2hex(hex, sizeof(hex), bytes, len);
	if (!page_left)
		return;
	found = strstr(page_left, hex);
	if (!found)
		fail_msg("%s is not in the page: %s", what, hex);
	page_left = found + 2 * len;
}

static struct handshake *start(enum handshake_role role, struct identity *id,
    uint8_t nonce, uint8_t ephemeral)
{
	uint8_t prologue[sizeof(WIRE_PROLOGUE_LABEL) - 1 + WIRE_PREAMBLE_BYTES];
	struct handshake *h;

	memcpy(prologue, WIRE_PROLOGUE_LABEL, sizeof(WIRE_PROLOGUE_LABEL) - 1);
	wire_preamble_encode(prologue + sizeof(WIRE_PROLOGUE_LABEL) - 1);
	randoms.nonce = nonce;
	randoms.ephemeral = ephemeral;
	randoms.drawn = 0;
	h = handshake_new(role, id, prologue, sizeof(prologue));
	assert_non_null(h);
	assert_int_equal(randoms.drawn, 2);
	handshake_set_ciphers(h, RECORD_CHACHA20_POLY1305);
	return h;
}

static void fix_identity(struct identity *id, uint8_t first)
{
	for (size_t i = 0; i < sizeof(id->secret); i++)
		id->secret[i] = (uint8_t)(first + i);
	crypto_scalarmult_base(id->public, id->secret);
}

/* One handshake message, from writer to reader, as it is framed. */
static void pass(struct handshake *writer, struct handshake *reader,
    const char *name, const char *what)
{
	struct wire_hello hello = { .port = PORT }, heard;
	uint8_t app[HANDSHAKE_APP_MAX] = { 0 };
	uint8_t msg[2 + HANDSHAKE_MESSAGE_MAX];
	size_t app_len = 0, len;

	if (name) {
		strcpy(hello.name, name);
		assert_int_equal(
		    wire_hello_encode(&hello, app, sizeof(app), &app_len), 0);
	}
	assert_int_equal(handshake_write(writer, app, app_len, msg + 2,
			     sizeof(msg) - 2, &len),
	    0);
	msg[0] = (uint8_t)(len >> 8);
	msg[1] = (uint8_t)len;
	expect_in_page(what, msg, 2 + len);
	assert_int_equal(
	    handshake_read(reader, msg + 2, len, app, sizeof(app), &app_len),
	    0);
	if (name) {
		assert_int_equal(wire_hello_decode(app, app_len, &heard), 0);
		assert_string_equal(heard.name, name);
	}
}

/* One message in one record: encoded, sealed, shown, opened, decoded. */
static void send_message(
    struct record_key *from, struct record_key *to, const struct wire_msg *m)
{
	uint8_t plain[WIRE_SMALL_MAX], record[WIRE_SMALL_MAX], *opened;
	const uint8_t *payload;
	struct wire_msg got;
	size_t len, more, record_len;

	assert_int_equal(wire_encode(m, plain, sizeof(plain), &len), 0);
	more = wire_payload(m, &payload);
	if (more)
		memcpy(plain + len, payload, more);
	len += more;
	expect_in_page(wire_type_name(m->type), plain, len);
	assert_int_equal(
	    record_seal(from, plain, len, record, sizeof(record), &record_len),
	    0);
	expect_in_page("its record", record, record_len);
	assert_int_equal(record_open(to, record, record_len, &opened, &len), 0);
	assert_int_equal(wire_decode(opened, len, &got), 0);
	assert_int_equal(got.type, m->type);
}

/* The initiator's direction and the responder's, at both ends. */
struct ends {
	struct record_key i_send, i_receive, r_send, r_receive;
	uint8_t i_key[IDENTITY_KEY_BYTES], r_key[IDENTITY_KEY_BYTES];
	uint8_t channel[HANDSHAKE_CHANNEL_BYTES];
};

static void run_handshake(struct ends *e)
{
	struct identity si, sr;
	struct handshake *i, *r;
	uint8_t preamble[WIRE_PREAMBLE_BYTES], seed[2][HANDSHAKE_WORDS_BYTES];
	char words[WORDS_COMPARE_MAX];

	fix_identity(&si, 0x00);
	fix_identity(&sr, 0x20);
	expect_in_page("initiator's key", si.public, sizeof(si.public));
	expect_in_page("responder's key", sr.public, sizeof(sr.public));
	wire_preamble_encode(preamble);
	expect_in_page("preamble", preamble, sizeof(preamble));

	i = start(HANDSHAKE_INITIATOR, &si, 0x80, 0x40);
	r = start(HANDSHAKE_RESPONDER, &sr, 0xa0, 0x60);
	pass(i, r, NULL, "message 1");
	pass(r, i, "laptop", "message 2");
	pass(i, r, "desk", "message 3");

	handshake_words(i, seed[0]);
	handshake_words(r, seed[1]);
	assert_memory_equal(seed[0], seed[1], sizeof(seed[0]));
	words_compare(seed[0], words);
	assert_string_equal(words, "cart float define water");
	handshake_channel(i, e->channel);
	memcpy(e->i_key, si.public, sizeof(e->i_key));
	memcpy(e->r_key, sr.public, sizeof(e->r_key));
	assert_int_equal(handshake_split(i, &e->i_send, &e->i_receive), 0);
	assert_int_equal(handshake_split(r, &e->r_send, &e->r_receive), 0);
	expect_in_page("initiator's record key", e->i_send.key, 32);
	expect_in_page("responder's record key", e->r_send.key, 32);
	expect_in_page("seed of the words", seed[0], sizeof(seed[0]));
	handshake_free(i);
	handshake_free(r);
}

static const uint8_t content[] = "hello, world\n";
#define CONTENT_LEN (sizeof(content) - 1)

/* The COMMIT behind one WRITE and one META. */
static void commit_of(
    const struct wire_msg *w, const struct wire_msg *meta, struct wire_msg *ret)
{
	struct ophash *h = ophash_new();

	assert_non_null(h);
	ophash_bytes(h, w->write.bytes, w->write.len);
	ophash_trailer(
	    h, WIRE_WRITE, w->write.seq, w->write.offset, w->write.len);
	ophash_meta(h, meta->meta.seq, &meta->meta.meta);
	*ret = (struct wire_msg){ .type = WIRE_COMMIT };
	ret->commit.seq = 3;
	ret->commit.size = CONTENT_LEN;
	ret->commit.count = 2;
	ophash_digest(h, ret->commit.hash);
	ophash_free(h);
}

static void run_transfer(struct ends *e)
{
	struct wire_msg pong = { .type = WIRE_PONG },
			offer = { .type = WIRE_OFFER },
			data = { .type = WIRE_WRITE },
			meta = { .type = WIRE_META }, commit,
			accept = { .type = WIRE_ACCEPT },
			ack = { .type = WIRE_ACK }, bye = { .type = WIRE_BYE };

	pong.pong.free_bytes = UINT64_C(64) << 30;
	pong.pong.total_bytes = UINT64_C(256) << 30;
	pong.pong.free_files = 1000000;
	pong.pong.total_files = 1048576;
	pong.pong.policy = WIRE_POLICY_ACCEPT;
	send_message(&e->r_send, &e->i_receive, &pong);

	offer.offer.tag = 7;
	for (size_t i = 0; i < WIRE_ID_BYTES; i++)
		offer.offer.id[i] = (uint8_t)(0xc0 + i);
	offer.offer.mode = 0644;
	offer.offer.size = CONTENT_LEN;
	strcpy(offer.offer.name, "hello.txt");
	send_message(&e->i_send, &e->r_receive, &offer);

	data.write.seq = 1;
	data.write.bytes = content;
	data.write.len = CONTENT_LEN;
	send_message(&e->i_send, &e->r_receive, &data);

	meta.meta.seq = 2;
	meta.meta.meta.mask = WIRE_META_MODE | WIRE_META_MTIME;
	meta.meta.meta.mode = 0644;
	meta.meta.meta.mtime.sec = 1700000000;
	meta.meta.meta.mtime.nsec = 500000000;
	send_message(&e->i_send, &e->r_receive, &meta);

	commit_of(&data, &meta, &commit);
	send_message(&e->i_send, &e->r_receive, &commit);

	accept.accept.tag = 7;
	accept.accept.max_write = WIRE_WRITE_MAX;
	send_message(&e->r_send, &e->i_receive, &accept);

	ack.ack.tag = 7;
	ack.ack.seq = 3;
	ack.ack.state = WIRE_PUBLISHED;
	strcpy(ack.ack.name, "hello.txt");
	send_message(&e->r_send, &e->i_receive, &ack);
	send_message(&e->i_send, &e->r_receive, &bye);
}

/* Each side draws its scalar as it starts: its first byte, counted up. */
static struct pairing *start_pairing(
    const struct ends *e, enum handshake_role role, uint8_t scalar)
{
	static const char code[] = "7-orbit-velvet";
	bool dialed = role == HANDSHAKE_INITIATOR;
	struct pairing *p;

	randoms.nonce = scalar;
	randoms.drawn = 0;
	p = pairing_new(role, PAIRING_CODE, code, sizeof(code) - 1, e->channel,
	    dialed ? e->i_key : e->r_key, dialed ? e->r_key : e->i_key);
	assert_non_null(p);
	return p;
}

static void run_pairing(const struct ends *e)
{
	struct pairing *p[2] = { start_pairing(e, HANDSHAKE_INITIATOR, 0xc1),
		start_pairing(e, HANDSHAKE_RESPONDER, 0xe1) };

	expect_in_page("channel", e->channel, sizeof(e->channel));
	for (int i = 0; i < PAIRING_STEPS; i++) {
		struct wire_msg m = { .type = WIRE_PAIR };
		uint8_t bytes[PAIRING_BYTES_MAX], plain[WIRE_SMALL_MAX];
		size_t len;

		m.pair.kind = WIRE_PAIR_CODE;
		m.pair.bytes = bytes;
		assert_int_equal(
		    pairing_write(p[i % 2], &m.pair.step, bytes, &m.pair.len),
		    0);
		assert_int_equal(
		    wire_encode(&m, plain, sizeof(plain), &len), 0);
		memcpy(plain + len, bytes, m.pair.len);
		expect_in_page("PAIR", plain, len + m.pair.len);
		assert_int_equal(pairing_read(p[1 - i % 2], PAIRING_CODE,
				     m.pair.step, m.pair.bytes, m.pair.len),
		    0);
	}
	pairing_free(p[0]);
	pairing_free(p[1]);
}

static void page_shows_what_code_does(void **state)
{
	struct ends e;
	char *digits;

	(void)state;
	if (!page_path) {
		print_message("skipped: the page is not to be found\n");
		skip();
	}
	digits = page_left = load_digits(page_path);
	run_handshake(&e);
	run_transfer(&e);
	run_pairing(&e);
	free(digits);
}

/* The page of the tree to which this source belongs, or NULL. */
static const char *page_beside(const char *source)
{
	static const char inside[] = "tests/test_protocol_example.c";
	static char path[4096];
	size_t len = strlen(source);

	if (len < strlen(inside))
		return NULL;
	snprintf(path, sizeof(path), "%.*sman/gtfs-protocol.7",
	    (int)(len - strlen(inside)), source);
	return access(path, R_OK) == 0 ? path : NULL;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_shows_what_code_does),
	};

	page_path = argc > 1 ? argv[1] : page_beside(__FILE__);
	randombytes_set_implementation(&example_implementation);
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
