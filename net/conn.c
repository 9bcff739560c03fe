/*
 * Records on a socket after the handshake (net/conn_setup.c made it). The
 * socket never blocks: who has to wait does so in poll(2), outside the lock.
 *
 * The input buffer is small until a large record announces itself, grows to
 * hold exactly one, and is given back when the connection rests; the output
 * buffer in the same way for a message with a large payload. So idle
 * connections cost a few KiB.
 */
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn_internal.h"
#include "locked.h"
#include "record.h"

enum {
	INPUT_SMALL = 4096,
	OUTPUT_SMALL = 4 * (WIRE_SMALL_MAX + RECORD_OVERHEAD),
};

/* Nobody else knows it yet, or any longer. */
struct conn *conn_new(int fd) NO_THREAD_ANALYSIS
{
	struct conn *c = locked_alloc(sizeof(*c));

	if (!c)
		return NULL;
	c->in = malloc(INPUT_SMALL);
	c->out = malloc(OUTPUT_SMALL);
	if (!c->in || !c->out) {
		free(c->in);
		free(c->out);
		locked_free(c, sizeof(*c));
		return NULL;
	}
	mutex_init(&c->send_lock);
	c->fd = fd;
	c->in_cap = INPUT_SMALL;
	c->out_cap = OUTPUT_SMALL;
	c->heard_ms = c->sent_ms = now_ms();
	c->input_max = RECORD_PLAIN_MAX;
	return c;
}

/* Nobody else knows it yet, or any longer. */
void conn_free(struct conn *c) NO_THREAD_ANALYSIS
{
	if (!c)
		return;
	record_key_fini(&c->send_key);
	record_key_fini(&c->receive_key);
	mutex_fini(&c->send_lock);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
	free(c->out);
	locked_free(c, sizeof(*c)); /* the keys are in it */
}

const uint8_t *conn_remote_key(const struct conn *c)
{
	return c->remote_key;
}

const uint8_t *conn_words(const struct conn *c)
{
	return c->words;
}

const uint8_t *conn_channel(const struct conn *c)
{
	return c->channel;
}

const struct wire_hello *conn_remote_hello(const struct conn *c)
{
	return &c->remote_hello;
}

const struct sockaddr_storage *conn_remote_address(const struct conn *c)
{
	return &c->remote_address;
}

const char *conn_cipher(const struct conn *c)
{
	return record_cipher_name(c->receive_key.cipher);
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

int64_t conn_heard_ms(const struct conn *c)
{
	return atomic_load_explicit(&c->heard_ms, memory_order_relaxed);
}

int64_t conn_sent_ms(struct conn *c)
{
	return atomic_load_explicit(&c->sent_ms, memory_order_relaxed);
}

void conn_shutdown(struct conn *c)
{
	shutdown(c->fd, SHUT_RDWR);
}

void conn_drop_output(struct conn *c)
{
	struct linger now = { .l_onoff = 1 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* --- output ---------------------------------------------------------- */

static int flush_locked(struct conn *c) REQUIRES(c->send_lock)
{
	while (c->out_off < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_off,
		    c->out_len - c->out_off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		c->out_off += (size_t)n;
	}
	c->out_off = c->out_len = 0;
	return 0;
}

static int resize_locked(struct conn *c, size_t cap) REQUIRES(c->send_lock)
{
	uint8_t *out;

	if (cap == c->out_cap)
		return 0;
	out = realloc(c->out, cap);
	if (!out)
		return -ENOMEM;
	c->out = out;
	c->out_cap = cap;
	return 0;
}

/* For a few small messages, and one with a payload of that many bytes. */
static size_t output_cap(size_t payload)
{
	return OUTPUT_SMALL + (payload ? payload + RECORD_OVERHEAD : 0);
}

/* Room behind what is pending; where nothing is, the buffer grows for m. */
static int room_locked(struct conn *c, size_t need, size_t payload)
    REQUIRES(c->send_lock)
{
	if (c->out_cap - c->out_len >= need)
		return 0;
	return c->out_len ? -EAGAIN : resize_locked(c, output_cap(payload));
}

/* -EAGAIN where the buffer has no room for m as well. */
static int queue_locked(struct conn *c, const struct wire_msg *m)
    REQUIRES(c->send_lock)
{
	const uint8_t *bytes = NULL;
	size_t payload = wire_payload(m, &bytes);
	size_t need = WIRE_SMALL_MAX + RECORD_OVERHEAD + payload;
	uint8_t *record, *plain;
	size_t len, sealed;
	int r;

	r = room_locked(c, need, payload);
	if (r)
		return r;
	record = c->out + c->out_len;
	plain = record + RECORD_HEADER_BYTES;
	r = wire_encode(m, plain, WIRE_SMALL_MAX, &len);
	if (r)
		return r;
	if (payload)
		memcpy(plain + len, bytes, payload);
	r = record_seal(&c->send_key, plain, len + payload, record,
	    c->out_cap - c->out_len, &sealed);
	if (r)
		return r;
	c->out_len += sealed;
	atomic_store_explicit(&c->sent_ms, now_ms(), memory_order_relaxed);
	return 0;
}

int conn_queue(struct conn *c, const struct wire_msg *m)
{
	int r;

	mutex_lock(&c->send_lock);
	r = queue_locked(c, m);
	mutex_unlock(&c->send_lock);
	return r;
}

int conn_flush(struct conn *c)
{
	int r;

	mutex_lock(&c->send_lock);
	r = flush_locked(c);
	mutex_unlock(&c->send_lock);
	return r;
}

bool conn_pending(struct conn *c)
{
	bool pending;

	mutex_lock(&c->send_lock);
	pending = c->out_len > c->out_off;
	mutex_unlock(&c->send_lock);
	return pending;
}

int conn_try_send(struct conn *c, const struct wire_msg *m)
{
	int r;

	mutex_lock(&c->send_lock);
	r = flush_locked(c);
	if (!r)
		r = queue_locked(c, m);
	if (!r) {
		r = flush_locked(c);
		if (r == -EAGAIN)
			r = 0;
	}
	mutex_unlock(&c->send_lock);
	return r;
}

static int wait_writable(struct conn *c, int64_t deadline)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	int64_t left = deadline - now_ms();

	if (left <= 0)
		return -ETIMEDOUT;
	if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int conn_send(struct conn *c, const struct wire_msg *m)
{
	int64_t deadline = now_ms() + CONN_SEND_MS;
	int r;

	while ((r = conn_try_send(c, m)) == -EAGAIN) {
		r = wait_writable(c, deadline);
		if (r)
			return r;
	}
	while (!r && (r = conn_flush(c)) == -EAGAIN)
		r = wait_writable(c, deadline);
	return r;
}

int conn_reserve_output(struct conn *c, size_t payload)
{
	size_t cap = output_cap(payload);
	int r = 0;

	mutex_lock(&c->send_lock);
	if (cap > c->out_cap || (!payload && c->out_len == 0))
		r = resize_locked(c, cap);
	mutex_unlock(&c->send_lock);
	return r;
}

/* --- input ----------------------------------------------------------- */

void conn_limit_input(struct conn *c, size_t message_max)
{
	atomic_store(
	    &c->input_max, message_max ? message_max : RECORD_PLAIN_MAX);
}

static int input_room(struct conn *c, size_t need)
{
	uint8_t *in;

	if (need <= c->in_cap)
		return 0;
	in = realloc(c->in, need);
	if (!in)
		return -ENOMEM;
	c->in = in;
	c->in_cap = need;
	return 0;
}

/* Moves what is left of the input to the front of its buffer. */
static void input_compact(struct conn *c)
{
	if (c->in_off == 0)
		return;
	memmove(c->in, c->in + c->in_off, c->in_len - c->in_off);
	c->in_len -= c->in_off;
	c->in_off = 0;
}

/* Bytes that the record at in_off has in all; 0: the header is not here. */
static int record_size(struct conn *c, size_t *ret)
{
	size_t len;
	int r;

	if (c->in_len - c->in_off < RECORD_HEADER_BYTES) {
		*ret = 0;
		return 0;
	}
	r = record_header(&c->receive_key, c->in + c->in_off,
	    atomic_load(&c->input_max), &len);
	if (r)
		return r;
	*ret = RECORD_HEADER_BYTES + len;
	return 0;
}

/*
 * Reads from the socket: what is missing of this record and the next header,
 * or a small piece where even this header is missing, so that little has to
 * be moved. Returns 0, CONN_EOF, -EAGAIN or an error.
 */
static int input_fill(struct conn *c, size_t record)
{
	size_t want;
	ssize_t n;
	int r;

	input_compact(c);
	want = record ? record + RECORD_HEADER_BYTES : INPUT_SMALL;
	r = input_room(c, want);
	if (r)
		return r;
	do {
		n = recv(
		    c->fd, c->in + c->in_len, want - c->in_len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return c->in_len ? -ECONNRESET : CONN_EOF;
	c->in_len += (size_t)n;
	return 0;
}

/* -EAGAIN: no whole record is at hand. */
static int take_record(struct conn *c, struct wire_msg *ret_msg)
{
	size_t size, len;
	uint8_t *plain;
	int r;

	r = record_size(c, &size);
	if (r)
		return r;
	if (!size || c->in_len - c->in_off < size) {
		r = input_fill(c, size);
		if (r)
			return r;
		r = record_size(c, &size);
		if (r)
			return r;
		if (!size || c->in_len - c->in_off < size)
			return -EAGAIN;
	}
	r = record_open(&c->receive_key, c->in + c->in_off, size, &plain, &len);
	if (r)
		return r;
	c->in_off += size;
	atomic_store_explicit(&c->heard_ms, now_ms(), memory_order_relaxed);
	return wire_decode(plain, len, ret_msg);
}

/* Before a long rest: a large buffer is given back. */
static void input_rest(struct conn *c)
{
	uint8_t *in;

	if (c->in_len > c->in_off || c->in_cap == INPUT_SMALL)
		return;
	c->in_len = c->in_off = 0;
	in = realloc(c->in, INPUT_SMALL);
	if (in) {
		c->in = in;
		c->in_cap = INPUT_SMALL;
	}
}

static int wait_readable(struct conn *c, int64_t deadline, int wake_fd)
{
	struct pollfd p[2] = {
		{ .fd = c->fd, .events = POLLIN },
		{ .fd = wake_fd, .events = POLLIN },
	};
	int64_t left = deadline < 0 ? -1 : deadline - now_ms();
	int n;

	if (deadline >= 0 && left < 0)
		left = 0;
	if (conn_pending(c))
		p[0].events |= POLLOUT;
	n = poll(p, wake_fd >= 0 ? 2 : 1, (int)left);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (p[0].revents & POLLOUT) {
		int r = conn_flush(c);

		if (r != -EAGAIN)
			return r ? r : CONN_DRAINED;
	}
	if (!(p[0].revents & ~POLLOUT) && wake_fd >= 0 && p[1].revents)
		return CONN_WOKEN;
	return 0;
}

int conn_receive(
    struct conn *c, int timeout_ms, int wake_fd, struct wire_msg *ret_msg)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int r;

	for (;;) {
		do {
			size_t had = c->in_len - c->in_off;

			r = take_record(c, ret_msg);
			/* Progress inside a record: try on at once. */
			if (r == -EAGAIN && c->in_len - c->in_off == had)
				break;
		} while (r == -EAGAIN);
		if (r != -EAGAIN)
			return r;
		if (timeout_ms == 0)
			return -ETIMEDOUT;
		if (timeout_ms > 1000 || timeout_ms < 0) {
			input_rest(c);
			conn_reserve_output(c, 0);
		}
		r = wait_readable(c, deadline, wake_fd);
		if (r)
			return r;
	}
}
