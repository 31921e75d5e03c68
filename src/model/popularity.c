/* popularity.c - the same list for everyone: how many rows each item has in train. */
#include "model/model.h"

struct popularity {
    struct model base;
    float *count; /* (n_items); whole numbers, exact up to 2^24 */
};

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

static bool popularity_fit(struct model *m, const struct interactions *train, struct err *)
{
    float *count = popularity_of(m)->count = xaligned((size_t)m->n_items, sizeof(float));

    for (int64_t k = 0; k < train->n; k++)
        count[train->items[k]]++;
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

static const struct opt no_options[] = {{0}};

const struct model_ops model_popularity = {
    .name = "popularity",
    .summary = "what most users took, for everyone",
    .options = no_options,
    .size = sizeof(struct popularity),
    .tensors = popularity_tensors,
    .adopt = popularity_adopt,
    .fit = popularity_fit,
    .serves = popularity_serves,
    .score = popularity_score,
    .release = popularity_release,
};
