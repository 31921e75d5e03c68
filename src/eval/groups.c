#include "eval/groups.h"

#include <math.h>

static void add_group(struct groups *g, const char *label)
{
    assert(g->n < GROUPS_MAX);
    snprintf(g->label[g->n++], GROUPS_LABEL, "%s", label);
}

/* ---- the groupings ---- */

/* Known users by train rows, cut at the quartiles: each group begins one above where the one before
 * ends, and those with equally many rows stay together, so that there may be fewer than four. */
static void by_activity(const struct heldout *h, struct groups *out)
{
    AUTO_FREE int64_t *n_with = NULL; /* known users with at most so many train rows */
    int32_t most = 0, from = 1;

    for (int32_t i = 0; i < h->n_users; i++)
        most = MAX(most, h->n_train[i]);
    n_with = xcalloc((size_t)most + 1, sizeof *n_with);
    for (int32_t i = 0; i < h->n_users; i++)
        n_with[h->n_train[i]] += h->n_train[i] > 0;
    while (from <= most && !n_with[from])
        from++;
    for (int32_t x = 1; x <= most; x++)
        n_with[x] += n_with[x - 1];
    for (int q = 1; q <= 4 && from <= most; q++) {
        char label[GROUPS_LABEL];
        int32_t to = from - 1;

        while (4 * n_with[to] < q * (int64_t)h->n_known)
            to++;
        if (to < from)
            continue;
        snprintf(label, sizeof label, to > from ? "%d-%d" : "%d", from, to);
        for (int32_t i = 0; i < h->n_users; i++)
            if (h->n_train[i] >= from && h->n_train[i] <= to)
                out->of[i] = (int8_t)out->n;
        add_group(out, label);
        from = to + 1;
    }
}

static void by_train(const struct heldout *h, struct groups *out)
{
    add_group(out, "known");
    add_group(out, "new");
    for (int32_t i = 0; i < h->n_users; i++)
        out->of[i] = h->n_train[i] == 0;
}

/* An item and its train rows, to be sorted. */
struct counted {
    int32_t rows, item;
};

static int most_first(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;

    return x->rows != y->rows ? (x->rows < y->rows) - (x->rows > y->rows)
                              : (x->item > y->item) - (x->item < y->item);
}

/* Items by train rows, the most first, cut where a third and two thirds of all rows are reached. */
static void by_popularity(const struct heldout *h, struct groups *out)
{
    int32_t n_items = h->d->n_items;
    AUTO_FREE struct counted *items = xcalloc((size_t)n_items, sizeof *items);
    int64_t all = h->d->part[DATASET_TRAIN].n, before = 0;

    add_group(out, "head");
    add_group(out, "middle");
    add_group(out, "tail");
    for (int32_t i = 0; i < n_items; i++)
        items[i] = (struct counted){h->train_rows[i], i};
    qsort(items, (size_t)n_items, sizeof *items, most_first);
    for (int32_t i = 0; i < n_items && items[i].rows; before += items[i++].rows)
        out->of[items[i].item] = (int8_t)(3 * before / all);
}

static void by_newness(const struct heldout *h, struct groups *out)
{
    add_group(out, "known");
    add_group(out, "new");
    for (int32_t i = 0; i < h->d->n_items; i++)
        out->of[i] = h->train_rows[i] == 0;
}

const struct grouping groupings[] = {
    {"activity", "Users by train rows", false, by_activity},
    {"users", "Users by whether train knows them", false, by_train},
    {"popularity", "Held-out items by train rows, each group a third of them", true, by_popularity},
    {"newness", "Held-out items by whether train knows them", true, by_newness},
    {0},
};

/* ---- names ---- */

static const struct grouping *find(const char *option, const char *name, struct err *err)
{
    const char *names[GROUPINGS_MAX + 1] = {NULL}, *near;

    for (int i = 0; groupings[i].name; i++) {
        if (!strcmp(groupings[i].name, name))
            return &groupings[i];
        names[i] = groupings[i].name;
    }
    near = opt_suggest(name, names);
    if (near)
        err_set(err, ERR_USAGE, "%s: no groups by '%s'; did you mean '%s'?", option, name, near);
    else
        err_set(err, ERR_USAGE, "%s: no groups by '%s'; there are " GROUPS_NAMES, option, name);
    return NULL;
}

int groups_parse(const char *option, const char *text, const struct grouping *out[GROUPINGS_MAX],
                 struct err *err)
{
    int n = 0;

    for (const char *p = text; p && *text; p++) {
        size_t len = strcspn(p, ",");
        AUTO_FREE char *name = xstrndup(p, len);
        const struct grouping *g = find(option, name, err);
        bool twice = false;

        if (!g)
            return -1;
        for (int i = 0; i < n; i++)
            twice |= out[i] == g;
        if (!twice)
            out[n++] = g;
        p += len;
        if (!*p)
            break;
    }
    return n;
}

/* ---- means ---- */

struct adding {
    const struct ranking *r;
    const struct grouping *by;
    const struct groups *groups;
};

/* sums: (groups.n, n_values + 1), the last of which counts users. */
static void add_group_of_user(const struct adding *a, int32_t user, int group, struct moments *sums)
{
    int n_values = rank_n_values(a->r->plan);
    double values[RANK_VALUES_MAX];

    if (!ranking_values(a->r, user, a->by->of_items ? a->groups->of : NULL, group, values))
        return;
    sums += group * (n_values + 1);
    for (int v = 0; v < n_values; v++)
        if (!isnan(values[v]))
            moments_add(&sums[v], values[v]);
    sums[n_values].n++;
}

static void add_user(const void *context, int64_t i, struct moments *sums)
{
    const struct adding *a = context;

    if (!a->by->of_items && a->groups->of[i] >= 0)
        add_group_of_user(a, (int32_t)i, a->groups->of[i], sums);
    for (int g = 0; a->by->of_items && a->r->h->n_train[i] && g < a->groups->n; g++)
        add_group_of_user(a, (int32_t)i, g, sums);
}

void group_means_make(struct group_means *g, const struct grouping *by, const struct ranking *r)
{
    int n_values = rank_n_values(r->plan), stride = n_values + 1;
    int32_t n = by->of_items ? r->h->d->n_items : r->h->n_users;
    AUTO_FREE struct moments *sums = xcalloc(GROUPS_MAX * (size_t)stride, sizeof *sums);

    *g = (struct group_means){by, .groups.of = xcalloc((size_t)n, 1)};
    memset(g->groups.of, -1, (size_t)n);
    by->divide(r->h, &g->groups);
    g->means = xcalloc((size_t)g->groups.n + 1, sizeof *g->means);
    moments_over(r->h->n_users, g->groups.n * stride, r->plan->threads, add_user,
                 &(struct adding){r, by, &g->groups}, sums);
    for (int i = 0; i < g->groups.n; i++) {
        const struct moments *own = sums + i * stride;

        g->means[i].n_users = (int32_t)own[n_values].n;
        for (int v = 0; v < n_values; v++) {
            g->means[i].value[v] = moments_mean(&own[v]);
            g->means[i].half[v] = moments_half(&own[v]);
        }
    }
}

bool group_means_has(const struct group_means *g, const struct metric *m)
{
    return m->hits || (m->item && !g->by->of_items);
}

void group_means_release(struct group_means *g)
{
    free(g->groups.of);
    free(g->means);
    *g = (struct group_means){0};
}

/* ---- JSON ---- */

static void write_means(const struct group_means *g, const struct rank_plan *plan,
                        const struct rank_means *means, struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics_shown; m++)
        for (int j = 0; group_means_has(g, plan->metrics[m]) && j < plan->n_k_shown; j++) {
            int v = m * plan->n_k + j;

            rank_write_value(plan, m, j, means->value[v], means->half[v], out);
        }
}

void group_means_write_json(const struct group_means *g, const struct rank_plan *plan,
                            struct json_out *out)
{
    json_open(out, g->by->name, '[');
    for (int i = 0; i < g->groups.n; i++) {
        json_open(out, NULL, '{');
        json_put_str(out, "group", g->groups.label[i]);
        json_put_int(out, "users", g->means[i].n_users);
        write_means(g, plan, &g->means[i], out);
        json_close(out, '}');
    }
    json_close(out, ']');
}
