#include "eval/metrics.h"

#include "base/opt.h"

#include <math.h>

/* n / |relevant| */
static double recall(const int32_t *, int n_hits, int64_t n_relevant, int)
{
    return (double)n_hits / (double)n_relevant;
}

/* Gain 1 a hit, discounted by log2(rank + 1) with ranks from 1, over the gain of the best list of
 * k. Source: Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002. */
static double ndcg(const int32_t *hits, int n_hits, int64_t n_relevant, int k)
{
    double gain = 0, ideal = 0;

    for (int h = 0; h < n_hits; h++)
        gain += 1 / log2(hits[h] + 2);
    for (int r = 0; r < MIN(n_relevant, k); r++)
        ideal += 1 / log2(r + 2);
    return gain / ideal;
}

/* 1 if there is a hit. */
static double hit(const int32_t *, int n_hits, int64_t, int)
{
    return n_hits > 0;
}

/* n / k, however short the list is. */
static double precision(const int32_t *, int n_hits, int64_t, int k)
{
    return (double)n_hits / k;
}

/* The precision at each hit, summed, over the hits that the best list of k has. */
static double map(const int32_t *hits, int n_hits, int64_t n_relevant, int k)
{
    double sum = 0;

    for (int h = 0; h < n_hits; h++)
        sum += (double)(h + 1) / (hits[h] + 1);
    return sum / (double)MIN(n_relevant, k);
}

/* 1 / rank of the first hit, ranks from 1. */
static double mrr(const int32_t *hits, int n_hits, int64_t, int)
{
    return n_hits ? 1.0 / (hits[0] + 1) : 0;
}

/* The mean number of train rows. */
static double popularity(int64_t n_rows, int64_t)
{
    return (double)n_rows;
}

/* -log2 of the share of the users who have the item, by its rows in train; one without any counts
 * as if it had one. Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of
 * recommender systems", PNAS 2010 (mean self-information). */
static double novelty(int64_t n_rows, int64_t n_users)
{
    return -log2((double)MAX(n_rows, 1) / (double)n_users);
}

/* The share of the catalogue that is in any list. */
static double coverage(const int32_t *listed, int32_t n_items)
{
    int32_t n = 0;

    for (int32_t i = 0; i < n_items; i++)
        n += listed[i] > 0;
    return (double)n / n_items;
}

/* Gini's coefficient of how often items are listed: 0 where all are as often, towards 1 where one
 * item has it all. With x ascending and n items: sum (2 i - n - 1) x_i / (n sum x_i). Items are
 * sorted by counting. */
static double gini(const int32_t *listed, int32_t n_items)
{
    AUTO_FREE int32_t *n_with = NULL; /* items that are in so many lists */
    double sum = 0, weighted = 0;
    int32_t most = 0;
    int64_t before = 0;

    for (int32_t i = 0; i < n_items; i++)
        most = MAX(most, listed[i]);
    n_with = xcalloc((size_t)most + 1, sizeof *n_with);
    for (int32_t i = 0; i < n_items; i++)
        n_with[listed[i]]++;
    for (int32_t x = 0; x <= most; x++) { /* items before + 1 .. before + n_with[x] have x */
        double n = n_with[x], mean_place = (double)before + (n + 1) / 2;

        weighted += n * x * (2 * mean_place - n_items - 1);
        sum += n * x;
        before += n_with[x];
    }
    return weighted / (n_items * sum);
}

const struct metric metrics[] = {
    {.name = "recall", .hits = recall},
    {.name = "ndcg", .hits = ndcg},
    {.name = "hit", .hits = hit},
    {.name = "precision", .hits = precision},
    {.name = "map", .hits = map},
    {.name = "mrr", .hits = mrr},
    {.name = "coverage", .lists = coverage},
    {.name = "gini", .lists = gini},
    {.name = "popularity", .item = popularity},
    {.name = "novelty", .item = novelty},
    {0},
};

static const struct metric *find(const char *name, size_t n)
{
    for (const struct metric *m = metrics; m->name; m++)
        if (!strncmp(m->name, name, n) && !m->name[n])
            return m;
    return NULL;
}

const struct metric *metric_named(const char *name)
{
    return find(name, strlen(name));
}

static int unknown(const char *option, const char *name, size_t n, struct err *err)
{
    AUTO_FREE char *word = xstrndup(name, n);
    const char *names[METRICS_MAX + 1] = {NULL}, *near;

    for (int i = 0; metrics[i].name; i++)
        names[i] = metrics[i].name;
    near = opt_suggest(word, names);
    if (near)
        err_set(err, ERR_USAGE, "%s: no metric '%s'; did you mean '%s'?", option, word, near);
    else
        err_set(err, ERR_USAGE, "%s: no metric '%s'; there are " METRICS_NAMES, option, word);
    return -1;
}

int metrics_parse(const char *option, const char *text, const struct metric *out[METRICS_MAX],
                  struct err *err)
{
    int n = 0;

    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");
        const struct metric *m = find(p, len);
        bool twice = false;

        if (!m)
            return unknown(option, p, len, err);
        for (int i = 0; i < n; i++)
            twice |= out[i] == m;
        if (!twice)
            out[n++] = m;
        p += len;
        if (!*p)
            return n;
    }
}
