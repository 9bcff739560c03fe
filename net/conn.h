/*
 * One TCP connection with its handshake and its records: messages in, messages
 * out. Nothing here knows what the messages mean.
 *
 * One thread receives (the connection's own). Any thread sends; a lock keeps
 * records whole and counters in order, and no call sleeps while it holds it.
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "identity.h"
#include "wire.h"

/* Outcomes of conn_receive. */
enum { CONN_EOF = 1, CONN_WOKEN = 2, CONN_DRAINED = 3 };

#define CONN_HANDSHAKE_MS 5000
#define CONN_SEND_MS      5000

/* Who we are, for every handshake. Borrowed while connections live. */
struct conn_self {
	const struct identity *identity;
	struct wire_hello hello;
};

struct conn;

/*
 * Connects, and proves both keys. Blocks for at most timeout_ms, or until
 * wake_fd (an eventfd, or -1) becomes readable. Returns 0, -ECANCELED (woken),
 * -EPROTONOSUPPORT (another major version; *ret_major says which, if not NULL),
 * -EPROTO or -EBADMSG (not gtfs, or forged), -ELOOP (it is ourselves: our own
 * key), -ETIMEDOUT, or what connect(2) said.
 */
int conn_dial(const struct conn_self *self, const struct sockaddr *to,
    int timeout_ms, int wake_fd, struct conn **ret, uint8_t *ret_major);

/*
 * The other side of it, on an accepted socket. Takes fd on success only.
 * Blocks for at most CONN_HANDSHAKE_MS. Errors as conn_dial.
 */
int conn_accept(
    const struct conn_self *self, int fd, int wake_fd, struct conn **ret);

/* Closes the socket and wipes the keys. NULL is fine. */
void conn_free(struct conn *c);

const uint8_t *conn_remote_key(const struct conn *c);
const struct wire_hello *conn_remote_hello(const struct conn *c);
/* handshake_words and handshake_channel of its handshake; 32 bytes each. */
const uint8_t *conn_words(const struct conn *c);
const uint8_t *conn_channel(const struct conn *c);
/* The address at the other end of the socket. */
const struct sockaddr_storage *conn_remote_address(const struct conn *c);
const char *conn_cipher(const struct conn *c);
int conn_fd(const struct conn *c);

/*
 * Every message can be sent at any time, its payload (wire_payload) included:
 * where nothing is pending and the output buffer is too small for m, the buffer
 * grows to hold it. It is small again after conn_reserve_output(c, 0), or when
 * conn_receive begins to wait for longer than a second with nothing pending.
 * -ENOMEM of the following: it could not grow, and m was not taken.
 */

/*
 * Seals m and sends what the socket takes at once. Returns 0 (the rest, if
 * any, is pending: conn_flush), -EAGAIN (older bytes are still pending and m
 * was not taken), -ENOMEM, or an error after which the connection is useless.
 * Never blocks. Any thread.
 */
int conn_try_send(struct conn *c, const struct wire_msg *m);

/*
 * The same, waiting until all of m has left, at most CONN_SEND_MS.
 * -ETIMEDOUT: useless from now on.
 */
int conn_send(struct conn *c, const struct wire_msg *m);

/*
 * Seals m into the output buffer without sending: several small messages then
 * leave in one segment with the next conn_flush or conn_try_send. -EAGAIN:
 * there is no room for it behind what is pending, and m was not taken; after a
 * conn_flush that returned 0 it is.
 */
int conn_queue(struct conn *c, const struct wire_msg *m);

/* Sends what is pending: 0 (all gone), -EAGAIN, or an error. */
int conn_flush(struct conn *c);
bool conn_pending(struct conn *c);

/*
 * Makes room in the output buffer for small messages and then one with a
 * payload of that many bytes, so that they leave together; nothing else needs
 * it. The buffer only grows; with 0 it is given back (small messages only),
 * unless something is pending. Returns 0 or -ENOMEM.
 */
int conn_reserve_output(struct conn *c, size_t payload);

/*
 * Waits at most timeout_ms (-1: for ever) for the next message. *ret_msg points
 * into the connection's buffer and is valid until the next call. With wake_fd
 * >= 0 returns CONN_WOKEN when it is readable (its value is not consumed) and
 * no message is at hand. Pending output is flushed as the socket takes it, and
 * CONN_DRAINED says that all of it has gone (the caller may have more).
 * timeout_ms 0 looks and never waits.
 * Returns 0, CONN_EOF (the peer closed between two messages), CONN_WOKEN,
 * -ETIMEDOUT, -EBADMSG (did not open or decode: drop the connection), or what
 * recv(2) said, negated.
 */
int conn_receive(
    struct conn *c, int timeout_ms, int wake_fd, struct wire_msg *ret_msg);

/*
 * No longer message is taken from now on (-EBADMSG), and so no larger buffer
 * made. 0: what the protocol allows, as at first. Any thread.
 */
void conn_limit_input(struct conn *c, size_t message_max);

/* now_ms() when the last message came in. */
int64_t conn_heard_ms(const struct conn *c);
/* now_ms() when the last message was sealed. */
int64_t conn_sent_ms(struct conn *c);

/* Ends the socket (shutdown(2)): wakes its thread with CONN_EOF. Any thread. */
void conn_shutdown(struct conn *c);

/*
 * What the socket still holds is not sent any more when the connection is
 * freed: the kernel would go on trying for minutes, and a peer that is back
 * would get a COMMIT whose program was told long ago that it failed.
 */
void conn_drop_output(struct conn *c);

#endif
