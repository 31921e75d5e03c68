/* sampler.c - negatives by rejection: draw, and look whether the user has it.
 *
 * Nearly all draws stand, and the look is what costs: its branches can't be foreseen. So a chunk is
 * drawn blindly, kernels tell in vectors which draws may have to go, and these few alone are looked
 * at one by one. */
#include "model/cell.h"

#include "kern/kern.h"

void sampler_init(struct sampler *s, const struct cell *c, double future)
{
    *s = (struct sampler){.cell = c, .future = (uint64_t)((c->when ? future : 1) * 0x1p32)};
    rng_init(&s->rng, c->key);
}

/* The upper half of 64 random bits draws, the lower half keeps. */
static struct candidate pick(const struct cell *c, uint64_t bits)
{
    return c->pool[(bits >> 32) * (uint64_t)c->n_pool >> 32];
}

static inline bool too_new(const struct sampler *s, struct candidate j, int64_t k, uint64_t bits)
{
    return s->future >> 32 == 0 && ((uint32_t)bits >= s->future) & (j.since > s->cell->when[k]);
}

/* Set begin and end to the positives of k's user. */
static void find_user(struct sampler *s, int64_t k)
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
    const struct cell *c = s->cell;

    find_user(s, k);
    for (int try = 0; try < SAMPLER_TRIES; try++) {
        uint64_t bits = rng_next(&s->rng);
        struct candidate j = pick(c, bits);

        if (!too_new(s, j, k, bits) && !user_has(s, j.item))
            return j.item;
    }
    return SAMPLER_NONE;
}

void sampler_offer(struct sampler *s, int64_t k, int n, int32_t *out)
{
    for (int i = 0; i < n; i++) {
        uint64_t bits = rng_next(&s->rng);
        struct candidate j = pick(s->cell, bits);

        out[i] = too_new(s, j, k, bits) ? SAMPLER_NONE : j.item;
    }
}

bool sampler_has(struct sampler *s, int64_t k, int32_t item)
{
    find_user(s, k);
    return user_has(s, item);
}

/* Draws without a look at whether they may stand. */
static void fill_blindly(struct sampler *s, int n, int32_t *out)
{
    struct rng r = s->rng;

    for (int k = 0; k < n; k++)
        out[k] = pick(s->cell, rng_next(&r)).item;
    s->rng = r;
}

/* early[k]: whether the item that was drawn for positive first + k is too new. */
static void fill_dated(struct sampler *s, int64_t first, int n, int32_t *out, bool *early)
{
    struct rng r = s->rng;

    for (int k = 0; k < n; k++) {
        uint64_t bits = rng_next(&r);
        struct candidate j = pick(s->cell, bits);

        out[k] = j.item;
        early[k] = too_new(s, j, first + k, bits);
    }
    s->rng = r;
}

void sampler_fill(struct sampler *s, int64_t first, int n, int32_t *out)
{
    const struct cell *c = s->cell;
    bool maybe[SAMPLER_CHUNK], early[SAMPLER_CHUNK] = {false};

    if (s->future >> 32)
        fill_blindly(s, n, out);
    else
        fill_dated(s, first, n, out, early);
    kern_best()->may_have(c->users + first, c->items + first, out, n, maybe);
    for (int k = 0; k < n; k++) {
        if (!maybe[k] && !early[k])
            continue;
        if (early[k] || sampler_has(s, first + k, out[k]))
            out[k] = sampler_draw(s, first + k);
    }
}
