/*
 * What a former life held, shown at start. Before any other thread exists;
 * blocks on the disk.
 */
#ifndef HELD_OPEN_H
#define HELD_OPEN_H

struct inbox;

/*
 * Publishes every held file of the spool where its record says, or at the top
 * if its directory has gone; where the record is damaged, under a name of our
 * own. What cannot be shown stays for the next start. Then the orphans are
 * removed. 0 or -errno.
 */
int held_open(struct inbox *in);

#endif
