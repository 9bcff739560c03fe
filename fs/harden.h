/*
 * What keeps the process's memory to itself: no core dump, and no other process
 * of the same user reads it.
 */
#ifndef HARDEN_H
#define HARDEN_H

/* Before the first secret is read. Children inherit it until they exec. */
void harden(void);

#endif
