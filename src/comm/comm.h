/* comm.h - the ranks of a run: this process alone, or one of several that a launcher started.
 *
 * Alone (no launcher, or one that starts a single rank) nothing of MPI is loaded, and every call
 * below does what it does for one rank. Under mpirun, srun and the like the module that was built
 * for that MPI is loaded (comm_mpi.c).
 *
 * A call whose name begins with comm_all is made by all ranks, in the same order. Calls may come
 * from any thread, but one at a time. Nothing here returns an error of the network: where a rank or
 * a link is lost, the whole job ends. Sizes are in bytes and may exceed 2 GB. */
#ifndef KINDRED_COMM_H
#define KINDRED_COMM_H

#include "base/err.h"

/* Find the launcher, load its MPI. ERR_IO: there is no module for it; ERR_USAGE: this process finds
 * itself alone where the launcher (or KINDRED_RANKS) says that it's one of several. All ranks of a
 * host fail alike. KINDRED_MPI, "openmpi", "mpich" or a module's path, wins over what is found. */
NODISCARD bool comm_begin(struct err *err);

/* By all ranks, before they end; no message is on its way. */
void comm_all_end(void);

/* End all ranks at once, with this exit code. */
_Noreturn void comm_abort(int code);

int comm_rank(void);
int comm_size(void); /* 1: alone */

/* How many processors are this rank's: those that it may run on, divided by how many ranks of its
 * host may run on the same. At least 1. */
int comm_all_processors(void);

/* ---- between two ranks ---- */

enum { COMM_TAGS = 4096 }; /* 0 <= tag < COMM_TAGS. Messages of one tag keep their order. */

/* On its way until comm_test says that it's done; zeroed: done. The data stays in place so long. */
struct comm_request {
    bool pending;
    union {
        void *pointer;
        int number;
    } handle;
};

/* `out` is pending from here on. Both sides give the same size. A rank may send to itself. */
void comm_send(const void *data, int64_t size, int to, int tag, struct comm_request *out);
void comm_receive(void *data, int64_t size, int from, int tag, struct comm_request *out);
NODISCARD bool comm_test(struct comm_request *r); /* doesn't wait */
void comm_wait(struct comm_request *r);           /* gives way to others while it waits */

/* ---- all ranks ---- */

void comm_all_wait(void);                                /* until all are here */
void comm_all_share(void *data, int64_t size, int root); /* what `root` has in data */

/* Part r of data, begin[r] .. begin[r + 1] - 1 (bytes), is rank r's to give; afterwards all have
 * all parts. begin (size + 1) */
void comm_all_gather(void *data, const int64_t *begin);

/* To each rank its part of `send`, from each its part into `receive`; (size + 1) bytes each. */
void comm_all_exchange(const void *send, const int64_t *send_begin, void *receive,
                       const int64_t *receive_begin);

/* x (n): over all ranks. Whole numbers: any order gives the same. */
enum comm_fold { COMM_SUM, COMM_MIN, COMM_MAX };
void comm_all_fold(int64_t *x, int64_t n, enum comm_fold how);

/* True if `ok` on all ranks. Else false on all, and `err` is that of the lowest rank where it
 * isn't, named "rank 2 (host): ..." unless all ranks failed alike; err->agreed is set. */
NODISCARD bool comm_all_agree(bool ok, struct err *err);

/* ---- the end of a run that failed ---- */

/* This rank can't go on: do the others say the same? Waits for them, but no longer than patience_s.
 * True on all ranks if all of them failed, with one error as comm_all_agree leaves it. False:
 * others are still at work, and `err` is named after this rank. */
NODISCARD bool comm_failed(struct err *err, double patience_s);

/* ---- what it cost ---- */

struct comm_cost {
    int64_t sent;     /* bytes for other ranks, of all calls; comm_all_share counts at its root */
    double waiting_s; /* in comm_wait and the calls of all ranks */
};
struct comm_cost comm_cost(void);

#endif
