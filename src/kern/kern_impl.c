/* The loops themselves. The file's compiler flags make them vectors; see kern.h and meson.build. */
#include "kern/kern.h"

#include <math.h>
#include <string.h>

extern const struct kern KERN_TABLE;

static float dot(const float *restrict a, const float *restrict b, int dim)
{
    float sum = 0;

    for (int k = 0; k < dim; k++)
        sum += a[k] * b[k];
    return sum;
}

static void scores(const float *const *queries, int n, const float *items, int32_t count, int dim,
                   float *out, int64_t stride)
{
    for (int32_t c = 0; c < count; c++)
        for (int r = 0; r < n; r++)
            out[r * stride + c] = dot(queries[r], items + (int64_t)c * dim, dim);
}

static float bpr_step(float *restrict u, float *restrict i, float *restrict j, int dim, float lr,
                      struct kern_l2 l2)
{
    const float keep_u = 1 - lr * l2.u, keep_i = 1 - lr * l2.i, keep_j = 1 - lr * l2.j;
    float x = 0, g;

    for (int k = 0; k < dim; k++)
        x += u[k] * (i[k] - j[k]);
    g = lr / (1 + expf(x)); /* lr * sigmoid(-x): lr times the slope of log sigmoid at x */
    for (int k = 0; k < dim; k++) {
        float uk = u[k];

        u[k] = keep_u * uk + g * (i[k] - j[k]);
        i[k] = keep_i * i[k] + g * uk;
        j[k] = keep_j * j[k] - g * uk;
    }
    return x;
}

static void bias_relu(const float *x, int m, int n, const float *bias, float *out)
{
    for (int i = 0; i < m; i++, x += n, out += n)
#pragma GCC ivdep
        for (int k = 0; k < n; k++) {
            float sum = x[k] + bias[k];

            out[k] = sum > 0 ? sum : 0;
        }
}

static void relu_slope(float *restrict slope, const float *restrict out, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        slope[k] = out[k] > 0 ? slope[k] : 0;
}

static void product(float *restrict y, const float *restrict x, int n)
{
    for (int k = 0; k < n; k++)
        y[k] *= x[k];
}

static void add_product(float *restrict y, const float *restrict a, const float *restrict b, int n)
{
    for (int k = 0; k < n; k++)
        y[k] += a[k] * b[k];
}

static bool any_above(const float *x, int32_t n, float limit)
{
    int found = 0;

    for (int32_t k = 0; k < n; k++)
        found |= x[k] > limit;
    return found;
}

/* ---- matrix product ----
 *
 * A tile of c, TILE_ROWS by TILE_COLS, stays in registers over DEPTH steps of k; the columns of b
 * that belong to it are packed, zeros behind the last. Every number of c is summed in the order of
 * k, in whichever tile it lies. */
#if defined(__AVX512F__)
enum { LANES = 16, TILE_ROWS = 12 };
#elif defined(__AVX2__)
enum { LANES = 8, TILE_ROWS = 6 };
#else
enum { LANES = 4, TILE_ROWS = 6 };
#endif
enum { TILE_COLS = 2 * LANES, DEPTH = 256 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

struct panel {
    lanes b[DEPTH][2];
};

/* (k, n) of b, n <= TILE_COLS. */
static void pack(struct panel *p, int k, int n, const float *b, int ldb)
{
    if (n == TILE_COLS)
        for (int l = 0; l < k; l++)
            memcpy(p->b[l], b + (int64_t)l * ldb, sizeof p->b[l]);
    else
        for (int l = 0; l < k; l++) {
            memset(p->b[l], 0, sizeof p->b[l]);
            memcpy(p->b[l], b + (int64_t)l * ldb, (size_t)n * sizeof(float));
        }
}

/* TILE_COLS columns of m rows of c, m <= TILE_ROWS a constant where it's inlined. */
static inline __attribute__((always_inline)) void tile(int m, int k, const float *a, int64_t a_row,
                                                       int64_t a_col, const struct panel *p,
                                                       float *c, int64_t ldc, bool accumulate)
{
    lanes sum[TILE_ROWS][2] = {0};

#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
        if (accumulate)
            memcpy(sum[i], c + i * ldc, sizeof sum[i]);
    for (int l = 0; l < k; l++) {
        lanes b0 = p->b[l][0], b1 = p->b[l][1];

#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            float x = a[i * a_row + l * a_col];

            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
        memcpy(c + i * ldc, sum[i], sizeof sum[i]);
}

/* All TILE_COLS columns of c; the last rows in tiles of 4, 2 and 1. */
static void tiles(int m, int k, const float *a, int64_t a_row, int64_t a_col, const struct panel *p,
                  float *c, int64_t ldc, bool accumulate)
{
    int i = 0;

    for (; m - i >= TILE_ROWS; i += TILE_ROWS)
        tile(TILE_ROWS, k, a + i * a_row, a_row, a_col, p, c + i * ldc, ldc, accumulate);
    for (; m - i >= 4; i += 4)
        tile(4, k, a + i * a_row, a_row, a_col, p, c + i * ldc, ldc, accumulate);
    for (; m - i >= 2; i += 2)
        tile(2, k, a + i * a_row, a_row, a_col, p, c + i * ldc, ldc, accumulate);
    if (i < m)
        tile(1, k, a + i * a_row, a_row, a_col, p, c + i * ldc, ldc, accumulate);
}

/* The last n < TILE_COLS columns, by way of whole tiles beside c. */
static void edge_tiles(int m, int n, int k, const float *a, int64_t a_row, int64_t a_col,
                       const struct panel *p, float *c, int64_t ldc, bool accumulate)
{
    lanes whole[TILE_ROWS][2] = {0};
    size_t bytes = (size_t)n * sizeof(float);

    for (int i = 0; i < m; i += TILE_ROWS) {
        int rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;

        for (int r = 0; accumulate && r < rows; r++)
            memcpy(whole[r], c + (i + r) * ldc, bytes);
        tiles(rows, k, a + i * a_row, a_row, a_col, p, (float *)whole, TILE_COLS, accumulate);
        for (int r = 0; r < rows; r++)
            memcpy(c + (i + r) * ldc, whole[r], bytes);
    }
}

static void gemm(int m, int n, int k, const float *a, int a_row, int a_col, const float *b, int ldb,
                 float *c, int ldc, bool accumulate)
{
    struct panel p;

    for (int l = 0; l == 0 || l < k; l += DEPTH, accumulate = true)
        for (int j = 0; j < n; j += TILE_COLS) {
            int depth = k - l < DEPTH ? k - l : DEPTH, cols = n - j < TILE_COLS ? n - j : TILE_COLS;
            const float *from = a + (int64_t)l * a_col;

            pack(&p, depth, cols, b + (int64_t)l * ldb + j, ldb);
            if (cols == TILE_COLS)
                tiles(m, depth, from, a_row, a_col, &p, c + j, ldc, accumulate);
            else
                edge_tiles(m, cols, depth, from, a_row, a_col, &p, c + j, ldc, accumulate);
        }
}

const struct kern KERN_TABLE = {
    .isa = KERN_ISA,
    .scores = scores,
    .dot = dot,
    .bpr_step = bpr_step,
    .bias_relu = bias_relu,
    .relu_slope = relu_slope,
    .product = product,
    .add_product = add_product,
    .gemm = gemm,
    .any_above = any_above,
};
