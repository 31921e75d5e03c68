#include "kern/lapack.h"

#include "base/library.h"

#include <math.h>

/* A matrix row by row is its transpose column by column, which is how LAPACK reads: its "upper" is
 * our lower triangle. */
static const char UPPER = 'U', VECTORS = 'V';

/* Fortran's names, with the lengths of character arguments behind. */
static struct {
    void (*set_threads)(int n);
    void (*dsyevd)(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                   double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                   int *info, size_t, size_t);
    void (*spotrf)(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t);
    void (*spotrs)(const char *uplo, const int *n, const int *nrhs, const float *a, const int *lda,
                   float *b, const int *ldb, int *info, size_t);
    void (*spotri)(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t);
    void (*sgeqrf)(const int *m, const int *n, float *a, const int *lda, float *tau, float *work,
                   const int *lwork, int *info);
    void (*sorgqr)(const int *m, const int *n, const int *k, float *a, const int *lda,
                   const float *tau, float *work, const int *lwork, int *info);
} lapack;

bool lapack_load(struct err *err)
{
    static const struct library_call calls[] = {{"dsyevd_", &lapack.dsyevd},
                                                {"spotrf_", &lapack.spotrf},
                                                {"spotrs_", &lapack.spotrs},
                                                {"spotri_", &lapack.spotri},
                                                {"sgeqrf_", &lapack.sgeqrf},
                                                {"sorgqr_", &lapack.sorgqr},
                                                {"openblas_set_num_threads", &lapack.set_threads},
                                                {0}};

    if (lapack.set_threads)
        return true;
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* else it starts threads of its own when loaded */
    if (!library_load("libopenblas.so.0", calls, "this model needs OpenBLAS: install libopenblas0",
                      err))
        return false;
    lapack.set_threads(1);
    return true;
}

bool lapack_eigen(int n, double *a, double *values)
{
    int n_work = 1 + 6 * n + 2 * n * n, n_iwork = 3 + 5 * n, info;
    AUTO_FREE double *work = xcalloc((size_t)n_work, sizeof *work);
    AUTO_FREE int *iwork = xcalloc((size_t)n_iwork, sizeof *iwork);

    lapack.dsyevd(&VECTORS, &UPPER, &n, a, &n, values, work, &n_work, iwork, &n_iwork, &info, 1, 1);
    return info == 0;
}

bool lapack_cholesky(int n, float *a)
{
    int info;

    lapack.spotrf(&UPPER, &n, a, &n, &info, 1);
    return info == 0;
}

void lapack_solve(int n, const float *l, int m, float *b)
{
    int info;

    lapack.spotrs(&UPPER, &n, &m, l, &n, b, &n, &info, 1);
    assert(info == 0);
}

bool lapack_invert(int n, float *a)
{
    int info;

    lapack.spotri(&UPPER, &n, a, &n, &info, 1);
    return info == 0;
}

bool lapack_orthonormal(int m, int n, float *a)
{
    enum { BLOCK = 64 };
    int n_work = m * BLOCK, info;
    AUTO_FREE float *work = xcalloc((size_t)n_work, sizeof *work);
    AUTO_FREE float *tau = xcalloc((size_t)m, sizeof *tau);

    assert(m <= n);
    for (int64_t k = 0; k < (int64_t)m * n; k++)
        if (!isfinite(a[k]))
            return false;
    lapack.sgeqrf(&n, &m, a, &n, tau, work, &n_work, &info);
    if (info == 0)
        lapack.sorgqr(&n, &m, &m, a, &n, tau, work, &n_work, &info);
    return info == 0;
}
