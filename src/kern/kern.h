/* kern.h - the inner loops, compiled once for each instruction set.
 *
 * kern_impl.c is plain C; Meson compiles it for x86-64, x86-64-v3, x86-64-v4 and that with VNNI
 * (elsewhere once), with flags that let sums be reordered, and the best that this processor runs is
 * chosen at start. Results are the same each time on one instruction set, and differ in the last
 * bits between them. tests/test_kern.c holds every variant against the plain definition. */
#ifndef KINDRED_KERN_H
#define KINDRED_KERN_H

#include <stdbool.h>
#include <stdint.h>

/* L2 penalties of a step's three rows. */
struct kern_l2 {
    float u, i, j;
};

enum { KERN_GROUP = 8, KERN_WINDOW = 8 };

/* (n) a user, an item that the user took, another that the user didn't, by their rows. */
struct kern_triples {
    const int32_t *users, *taken, *others;
    int64_t n;
    float *user_rows, *item_rows; /* (*, dim) */
    float *item_bias;             /* (*), added to an item's products; NULL: none */
    int dim;
};

/* What kern->logistic saw: over the numbers that aren't -INFINITY, the sums of log(1 + exp(z)) and
 * of its slopes, and how many they are. */
struct kern_sums {
    float loss, slope;
    int n;
};

enum { KERN_BYTES = 32, KERN_BYTE_ZERO = 128, KERN_BYTE_MOST = 63 };

/* Rows as bytes, KERN_BYTE_ZERO for 0, in whole groups of KERN_BYTES, and what bounds each row's
 * products: model/finder.c.
 *
 * bytes                             (groups, width / 4, KERN_BYTES, 4) four bytes of each row in
 * turn scale, error, tail, length, bias  (groups * KERN_BYTES) */
struct kern_bytes {
    const uint8_t *bytes;
    const float *scale, *error, *tail, *length, *bias;
};

/* The same of what they are multiplied by, and what is to be reached. */
struct kern_bound {
    float scale, error, tail, length, limit;
};

/* One step of a row x along a gradient g = coef * dir + l2 * x. */
struct kern_step {
    float lr, coef, l2;
};

enum kern_optimizer { KERN_SGD, KERN_ADAGRAD, KERN_ROWWISE_ADAGRAD, KERN_ADAM, KERN_OPTIMIZERS };

struct kern {
    const char *isa;

    /* out[c * n + r] = <row r of queries, row c of items>. queries (n, dim), items (count, dim),
     * out (count, n). The same bits however queries and items are cut into calls. Takes 32 KiB of
     * stack.
     */
    void (*scores)(const float *queries, int n, const float *items, int32_t count, int dim,
                   float *out);

    /* <a, b>, dim floats each. */
    float (*dot)(const float *a, const float *b, int dim);

    /* Whether ids[0..n-1] holds that id. */
    bool (*holds)(const int32_t *ids, int64_t n, int32_t id);

    /* Which of rows[ids[0..n-1]], (*, dim), has the largest product with the query (dim), of equal
     * ones the first; negative ids don't count. -1 if none does, or all products are NaN. */
    int (*best_of)(const float *query, const float *rows, const int32_t *ids, int n, int dim);

    /* One step of BPR for each of t's triples, in order; their margins x = <u, i - j>, with the
     * biases, are those of 1 to 2 KERN_GROUPs earlier, in time for the rows to be changed by others
     * meanwhile. margins: room for n rounded up to a multiple of KERN_GROUP. A step climbs log
     * sigmoid(x) - (l2.u |u|^2 + l2.i |i|^2 + l2.j |j|^2) / 2 by lr. Source: Rendle et al., BPR,
     * UAI 2009, section 4.1. */
    void (*bpr_steps)(const struct kern_triples *t, float lr, struct kern_l2 l2, float *margins);

    /* maybe[k - first]: false if no k' in 0..n-1 has owners[k'] == owners[k] and ids[k'] ==
     * others[k - first], for k in first..first + count - 1. owners (n) ascending, ids (n). True may
     * be wrong: all is looked up within KERN_WINDOW of k alone. */
    void (*may_have)(const int32_t *owners, const int32_t *ids, int64_t n, const int32_t *others,
                     int64_t first, int64_t count, bool *maybe);

    /* out = max(x + bias, 0): x, out (m, n), the same bias (n) for each row; out may be x. */
    void (*bias_relu)(const float *x, int m, int n, const float *bias, float *out);

    /* Slopes by max(x, 0) become those by x: 0 where out = max(x, 0) is. slope, out (n). */
    void (*relu_slope)(float *slope, const float *out, int64_t n);

    /* y = a * b; y += a * b, number by number; n floats each. The first y may be a, else none
     * overlap. */
    void (*product)(float *y, const float *a, const float *b, int n);
    void (*add_product)(float *y, const float *a, const float *b, int n);

    /* c[i * ldc + j] = sum over l of a[i * a_row + l * a_col] * b[l * ldb + j]; with `accumulate`
     * that is added to c. c (m, n), a (m, k) by any strides, so a matrix or its transpose, b (k,
     * n). c overlaps neither a nor b. The same bits whatever pieces m and n are cut into. Takes 32
     * KiB of stack. */
    void (*gemm)(int m, int n, int k, const float *a, int a_row, int a_col, const float *b, int ldb,
                 float *c, int ldc, bool accumulate);

    /* out (n, n) = x x^T, x (n, dim): its lower triangle; what stands above is anything. */
    void (*row_products)(const float *x, int n, int dim, float *out);

    /* a = l l^T in place: the lower triangle of a (n, n) becomes l; what stands above is lost.
     * False if a isn't positive definite. What lapack.h has, for small n and without OpenBLAS. */
    bool (*cholesky)(int n, float *a);

    /* Solve (l l^T) x = b in place; b (n), l from cholesky. */
    void (*cholesky_solve)(int n, const float *l, float *b);

    /* out[k] = x[k], but -INFINITY where since[k] > when; n each. Returns how many aren't
     * -INFINITY. */
    int (*mask_later)(const float *x, const int32_t *since, int n, int32_t when, float *out);

    /* With z = x[k] - shift: slopes[k] = sigmoid(z), the slope of log(1 + exp(z)). x, slopes (n).
     */
    struct kern_sums (*logistic)(const float *x, int n, float shift, float *slopes);

    /* out[k] = weight * exp(x[k] * scale) / sum over l of exp(x[l] * scale). Returns the logarithm
     * of that sum; where all x are -INFINITY it is -INFINITY, and out is 0. x, out (n), scale > 0.
     */
    float (*softmax)(const float *x, int n, float scale, float weight, float *out);

    /* out[k] = 1 / sqrt(scale x[k] + add), n each. */
    void (*inverse_roots)(const float *x, int n, float scale, float add, float *out);

    /* y += a * x, n floats each, which don't overlap. */
    void (*add_scaled)(float *y, float a, const float *x, int n);

    /* y = a * x, n floats each; y may be x. */
    void (*scaled)(float *y, float a, const float *x, int n);

    /* out (dim) = the sum over k < n of weights[ids[k]] times row ids[k] of rows (*, dim); weights
     * NULL: 1 throughout. The same bits each time for the same ids in the same order. */
    void (*sum_rows)(const float *rows, const int32_t *ids, int64_t n, const float *weights,
                     int dim, float *out);

    /* row, dir (n), which don't overlap. state: what the optimiser carries for this row;
     * model/optim.h says what, and gives the sources.
     *
     *   KERN_SGD              row -= lr g
     *   KERN_ADAGRAD          s0 (n) += g^2; row -= lr g / (sqrt(s0) + 1e-10)
     *   KERN_ROWWISE_ADAGRAD  s0 (1) += mean of g^2; row -= lr g / (sqrt(s0) + 1e-10)
     *   KERN_ADAM             s0 (n), s1 (n): moving means of g and g^2 (.9, .999); s2 (2): those
     * of 1, by which they are divided; row -= lr m / (sqrt(v) + 1e-8) */
    void (*step[KERN_OPTIMIZERS])(float *row, float *const *state, const float *dir, int n,
                                  struct kern_step s);

    /* Lists, in order, the places of x (count, n) whose number is greater than its column's limit:
     * x[k] > limits[k % n]. found: room for count * n. Returns how many. */
    int (*above)(const float *x, int count, int n, const float *limits, int32_t *found);

    /* out[k] = <query, row ids[k]>, k < n, to the same bits as scores() gives it. query (dim), rows
     * (*, dim). */
    void (*picked_scores)(const float *query, const float *rows, const int32_t *ids, int n, int dim,
                          float *out);

    /* Lists, in order, the rows r < n whose bound.scale * scale[r] * <x, bytes of r> + bound.error
     * * error[r] + bound.tail * tail[r] + bound.length * length[r] + bias[r] isn't less than
     * bound.limit. x (width) from -KERN_BYTE_MOST to that, width a multiple of 8, at most 2^16.
     * Returns how many. */
    int (*reaching)(const int8_t *x, const struct kern_bytes *rows, int n, int width,
                    struct kern_bound bound, int32_t *found);
};

/* The best variant for this processor. */
const struct kern *kern_best(void);

/* All variants that this processor runs, best first, NULL at the end. */
const struct kern *const *kern_all(void);

/* From here on this thread takes numbers below 2^-126 for 0, which most processors are otherwise
 * ten times slower with. Returns what to restore; where the processor can't, nothing changes. */
unsigned kern_flush_subnormals(void);
void kern_restore_subnormals(unsigned before);

#endif
