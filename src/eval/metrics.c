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

const struct metric metrics[] = {
    {"recall", recall}, {"ndcg", ndcg}, {"hit", hit}, {"precision", precision},
    {"map", map},       {"mrr", mrr},   {NULL, NULL},
};

static const struct metric *find(const char *name, size_t n)
{
    for (const struct metric *m = metrics; m->name; m++)
        if (!strncmp(m->name, name, n) && !m->name[n])
            return m;
    return NULL;
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
        err_set(err, ERR_USAGE,
                "%s: no metric '%s'; there are recall, ndcg, hit, precision, map, mrr", option,
                word);
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
