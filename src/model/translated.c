#include "model/translated.h"

#include "model/itembased.h"

#include <math.h>

struct translated {
    struct model base;
    const struct model *inner;
    int32_t *users, *items;
};

/* The query in the other's terms; room (n_history) for its history. */
static struct query translate(const struct translated *t, const struct query *q, int32_t *room)
{
    struct query out = {.user = q->user < 0 ? -1 : t->users[q->user], .history = room};

    for (int32_t k = 0; k < q->n_history; k++)
        if (t->items[q->history[k]] >= 0)
            room[out.n_history++] = t->items[q->history[k]];
    return out;
}

static bool translated_serves(const struct model *m, const struct query *q)
{
    const struct translated *t = (const struct translated *)m;
    AUTO_FREE int32_t *room = xmalloc((size_t)MAX(q->n_history, 1), sizeof *room);
    struct query own = translate(t, q, room);

    return t->inner->ops->serves(t->inner, &own);
}

static void translated_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct translated *t = (const struct translated *)m;
    AUTO_FREE float *scores = xmalloc((size_t)MAX(t->inner->n_items, 1), sizeof *scores);

    for (int r = 0; r < n; r++) {
        AUTO_FREE int32_t *room = xmalloc((size_t)MAX(q[r].n_history, 1), sizeof *room);
        struct query own = translate(t, &q[r], room);
        float *out = state + (int64_t)r * m->n_items;

        model_scores(t->inner, &own, 1, scores);
        for (int32_t i = 0; i < m->n_items; i++)
            out[i] = t->items[i] < 0 ? NAN : scores[t->items[i]];
    }
}

static void translated_release(struct model *m)
{
    free(((struct translated *)m)->users);
    free(((struct translated *)m)->items);
}

struct model *model_translated(const struct model *inner, int32_t *users, int32_t n_users,
                               int32_t *items, int32_t n_items, const char *digest)
{
    static const struct opt no_options[] = {{0}};
    static const struct model_ops ops = {
        .name = "translated",
        .summary = "a model by other names",
        .options = no_options,
        .size = sizeof(struct translated),
        .serves = translated_serves,
        .state = itembased_state,
        .prepare = translated_prepare,
        .score = itembased_score,
        .release = translated_release,
    };
    struct model *m = model_new(&ops, n_users, n_items, digest, NULL, inner->seed);
    struct translated *t = (struct translated *)m;

    t->inner = inner;
    t->users = users;
    t->items = items;
    return m;
}
