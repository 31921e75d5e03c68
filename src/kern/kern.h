/* kern.h - the inner loops, compiled once for each instruction set.
 *
 * kern_impl.c is plain C; Meson compiles it for x86-64, x86-64-v3 and x86-64-v4 (elsewhere once),
 * with flags that let sums be reordered, and the best that this processor runs is chosen at start.
 * Results are the same each time on one instruction set, and differ in the last bits between
 * them. tests/test_kern.c holds every variant against the plain definition. */
#ifndef KINDRED_KERN_H
#define KINDRED_KERN_H

#include <stdbool.h>
#include <stdint.h>

/* L2 penalties of a step's three rows. */
struct kern_l2 {
    float u, i, j;
};

struct kern {
    const char *isa;

    /* out[r * stride + c] = <queries[r], row c of items>.
     * queries (n) vectors of dim floats each; items (count, dim); out n rows, `stride` apart. */
    void (*scores)(const float *const *queries, int n, const float *items, int32_t count, int dim,
                   float *out, int64_t stride);

    /* <a, b>, dim floats each. */
    float (*dot)(const float *a, const float *b, int dim);

    /* One step of BPR on (u, i, j), dim floats each, no two the same; returns x = <u, i - j>
     * as it was before the step. The step climbs log sigmoid(x) - (l2.u |u|^2 + l2.i |i|^2 +
     * l2.j |j|^2) / 2 by lr. Source: Rendle et al., BPR, UAI 2009, section 4.1. */
    float (*bpr_step)(float *u, float *i, float *j, int dim, float lr, struct kern_l2 l2);

    /* out = max(x + bias, 0): x, out (m, n), the same bias (n) for each row; out may be x. */
    void (*bias_relu)(const float *x, int m, int n, const float *bias, float *out);

    /* Slopes by max(x, 0) become those by x: 0 where out = max(x, 0) is. slope, out (n). */
    void (*relu_slope)(float *slope, const float *out, int64_t n);

    /* y *= x; y += a * b, number by number; n floats each, which don't overlap. */
    void (*product)(float *y, const float *x, int n);
    void (*add_product)(float *y, const float *a, const float *b, int n);

    /* c[i * ldc + j] = sum over l of a[i * a_row + l * a_col] * b[l * ldb + j]; with `accumulate`
     * that is added to c. c (m, n), a (m, k) by any strides, so a matrix or its transpose, b (k,
     * n). c overlaps neither a nor b. The same bits whatever pieces m and n are cut into. Takes 32
     * KiB of stack. */
    void (*gemm)(int m, int n, int k, const float *a, int a_row, int a_col, const float *b, int ldb,
                 float *c, int ldc, bool accumulate);

    /* Whether any of x[0..n-1] is greater than the limit. */
    bool (*any_above)(const float *x, int32_t n, float limit);
};

/* The best variant for this processor. */
const struct kern *kern_best(void);

/* All variants that this processor runs, best first, NULL at the end. */
const struct kern *const *kern_all(void);

#endif
