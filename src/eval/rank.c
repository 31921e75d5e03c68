#include "eval/rank.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "comm/comm.h"

#include <math.h>
#include <omp.h>

/* ---- the plan ---- */

bool rank_plan_parse(struct rank_plan *p, const char *metrics_text, const char *k, struct err *err)
{
    p->n_metrics = p->n_metrics_shown = metrics_parse("--metrics", metrics_text, p->metrics, err);
    if (p->n_metrics < 0)
        return false;
    p->n_k = p->n_k_shown = opt_int_list("--k", k, 1, TOPK_MAX, p->k, RANK_KS_ASKED, err);
    return p->n_k >= 0;
}

int rank_k_shown(const struct rank_plan *p)
{
    int most = 0;

    for (int j = 0; j < p->n_k_shown; j++)
        most = MAX(most, p->k[j]);
    return most;
}

static bool has_metric(const struct rank_plan *p, const struct metric *m)
{
    for (int i = 0; i < p->n_metrics; i++)
        if (p->metrics[i] == m)
            return true;
    return false;
}

static void add_k(struct rank_plan *p, int k)
{
    for (int j = 0; j < p->n_k; j++)
        if (p->k[j] == k)
            return;
    assert(p->n_k < RANK_KS_MAX);
    p->k[p->n_k++] = k;
}

void rank_plan_widen(struct rank_plan *p)
{
    int points = RANK_KS_MAX - RANK_KS_ASKED, most = rank_k_shown(p);
    bool any_hits = false;

    for (int m = 0; m < p->n_metrics; m++)
        any_hits |= p->metrics[m]->hits != NULL;
    for (const struct metric *m = metrics; m->name; m++)
        if (!has_metric(p, m) && (!m->hits || (!any_hits && m == metrics)))
            p->metrics[p->n_metrics++] = m;
    for (int i = 0; i < points; i++) /* evenly by their logarithm */
        add_k(p, (int)lround(pow(most, i / (points - 1.0))));
}

static int k_max(const struct rank_plan *p)
{
    int most = 0;

    for (int j = 0; j < p->n_k; j++)
        most = MAX(most, p->k[j]);
    return most;
}

static int n_item_metrics(const struct rank_plan *p)
{
    int n = 0;

    for (int m = 0; m < p->n_metrics; m++)
        n += p->metrics[m]->item != NULL;
    return n;
}

static bool counts_listed(const struct rank_plan *p)
{
    bool any = false;

    for (int m = 0; m < p->n_metrics; m++)
        any |= p->metrics[m]->lists != NULL;
    return any;
}

/* ---- ranking ---- */

/* What all threads share. */
struct work {
    struct ranking *r;
    const struct model *m;
    int k_max, n_item_metrics;
    double *item_values; /* (n_item_metrics, n_items) */
};

/* What one thread needs. */
struct scratch {
    struct topk topk;
    struct hit *hits;   /* (TOPK_QUERIES, k_max) */
    uint64_t *relevant; /* a bit an item; all 0 between users */
};

static void scratch_release(struct scratch *s)
{
    topk_release(&s->topk);
    free(s->hits);
    free(s->relevant);
}

static void mark(struct scratch *s, const struct heldout *h, int32_t user, bool on)
{
    for (int64_t r = h->offsets[user]; r < h->offsets[user + 1]; r++) {
        uint64_t bit = 1ull << (h->items[r] % 64);

        if (on)
            s->relevant[h->items[r] / 64] |= bit;
        else
            s->relevant[h->items[r] / 64] &= ~bit;
    }
}

static void keep_hits(struct ranking *r, struct scratch *s, int32_t user, const struct hit *list,
                      int n)
{
    struct ranking_hit *hits = r->hits + r->offsets[user];

    mark(s, r->h, user, true);
    for (int32_t at = 0; at < n; at++)
        if (s->relevant[list[at].item / 64] >> (list[at].item % 64) & 1)
            hits[r->n_hits[user]++] = (struct ranking_hit){at, list[at].item};
    mark(s, r->h, user, false);
}

/* The mean of each metric by item over the first k of the list, for each k. */
static void average_items(const struct work *w, int32_t user, const struct hit *list, int n)
{
    const struct rank_plan *plan = w->r->plan;
    double *means = w->r->item_means + (int64_t)user * w->n_item_metrics * plan->n_k;

    for (int m = 0; m < w->n_item_metrics; m++) {
        const double *values = w->item_values + (int64_t)m * w->m->n_items;

        for (int j = 0; j < plan->n_k; j++) {
            int within = MIN(n, plan->k[j]);
            double sum = 0;

            for (int at = 0; at < within; at++)
                sum += values[list[at].item];
            means[m * plan->n_k + j] = sum / within;
        }
    }
}

/* (Whole numbers: the order of adding doesn't show.) */
static void count_listed(const struct work *w, int32_t user, const struct hit *list, int n)
{
    const struct rank_plan *plan = w->r->plan;
    bool known = w->r->h->n_train[user] > 0;

    for (int j = 0; j < plan->n_k; j++) {
        int32_t *listed = w->r->listed + ((known ? 0 : plan->n_k) + j) * (int64_t)w->m->n_items;

        for (int at = 0; at < MIN(n, plan->k[j]); at++) {
#pragma omp atomic
            listed[list[at].item]++;
        }
    }
}

/* Users first .. end - 1, at most TOPK_QUERIES. */
static void rank_block(const struct work *w, struct scratch *s, int32_t first, int32_t end)
{
    struct ranking *r = w->r;
    struct query queries[TOPK_QUERIES];
    int32_t users[TOPK_QUERIES];
    int lengths[TOPK_QUERIES], n = 0;

    for (int32_t i = first; i < end; i++) {
        queries[n] = query_of_user(r->h->history, r->h->users[i]);
        users[n] = i;
        n += w->m->ops->serves(w->m, &queries[n]);
    }
    if (!n)
        return;
    topk_find(&s->topk, queries, n, w->k_max, !r->plan->include_seen, s->hits, lengths);
    for (int q = 0; q < n; q++) {
        const struct hit *list = s->hits + (int64_t)q * w->k_max;

        keep_hits(r, s, users[q], list, lengths[q]);
        average_items(w, users[q], list, lengths[q]);
        if (r->listed)
            count_listed(w, users[q], list, lengths[q]);
    }
}

/* Of n users, rank r's first. Its last is before the next rank's: whole blocks. */
static int32_t first_of_rank(int32_t n, int r)
{
    int64_t blocks = (n + TOPK_QUERIES - 1) / TOPK_QUERIES;

    return (int32_t)MIN(n, blocks * r / comm_size() * TOPK_QUERIES);
}

static void rank_all(const struct work *w)
{
    const struct rank_plan *plan = w->r->plan;
    int threads = plan->threads ? plan->threads : omp_get_max_threads();
    int32_t begin = first_of_rank(w->r->h->n_users, comm_rank());
    int32_t end = first_of_rank(w->r->h->n_users, comm_rank() + 1);

#pragma omp parallel num_threads(threads)
    {
        struct scratch s = {
            .hits = xcalloc((size_t)TOPK_QUERIES * (size_t)w->k_max, sizeof *s.hits),
            .relevant = xcalloc((size_t)w->m->n_items / 64 + 1, sizeof *s.relevant),
        };

        topk_init(&s.topk, w->m, TOPK_QUERIES);
#pragma omp for schedule(dynamic, 1)
        for (int32_t first = begin; first < end; first += TOPK_QUERIES)
            if (!interrupt_signal())
                rank_block(w, &s, first, MIN(first + TOPK_QUERIES, end));
        scratch_release(&s);
    }
}

/* What ranks found of their users, to all. User i has entries at[i] .. at[i + 1] - 1 of `size`
 * bytes; at NULL: entry i. */
static void gather_users(void *data, int64_t size, int32_t n_users, const int64_t *at)
{
    AUTO_FREE int64_t *begin = xcalloc((size_t)comm_size() + 1, sizeof *begin);

    for (int r = 0; r <= comm_size(); r++) {
        int32_t first = first_of_rank(n_users, r);

        begin[r] = size * (at ? at[first] : first);
    }
    comm_all_gather(data, begin);
}

static void add_listed(int32_t *listed, int64_t n)
{
    AUTO_FREE int64_t *sums = xcalloc((size_t)n + 1, sizeof *sums);

    for (int64_t i = 0; i < n; i++)
        sums[i] = listed[i];
    comm_all_fold(sums, n, COMM_SUM);
    for (int64_t i = 0; i < n; i++)
        listed[i] = (int32_t)sums[i];
}

/* Afterwards all ranks have what one process finds, bit for bit. */
static void gather(const struct work *w)
{
    struct ranking *r = w->r;
    int32_t n = r->h->n_users;

    if (comm_size() == 1)
        return;
    gather_users(r->hits, sizeof *r->hits, n, r->offsets);
    gather_users(r->n_hits, sizeof *r->n_hits, n, NULL);
    gather_users(r->item_means, w->n_item_metrics * r->plan->n_k * (int64_t)sizeof *r->item_means,
                 n, NULL);
    if (r->listed)
        add_listed(r->listed, 2 * (int64_t)r->plan->n_k * r->h->d->n_items);
}

static double *make_item_values(const struct rank_plan *plan, const struct heldout *h)
{
    int32_t n_items = h->d->n_items;
    double *values = xcalloc((size_t)n_item_metrics(plan) * (size_t)n_items + 1, sizeof *values);
    double *next = values;

    for (int m = 0; m < plan->n_metrics; m++)
        for (int32_t i = 0; plan->metrics[m]->item && i < n_items; i++)
            *next++ = plan->metrics[m]->item(h->train_rows[i], h->n_train_users);
    return values;
}

static void make_room(struct ranking *r, const struct work *w)
{
    const struct heldout *h = r->h;
    int64_t n_means = (int64_t)h->n_users * w->n_item_metrics * r->plan->n_k;

    r->offsets = xcalloc((size_t)h->n_users + 1, sizeof *r->offsets);
    r->n_hits = xcalloc((size_t)h->n_users, sizeof *r->n_hits);
    for (int32_t i = 0; i < h->n_users; i++)
        r->offsets[i + 1] = r->offsets[i] + MIN(h->offsets[i + 1] - h->offsets[i], w->k_max);
    r->hits = xcalloc((size_t)r->offsets[h->n_users], sizeof *r->hits);
    r->item_means = xcalloc((size_t)n_means + 1, sizeof *r->item_means);
    for (int64_t i = 0; i < n_means; i++)
        r->item_means[i] = NAN;
    if (counts_listed(r->plan))
        r->listed = xcalloc(2 * (size_t)r->plan->n_k * (size_t)h->d->n_items, sizeof *r->listed);
}

bool ranking_make(struct ranking *r, const struct model *m, const struct heldout *h,
                  const struct rank_plan *plan, struct err *err)
{
    double start = clock_seconds();
    AUTO_FREE double *item_values = make_item_values(plan, h);
    struct work w = {r, m, k_max(plan), n_item_metrics(plan), item_values};

    *r = (struct ranking){.h = h, .plan = plan};
    make_room(r, &w);
    rank_all(&w);
    if (!comm_all_agree(interrupt_check(err), err))
        return false;
    gather(&w);
    r->seconds = clock_seconds() - start;
    return true;
}

void ranking_release(struct ranking *r)
{
    free(r->offsets);
    free(r->hits);
    free(r->n_hits);
    free(r->item_means);
    free(r->listed);
    *r = (struct ranking){0};
}

/* ---- the values of one user ---- */

static int64_t count_relevant(const struct heldout *h, int32_t user, const int8_t *group_of,
                              int group)
{
    int64_t n = 0;

    if (!group_of)
        return h->offsets[user + 1] - h->offsets[user];
    for (int64_t r = h->offsets[user]; r < h->offsets[user + 1]; r++)
        n += group_of[h->items[r]] == group;
    return n;
}

double ranking_value(const struct ranking *r, int32_t user, const struct metric *metric, int k)
{
    const struct ranking_hit *hits = r->hits + r->offsets[user];
    int32_t ranks[TOPK_MAX];
    int n = 0;

    while (n < r->n_hits[user] && hits[n].rank < k) {
        ranks[n] = hits[n].rank;
        n++;
    }
    return metric->hits(ranks, n, count_relevant(r->h, user, NULL, 0), k);
}

bool ranking_values(const struct ranking *r, int32_t user, const int8_t *group_of, int group,
                    double *values)
{
    const struct rank_plan *plan = r->plan;
    int64_t n_relevant = count_relevant(r->h, user, group_of, group);
    const double *item_means = r->item_means + (int64_t)user * n_item_metrics(plan) * plan->n_k;
    int32_t ranks[TOPK_MAX];
    int within[RANK_KS_MAX] = {0}, n = 0;

    for (int i = 0; i < r->n_hits[user]; i++) {
        struct ranking_hit hit = r->hits[r->offsets[user] + i];

        if (group_of && group_of[hit.item] != group)
            continue;
        ranks[n++] = hit.rank;
        for (int j = 0; j < plan->n_k; j++)
            within[j] += hit.rank < plan->k[j];
    }
    for (int m = 0; m < plan->n_metrics; m++)
        for (int j = 0; j < plan->n_k; j++) {
            const struct metric *metric = plan->metrics[m];
            double value = NAN;

            if (metric->hits && n_relevant)
                value = metric->hits(ranks, within[j], n_relevant, plan->k[j]);
            else if (metric->item)
                value = group_of ? value : *item_means++;
            *values++ = value;
        }
    return n_relevant > 0;
}

/* ---- means ---- */

enum { KNOWN, ALL };

/* sums: (2, n_values) of known users, of all. */
static void add_values(const double *values, int n_values, bool known, struct moments *sums)
{
    for (int v = 0; v < n_values; v++) {
        if (isnan(values[v]))
            continue;
        if (known)
            moments_add(&sums[KNOWN * n_values + v], values[v]);
        moments_add(&sums[ALL * n_values + v], values[v]);
    }
}

static void add_user(const void *context, int64_t i, struct moments *sums)
{
    const struct ranking *r = context;
    double values[RANK_VALUES_MAX];

    ranking_values(r, (int32_t)i, NULL, 0, values);
    add_values(values, rank_n_values(r->plan), r->h->n_train[i] > 0, sums);
}

/* The metrics of all lists together. */
static void measure_lists(const struct ranking *r, bool known_only, struct rank_means *out)
{
    const struct rank_plan *plan = r->plan;
    int32_t n_items = r->h->d->n_items;
    AUTO_FREE int32_t *listed = xcalloc((size_t)n_items, sizeof *listed);

    for (int j = 0; r->listed && j < plan->n_k; j++) {
        const int32_t *known = r->listed + (int64_t)j * n_items;
        const int32_t *others = known + (int64_t)plan->n_k * n_items;

        for (int32_t i = 0; i < n_items; i++)
            listed[i] = known[i] + (known_only ? 0 : others[i]);
        for (int m = 0; m < plan->n_metrics; m++)
            if (plan->metrics[m]->lists)
                out->value[m * plan->n_k + j] = plan->metrics[m]->lists(listed, n_items);
    }
}

static void take_means(int n_values, const struct moments *sums, struct rank_result *out)
{
    for (int which = KNOWN; which <= ALL; which++) {
        struct rank_means *means = which == KNOWN ? &out->known : &out->all;

        for (int v = 0; v < n_values; v++) {
            means->value[v] = moments_mean(&sums[which * n_values + v]);
            means->half[v] = moments_half(&sums[which * n_values + v]);
        }
    }
}

void ranking_result(const struct ranking *r, struct rank_result *out)
{
    const struct heldout *h = r->h;
    int n_values = rank_n_values(r->plan);
    AUTO_FREE struct moments *sums = xcalloc(2 * (size_t)n_values, sizeof *sums);

    *out = (struct rank_result){.known.n_users = h->n_known,
                                .all.n_users = h->n_users,
                                .n_rows = h->n_rows,
                                .n_new_rows = h->n_new_rows,
                                .seconds = r->seconds};
    moments_over(h->n_users, 2 * n_values, r->plan->threads, add_user, r, sums);
    take_means(n_values, sums, out);
    measure_lists(r, true, &out->known);
    measure_lists(r, false, &out->all);
}

/* ---- in parts ---- */

void ranking_from_lists(struct ranking *r, const struct heldout *h, const struct rank_plan *plan,
                        const struct hit *lists, const int *lengths)
{
    struct work w = {r, NULL, k_max(plan), 0, NULL};
    struct scratch s = {.relevant = xcalloc((size_t)h->d->n_items / 64 + 1, sizeof *s.relevant)};

    assert(!n_item_metrics(plan) && !counts_listed(plan));
    *r = (struct ranking){.h = h, .plan = plan};
    make_room(r, &w);
    for (int32_t i = 0; i < h->n_users; i++)
        keep_hits(r, &s, i, lists + (int64_t)i * w.k_max, lengths[i]);
    free(s.relevant);
}

void ranking_rows(const struct ranking *r, double *rows)
{
    int n_values = rank_n_values(r->plan);

    for (int32_t i = 0; i < r->h->n_users; i++, rows += 1 + n_values) {
        rows[0] = r->h->n_train[i] > 0;
        ranking_values(r, i, NULL, 0, rows + 1);
    }
}

struct rows {
    const double *rows;
    int n_values;
};

static void add_row(const void *context, int64_t i, struct moments *sums)
{
    const struct rows *r = context;
    const double *row = r->rows + i * (1 + r->n_values);

    add_values(row + 1, r->n_values, row[0] != 0, sums);
}

void rank_result_of_rows(const struct rank_plan *plan, const double *rows, int32_t n_users,
                         struct rank_result *out)
{
    int n_values = rank_n_values(plan);
    AUTO_FREE struct moments *sums = xcalloc(2 * (size_t)n_values, sizeof *sums);
    struct rows of = {rows, n_values};

    *out = (struct rank_result){.all.n_users = n_users};
    for (int32_t i = 0; i < n_users; i++)
        out->known.n_users += rows[(int64_t)i * (1 + n_values)] != 0;
    moments_over(n_users, 2 * n_values, plan->threads, add_row, &of, sums);
    take_means(n_values, sums, out);
}

bool rank_evaluate(const struct model *m, const struct dataset *d, enum dataset_part held_out,
                   const struct rank_plan *plan, struct rank_result *out, struct err *err)
{
    double start = clock_seconds();
    AUTO(heldout) h = {0};
    AUTO(ranking) r = {0};

    if (!heldout_make(&h, d, held_out, plan->threads, err) || !ranking_make(&r, m, &h, plan, err))
        return false;
    ranking_result(&r, out);
    out->seconds = clock_seconds() - start;
    return true;
}

/* ---- for people and for machines ---- */

int rank_decimals(double x)
{
    int n = 4;

    for (double limit = 10; n > 1 && fabs(x) >= limit; limit *= 10)
        n--;
    return n;
}

const char *rank_number(double x, char out[static RANK_NUMBER])
{
    if (isnan(x))
        snprintf(out, RANK_NUMBER, "-");
    else
        snprintf(out, RANK_NUMBER, "%.*f", rank_decimals(x), x);
    return out;
}

char *rank_value_name(const struct rank_plan *plan, int m, int j)
{
    return xasprintf("%s_at_%d", plan->metrics[m]->name, plan->k[j]);
}

void rank_write_json(const struct rank_plan *plan, const struct rank_means *means,
                     struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics_shown; m++)
        for (int j = 0; j < plan->n_k_shown; j++) {
            AUTO_FREE char *name = rank_value_name(plan, m, j);

            json_put_real(out, name, means->value[m * plan->n_k + j]);
        }
}

void rank_write_value(const struct rank_plan *plan, int m, int j, double value, double half,
                      struct json_out *out)
{
    AUTO_FREE char *name = rank_value_name(plan, m, j), *key = xasprintf("%s_ci95", name);

    json_put_real(out, name, value);
    if (plan->metrics[m]->lists)
        return;
    if (isnan(half)) {
        json_put_null(out, key);
        return;
    }
    json_open(out, key, '[');
    json_put_real(out, NULL, value - half);
    json_put_real(out, NULL, value + half);
    json_close(out, ']');
}

void rank_write_intervals(const struct rank_plan *plan, const struct rank_means *means,
                          struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics_shown; m++)
        for (int j = 0; j < plan->n_k_shown; j++) {
            int v = m * plan->n_k + j;

            rank_write_value(plan, m, j, means->value[v], means->half[v], out);
        }
}

bool rank_read_json(const struct rank_plan *plan, const struct json_t *from,
                    struct rank_means *means)
{
    bool any = false;

    for (int m = 0; m < plan->n_metrics; m++)
        for (int j = 0; j < plan->n_k; j++) {
            AUTO_FREE char *name = rank_value_name(plan, m, j);
            const struct json_t *value = json_get(from, name);

            means->value[m * plan->n_k + j] = json_real_or(value, NAN);
            any |= value != NULL;
        }
    return any;
}
