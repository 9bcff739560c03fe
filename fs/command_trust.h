/*
 * The sub-commands about who is let in: gtfs requests, why, accept, verify and
 * pair. Each runs on the only thread of a command, waits for the mount's
 * daemon and, where it asks something, for the person; returns the exit status
 * after one line of complaint.
 */
#ifndef COMMAND_TRUST_H
#define COMMAND_TRUST_H

struct request;

int command_requests(struct request *q);
int command_why(struct request *q);
int command_accept(struct request *q);
int command_verify(struct request *q);
int command_pair(struct request *q);

#endif
