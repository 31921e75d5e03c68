/* itemknn.c - an item scores by how similar it is to those that the user took:
 *
 *     s(i, j) = c(i, j) / (sqrt(d(i) d(j)) + shrink)     j among the `neighbors` nearest to i
 *     score(i) = the sum over j in the history of s(i, j)
 *
 * c(i, j): users of both; d(i): users of i. Sources: Sarwar et al., "Item-Based Collaborative
 * Filtering Recommendation Algorithms", WWW 2001, on which neighbours count for an item; Deshpande
 * and Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004, on rows without ratings. */
#include "model/itembased.h"

#include <math.h>

#define ITEMKNN_OPTIONS(X, S)                                                                      \
    X(S, int, neighbors, 200, 1, 100000, "K", "how many similar items count for an item")          \
    X(S, double, shrink, 50, 0, 1e6, "S",                                                          \
      "added below the fraction: similarity that few users witness counts for less")

OPT_DEFINE(itemknn_opts, ITEMKNN_OPTIONS);

static const struct itemknn_opts *opts_of(const struct model *m)
{
    return m->options;
}

struct cosine {
    const struct pattern *by_item;
    double shrink;
};

static void by_cosine(const void *of, int32_t i, const int32_t *ids, int32_t n, float *values)
{
    const struct cosine *c = of;
    double degree = pattern_degree(c->by_item, i);

    for (int32_t k = 0; k < n; k++)
        values[k] /= (float)(sqrt(degree * pattern_degree(c->by_item, ids[k])) + c->shrink);
}

static int itemknn_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    return itembased_tensors(m, opts_of(m)->neighbors, out);
}

static bool itemknn_fit(struct model *m, const struct interactions *train, struct err *err)
{
    struct itembased *b = itembased_of(m);
    AUTO(sparse) s = {0};
    struct cosine c = {&s.by_item, opts_of(m)->shrink};

    sparse_init(&s, train, m->n_users, m->n_items);
    if (!sparse_neighbors(&s, NULL, opts_of(m)->neighbors, by_cosine, &c, &b->near, err))
        return false;
    votes_init(&b->votes, &b->near);
    return true;
}

const struct model_ops model_itemknn = {
    .name = "itemknn",
    .summary = "items like those that the user took, by cosine",
    .options = itemknn_opts_table,
    .defaults = &itemknn_opts_default,
    .options_size = sizeof(struct itemknn_opts),
    .size = sizeof(struct itembased),
    .tensors = itemknn_tensors,
    .adopt = itembased_adopt,
    .forget = itembased_forget,
    .fit = itemknn_fit,
    .serves = itembased_serves,
    .state = itembased_state,
    .prepare = itembased_prepare,
    .score = itembased_score,
    .release = itembased_release,
};
