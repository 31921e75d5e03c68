#include "model/dense.h"

#include "kern/kern.h"

/* Rows are summed in GROUPS parts whatever the number of threads. STRIP columns of a gram at a
 * time, so that of a symmetric matrix little more than half is computed. TALL rows of a product
 * stay in the second cache. */
enum { GROUPS = 16, ROWS = 1024, STRIP = 64, TALL = 288 };

static void transpose(const float *x, int n, int dim, float *out)
{
    enum { TILE = 16 };

    for (int r = 0; r < n; r += TILE)
        for (int c = 0; c < dim; c++)
            for (int i = r; i < MIN(r + TILE, n); i++)
                out[(int64_t)c * ROWS + i] = x[(int64_t)i * dim + c];
}

/* The lower triangle of x^T x, and what lies beside it in strips; x (n, dim), n <= ROWS. */
static void strips(const float *x, int n, int dim, float *turned, float *out)
{
    transpose(x, n, dim, turned);
    for (int j = 0; j < dim; j += STRIP)
        for (int i = j; i < dim; i += TALL)
            kern_best()->gemm(MIN(TALL, dim - i), MIN(STRIP, dim - j), n,
                              turned + (int64_t)i * ROWS, ROWS, 1, x + j, dim,
                              out + (int64_t)i * dim + j, dim, false);
}

static void add_gram(const float *x, int64_t n, int dim, double *sum)
{
    AUTO_FREE float *turned = xaligned((size_t)dim * ROWS, sizeof *turned);
    AUTO_FREE float *part = xaligned((size_t)dim * (size_t)dim, sizeof *part);

    for (int64_t r = 0; r < n; r += ROWS) {
        strips(x + r * dim, (int)MIN(ROWS, n - r), dim, turned, part);
        for (int i = 0; i < dim; i++)
            for (int j = 0; j <= i; j++)
                sum[(int64_t)i * dim + j] += (double)part[(int64_t)i * dim + j];
    }
}

void dense_gram(const float *x, int64_t n, int dim, double *out)
{
    size_t size = (size_t)dim * (size_t)dim;
    int64_t blocks = (n + ROWS - 1) / ROWS, groups = MAX(MIN(GROUPS, blocks), 1);
    AUTO_FREE double *sums = xaligned(size * (size_t)groups, sizeof *sums);

#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = blocks * g / groups * ROWS;
        int64_t last = MIN(blocks * (g + 1) / groups * ROWS, n);

        add_gram(x + first * dim, last - first, dim, sums + g * (int64_t)size);
    }
    for (int i = 0; i < dim; i++)
        for (int j = 0; j <= i; j++) {
            double sum = 0;

            for (int64_t g = 0; g < groups; g++)
                sum += sums[g * (int64_t)size + (int64_t)i * dim + j];
            out[(int64_t)i * dim + j] = out[(int64_t)j * dim + i] = sum;
        }
}

void dense_product(const float *x, int64_t n, int k, const float *w, int m, float *out)
{
    assert(out != x || m == k);
#pragma omp parallel
    {
        AUTO_FREE float *part = xaligned((size_t)TALL * (size_t)m, sizeof *part);

#pragma omp for schedule(dynamic, 1)
        for (int64_t r = 0; r < n; r += TALL) {
            int rows = (int)MIN(TALL, n - r);

            kern_best()->gemm(rows, m, k, x + r * k, k, 1, w, m, part, m, false);
            memcpy(out + r * m, part, (size_t)rows * (size_t)m * sizeof *out);
        }
    }
}
