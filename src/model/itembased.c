#include "model/itembased.h"

int itembased_tensors(struct model *m, int32_t width, struct tensor out[MODEL_TENSORS_MAX])
{
    const struct neighbors *near = &itembased_of(m)->near;

    out[0] = tensor_ids("neighbor.index", m->n_items, width, near->ids, m->n_items);
    out[1] = tensor_floats("neighbor.weight", m->n_items, width, near->weights);
    return 2;
}

void itembased_adopt(struct model *m, const struct tensor *t)
{
    struct itembased *b = itembased_of(m);

    b->near = (struct neighbors){m->n_items, (int32_t)t[0].cols, t[0].ids, t[1].data};
    votes_init(&b->votes, &b->near);
}

/* Whether any item of the history speaks for another. */
bool itembased_serves(const struct model *m, const struct query *q)
{
    const int64_t *begin = ((const struct itembased *)m)->votes.begin;

    for (int32_t h = 0; h < q->n_history; h++)
        if (begin[q->history[h]] < begin[q->history[h] + 1])
            return true;
    return false;
}

int64_t itembased_state(const struct model *m)
{
    return m->n_items;
}

void itembased_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    for (int r = 0; r < n; r++)
        votes_count(&((const struct itembased *)m)->votes, &q[r], m->n_items,
                    state + (int64_t)r * m->n_items);
}

void itembased_score(const struct model *m, const struct query *, int n_queries, const float *state,
                     int32_t first, int32_t n, float *out)
{
    for (int r = 0; r < n_queries; r++)
        for (int32_t c = 0; c < n; c++)
            out[(int64_t)c * n_queries + r] = state[(int64_t)r * m->n_items + first + c];
}

void itembased_forget(struct model *m)
{
    votes_release(&itembased_of(m)->votes);
}

void itembased_release(struct model *m)
{
    neighbors_release(&itembased_of(m)->near);
}
