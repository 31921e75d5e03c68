/* popularity.c - the same list for everyone: how many rows each item has in train, of which with a
 * half-life old ones count for less: a row of time t counts 2^-((newest - t) / half-life). */
#include "model/model.h"

#include <math.h>

#define POPULARITY_OPTIONS(X, S)                                                                   \
    X(S, double, half_life_days, 0, 0, 1e6, "DAYS",                                                \
      "a row that is that much older than the newest counts half; 0: all count the same")

OPT_DEFINE(popularity_opts, POPULARITY_OPTIONS);

struct popularity {
    struct model base;
    float *count; /* (n_items); whole numbers without a half-life, exact up to 2^24 */
};

static double half_life_days(const void *options)
{
    return ((const struct popularity_opts *)options)->half_life_days;
}

static struct popularity *popularity_of(struct model *m)
{
    return (struct popularity *)m;
}

static int popularity_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    out[0] = tensor_floats("item_count", m->n_items, 1, popularity_of(m)->count);
    return 1;
}

static void popularity_adopt(struct model *m, const struct tensor *t)
{
    popularity_of(m)->count = t[0].data;
}

static bool popularity_dated(const void *options)
{
    return half_life_days(options) > 0;
}

static void count_rows(const struct interactions *train, float *count)
{
    for (int64_t k = 0; k < train->n; k++)
        count[train->items[k]]++;
}

static void weigh_rows(const struct interactions *train, double half_life_ms, int32_t n_items,
                       float *count)
{
    AUTO_FREE double *sums = xcalloc((size_t)MAX(n_items, 1), sizeof *sums);
    int64_t newest = INT64_MIN;

    for (int64_t k = 0; k < train->n; k++)
        newest = MAX(newest, train->times[k]);
    for (int64_t k = 0; k < train->n; k++)
        sums[train->items[k]] += exp2(-(double)(newest - train->times[k]) / half_life_ms);
    for (int32_t i = 0; i < n_items; i++)
        count[i] = (float)sums[i];
}

static bool popularity_fit(struct model *m, const struct interactions *train, struct err *err)
{
    const double day_ms = 24 * 3600 * 1000.0;
    double days = half_life_days(m->options);
    float *count = popularity_of(m)->count = xaligned((size_t)m->n_items, sizeof(float));

    if (days > 0 && !train->times)
        return err_set(err, ERR_DATA,
                       "--half-life-days needs to know when rows are from: the dataset has no "
                       "times");
    if (days > 0)
        weigh_rows(train, days * day_ms, m->n_items, count);
    else
        count_rows(train, count);
    return true;
}

static bool popularity_serves(const struct model *, const struct query *)
{
    return true;
}

static void popularity_score(const struct model *m, const struct query *, int n_queries,
                             const float *, int32_t first, int32_t n, float *out)
{
    const float *count = ((const struct popularity *)m)->count;

    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++)
            *out++ = count[first + c];
}

static void popularity_release(struct model *m)
{
    free(popularity_of(m)->count);
}

const struct model_ops model_popularity = {
    .name = "popularity",
    .summary = "what most users took, for everyone",
    .options = popularity_opts_table,
    .defaults = &popularity_opts_default,
    .options_size = sizeof(struct popularity_opts),
    .size = sizeof(struct popularity),
    .tensors = popularity_tensors,
    .adopt = popularity_adopt,
    .fit = popularity_fit,
    .dated = popularity_dated,
    .serves = popularity_serves,
    .score = popularity_score,
    .release = popularity_release,
};
