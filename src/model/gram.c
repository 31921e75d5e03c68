/* gram.c - a linear filter over the graph of who took what: with R (users, items) of 0 and 1, d(u)
 * and d(i) the degrees,
 *
 *     P(j, i)  = (d(j)^-A d(i)^-B * the sum over users u of both of d(u)^-U) ^ S
 *     score(i) = the sum over j in the history of P(j, i)     the `neighbors` largest for each i
 *
 * U: user_power, A: source_power, B: item_power, S: power. Sources: Fu et al., "Revisiting
 * Neighborhood-based Link Prediction for Collaborative Filtering", WWW 2022 companion (LinkProp: a
 * power for each degree); Park et al., "Turbo-CF: Matrix Decomposition-Free Graph Filtering for
 * Fast Recommendation", SIGIR 2024 (S, element by element). U = 1, A = B = 1/2, S = 1 is the linear
 * part of GF-CF: Shen et al., CIKM 2021. */
#include "model/gram.h"

#include <math.h>

OPT_TABLE(gram_opts, GRAM_OPTIONS);

static const struct gram_opts *opts_of(const struct model *m)
{
    return m->options;
}

struct filter {
    const float *source, *item; /* (n_items) d^-A, d^-B */
    float power;
};

static void weigh(const void *of, int32_t i, const int32_t *ids, int32_t n, float *values)
{
    const struct filter *f = of;

    for (int32_t k = 0; k < n; k++)
        values[k] *= f->item[i] * f->source[ids[k]];
    for (int32_t k = 0; f->power != 1 && k < n; k++)
        values[k] = powf(values[k], f->power);
}

static int gram_tensors(struct model *m, struct tensor out[MODEL_TENSORS_MAX])
{
    return itembased_tensors(m, opts_of(m)->neighbors, out);
}

bool gram_neighbors(const struct model *m, const struct sparse *s, const struct gram_opts *o,
                    struct neighbors *out, struct err *err)
{
    AUTO_FREE float *user = xmalloc((size_t)MAX(m->n_users, 1), sizeof *user);
    AUTO_FREE float *source = xmalloc((size_t)MAX(m->n_items, 1), sizeof *source);
    AUTO_FREE float *item = xmalloc((size_t)MAX(m->n_items, 1), sizeof *item);
    struct filter f = {source, item, (float)o->power};

    pattern_powers(&s->by_user, -o->user_power, user);
    pattern_powers(&s->by_item, -o->source_power, source);
    pattern_powers(&s->by_item, -o->item_power, item);
    return sparse_neighbors(s, user, o->neighbors, weigh, &f, out, err);
}

static bool gram_fit(struct model *m, const struct interactions *train, struct err *err)
{
    struct itembased *b = itembased_of(m);
    AUTO(sparse) s = {0};

    sparse_init(&s, train, m->n_users, m->n_items);
    if (!gram_neighbors(m, &s, opts_of(m), &b->near, err))
        return false;
    votes_init(&b->votes, &b->near);
    return true;
}

const struct model_ops model_gram = {
    .name = "gram",
    .summary = "items that share users with those that the user took, by degrees",
    .options = gram_opts_table,
    .defaults = &gram_opts_default,
    .options_size = sizeof(struct gram_opts),
    .size = sizeof(struct itembased),
    .tensors = gram_tensors,
    .adopt = itembased_adopt,
    .forget = itembased_forget,
    .fit = gram_fit,
    .serves = itembased_serves,
    .state = itembased_state,
    .prepare = itembased_prepare,
    .score = itembased_score,
    .release = itembased_release,
};
