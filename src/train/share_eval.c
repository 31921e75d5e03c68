/* share_eval.c - val, ranked by ranks that have their users and a share of the items each: the
 * items go round, and a user's list is merged from those of all shares. */
#include "train/share.h"

#include "base/clock.h"

enum { TAG_ITEMS = 2048, TAG_ROWS = 1026 };

/* The items that are here for the moment: the share of `owner`. */
struct shard {
    int owner;
    int32_t first, n;                   /* items */
    float *data[2 * MODEL_TENSORS_MAX]; /* by place in rested.t; NULL: no tensor of items */
};

struct lists {
    const struct heldout *h;
    int k;
    struct hit *hits; /* (n_users, k) */
    int *n;           /* (n_users) */
};

static void shard_init(struct share *sh, const struct rested *r, struct shard *of)
{
    int64_t most = sh->s->n_items / sh->s->part.size + 1;

    for (int i = 0; i < r->n_model; i++)
        if (r->t[i].of == OF_ITEMS)
            of->data[i] = xaligned((size_t)(most * r->t[i].cols), sizeof *of->data[i]);
}

static void shard_release(struct shard *s)
{
    for (int i = 0; i < ARRAY_LEN(s->data); i++)
        free(s->data[i]);
    *s = (struct shard){0};
}

static void shard_is(const struct share *sh, struct shard *of, int owner)
{
    of->owner = owner;
    of->first = (int32_t)share_row_begin(sh, OF_ITEMS, owner);
    of->n = (int32_t)share_row_begin(sh, OF_ITEMS, owner + 1) - of->first;
}

/* ---- lists ---- */

/* A model of the shard's items alone. */
static struct model *model_of(struct share *sh, const struct rested *r, const struct shard *here)
{
    struct model *m =
        model_new(sh->m->ops, sh->m->n_users, here->n, sh->m->digest, sh->m->options, sh->m->seed);
    struct tensor t[MODEL_TENSORS_MAX];

    memcpy(t, r->t, (size_t)r->n_model * sizeof *t);
    for (int i = 0; i < r->n_model; i++)
        if (t[i].of == OF_ITEMS) {
            t[i].rows = here->n;
            t[i].data = here->data[i];
        }
    m->ops->adopt(m, t);
    return m;
}

static void merge(struct lists *l, int32_t user, const struct hit *more, int n, int32_t first)
{
    struct hit *hits = l->hits + (int64_t)user * l->k, all[TOPK_MAX] = {{0, 0}};
    int have = l->n[user], a = 0, b = 0, out = 0;

    while (out < l->k && (a < have || b < n)) {
        struct hit next =
            b < n ? (struct hit){more[b].item + first, more[b].score} : (struct hit){0};

        if (b == n || (a < have && hit_worse(next, hits[a])))
            all[out++] = hits[a++];
        else
            all[out++] = next, b++;
    }
    memcpy(hits, all, (size_t)out * sizeof *hits);
    l->n[user] = out;
}

/* The query's history, of the shard's items alone and counted from its first, at `out`; returns how
 * many. */
static int32_t keep_own(const struct query *q, const struct shard *here, int32_t *out)
{
    int32_t n = 0;

    for (int32_t k = 0; k < q->n_history; k++)
        if (q->history[k] >= here->first && q->history[k] < here->first + here->n)
            out[n++] = q->history[k] - here->first;
    return n;
}

/* Users first .. end - 1 of those with val rows, at most TOPK_QUERIES. */
static void rank_users(struct topk *topk, const struct model *m, const struct shard *here,
                       struct lists *l, int32_t first, int32_t end, struct hit *hits)
{
    struct query q[TOPK_QUERIES];
    int32_t users[TOPK_QUERIES];
    int lengths[TOPK_QUERIES], n = 0;
    int64_t room = 0, at = 0;
    AUTO_FREE int32_t *own = NULL;

    for (int32_t i = first; i < end; i++)
        room += query_of_user(l->h->history, l->h->users[i]).n_history;
    own = xmalloc((size_t)room + 1, sizeof *own);
    for (int32_t i = first; i < end; i++) {
        q[n] = query_of_user(l->h->history, l->h->users[i]);
        if (!m->ops->serves(m, &q[n]))
            continue;
        q[n].n_history = keep_own(&q[n], here, own + at);
        q[n].history = own + at;
        at += q[n].n_history;
        users[n++] = i;
    }
    if (!n)
        return;
    topk_find(topk, q, n, l->k, true, hits, lengths);
    for (int r = 0; r < n; r++)
        merge(l, users[r], hits + (int64_t)r * l->k, lengths[r], here->first);
}

static void rank_shard(struct share *sh, const struct rested *r, const struct shard *here,
                       struct lists *l, int threads)
{
    struct model *m = model_of(sh, r, here);

#pragma omp parallel num_threads(threads)
    {
        AUTO(topk) topk;
        AUTO_FREE struct hit *hits = xcalloc((size_t)TOPK_QUERIES * (size_t)l->k, sizeof *hits);

        topk_init(&topk, m, TOPK_QUERIES);
#pragma omp for schedule(dynamic, 1)
        for (int32_t first = 0; first < l->h->n_users; first += TOPK_QUERIES)
            rank_users(&topk, m, here, l, first, MIN(first + TOPK_QUERIES, l->h->n_users), hits);
    }
    model_free_but_tensors(m);
}

/* Send the shard that is here to the rank before, and get the next one's. */
static void pass(struct share *sh, const struct rested *r, const struct shard *here,
                 struct shard *next, struct comm_request *requests)
{
    int size = sh->s->part.size, rank = sh->s->part.rank;

    for (int i = 0; i < r->n_model; i++, requests += 2) {
        int64_t row = r->t[i].cols * (int64_t)sizeof(float);

        requests[0] = requests[1] = (struct comm_request){0};
        if (r->t[i].of != OF_ITEMS)
            continue;
        comm_send(here->data[i], here->n * row, (rank + size - 1) % size, TAG_ITEMS + i,
                  &requests[0]);
        comm_receive(next->data[i], next->n * row, (rank + 1) % size, TAG_ITEMS + i, &requests[1]);
    }
}

/* All shards one after the other, from the rank's own on. */
static void rank_all(struct share *sh, const struct rested *r, struct lists *l, int threads)
{
    struct comm_request requests[4 * MODEL_TENSORS_MAX];
    int size = sh->s->part.size, rank = sh->s->part.rank;
    struct shard shards[2] = {0};

    for (int i = 0; i < 2; i++)
        shard_init(sh, r, &shards[i]);
    shard_is(sh, &shards[0], rank);
    for (int i = 0; i < r->n_model; i++)
        if (r->t[i].of == OF_ITEMS)
            memcpy(shards[0].data[i], r->t[i].data,
                   (size_t)(r->t[i].rows * r->t[i].cols) * sizeof *r->t[i].data);
    for (int step = 0; step < size; step++) {
        struct shard *here = &shards[step % 2], *next = &shards[(step + 1) % 2];
        bool passes = step + 1 < size;

        shard_is(sh, next, (here->owner + 1) % size);
        if (passes)
            pass(sh, r, here, next, requests);
        rank_shard(sh, r, here, l, threads);
        for (int i = 0; passes && i < 2 * r->n_model; i++)
            comm_wait(&requests[i]);
    }
    shard_release(&shards[0]);
    shard_release(&shards[1]);
}

/* ---- means ---- */

/* Rank 0 gets the rows of all, and makes the means. */
static void gather(const struct share *sh, const struct rank_plan *plan, const double *rows,
                   int32_t n_users, struct rank_result *out)
{
    int size = sh->s->part.size, rank = sh->s->part.rank;
    AUTO_FREE int64_t *counts = xcalloc((size_t)size, sizeof *counts);
    AUTO_FREE double *all = NULL;
    int64_t row = 1 + rank_n_values(plan), total = 0, bytes = row * (int64_t)sizeof *rows;
    struct comm_request r = {0};

    counts[rank] = n_users;
    comm_all_fold(counts, size, COMM_SUM);
    if (rank > 0) {
        comm_send(rows, n_users * bytes, 0, TAG_ROWS, &r);
        comm_wait(&r);
    } else {
        for (int other = 0; other < size; other++)
            total += counts[other];
        all = xmalloc((size_t)MAX(total * row, 1), sizeof *all);
        memcpy(all, rows, (size_t)(n_users * bytes));
        total = n_users;
        for (int other = 1; other < size; total += counts[other++]) {
            comm_receive(all + total * row, counts[other] * bytes, other, TAG_ROWS, &r);
            comm_wait(&r);
        }
        rank_result_of_rows(plan, all, (int32_t)total, out);
    }
    comm_all_share(out, sizeof *out, 0);
}

bool share_all_evaluate(struct share *sh, const struct dataset *d, const struct rank_plan *plan,
                        struct rank_result *out, struct err *err)
{
    double start = clock_seconds();
    AUTO(rested) r = {0};
    AUTO(heldout) h = {0};
    AUTO(ranking) ranking = {0};
    struct lists l = {.h = &h, .k = rank_k_shown(plan)};
    AUTO_FREE double *rows = NULL;
    bool any = d->part[DATASET_VAL].n > 0;

    share_all_rest(sh, false, &r);
    if (any && !heldout_make(&h, d, DATASET_VAL, plan->threads, err))
        return false; /* it has a user */
    l.hits = xcalloc((size_t)MAX(h.n_users * (int64_t)l.k, 1), sizeof *l.hits);
    l.n = xcalloc((size_t)MAX(h.n_users, 1), sizeof *l.n);
    rank_all(sh, &r, &l, plan->threads);
    rows = xcalloc((size_t)MAX(h.n_users, 1) * (size_t)(1 + rank_n_values(plan)), sizeof *rows);
    if (any) {
        ranking_from_lists(&ranking, &h, plan, l.hits, l.n);
        ranking_rows(&ranking, rows);
    }
    free(l.hits);
    free(l.n);
    gather(sh, plan, rows, h.n_users, out);
    out->seconds = clock_seconds() - start;
    return true;
}
