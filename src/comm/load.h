/* load.h - the module of an MPI: where it is, and whether it's one. */
#ifndef KINDRED_COMM_LOAD_H
#define KINDRED_COMM_LOAD_H

#include "comm/launcher.h"
#include "comm/module.h"

/* The module for l->mpi, which may also be a module's path; NULL with ERR_IO, or ERR_USAGE where
 * it's neither. What the MPI should find in its environment is set, where unset. */
const struct comm_module *comm_load(const struct launcher *l, struct err *err);

#endif
