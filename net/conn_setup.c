/*
 * From a TCP connection to one with keys: the preamble and the three framed
 * messages of the handshake (gtfs-protocol(7), sections PREAMBLE and
 * HANDSHAKE). Runs in the thread that will own the connection; every wait ends
 * at one deadline or when wake_fd is readable.
 */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "bytes.h"
#include "conn_internal.h"
#include "handshake.h"

enum {
	LABEL_BYTES = sizeof(WIRE_PROLOGUE_LABEL) - 1,
	PROLOGUE_BYTES = LABEL_BYTES + WIRE_PREAMBLE_BYTES,
};

/* What every step of a handshake needs. */
struct setup {
	const struct conn_self *self;
	int fd, wake_fd;
	int64_t deadline;
	uint8_t major; /* of the other side, once its preamble came */
};

static int setup_wait(const struct setup *s, short events)
{
	struct pollfd p[2] = {
		{ .fd = s->fd, .events = events },
		{ .fd = s->wake_fd, .events = POLLIN },
	};
	int64_t left = s->deadline - now_ms();
	int n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = poll(p, s->wake_fd >= 0 ? 2 : 1, (int)left);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ETIMEDOUT;
	return s->wake_fd >= 0 && p[1].revents ? -ECANCELED : 0;
}

static int setup_send(const struct setup *s, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		r = setup_wait(s, POLLOUT);
		if (r)
			return r;
	}
	return 0;
}

static int setup_read(const struct setup *s, uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = recv(s->fd, p, len, MSG_DONTWAIT);
		int r;

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		r = setup_wait(s, POLLIN);
		if (r)
			return r;
	}
	return 0;
}

/* Writes the next handshake message behind `used` bytes of out and sends all.
 */
static int message_send(const struct setup *s, struct handshake *h,
    const struct wire_hello *hello, uint8_t *out, size_t used)
{
	uint8_t app[HANDSHAKE_APP_MAX];
	size_t app_len = 0, len;
	int r = 0;

	if (hello)
		r = wire_hello_encode(hello, app, sizeof(app), &app_len);
	if (!r)
		r = handshake_write(h, app, app_len, out + used + 2,
		    HANDSHAKE_MESSAGE_MAX, &len);
	if (r)
		return r;
	put_be16(out + used, (uint16_t)len);
	return setup_send(s, out, used + 2 + len);
}

static int message_read(
    const struct setup *s, struct handshake *h, struct wire_hello *ret_hello)
{
	uint8_t buf[HANDSHAKE_MESSAGE_MAX], app[HANDSHAKE_APP_MAX], size[2];
	size_t len, app_len;
	int r;

	r = setup_read(s, size, sizeof(size));
	if (r)
		return r;
	len = get_be16(size);
	if (len > sizeof(buf))
		return -EBADMSG;
	r = setup_read(s, buf, len);
	if (!r)
		r = handshake_read(h, buf, len, app, sizeof(app), &app_len);
	if (r)
		return r;
	if (!ret_hello)
		return app_len ? -EBADMSG : 0;
	return wire_hello_decode(app, app_len, ret_hello);
}

static int preamble_check(struct setup *s, const uint8_t *preamble)
{
	uint8_t minor;
	int r = wire_preamble_decode(preamble, &s->major, &minor);

	if (r)
		return r;
	return s->major == WIRE_MAJOR ? 0 : -EPROTONOSUPPORT;
}

static struct handshake *begin(
    const struct setup *s, enum handshake_role role, const uint8_t *preamble)
{
	uint8_t prologue[PROLOGUE_BYTES];

	memcpy(prologue, WIRE_PROLOGUE_LABEL, LABEL_BYTES);
	memcpy(prologue + LABEL_BYTES, preamble, WIRE_PREAMBLE_BYTES);
	return handshake_new(
	    role, s->self->identity, prologue, sizeof(prologue));
}

static int initiator_steps(
    struct setup *s, struct handshake **ret_h, struct wire_hello *ret_hello)
{
	uint8_t out[WIRE_PREAMBLE_BYTES + 2 + HANDSHAKE_MESSAGE_MAX];
	uint8_t theirs[WIRE_PREAMBLE_BYTES];
	struct handshake *h;
	int r;

	wire_preamble_encode(out);
	h = *ret_h = begin(s, HANDSHAKE_INITIATOR, out);
	if (!h)
		return -ENOMEM;
	r = message_send(s, h, NULL, out, WIRE_PREAMBLE_BYTES);
	if (!r)
		r = setup_read(s, theirs, sizeof(theirs));
	if (!r)
		r = preamble_check(s, theirs);
	if (!r)
		r = message_read(s, h, ret_hello);
	if (!r)
		r = message_send(s, h, &s->self->hello, out, 0);
	return r;
}

static int responder_steps(
    struct setup *s, struct handshake **ret_h, struct wire_hello *ret_hello)
{
	uint8_t out[WIRE_PREAMBLE_BYTES + 2 + HANDSHAKE_MESSAGE_MAX];
	uint8_t theirs[WIRE_PREAMBLE_BYTES];
	struct handshake *h;
	int r;

	wire_preamble_encode(out);
	r = setup_read(s, theirs, sizeof(theirs));
	if (r)
		return r;
	r = preamble_check(s, theirs);
	if (r == -EPROTONOSUPPORT)
		setup_send(s, out, WIRE_PREAMBLE_BYTES);
	if (r)
		return r;
	h = *ret_h = begin(s, HANDSHAKE_RESPONDER, theirs);
	if (!h)
		return -ENOMEM;
	r = message_read(s, h, NULL);
	if (!r)
		r = message_send(
		    s, h, &s->self->hello, out, WIRE_PREAMBLE_BYTES);
	if (!r)
		r = message_read(s, h, ret_hello);
	return r;
}

/* The connection out of a completed handshake. Takes s->fd on success. */
static int finish(const struct setup *s, struct handshake *h,
    const struct wire_hello *hello, struct conn **ret)
{
	struct conn *c;
	socklen_t len = sizeof(c->remote_address);
	int r;

	if (!memcmp(handshake_remote_key(h), s->self->identity->public,
		IDENTITY_KEY_BYTES))
		return -ELOOP;
	c = conn_new(s->fd);
	if (!c)
		return -ENOMEM;
	c->remote_hello = *hello;
	handshake_words(h, c->words);
	handshake_channel(h, c->channel);
	memcpy(c->remote_key, handshake_remote_key(h), IDENTITY_KEY_BYTES);
	mutex_lock(&c->send_lock);
	r = handshake_split(h, &c->send_key, &c->receive_key);
	mutex_unlock(&c->send_lock);
	if (!r &&
	    getpeername(s->fd, (struct sockaddr *)&c->remote_address, &len))
		r = -errno;
	if (r) {
		c->fd = -1; /* it stays the caller's */
		conn_free(c);
		return r;
	}
	address_normalise(&c->remote_address);
	*ret = c;
	return 0;
}

/* Small segments go at once. Whether a peer lives, our own timers decide. */
static void tune(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int setup_run(
    struct setup *s, enum handshake_role role, struct conn **ret)
{
	struct handshake *h = NULL;
	struct wire_hello hello;
	int r;

	tune(s->fd);
	r = role == HANDSHAKE_INITIATOR ? initiator_steps(s, &h, &hello)
					: responder_steps(s, &h, &hello);
	if (!r)
		r = finish(s, h, &hello, ret);
	handshake_free(h);
	return r;
}

static int connect_wait(struct setup *s, const struct sockaddr *to)
{
	int error = 0;
	socklen_t len = sizeof(error);
	int r;

	if (connect(s->fd, to, address_len(to)) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = setup_wait(s, POLLOUT);
	if (r)
		return r;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return -errno;
	return -error;
}

int conn_dial(const struct conn_self *self, const struct sockaddr *to,
    int timeout_ms, int wake_fd, struct conn **ret, uint8_t *ret_major)
{
	struct setup s = { .self = self,
		.wake_fd = wake_fd,
		.deadline = now_ms() + timeout_ms };
	int r;

	s.fd = socket(
	    to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s.fd < 0)
		return -errno;
	r = connect_wait(&s, to);
	if (!r)
		r = setup_run(&s, HANDSHAKE_INITIATOR, ret);
	if (r)
		close(s.fd);
	if (r == -EPROTONOSUPPORT && ret_major)
		*ret_major = s.major;
	return r;
}

int conn_accept(
    const struct conn_self *self, int fd, int wake_fd, struct conn **ret)
{
	struct setup s = { .self = self,
		.fd = fd,
		.wake_fd = wake_fd,
		.deadline = now_ms() + CONN_HANDSHAKE_MS };

	return setup_run(&s, HANDSHAKE_RESPONDER, ret);
}
