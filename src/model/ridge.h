/* ridge.h - one row of alternating least squares: the vector that fits what was taken. */
#ifndef KINDRED_RIDGE_H
#define KINDRED_RIDGE_H

#include "base/base.h"

/* What one thread solves with, again and again. */
struct ridge {
    int dim;
    float *picked; /* (dim, dim) rows of what was taken, by way of the weights */
    float *system; /* (dim, dim) */
    float *root;   /* (dim) 1 / sqrt of the diagonal */
    float *right;  /* (dim) */
};

/* Cost: memory for 2 dim^2 floats. */
void ridge_init(struct ridge *r, int dim);
void ridge_release(struct ridge *r);

/* out (dim) = the x that minimises
 *
 *     sum over k < n of (<x, rows[ids[k]]> - targets[ids[k]])^2
 *     + alpha sum over c of gram[c] x[c]^2 + reg |x|^2
 *
 * rows (*, dim), of which gram (dim) is the diagonal one; targets (*); reg > 0. Exact: with V the
 * (n, dim) rows that are named, t their targets and D = alpha gram + reg, x = (D + V^T V)^-1 V^T t
 * = D^-1 V^T (1 + V D^-1 V^T)^-1 t (Woodbury), of which the smaller system is solved. The same bits
 * each time for the same ids in the same order. */
void ridge_solve(struct ridge *r, const float *rows, const float *targets, const int32_t *ids,
                 int32_t n, const float *gram, float alpha, float reg, float *out);

#endif
