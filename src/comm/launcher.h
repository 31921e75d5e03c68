/* launcher.h - who started this process, by the environment alone. */
#ifndef KINDRED_LAUNCHER_H
#define KINDRED_LAUNCHER_H

#include "base/base.h"

struct launcher {
    const char *name; /* what to call it in a message; NULL: there is none */
    const char *mpi;  /* "openmpi", "mpich", or what KINDRED_MPI has; NULL: it brings none along */
    int rank;
    int size;       /* 0: it doesn't say */
    int local_rank; /* among the ranks of this host; 0 where it doesn't say */
};

struct launcher launcher_find(void);

/* A variable's whole number >= 0; `otherwise` where it's unset or none. */
int launcher_number(const char *variable, int otherwise);

#endif
