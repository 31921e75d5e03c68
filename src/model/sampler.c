/* sampler.c - negatives by rejection: draw, and look whether the user has it.
 *
 * Nearly all draws stand, and the look is what costs: its branches can't be foreseen. So a chunk is
 * drawn blindly, kernels tell in vectors which draws may have to go, and these few alone are looked
 * at one by one. */
#include "model/sampler.h"

#include "kern/kern.h"

void sampler_init(struct sampler *s, const struct cell *c, double future)
{
    *s = (struct sampler){.cell = c, .future = (uint64_t)((c->when ? future : 1) * 0x1p32)};
    rng_init(&s->rng, c->key);
}

/* Whether a draw for positive k, with these random bits, is of an item too new to be kept. */
static inline bool too_new(const struct sampler *s, struct candidate j, int64_t k, uint32_t bits)
{
    return s->future >> 32 == 0 && (bits >= s->future) & (j.since > s->cell->when[k]);
}

/* The upper half of 64 random bits draws, the lower half keeps. By popularity all of them draw. */
static inline struct candidate pick(struct sampler *s, uint32_t *spare)
{
    const struct cell *c = s->cell;
    uint64_t bits = rng_next(&s->rng);

    *spare = (uint32_t)(c->alias ? rng_next(&s->rng) : bits);
    return c->pool[c->alias ? (uint32_t)alias_draw(c->alias, c->n_pool, bits)
                            : (bits >> 32) * (uint64_t)c->n_pool >> 32];
}

void sampler_find(struct sampler *s, int64_t k)
{
    const int32_t *users = s->cell->users;

    if (k >= s->begin && k < s->end)
        return;
    s->begin = s->end = k;
    while (s->begin > 0 && users[s->begin - 1] == users[k])
        s->begin--;
    while (s->end < s->cell->n && users[s->end] == users[k])
        s->end++;
}

static bool user_has(const struct sampler *s, int32_t item)
{
    return kern_best()->holds(s->cell->items + s->begin, s->end - s->begin, item);
}

int32_t sampler_draw(struct sampler *s, int64_t k)
{
    sampler_find(s, k);
    for (int try = 0; try < SAMPLER_TRIES; try++) {
        uint32_t bits;
        struct candidate j = pick(s, &bits);

        if (!too_new(s, j, k, bits) && !user_has(s, j.item))
            return j.item;
    }
    return SAMPLER_NONE;
}

void sampler_offer(struct sampler *s, int64_t k, int n, int32_t *out)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        struct candidate j = pick(s, &bits);

        out[i] = too_new(s, j, k, bits) ? SAMPLER_NONE : j.item;
    }
}

bool sampler_has(struct sampler *s, int64_t k, int32_t item)
{
    sampler_find(s, k);
    return user_has(s, item);
}

struct candidate sampler_draw_shared(struct sampler *s)
{
    uint32_t bits;
    struct candidate j = pick(s, &bits);

    return (struct candidate){j.item, bits < s->future ? CELL_ALWAYS : j.since};
}

/* Draws from all of the pool alike, whenever items appeared. */
static void fill_evenly(struct sampler *s, int n, int32_t *out)
{
    const struct candidate *pool = s->cell->pool;
    uint64_t n_pool = (uint64_t)s->cell->n_pool;
    struct rng r = s->rng;

    for (int k = 0; k < n; k++)
        out[k] = pool[(rng_next(&r) >> 32) * n_pool >> 32].item;
    s->rng = r;
}

void sampler_fill(struct sampler *s, int64_t first, int n, int32_t *out)
{
    const struct cell *c = s->cell;
    bool maybe[SAMPLER_CHUNK] = {false}, early[SAMPLER_CHUNK] = {false};

    if (!c->alias && s->future >> 32)
        fill_evenly(s, n, out);
    else
        for (int k = 0; k < n; k++) {
            uint32_t bits;
            struct candidate j = pick(s, &bits);

            out[k] = j.item;
            early[k] = too_new(s, j, first + k, bits);
        }
    kern_best()->may_have(c->users, c->items, c->n, out, first, n, maybe);
    for (int k = 0; k < n; k++)
        if ((maybe[k] | early[k]) && (early[k] || sampler_has(s, first + k, out[k])))
            out[k] = sampler_draw(s, first + k);
}
