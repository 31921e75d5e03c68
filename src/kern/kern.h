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

enum { KERN_GROUP = 8, KERN_WINDOW = 8 };

/* (n) a user, an item that the user took, another that the user didn't, by their rows. */
struct kern_triples {
    const int32_t *users, *taken, *others;
    int64_t n;
    float *user_rows, *item_rows; /* (*, dim) */
    int dim;
};

struct kern {
    const char *isa;

    /* out[r * stride + c] = <queries[r], row c of items>.
     * queries (n) vectors of dim floats each; items (count, dim); out n rows, `stride` apart. */
    void (*scores)(const float *const *queries, int n, const float *items, int32_t count, int dim,
                   float *out, int64_t stride);

    /* Whether ids[0..n-1] holds that id. */
    bool (*holds)(const int32_t *ids, int64_t n, int32_t id);

    /* Which of rows[ids[0..n-1]], (*, dim), has the largest product with the query (dim), of equal
     * ones the first; negative ids don't count. -1 if none does, or all products are NaN. */
    int (*best_of)(const float *query, const float *rows, const int32_t *ids, int n, int dim);

    /* One step of BPR for each of t's triples, in order; their margins x = <u, i - j> are those of
     * 1 to 2 KERN_GROUPs earlier, in time for the rows to be changed by others meanwhile.
     * margins: room for n rounded up to a multiple of KERN_GROUP.
     * A step climbs log sigmoid(x) - (l2.u |u|^2 + l2.i |i|^2 + l2.j |j|^2) / 2 by lr.
     * Source: Rendle et al., BPR, UAI 2009, section 4.1. */
    void (*bpr_steps)(const struct kern_triples *t, float lr, struct kern_l2 l2, float *margins);

    /* maybe[k]: false if no k' in 0..n-1 has owners[k'] == owners[k] and ids[k'] == others[k].
     * True may be wrong: all is looked up within KERN_WINDOW of k alone. */
    void (*may_have)(const int32_t *owners, const int32_t *ids, const int32_t *others, int64_t n,
                     bool *maybe);

    /* Whether any of x[0..n-1] is greater than the limit. */
    bool (*any_above)(const float *x, int32_t n, float limit);
};

/* The best variant for this processor. */
const struct kern *kern_best(void);

/* All variants that this processor runs, best first, NULL at the end. */
const struct kern *const *kern_all(void);

#endif
