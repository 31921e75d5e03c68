/* lapack.h - dense factorisations, by LAPACK: OpenBLAS is loaded when one is first asked for, so
 * that a program that only serves doesn't need it.
 *
 * All run on the calling thread alone and may be called from many at once: what they give doesn't
 * depend on the number of threads. Matrices are (rows, cols), row after row. Sums inside are in an
 * order that OpenBLAS chooses by the processor: the last bits differ from one kind to another. */
#ifndef KINDRED_LAPACK_H
#define KINDRED_LAPACK_H

#include "base/err.h"

/* To be called before the others, from one thread. ERR_IO: there is no OpenBLAS; the message says
 * what to install. Costs 20 ms the first time. */
NODISCARD bool lapack_load(struct err *err);

/* Eigenvectors of the symmetric a (n, n), of which the lower triangle is read, in place: afterwards
 * row r of a is the unit vector that belongs to values[r]; values (n) ascending. False if it
 * doesn't converge: a isn't finite. Allocates 2 n^2 doubles. */
bool lapack_eigen(int n, double *a, double *values);

/* a = l l^T in place: the lower triangle of a (n, n) becomes l, the upper one isn't touched. False
 * if a isn't positive definite. */
bool lapack_cholesky(int n, float *a);

/* Solve (l l^T) x = b in place for each of m right-hand sides; b (m, n), l from lapack_cholesky. */
void lapack_solve(int n, const float *l, int m, float *b);

/* Inverse of l l^T into the lower triangle of a, which is l before. */
bool lapack_invert(int n, float *a);

/* The rows of a (m, n), m <= n, become orthonormal and span what they spanned before (QR by
 * Householder reflections of the transpose). False if a isn't finite. */
bool lapack_orthonormal(int m, int n, float *a);

#endif
