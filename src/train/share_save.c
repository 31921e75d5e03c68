/* share_save.c - a state that ranks share, as one file: all goes through rank 0, piece by piece, so
 * that no folder needs to be there for all and no rank needs memory for more. */
#include "train/share.h"

#include "model/store.h"

enum { TAG_PIECE = 1025, PIECE = 4 << 20 };

/* Rank 0 while it writes. */
struct writer {
    struct share *sh;
    const struct rested *r;
    int n, next; /* tensors, and that which comes next */
};

/* Bytes; what is of all is rank 0's. */
static int64_t size_of_part(const struct share *sh, const struct tensor *t, int rank)
{
    int64_t rows = rank == 0 ? t->rows : 0;

    if (t->of != OF_ALL)
        rows = share_row_begin(sh, t->of, rank + 1) - share_row_begin(sh, t->of, rank);
    return rows * t->cols * (int64_t)sizeof *t->data;
}

/* out: NULL takes what comes and forgets it. */
static bool pass_on(int rank, int64_t size, struct outfile *out, struct err *err)
{
    AUTO_FREE char *piece = xmalloc(PIECE, 1);
    bool ok = true;

    for (int64_t at = 0; at < size; at += PIECE) {
        struct comm_request r;
        int64_t n = MIN(PIECE, size - at);

        comm_receive(piece, n, rank, TAG_PIECE, &r);
        comm_wait(&r);
        ok = ok && (!out || outfile_write(out, piece, (size_t)n, err));
    }
    return ok;
}

static bool put(void *context, int i, struct outfile *out, struct err *err)
{
    struct writer *w = context;
    const struct tensor *t = &w->r->t[i];
    bool ok = !out || outfile_write(out, t->data, (size_t)size_of_part(w->sh, t, 0), err);

    assert(i == w->next);
    for (int r = 1; r < w->sh->s->part.size; r++)
        ok &= pass_on(r, size_of_part(w->sh, t, r), ok ? out : NULL, err);
    w->next++;
    return ok;
}

static void send_part(const struct share *sh, const struct tensor *t)
{
    int64_t size = size_of_part(sh, t, sh->s->part.rank);

    for (int64_t at = 0; at < size; at += PIECE) {
        struct comm_request r;

        comm_send((const char *)t->data + at, MIN(PIECE, size - at), 0, TAG_PIECE, &r);
        comm_wait(&r);
    }
}

bool share_all_save(struct share *sh, const struct rested *r, const char *training,
                    const char *path, struct err *err)
{
    int n = training ? r->n : r->n_model;
    struct writer w = {sh, r, n, 0};
    bool ok = true;

    if (sh->s->part.rank == 0) {
        ok = store_save_from(sh->whole, training, path, put, &w, err);
        while (w.next < n) /* where it failed the others send all the same */
            (void)put(&w, w.next, NULL, NULL);
    } else {
        for (int i = 0; i < n; i++)
            send_part(sh, &r->t[i]);
    }
    return comm_all_agree(ok, err);
}
