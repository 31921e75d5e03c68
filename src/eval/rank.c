#include "eval/rank.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "kern/kern.h"

#include <math.h>
#include <omp.h>

enum { ITEMS_A_BLOCK = 1024, ITEMS_A_LOOK = 64 };

/* ---- the k best ---- */

static bool worse(struct hit a, struct hit b)
{
    return a.score < b.score || (a.score == b.score && a.item > b.item);
}

static void sift_down(struct hit *heap, int n, int at)
{
    struct hit moved = heap[at];

    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(struct hit *heap, int at)
{
    struct hit moved = heap[at];

    while (at && worse(moved, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

/* Take item into the heap of the k best, worst on top. Items come in rising order, so that one that
 * equals the worst stays out. Returns the score that the next must beat. */
static float keep(struct hit *heap, int *n, int k, struct hit h)
{
    if (*n < k) {
        heap[*n] = h;
        sift_up(heap, (*n)++);
    } else {
        heap[0] = h;
        sift_down(heap, k, 0);
    }
    return *n < k ? -INFINITY : heap[0].score;
}

static void keep_best(const float *scores, int32_t first, int32_t count, struct hit *heap, int *n,
                      int k)
{
    const struct kern *kern = kern_best();
    float limit = *n < k ? -INFINITY : heap[0].score;

    for (int32_t look = 0; look < count; look += ITEMS_A_LOOK) {
        int32_t end = MIN(look + ITEMS_A_LOOK, count);

        if (!kern->any_above(scores + look, end - look, limit))
            continue;
        for (int32_t c = look; c < end; c++)
            if (scores[c] > limit)
                limit = keep(heap, n, k, (struct hit){first + c, scores[c]});
    }
}

/* The heap becomes a list, best first. */
static void unheap(struct hit *heap, int n)
{
    for (int end = n - 1; end > 0; end--) {
        struct hit worst = heap[0];

        heap[0] = heap[end];
        sift_down(heap, end, 0);
        heap[end] = worst;
    }
}

static void mask(float *scores, int32_t first, int32_t count, const struct query *q)
{
    for (int32_t h = 0; h < q->n_history; h++) {
        uint32_t c = (uint32_t)(q->history[h] - first);

        if (c < (uint32_t)count)
            scores[c] = -INFINITY;
    }
}

void rank_top(const struct model *m, const struct query *q, int n, int k, bool leave_out,
              struct hit *out, int *n_out)
{
    float scores[RANK_QUERIES * ITEMS_A_BLOCK];

    assert(n >= 1 && n <= RANK_QUERIES && k >= 1);
    for (int r = 0; r < n; r++)
        n_out[r] = 0;
    for (int32_t first = 0; first < m->n_items; first += ITEMS_A_BLOCK) {
        int32_t count = MIN(ITEMS_A_BLOCK, m->n_items - first);

        m->ops->score(m, q, n, first, count, scores);
        for (int r = 0; r < n; r++) {
            if (leave_out)
                mask(scores + r * count, first, count, &q[r]);
            keep_best(scores + r * count, first, count, out + (int64_t)r * k, &n_out[r], k);
        }
    }
    for (int r = 0; r < n; r++)
        unheap(out + (int64_t)r * k, n_out[r]);
}

/* ---- the plan ---- */

bool rank_plan_parse(struct rank_plan *p, const char *metrics_text, const char *k, struct err *err)
{
    p->n_metrics = metrics_parse("--metrics", metrics_text, p->metrics, err);
    if (p->n_metrics < 0)
        return false;
    p->n_k = opt_int_list("--k", k, 1, RANK_K_MAX, p->k, RANK_KS_MAX, err);
    return p->n_k >= 0;
}

void rank_write_json(const struct rank_plan *plan, const struct rank_means *means,
                     struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics; m++)
        for (int j = 0; j < plan->n_k; j++) {
            AUTO_FREE char *name = xasprintf("%s_at_%d", plan->metrics[m]->name, plan->k[j]);

            json_put_real(out, name, means->value[m * plan->n_k + j]);
        }
}

/* ---- the evaluation ---- */

struct work {
    const struct model *m;
    const struct dataset *d;
    enum dataset_part held_out;
    const struct rank_plan *plan;
    int k_max, n_values;
    const int32_t *users; /* (n) who have held-out rows */
    int32_t n;
    double *values; /* (n, n_values) */
};

/* What one thread needs: lists, and the histories where they come from two parts. */
struct scratch {
    struct hit *hits;  /* (RANK_QUERIES, k_max) */
    int32_t *ranks;    /* (k_max) */
    int32_t *relevant; /* sorted held-out items of a user */
    int32_t *history[RANK_QUERIES];
    int32_t history_cap[RANK_QUERIES], relevant_cap;
};

static void scratch_release(struct scratch *s)
{
    free(s->hits);
    free(s->ranks);
    free(s->relevant);
    for (int r = 0; r < RANK_QUERIES; r++)
        free(s->history[r]);
}

static int32_t *grow(int32_t **ids, int32_t *cap, int64_t n)
{
    if (n > *cap) {
        *ids = xrealloc(*ids, (size_t)n, sizeof **ids);
        *cap = (int32_t)n;
    }
    return *ids;
}

/* The user's rows of the parts before the held-out one. */
static struct query query_of(const struct work *w, struct scratch *s, int slot, int32_t user)
{
    struct query q = {.user = user};
    int64_t total = 0;

    for (int p = 0; p < (int)w->held_out; p++) {
        int32_t n;

        interactions_row(&w->d->part[p], user, &n);
        total += n;
    }
    q.history = grow(&s->history[slot], &s->history_cap[slot], total);
    for (int p = 0; p < (int)w->held_out; p++) {
        int32_t n;
        const int32_t *row = interactions_row(&w->d->part[p], user, &n);

        if (n)
            memcpy(s->history[slot] + q.n_history, row, (size_t)n * sizeof *row);
        q.n_history += n;
    }
    return q;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* All metrics at all k of one list; values (n_values). */
static void judge(const struct work *w, struct scratch *s, int32_t user, const struct hit *hits,
                  int n, double *values)
{
    int32_t n_relevant;
    const int32_t *row = interactions_row(&w->d->part[w->held_out], user, &n_relevant);
    int n_ranks = 0;

    grow(&s->relevant, &s->relevant_cap, n_relevant);
    memcpy(s->relevant, row, (size_t)n_relevant * sizeof *row);
    qsort(s->relevant, (size_t)n_relevant, sizeof *row, by_id);
    for (int r = 0; r < n; r++)
        if (bsearch(&hits[r].item, s->relevant, (size_t)n_relevant, sizeof *row, by_id))
            s->ranks[n_ranks++] = r;
    for (int m = 0; m < w->plan->n_metrics; m++)
        for (int j = 0; j < w->plan->n_k; j++) {
            int k = w->plan->k[j], within = 0;

            while (within < n_ranks && s->ranks[within] < k)
                within++;
            values[m * w->plan->n_k + j] =
                w->plan->metrics[m]->value(s->ranks, within, n_relevant, k);
        }
}

/* Users first .. end - 1 of the work, at most RANK_QUERIES. */
static void rank_block(const struct work *w, struct scratch *s, int32_t first, int32_t end)
{
    struct query queries[RANK_QUERIES];
    int32_t index[RANK_QUERIES];
    int n_hits[RANK_QUERIES], n = 0;

    for (int32_t i = first; i < end; i++) {
        queries[n] = query_of(w, s, n, w->users[i]);
        index[n] = i;
        n += w->m->ops->serves(w->m, &queries[n]);
    }
    if (!n)
        return;
    rank_top(w->m, queries, n, w->k_max, !w->plan->include_seen, s->hits, n_hits);
    for (int r = 0; r < n; r++)
        judge(w, s, queries[r].user, s->hits + (int64_t)r * w->k_max, n_hits[r],
              w->values + (int64_t)index[r] * w->n_values);
}

static void rank_all(const struct work *w)
{
    int threads = w->plan->threads ? w->plan->threads : omp_get_max_threads();

#pragma omp parallel num_threads(threads)
    {
        struct scratch s = {
            .hits = xcalloc((size_t)RANK_QUERIES * (size_t)w->k_max, sizeof *s.hits),
            .ranks = xcalloc((size_t)w->k_max, sizeof *s.ranks),
        };

#pragma omp for schedule(dynamic, 1)
        for (int32_t first = 0; first < w->n; first += RANK_QUERIES)
            if (!interrupt_signal())
                rank_block(w, &s, first, MIN(first + RANK_QUERIES, w->n));
        scratch_release(&s);
    }
}

static void average(const struct work *w, struct rank_result *out)
{
    *out = (struct rank_result){0};
    for (int32_t i = 0; i < w->n; i++) {
        int32_t n_train;
        bool known;

        interactions_row(&w->d->part[DATASET_TRAIN], w->users[i], &n_train);
        known = n_train > 0;
        out->all.n_users++;
        out->known.n_users += known;
        for (int v = 0; v < w->n_values; v++) {
            out->all.value[v] += w->values[(int64_t)i * w->n_values + v];
            out->known.value[v] += known ? w->values[(int64_t)i * w->n_values + v] : 0;
        }
    }
    for (int v = 0; v < w->n_values; v++) {
        out->all.value[v] /= MAX(out->all.n_users, 1);
        out->known.value[v] /= MAX(out->known.n_users, 1);
    }
}

bool rank_evaluate(const struct model *m, const struct dataset *d, enum dataset_part held_out,
                   const struct rank_plan *plan, struct rank_result *out, struct err *err)
{
    AUTO_FREE int32_t *users = xcalloc((size_t)d->n_users, sizeof *users);
    AUTO_FREE double *values = NULL;
    double start = clock_seconds();
    struct work w = {m, d, held_out, plan, .n_values = plan->n_metrics * plan->n_k};

    for (int j = 0; j < plan->n_k; j++)
        w.k_max = MAX(w.k_max, plan->k[j]);
    for (int32_t u = 0; u < d->n_users; u++)
        if (d->part[held_out].offsets[u + 1] > d->part[held_out].offsets[u])
            users[w.n++] = u;
    if (!w.n)
        return err_set(err, ERR_DATA, "no user has a row in %s: there is nothing to compare with",
                       held_out == DATASET_VAL ? "val" : "test");
    w.users = users;
    w.values = values = xcalloc((size_t)w.n * (size_t)w.n_values, sizeof *values);
    rank_all(&w);
    average(&w, out);
    out->seconds = clock_seconds() - start;
    return interrupt_check(err);
}
