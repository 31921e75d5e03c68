#include "eval/rank.h"

#include "base/clock.h"
#include "base/interrupt.h"

#include <math.h>
#include <omp.h>

/* ---- the plan ---- */

bool rank_plan_parse(struct rank_plan *p, const char *metrics_text, const char *k, struct err *err)
{
    p->n_metrics = metrics_parse("--metrics", metrics_text, p->metrics, err);
    if (p->n_metrics < 0)
        return false;
    p->n_k = opt_int_list("--k", k, 1, TOPK_MAX, p->k, RANK_KS_MAX, err);
    return p->n_k >= 0;
}

/* "recall_at_10", to be freed. */
static char *member_name(const struct rank_plan *plan, int m, int j)
{
    return xasprintf("%s_at_%d", plan->metrics[m]->name, plan->k[j]);
}

void rank_write_json(const struct rank_plan *plan, const struct rank_means *means,
                     struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics; m++)
        for (int j = 0; j < plan->n_k; j++) {
            AUTO_FREE char *name = member_name(plan, m, j);

            json_put_real(out, name, means->value[m * plan->n_k + j]);
        }
}

bool rank_read_json(const struct rank_plan *plan, const struct json_t *from,
                    struct rank_means *means)
{
    bool any = false;

    for (int m = 0; m < plan->n_metrics; m++)
        for (int j = 0; j < plan->n_k; j++) {
            AUTO_FREE char *name = member_name(plan, m, j);
            const struct json_t *value = json_get(from, name);

            means->value[m * plan->n_k + j] = json_real_or(value, NAN);
            any |= value != NULL;
        }
    return any;
}

/* ---- the evaluation ---- */

struct work {
    const struct model *m;
    const struct dataset *d;
    enum dataset_part held_out;
    const struct interactions *history; /* the rows of the parts before it */
    const struct rank_plan *plan;
    int k_max, n_values;
    const int32_t *users; /* (n) who have held-out rows */
    int32_t n;
    double *values; /* (n, n_values) */
};

/* What one thread needs. */
struct scratch {
    struct topk topk;
    struct hit *hits;  /* (TOPK_QUERIES, k_max) */
    int32_t *ranks;    /* (k_max) */
    int32_t *relevant; /* sorted held-out items of a user */
    int32_t relevant_cap;
};

static void scratch_release(struct scratch *s)
{
    topk_release(&s->topk);
    free(s->hits);
    free(s->ranks);
    free(s->relevant);
}

static int32_t *grow(int32_t **ids, int32_t *cap, int64_t n)
{
    if (n > *cap) {
        *ids = xrealloc(*ids, (size_t)n, sizeof **ids);
        *cap = (int32_t)n;
    }
    return *ids;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Sort (n) items and take out those that are there twice; returns how many are left. */
static int32_t sort_unique(int32_t *items, int32_t n)
{
    int32_t left = 0;

    qsort(items, (size_t)n, sizeof *items, by_id);
    for (int32_t i = 0; i < n; i++)
        if (left == 0 || items[left - 1] != items[i])
            items[left++] = items[i];
    return left;
}

/* All metrics at all k of one list; values (n_values). What was taken twice is one item to find. */
static void judge(const struct work *w, struct scratch *s, int32_t user, const struct hit *hits,
                  int n, double *values)
{
    int32_t n_relevant;
    const int32_t *row = interactions_row(&w->d->part[w->held_out], user, &n_relevant);
    int n_ranks = 0;

    grow(&s->relevant, &s->relevant_cap, n_relevant);
    memcpy(s->relevant, row, (size_t)n_relevant * sizeof *row);
    n_relevant = sort_unique(s->relevant, n_relevant);
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

/* Users first .. end - 1 of the work, at most TOPK_QUERIES. */
static void rank_block(const struct work *w, struct scratch *s, int32_t first, int32_t end)
{
    struct query queries[TOPK_QUERIES];
    int32_t index[TOPK_QUERIES];
    int n_hits[TOPK_QUERIES], n = 0;

    for (int32_t i = first; i < end; i++) {
        queries[n] = query_of_user(w->history, w->users[i]);
        index[n] = i;
        n += w->m->ops->serves(w->m, &queries[n]);
    }
    if (!n)
        return;
    topk_find(&s->topk, queries, n, w->k_max, !w->plan->include_seen, s->hits, n_hits);
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
            .hits = xcalloc((size_t)TOPK_QUERIES * (size_t)w->k_max, sizeof *s.hits),
            .ranks = xcalloc((size_t)w->k_max, sizeof *s.ranks),
        };

        topk_init(&s.topk, w->m, TOPK_QUERIES);
#pragma omp for schedule(dynamic, 1)
        for (int32_t first = 0; first < w->n; first += TOPK_QUERIES)
            if (!interrupt_signal())
                rank_block(w, &s, first, MIN(first + TOPK_QUERIES, w->n));
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
        out->all.value[v] /= out->all.n_users;
        out->known.value[v] /= out->known.n_users;
    }
}

bool rank_evaluate(const struct model *m, const struct dataset *d, enum dataset_part held_out,
                   const struct rank_plan *plan, struct rank_result *out, struct err *err)
{
    AUTO_FREE int32_t *users = xcalloc((size_t)d->n_users, sizeof *users);
    AUTO_FREE double *values = NULL;
    AUTO(interactions) both = {0};
    double start = clock_seconds();
    struct work w = {
        m, d, held_out, &d->part[DATASET_TRAIN], plan, .n_values = plan->n_metrics * plan->n_k};

    if (held_out == DATASET_TEST) {
        interactions_join(&both, &d->part[DATASET_TRAIN], &d->part[DATASET_VAL], d->n_users);
        w.history = &both;
    }
    for (int j = 0; j < plan->n_k; j++)
        w.k_max = MAX(w.k_max, plan->k[j]);
    for (int32_t u = 0; u < d->n_users; u++)
        if (d->part[held_out].offsets[u + 1] > d->part[held_out].offsets[u])
            users[w.n++] = u;
    if (!w.n)
        return err_set(err, ERR_DATA, "no user has a row in %s: there is nothing to compare with",
                       dataset_parts[held_out]);
    w.users = users;
    w.values = values = xcalloc((size_t)w.n * (size_t)w.n_values, sizeof *values);
    rank_all(&w);
    average(&w, out);
    out->seconds = clock_seconds() - start;
    return interrupt_check(err);
}
