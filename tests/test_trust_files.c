/*
 * Tests net/trust.h and net/pinfile.h: pins on a real directory, damaged,
 * hostile, full, or left by a writer that was killed.
 */
#include "trust_fixture.h"

enum { KILLS = 40 };

static void every_truncation_and_bit_flip_is_seen(void **state)
{
	struct trust_pin pin = sample(7), got;
	char text[PINFILE_TEXT_MAX + 1], bad[PINFILE_TEXT_MAX + 1];
	size_t len = pinfile_encode(&pin, text);

	assert_int_equal(pinfile_decode(text, len, &got), 0);
	assert_same_pin(&pin, &got);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(pinfile_decode(text, i, &got), -EBADMSG);
	for (size_t i = 0; i < len * 8; i++) {
		memcpy(bad, text, len);
		bad[i / 8] = (char)(bad[i / 8] ^ 1 << i % 8);
		assert_int_equal(pinfile_decode(bad, len, &got), -EBADMSG);
	}
	memcpy(bad, text, len);
	bad[len] = '\n';
	assert_int_equal(pinfile_decode(bad, len + 1, &got), -EBADMSG);
}

/* With a right check: the parser itself, and not only the hash, refuses. */
static void well_summed_nonsense_is_refused(void **state)
{
	struct trust_pin pin = sample(7), got;

	strcpy(pin.name, "../../etc");
	char text[PINFILE_TEXT_MAX];
	size_t len = pinfile_encode(&pin, text);

	assert_int_equal(pinfile_decode(text, len, &got), -EBADMSG);
	strcpy(pin.name, "a\nkey: 00");
	len = pinfile_encode(&pin, text);
	assert_int_equal(pinfile_decode(text, len, &got), -EBADMSG);
	strcpy(pin.name, "");
	len = pinfile_encode(&pin, text);
	assert_int_equal(pinfile_decode(text, len, &got), -EBADMSG);
	pin = sample(7);
	address_set_port((struct sockaddr *)&pin.addresses[0], 0);
	len = pinfile_encode(&pin, text);
	assert_int_equal(pinfile_decode(text, len, &got), -EBADMSG);
	pin = sample(7);
	((struct sockaddr_in6 *)&pin.addresses[1])->sin6_scope_id = 0;
	len = pinfile_encode(&pin, text);
	assert_int_equal(pinfile_decode(text, len, &got), 0);
	assert_int_equal(got.n_addresses, 2);
}

static void what_is_not_trusted_is_set_aside(void **state)
{
	struct place *p = *state;
	struct trust_pin pin = sample(1), other = sample(2), got;
	char text[PINFILE_TEXT_MAX], name[FINGERPRINT_CHARS];
	size_t len = pinfile_encode(&pin, text);
	uint8_t key[IDENTITY_KEY_BYTES];

	trust_close(reopen(p));
	identity_fingerprint(pin.key, name);
	put(p, name, text, len / 2, 0600); /* cut */
	trust_close(reopen(p));
	assert_int_equal(count(p, ".damaged"), 1);
	put(p, name, text, len, 0620); /* others can write it */
	trust_close(reopen(p));
	assert_int_equal(count(p, ".damaged.2"), 1);
	put(p, name, text, len, 0602);
	trust_close(reopen(p));
	identity_fingerprint(other.key, name);
	put(p, name, text, len, 0600); /* another key's file */
	trust_close(reopen(p));
	assert_int_equal(symlinkat("/etc/passwd", p->pins_fd, name), 0);
	trust_close(reopen(p));
	assert_int_equal(mkdirat(p->pins_fd, name, 0700), 0);
	trust_close(reopen(p));
	assert_int_equal(mkfifoat(p->pins_fd, name, 0600), 0);
	struct trust *t = reopen(p);
	assert_int_equal(count(p, ".damaged"), 7);
	assert_int_equal(trust_find(t, pin.key, &got), 0);
	assert_true(got.damaged && got.policy == TRUST_REFUSE);
	assert_int_equal(trust_find(t, other.key, &got), 0);
	assert_true(got.damaged && got.policy == TRUST_REFUSE);
	assert_int_equal(trust_forget(t, pin.key), 0);
	trust_close(t);

	/* A directory that others can write to is not opened at all. */
	assert_int_equal(fchmod(p->pins_fd, 0770), 0);
	assert_int_equal(trust_open(p->state_fd, TRUST_LAN, &t), -EPERM);
	assert_int_equal(fchmod(p->pins_fd, 0700), 0);

	/* Readable by others is no harm, and other files do not matter. */
	identity_fingerprint(pin.key, name);
	put(p, name, text, len, 0644);
	put(p, "README", "x", 1, 0600);
	put(p, TEXTFILE_TEMPORARY, text, len, 0600);
	t = reopen(p);
	make_key(1, key);
	assert_int_equal(trust_find(t, key, &got), 0);
	assert_same_pin(&got, &pin);
	assert_int_equal(
	    faccessat(p->pins_fd, TEXTFILE_TEMPORARY, F_OK, 0), -1);
	trust_close(t);
}

/* A directory where pins are written first: at the start, and later. */
static void what_is_in_the_way_is_set_aside(void **state)
{
	static const char *const aside[] = { TEXTFILE_TEMPORARY ".damaged",
		TEXTFILE_TEMPORARY ".damaged.2" };
	struct place *p = *state;
	struct trust *t;

	trust_close(reopen(p));
	assert_int_equal(mkdirat(p->pins_fd, TEXTFILE_TEMPORARY, 0700), 0);
	assert_int_equal(mkdirat(p->pins_fd, TEXTFILE_TEMPORARY "/x", 0700), 0);
	t = reopen(p);
	assert_int_equal(
	    unlinkat(p->pins_fd, TEXTFILE_TEMPORARY ".damaged/x", AT_REMOVEDIR),
	    0);
	assert_int_equal(mkdirat(p->pins_fd, TEXTFILE_TEMPORARY, 0700), 0);
	assert_int_equal(
	    trust_pin(t, sample(1).key, "new", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_forget(t, sample(1).key), 0);
	trust_close(t);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
		    unlinkat(p->pins_fd, aside[i], AT_REMOVEDIR), 0);
}

static unsigned damaged_pins(struct trust *t, char ret_name[])
{
	char fingerprint[FINGERPRINT_CHARS];
	unsigned n = 0;

	while (trust_damaged(t, n, fingerprint, ret_name))
		n++;
	return n;
}

/* Refused, at this start and the next one, until somebody decides. */
static void a_damaged_pin_is_refused(struct place *p, const char *text,
    size_t len, const char *salvaged, bool forget)
{
	static const uint8_t words[TRUST_WORDS_BYTES] = { 1 };
	const struct trust_decision decision = {
		.policy = TRUST_ACCEPT, .automatic = true, .words = words
	};
	struct trust_pin pin = sample(1), got;
	char file[FINGERPRINT_CHARS], name[WIRE_PEER_NAME_MAX + 1];
	struct sockaddr_storage ss = address_of("10.0.0.7:4717");
	uint8_t key[IDENTITY_KEY_BYTES];
	struct trust *t;

	identity_fingerprint(pin.key, file);
	trust_close(reopen(p));
	put(p, file, text, len, 0600);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(trust_open(p->state_fd, TRUST_LAN, &t), 0);
		assert_int_equal(damaged_pins(t, name), 1);
		assert_string_equal(name, salvaged);
		make_key(2, key);
		assert_int_equal(trust_incoming(t, key), WIRE_POLICY_ACCEPT);
		assert_int_equal(
		    trust_incoming(t, pin.key), WIRE_POLICY_REFUSE);
		assert_int_equal(trust_find(t, pin.key, &got), 0);
		assert_true(got.damaged);
		assert_string_equal(got.name, salvaged);
		assert_int_equal(damaged_pins(t, name), 1);
		/* What is learned of it decides nothing. */
		assert_int_equal(trust_set_verified(t, pin.key), -ENOENT);
		assert_int_equal(
		    trust_note_address(t, pin.key, (struct sockaddr *)&ss),
		    -ENOENT);
		if (i == 0)
			trust_close(t);
	}
	if (forget) {
		assert_int_equal(trust_forget(t, pin.key), 0);
		assert_int_equal(trust_find(t, pin.key, &got), -ENOENT);
	} else {
		assert_int_equal(
		    trust_decide(t, pin.key, "desk", &decision, name), 0);
		assert_string_equal(name, *salvaged ? salvaged : "desk");
		assert_int_equal(trust_find(t, pin.key, &got), 0);
		assert_true(!got.damaged && got.has_words);
	}
	assert_int_equal(damaged_pins(t, name), 0);
	trust_close(t);
	t = reopen(p);
	assert_int_equal(damaged_pins(t, name), 0);
	assert_int_equal(trust_find(t, pin.key, &got), forget ? -ENOENT : 0);
	assert_int_equal(count(p, ".damaged.damaged"), 1);
	trust_forget(t, pin.key);
	trust_close(t);
}

/* What was set aside, too. */
static void forget_files(struct place *p)
{
	char file[FINGERPRINT_CHARS + 20];
	struct trust_pin pin = sample(1);

	identity_fingerprint(pin.key, file);
	strcat(file, ".damaged.damaged");
	assert_int_equal(unlinkat(p->pins_fd, file, 0), 0);
}

static void damaged_pins_wait_for_a_decision(void **state)
{
	struct place *p = *state;
	struct trust_pin pin = sample(1);
	char text[PINFILE_TEXT_MAX];
	size_t len = pinfile_encode(&pin, text);

	text[len - 2] ^= 1; /* of the check */
	a_damaged_pin_is_refused(p, text, len, pin.name, false);
	forget_files(p);
	a_damaged_pin_is_refused(p, text, 20, "", true);
	forget_files(p);
	a_damaged_pin_is_refused(p, "", 0, "", false);
}

static void two_files_of_one_name_are_told_apart(void **state)
{
	struct place *p = *state;
	struct trust_pin a = sample(1), b = sample(2), got;
	struct trust *t;
	char first[WIRE_PEER_NAME_MAX + 1];

	trust_close(reopen(p));
	assert_int_equal(pinfile_write(p->pins_fd, &a), 0);
	assert_int_equal(pinfile_write(p->pins_fd, &b), 0);
	t = reopen(p);
	assert_int_equal(trust_find_name(t, "laptop", &got), 0);
	assert_int_equal(trust_find_name(t, "laptop (2)", &got), 0);
	assert_int_equal(trust_find(t, a.key, &got), 0);
	strcpy(first, got.name);
	trust_close(t);
	t = reopen(p);
	assert_int_equal(trust_find(t, a.key, &got), 0);
	assert_string_equal(got.name, first);
	trust_close(t);
}

static void the_4097th_pin_is_refused(void **state)
{
	struct place *p = *state;
	struct trust_pin pin = sample(0), got;
	struct trust *t;

	/* Files without fsync, so that this takes no minutes. */
	trust_close(reopen(p));
	for (unsigned i = 0; i < TRUST_PINS_MAX; i++) {
		char text[PINFILE_TEXT_MAX], name[FINGERPRINT_CHARS];

		make_key(i, pin.key);
		snprintf(pin.name, sizeof(pin.name), "p%u", i);
		identity_fingerprint(pin.key, name);
		put(p, name, text, pinfile_encode(&pin, text), 0600);
	}
	t = reopen(p);
	make_key(TRUST_PINS_MAX, pin.key);
	assert_int_equal(
	    trust_pin(t, pin.key, "new", TRUST_ACCEPT, NULL), -ENOSPC);
	assert_int_equal(trust_find(t, pin.key, &got), -ENOENT);
	assert_int_equal(count(p, "-"), TRUST_PINS_MAX);
	make_key(17, pin.key);
	assert_int_equal(trust_pin(t, pin.key, "new", TRUST_REFUSE, NULL), 0);
	assert_int_equal(trust_forget(t, pin.key), 0);
	make_key(TRUST_PINS_MAX, pin.key);
	assert_int_equal(trust_pin(t, pin.key, "new", TRUST_ACCEPT, NULL), 0);
	trust_close(t);

	make_key(17, pin.key);
	assert_int_equal(pinfile_write(p->pins_fd, &pin), 0);
	t = reopen(p); /* one too many: it starts all the same */
	make_key(TRUST_PINS_MAX + 1, pin.key);
	assert_int_equal(
	    trust_pin(t, pin.key, "more", TRUST_ACCEPT, NULL), -ENOSPC);
	assert_int_equal(count(p, ".damaged"), 0);
	trust_close(t);
}

/* Nobody fills the table with keys that cost nothing. */
static void there_is_room_for_those_that_a_person_lets_in(void **state)
{
	const struct trust_decision automatic = { .policy = TRUST_ACCEPT,
		.automatic = true };
	struct place *p = *state;
	struct trust_pin pin = sample(0), got;
	uint8_t new[IDENTITY_KEY_BYTES], known[IDENTITY_KEY_BYTES];
	struct trust *t;

	trust_close(reopen(p));
	pin.automatic = true;
	for (unsigned i = 0; i < TRUST_AUTOMATIC_MAX - 1; i++) {
		char text[PINFILE_TEXT_MAX], name[FINGERPRINT_CHARS];

		make_key(i, pin.key);
		snprintf(pin.name, sizeof(pin.name), "p%u", i);
		identity_fingerprint(pin.key, name);
		put(p, name, text, pinfile_encode(&pin, text), 0600);
	}
	assert_int_equal(trust_open(p->state_fd, TRUST_LAN, &t), 0);
	make_key(TRUST_PINS_MAX, new);
	make_key(TRUST_PINS_MAX + 1, known);
	assert_int_equal(trust_incoming(t, new), WIRE_POLICY_ACCEPT);
	assert_int_equal(trust_decide(t, new, "n", &automatic, NULL), 0);
	assert_int_equal(trust_incoming(t, new), WIRE_POLICY_ACCEPT);
	assert_int_equal(trust_incoming(t, known), WIRE_POLICY_REFUSE);
	assert_int_equal(
	    trust_decide(t, known, "k", &automatic, NULL), -ENOSPC);
	assert_int_equal(trust_find(t, known, &got), -ENOENT);

	/* A person still can, and what he has let in is not automatic. */
	assert_int_equal(trust_pin(t, known, "k", TRUST_ACCEPT, NULL), 0);
	assert_int_equal(trust_incoming(t, known), WIRE_POLICY_ACCEPT);
	assert_int_equal(trust_forget(t, known), 0);
	assert_int_equal(trust_incoming(t, known), WIRE_POLICY_REFUSE);
	assert_int_equal(trust_set_verified(t, new), 0);
	assert_int_equal(trust_find(t, new, &got), 0);
	assert_false(got.automatic);
	assert_int_equal(trust_incoming(t, known), WIRE_POLICY_ACCEPT);
	trust_close(t);
}

static void a_full_disk_changes_nothing(void **state)
{
	struct place *p = *state;
	struct trust *t = reopen(p);
	struct rlimit old, none = { 0 };
	struct sockaddr_storage ss = address_of("10.0.0.7:4717");
	struct trust_pin pin;
	uint8_t key[IDENTITY_KEY_BYTES], new[IDENTITY_KEY_BYTES];
	int r[3];

	make_key(1, key);
	make_key(2, new);
	assert_int_equal(trust_pin(t, key, "x", TRUST_ACCEPT, NULL), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none.rlim_max = old.rlim_max;
	none.rlim_cur = 10; /* bytes: the write is cut, the next one fails */
	setrlimit(RLIMIT_FSIZE, &none);
	r[0] = trust_pin(t, key, "x", TRUST_REFUSE, NULL);
	r[1] = trust_pin(t, new, "y", TRUST_ACCEPT, NULL);
	r[2] = trust_note_address(t, key, (struct sockaddr *)&ss);
	setrlimit(RLIMIT_FSIZE, &old);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(r[i], -EFBIG);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(trust_find(t, key, &pin), 0);
		assert_int_equal(pin.policy, TRUST_ACCEPT);
		assert_int_equal(pin.n_addresses, 0);
		assert_int_equal(trust_find(t, new, &pin), -ENOENT);
		trust_close(t);
		t = reopen(p);
	}
	assert_int_equal(count(p, "-"), 1);
	assert_int_equal(trust_pin(t, new, "y", TRUST_ACCEPT, NULL), 0);
	trust_close(t);
}

/* Changes two pins for ever, and says so after the first round. */
static void change_for_ever(int state_fd, int say_fd)
{
	struct sockaddr_storage ss = address_of("10.0.0.7:4717");
	uint8_t a[IDENTITY_KEY_BYTES], b[IDENTITY_KEY_BYTES];
	struct trust *t;

	if (trust_open(state_fd, TRUST_KNOWN, &t))
		_exit(1);
	make_key(1, a);
	make_key(2, b);
	for (unsigned i = 0;; i++) {
		address_set_port(
		    (struct sockaddr *)&ss, (uint16_t)(1 + i % 60000));
		if (trust_pin(
			t, a, "a", i % 2 ? TRUST_ACCEPT : TRUST_REFUSE, NULL) ||
		    trust_note_address(t, a, (struct sockaddr *)&ss) ||
		    trust_pin(t, b, "a", TRUST_ACCEPT, NULL) ||
		    trust_forget(t, b))
			_exit(1);
		if (i == 0 && write(say_fd, "x", 1) != 1)
			_exit(1);
	}
}

static void a_killed_writer_leaves_whole_pins(void **state)
{
	struct place *p = *state;
	struct trust_pin pin;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct timespec wait = { 0 };
	int said[2], status;
	char c;

	make_key(1, key);
	trust_close(reopen(p));
	for (unsigned i = 0; i < KILLS; i++) {
		struct trust *t;
		pid_t pid;

		assert_int_equal(pipe(said), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			change_for_ever(p->state_fd, said[1]);
		close(said[1]);
		assert_int_equal(read(said[0], &c, 1), 1);
		close(said[0]);
		/* Somewhere in the loop: what is tested is any moment. */
		wait.tv_nsec = (long)(i * 97 % 1000) * 2000;
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));

		t = reopen(p);
		assert_int_equal(trust_find(t, key, &pin), 0);
		assert_string_equal(pin.name, "a");
		assert_true(pin.policy != TRUST_ASK);
		assert_int_equal(count(p, ".damaged"), 0);
		assert_in_range(count(p, "-"), 1, 2);
		trust_close(t);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_truncation_and_bit_flip_is_seen),
		cmocka_unit_test(well_summed_nonsense_is_refused),
		TEST(what_is_not_trusted_is_set_aside),
		TEST(what_is_in_the_way_is_set_aside),
		TEST(damaged_pins_wait_for_a_decision),
		TEST(two_files_of_one_name_are_told_apart),
		TEST(the_4097th_pin_is_refused),
		TEST(there_is_room_for_those_that_a_person_lets_in),
		TEST(a_full_disk_changes_nothing),
		TEST(a_killed_writer_leaves_whole_pins),
	};

	/* What is set aside is said; here it would only be noise. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
