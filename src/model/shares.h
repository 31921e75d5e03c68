/* shares.h - what ranks that hold the same input make of it together: each makes its rows of a
 * matrix, and all get all of them. Alone a rank makes every row. By all ranks, in the same order.
 */
#ifndef KINDRED_SHARES_H
#define KINDRED_SHARES_H

#include "base/err.h"
#include "comm/comm.h"

/* Which of n rows are this rank's, begin[rank] .. begin[rank + 1] - 1; begin (size + 1), to be
 * freed. A row costs 1, and what it has of offsets (n + 1), where there are any. */
int64_t *shares_of(const int64_t *offsets, int64_t n);

/* Rows (n, size bytes each), of which each rank made its own, become the same on all. */
void shares_gather(void *rows, int64_t size, const int64_t *begin);

/* True on all ranks while no signal came to any; else ERR_INTERRUPTED. */
NODISCARD bool shares_go_on(struct err *err);

/* lapack_eigen by rank 0, for all: the last bits may differ from one kind of processor to another.
 */
bool shares_eigen(int n, double *a, double *values);

#endif
