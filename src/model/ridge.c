#include "model/ridge.h"

#include "kern/kern.h"

void ridge_init(struct ridge *r, int dim)
{
    size_t square = (size_t)dim * (size_t)dim;

    *r = (struct ridge){
        .dim = dim,
        .picked = xaligned(square, sizeof(float)),
        .system = xaligned(square, sizeof(float)),
        .root = xaligned((size_t)dim, sizeof(float)),
        .right = xaligned((size_t)dim, sizeof(float)),
    };
}

void ridge_release(struct ridge *r)
{
    free(r->picked);
    free(r->system);
    free(r->root);
    free(r->right);
    *r = (struct ridge){0};
}

/* picked (n, dim) = D^-1/2 times the rows of ids. */
static void pick(struct ridge *r, const float *rows, const int32_t *ids, int n)
{
    enum { AHEAD = 4 };

    for (int k = 0; k < n; k++) {
        float *to = r->picked + (int64_t)k * r->dim;

        for (int c = 0; k + AHEAD < n && c < r->dim; c += 16)
            __builtin_prefetch(rows + (int64_t)ids[k + AHEAD] * r->dim + c);
        kern_best()->product(to, rows + (int64_t)ids[k] * r->dim, r->root, r->dim);
    }
}

/* n <= dim, by the (n, n) system. */
static void solve_by_rows(struct ridge *r, const float *rows, const float *targets,
                          const int32_t *ids, int n, float *out)
{
    const struct kern *kern = kern_best();
    bool definite;

    pick(r, rows, ids, n);
    kern->row_products(r->picked, n, r->dim, r->system);
    for (int k = 0; k < n; k++) {
        r->system[(int64_t)k * n + k] += 1;
        r->right[k] = targets[ids[k]];
    }
    definite = kern->cholesky(n, r->system);
    assert(definite); /* 1 + W W^T of finite W */
    kern->cholesky_solve(n, r->system, r->right);
    kern->gemm(1, r->dim, n, r->right, n, 1, r->picked, r->dim, out, r->dim, false);
    kern->product(out, out, r->root, r->dim);
}

/* n > dim, by the (dim, dim) system 1 + W^T W, W = V D^-1/2; so many rows at a time. */
static void solve_by_columns(struct ridge *r, const float *rows, const float *targets,
                             const int32_t *ids, int32_t n, float *out)
{
    enum { STRIP = 64 };
    const struct kern *kern = kern_best();
    int dim = r->dim;
    bool definite;

    memset(out, 0, (size_t)dim * sizeof *out);
    memset(r->system, 0, (size_t)dim * (size_t)dim * sizeof *r->system);
    for (int c = 0; c < dim; c++)
        r->system[(int64_t)c * dim + c] = 1;
    for (int32_t k = 0; k < n; k += dim) {
        int some = MIN(dim, n - k);

        pick(r, rows, ids + k, some);
        for (int j = 0; j < dim; j += STRIP)
            kern->gemm(dim - j, MIN(STRIP, dim - j), some, r->picked + j, 1, dim, r->picked + j,
                       dim, r->system + (int64_t)j * dim + j, dim, true);
        for (int row = 0; row < some; row++)
            kern->add_scaled(out, targets[ids[k + row]], r->picked + (int64_t)row * dim, dim);
    }
    definite = kern->cholesky(dim, r->system);
    assert(definite);
    kern->cholesky_solve(dim, r->system, out);
    kern->product(out, out, r->root, dim);
}

void ridge_solve(struct ridge *r, const float *rows, const float *targets, const int32_t *ids,
                 int32_t n, const float *gram, float alpha, float reg, float *out)
{
    assert(reg > 0);
    kern_best()->inverse_roots(gram, r->dim, alpha, reg, r->root);
    if (n <= r->dim)
        solve_by_rows(r, rows, targets, ids, n, out);
    else
        solve_by_columns(r, rows, targets, ids, n, out);
}
