/* dense.h - products of tall dense matrices, (n, dim) with n in the millions and dim in the
 * hundreds. The caller's number of OpenMP threads share the work; the bits are the same for any. */
#ifndef KINDRED_DENSE_H
#define KINDRED_DENSE_H

#include "base/base.h"

/* out = x^T x, all of it; x (n, dim), out (dim, dim). Sums of 1024 rows are floats, those over them
 * doubles. Memory: up to 16 dim^2 doubles. */
void dense_gram(const float *x, int64_t n, int dim, double *out);

/* out = x w; x (n, k), w (k, m), out (n, m), which may be x where m = k. */
void dense_product(const float *x, int64_t n, int k, const float *w, int m, float *out);

#endif
