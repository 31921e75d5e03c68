/* mf_fold.c - vectors of matrix factorisation for users that training didn't see, by what they
 * took.
 *
 * With Y the items' vectors, at length 1 for cosine, and V those of the history,
 *
 *     x = (V^T V + alpha Y^T Y + reg)^-1 V^T 1
 *
 * as in the half-step of alternating least squares (Hu, Koren and Volinsky, ICDM 2008), at the mean
 * length that users' vectors have from training: that is what biases go with. docs/models.md says
 * what else was tried. */
#include "model/mf.h"

#include "model/dense.h"

#include <math.h>
#include <pthread.h>

/* REG is a share of the mean number on the diagonal of alpha Y^T Y. */
static const float ALPHA = 0.1f, REG = 0.01f;

/* What is the same for all users; of the vectors as they are when it is first asked for, which is
 * after training: until then whoever has a history has a row in train. */
struct mf_fold {
    float *shared; /* (dim, dim) alpha Y^T Y + reg */
    float length;  /* of a user's vector */
};

static void copy_item(const struct mf *mf, int64_t item, float *out)
{
    int dim = mf_opts_of(&mf->base)->embedding_dim;
    const float *row = mf->items + item * dim;

    kern_best()->scaled(out, mf_cosine(mf) ? inverse_norm(kern_best(), row, dim) : 1, row, dim);
}

static float mean_length(const struct mf *mf)
{
    int dim = mf_opts_of(&mf->base)->embedding_dim, n = 0;
    double sum = 0;

    for (int64_t u = 0; u < mf->base.n_users; u++) {
        const float *row = mf->users + u * dim;
        float squares = kern_best()->dot(row, row, dim);

        sum += sqrt((double)squares);
        n += squares > 0;
    }
    return n ? (float)(sum / n) : 0;
}

static struct mf_fold *fold_new(const struct mf *mf)
{
    int dim = mf_opts_of(&mf->base)->embedding_dim;
    size_t square = (size_t)dim * (size_t)dim;
    struct mf_fold *f = xcalloc(1, sizeof *f);
    AUTO_FREE double *gram = xaligned(square, sizeof *gram);
    AUTO_FREE float *items = xaligned((size_t)mf->base.n_items * (size_t)dim, sizeof *items);
    double trace = 0;

    for (int64_t i = 0; i < mf->base.n_items; i++)
        copy_item(mf, i, items + i * dim);
    dense_gram(items, mf->base.n_items, dim, gram);
    f->shared = xaligned(square, sizeof *f->shared);
    for (int c = 0; c < dim; c++)
        trace += gram[(int64_t)c * dim + c];
    for (int64_t k = 0; k < (int64_t)square; k++)
        f->shared[k] = ALPHA * (float)(gram[k] + (k % (dim + 1) == 0) * (double)REG * trace / dim);
    f->length = mean_length(mf);
    return f;
}

/* Made when it is first asked for, by one of the threads that ask. */
static const struct mf_fold *fold_of(const struct mf *mf)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct mf *to = (struct mf *)(uintptr_t)mf; /* it changes nothing that anybody sees */
    struct mf_fold *f = atomic_load(&to->fold);

    if (f)
        return f;
    pthread_mutex_lock(&lock);
    f = atomic_load(&to->fold);
    if (!f) {
        f = fold_new(mf);
        atomic_store(&to->fold, f);
    }
    pthread_mutex_unlock(&lock);
    return f;
}

void mf_fold_release(struct mf *mf)
{
    struct mf_fold *f = atomic_exchange(&mf->fold, NULL);

    if (f)
        free(f->shared);
    free(f);
}

void mf_fold_in(const struct mf *mf, const struct query *q, float *out)
{
    const struct kern *kern = kern_best();
    const struct mf_fold *f = fold_of(mf);
    int dim = mf_opts_of(&mf->base)->embedding_dim;
    size_t square = (size_t)dim * (size_t)dim;
    AUTO_FREE float *system = xmalloc(square, sizeof *system);
    AUTO_FREE float *taken = xaligned((size_t)q->n_history * (size_t)dim, sizeof *taken);

    memcpy(system, f->shared, square * sizeof *system);
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int32_t k = 0; k < q->n_history; k++) {
        copy_item(mf, q->history[k], taken + (int64_t)k * dim);
        kern->add_scaled(out, 1, taken + (int64_t)k * dim, dim);
    }
    kern->gemm(dim, dim, q->n_history, taken, 1, dim, taken, dim, system, dim, true);
    if (kern->cholesky(dim, system)) /* else items have no vectors: the sum is as good */
        kern->cholesky_solve(dim, system, out);
    kern->scaled(out, f->length * inverse_norm(kern, out, dim), out, dim);
}
