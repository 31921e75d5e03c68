#include "model/negatives.h"

void negatives_init(struct negatives *n, const struct cell *c, double future)
{
    *n = (struct negatives){.at = -1};
    sampler_init(&n->sampler, c, future);
}

void negatives_next(struct negatives *n)
{
    const struct cell *c = n->sampler.cell;

    sampler_advance(&n->sampler);
    if (++n->at < n->end)
        return;
    n->begin = n->end;
    while (n->end < c->n && c->users[n->end] == c->users[n->begin])
        n->end++;
}

static bool kept(struct negatives *n)
{
    return (uint32_t)rng_next(&n->sampler.rng) < n->sampler.future;
}

static bool has(const struct negatives *n, int32_t item)
{
    const struct cell *c = n->sampler.cell;
    bool found = false;

    for (int64_t k = n->begin; k < n->end; k++)
        found |= c->items[k] == item;
    return found;
}

static struct candidate any(struct negatives *n)
{
    const struct cell *c = n->sampler.cell;
    struct rng *r = &n->sampler.rng;

    return c->pool[c->alias ? (uint32_t)alias_draw(c->alias, c->n_pool, rng_next(r))
                            : rng_below(r, (uint32_t)c->n_pool)];
}

int32_t negatives_draw(struct negatives *n)
{
    const struct cell *c = n->sampler.cell;

    if (!c->alias)
        return sampler_draw(&n->sampler);
    for (int try = 0; try < SAMPLER_TRIES; try++) {
        struct candidate j = any(n);

        if ((j.since <= c->when[n->at] || kept(n)) && !has(n, j.item))
            return j.item;
    }
    return SAMPLER_NONE;
}

struct candidate negatives_draw_shared(struct negatives *n)
{
    struct candidate j = any(n);

    return (struct candidate){j.item, kept(n) ? NEGATIVES_ALWAYS : j.since};
}
