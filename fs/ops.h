/*
 * The table of FUSE operations: who answers what, by node id. Nothing is
 * decided here but whose a node is, and what never crosses a border: rename and
 * link between inbox/ and peers/ (EXDEV), special files and links to peers.
 */
#ifndef OPS_H
#define OPS_H

#include "mount.h"

extern const struct fuse_lowlevel_ops ops_table;

#endif
