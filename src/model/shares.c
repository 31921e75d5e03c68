#include "model/shares.h"

#include "base/interrupt.h"
#include "kern/lapack.h"

static int64_t cost_before(const int64_t *offsets, int64_t row)
{
    return row + (offsets ? offsets[row] - offsets[0] : 0);
}

int64_t *shares_of(const int64_t *offsets, int64_t n)
{
    int size = comm_size();
    int64_t *begin = xcalloc((size_t)size + 1, sizeof *begin), row = 0;

    for (int r = 1; r < size; r++) {
        double before = (double)cost_before(offsets, n) * r / size;

        while (row < n && (double)cost_before(offsets, row) < before)
            row++;
        begin[r] = row;
    }
    begin[size] = n;
    return begin;
}

void shares_gather(void *rows, int64_t size, const int64_t *begin)
{
    AUTO_FREE int64_t *bytes = xcalloc((size_t)comm_size() + 1, sizeof *bytes);

    for (int r = 0; r <= comm_size(); r++)
        bytes[r] = begin[r] * size;
    comm_all_gather(rows, bytes);
}

bool shares_go_on(struct err *err)
{
    return comm_all_agree(interrupt_check(err), err);
}

bool shares_eigen(int n, double *a, double *values)
{
    int64_t ok = comm_rank() > 0 || lapack_eigen(n, a, values);

    comm_all_fold(&ok, 1, COMM_MIN);
    if (!ok)
        return false;
    comm_all_share(a, (int64_t)n * n * (int64_t)sizeof *a, 0);
    comm_all_share(values, n * (int64_t)sizeof *values, 0);
    return true;
}
