/* module.h - what an MPI's module gives: few calls, of which comm.c makes all others.
 *
 * A module is a shared library that exports `const struct comm_module kindred_comm_module`. It
 * takes no function of the program's. Every call but begin, end and abort starts something and
 * returns; `test` says when it's done. */
#ifndef KINDRED_COMM_MODULE_H
#define KINDRED_COMM_MODULE_H

#include "comm/comm.h"

enum { COMM_MODULE_VERSION = 1 }; /* one more whenever this file changes */

#define COMM_MODULE_SYMBOL "kindred_comm_module"

struct comm_module {
    int version; /* stays first */
    const char *mpi;

    bool (*begin)(int *rank, int *size); /* false: one call at a time isn't safe from any thread */
    void (*end)(void);
    void (*abort)(int code);

    /* tag: a few more than COMM_TAGS, which comm.c takes for itself. */
    void (*send)(const void *data, int64_t size, int to, int tag, struct comm_request *out);
    void (*receive)(void *data, int64_t size, int from, int tag, struct comm_request *out);
    bool (*test)(struct comm_request *r); /* r is pending */

    void (*wait)(struct comm_request *out);
    void (*share)(void *data, int size, int root, struct comm_request *out);
    void (*fold)(int64_t *x, int n, enum comm_fold how, struct comm_request *out);

    /* The longest that is handed on in one piece, in bytes: counts are int. Tests lower it. */
    int64_t *piece_max;
};

extern const struct comm_module comm_alone; /* one rank, without MPI */

/* For tests: as if no piece held more than so many bytes, a multiple of 8. */
void comm_set_piece_max(int64_t size);

#endif
