/*
 * What a former life held, shown at start. Before any other thread exists;
 * blocks on the disk.
 */
#ifndef HELD_OPEN_H
#define HELD_OPEN_H

struct inbox;

/*
 * Publishes every held file of the spool where its record says: its directory
 * is made again if it is gone, and what cannot be reached is shown at the top;
 * where the record is damaged, under a name of our own. What cannot be shown
 * stays for the next start. Then the orphans are removed. 0 or -errno.
 */
int held_open(struct inbox *in);

#endif
