/* blend_learn.c - the weights of a blend, by coordinate ascent on val.
 *
 * Of each user of val the candidates, the best of each part, are kept with what the parts give
 * them. Then any weights are judged at the cost of a few products a candidate, over all users side
 * by side and summed in their order. */
#include "model/blend.h"

#include "base/interrupt.h"
#include "base/progress.h"
#include "model/topk.h"

#include <math.h>

/* A part's best items that are candidates, users that are looked at, and the list's length. */
enum { BEST = 100, USERS_MAX = 20000, LIST = 20 };

/* Zeroed for a user without a relevant item among the candidates, who counts 0 with any weights. */
struct user {
    int n, n_hits;
    int32_t n_relevant;
    unsigned served; /* by part: a bit */
    float *given;    /* (n_parts, n): candidates by item */
    int32_t *hits;   /* (n_hits) places of the relevant ones */
};

struct cache {
    int n_parts;
    int32_t n_users, n_kept; /* the first n_kept have a relevant item among their candidates */
    struct user *users;      /* (n_users) */
    double *values;          /* (n_kept) of the last weights that were judged */
    double discount[LIST], ideal[LIST + 1];
};

static void cache_release(struct cache *c)
{
    for (int32_t u = 0; u < c->n_users; u++) {
        free(c->users[u].given);
        free(c->users[u].hits);
    }
    free(c->users);
    free(c->values);
    *c = (struct cache){0};
}

/* ---- the candidates ---- */

/* ids (BEST * n_parts): the items that are among the best of any part, rising. masks what the user
 * took in rows (n_parts, stride). */
static int32_t find_candidates(const struct query *q, int n_parts, unsigned served, float *rows,
                               int64_t stride, int32_t n_items, int32_t *ids)
{
    struct hit best[BEST];
    int32_t n = 0;

    for (int p = 0; p < n_parts; p++) {
        float *row = rows + p * stride;
        int found;

        for (int32_t h = 0; h < q->n_history; h++)
            row[q->history[h]] = -INFINITY;
        found = served & 1u << p ? topk_best(row, n_items, BEST, best) : 0;
        for (int i = 0; i < found; i++)
            ids[n++] = best[i].item;
    }
    return sort_unique(ids, n);
}

/* hits (n): the places in ids (n) of what is also in relevant (n_relevant); both rise. Returns how
 * many. */
static int find_hits(const int32_t *ids, int32_t n, const int32_t *relevant, int32_t n_relevant,
                     int32_t *hits)
{
    int n_hits = 0;
    int32_t r = 0;

    for (int32_t i = 0; i < n; i++) {
        while (r < n_relevant && relevant[r] < ids[i])
            r++;
        if (r < n_relevant && relevant[r] == ids[i])
            hits[n_hits++] = i;
    }
    return n_hits;
}

/* Fill `u` from its rows; val: that user's row there. */
static void keep_user(struct user *u, const struct query *q, const struct query *val, int n_parts,
                      float *rows, int64_t stride, int32_t n_items)
{
    int32_t ids[BEST * MODEL_PARTS_MAX], hits[BEST * MODEL_PARTS_MAX];
    AUTO_FREE int32_t *relevant = xmalloc((size_t)val->n_history, sizeof *relevant);
    int32_t n = find_candidates(q, n_parts, u->served, rows, stride, n_items, ids);

    memcpy(relevant, val->history, (size_t)val->n_history * sizeof *relevant);
    u->n_relevant = sort_unique(relevant, val->n_history);
    u->n_hits = find_hits(ids, n, relevant, u->n_relevant, hits);
    if (!u->n_hits)
        return;
    u->n = n;
    u->hits = xmalloc((size_t)u->n_hits, sizeof *u->hits);
    memcpy(u->hits, hits, (size_t)u->n_hits * sizeof *hits);
    u->given = xmalloc((size_t)n * (size_t)n_parts, sizeof *u->given);
    for (int p = 0; p < n_parts; p++)
        for (int32_t i = 0; i < n; i++)
            u->given[p * n + i] = rows[p * stride + ids[i]];
}

/* Users users[0 .. n - 1] of the dataset into out[0 .. n - 1]. */
static void keep_block(const struct blend *b, const struct interactions *train,
                       const struct interactions *val, const int32_t *users, int n, float *rows,
                       struct user *out)
{
    int32_t n_items = b->base.n_items;
    int64_t a_part = (int64_t)BLEND_QUERIES * n_items;
    struct query q[BLEND_QUERIES];
    bool served[BLEND_QUERIES];

    for (int r = 0; r < n; r++)
        q[r] = query_of_user(train, users[r]);
    for (int p = 0; p < b->n_parts; p++) {
        blend_rows(b, p, q, n, rows + p * a_part, served);
        for (int r = 0; r < n; r++)
            out[r].served |= (unsigned)served[r] << p;
    }
    for (int r = 0; r < n; r++) {
        struct query relevant = query_of_user(val, users[r]);

        keep_user(&out[r], &q[r], &relevant, b->n_parts, rows + (int64_t)r * n_items, a_part,
                  n_items);
    }
}

/* The users of val, or a sample of them that depends on the seed alone. */
static int32_t choose_users(const struct model *m, const struct interactions *val, int32_t *users)
{
    struct rng r;
    int32_t n = 0;

    for (int32_t u = 0; u < m->n_users; u++)
        if (val->offsets[u] < val->offsets[u + 1])
            users[n++] = u;
    if (n <= USERS_MAX)
        return n;
    rng_init(&r, rng_key(m->seed, RNG_USERS, 0, 0));
    rng_shuffle(&r, users, n);
    return USERS_MAX;
}

/* Users who count 0 whatever the weights go to the end. */
static void sort_out(struct cache *c)
{
    for (int32_t u = 0; u < c->n_users; u++)
        if (c->users[u].n) {
            struct user kept = c->users[u];

            c->users[u] = c->users[c->n_kept];
            c->users[c->n_kept++] = kept;
        }
}

static bool fill_cache(struct cache *c, const struct blend *b, const struct interactions *train,
                       const struct interactions *val, struct err *err)
{
    AUTO_FREE int32_t *users = xmalloc((size_t)MAX(b->base.n_users, 1), sizeof *users);
    AUTO(progress) bar = {0};
    int64_t done = 0;

    c->n_parts = b->n_parts;
    c->n_users = choose_users(&b->base, val, users);
    c->users = xcalloc((size_t)c->n_users, sizeof *c->users);
    c->values = xcalloc((size_t)c->n_users, sizeof *c->values);
    for (int r = 0; r < LIST; r++) {
        c->discount[r] = 1 / log2(r + 2);
        c->ideal[r + 1] = c->ideal[r] + c->discount[r];
    }
    progress_init(&bar, "blend", "users", c->n_users);
#pragma omp parallel
    {
        AUTO_FREE float *rows =
            xmalloc((size_t)BLEND_QUERIES * (size_t)b->n_parts, (size_t)b->base.n_items * 4);

#pragma omp for schedule(dynamic, 1)
        for (int32_t at = 0; at < c->n_users; at += BLEND_QUERIES) {
            int n = MIN(BLEND_QUERIES, c->n_users - at);

            if (interrupt_signal())
                continue;
            keep_block(b, train, val, users + at, n, rows, c->users + at);
#pragma omp critical
            progress_update(&bar, done += n, NULL);
        }
    }
    sort_out(c);
    return interrupt_check(err);
}

/* ---- what weights are worth ---- */

/* NDCG@20 of the candidates by these weights, as eval/metrics.c has it. */
static double value_of(const struct cache *c, const struct user *u, const float *weight)
{
    float sum[BEST * MODEL_PARTS_MAX];
    unsigned by = 0;
    double gain = 0;

    for (int p = 0; p < c->n_parts; p++)
        by |= (unsigned)(weight[p] > 0) << p;
    if (!(by & u->served))
        return 0;
    memset(sum, 0, (size_t)u->n * sizeof *sum);
    for (int p = 0; p < c->n_parts; p++)
        for (int i = 0; by & 1u << p && i < u->n; i++)
            sum[i] += weight[p] * u->given[p * u->n + i];
    for (int h = 0; h < u->n_hits; h++) {
        int at = u->hits[h], rank = 0;

        for (int i = 0; i < at; i++)
            rank += sum[i] >= sum[at];
        for (int i = at + 1; i < u->n; i++)
            rank += sum[i] > sum[at];
        gain += rank < LIST ? c->discount[rank] : 0;
    }
    return gain / c->ideal[MIN(u->n_relevant, LIST)];
}

static double mean_value(struct cache *c, const float *weight)
{
    double sum = 0;

#pragma omp parallel for schedule(dynamic, 64)
    for (int32_t u = 0; u < c->n_kept; u++)
        c->values[u] = value_of(c, &c->users[u], weight);
    for (int32_t u = 0; u < c->n_kept; u++)
        sum += c->values[u];
    return sum / c->n_users;
}

/* ---- the search ---- */

struct best {
    float weight[MODEL_PARTS_MAX]; /* the largest is 1 */
    double value;
};

/* Of equal value with fewer parts. */
static bool better(const struct cache *c, const struct best *a, const struct best *b)
{
    int parts = 0;

    for (int p = 0; p < c->n_parts; p++)
        parts += (a->weight[p] > 0) - (b->weight[p] > 0);
    return a->value > b->value || (a->value == b->value && parts < 0);
}

/* Take `from` with another weight for one part, if that is better than what there is. */
static void try_weight(struct cache *c, const struct best *from, int part, float weight,
                       struct best *best)
{
    struct best other = *from;
    float most = 0;

    other.weight[part] = weight;
    for (int p = 0; p < c->n_parts; p++)
        most = MAX(most, other.weight[p]);
    for (int p = 0; p < c->n_parts && most > 0; p++)
        other.weight[p] /= most;
    other.value = most > 0 && !interrupt_signal() ? mean_value(c, other.weight) : -1;
    if (better(c, &other, best))
        *best = other;
}

/* One part's weight after the other, 0 or 1/16, 1/4 .. 16 of the largest other one, while it helps.
 */
static void ascend(struct cache *c, struct best *best)
{
    double before;

    do {
        before = best->value;
        for (int p = 0; p < c->n_parts; p++) {
            struct best from = *best;
            float most = 0;

            for (int o = 0; o < c->n_parts; o++)
                most = o == p ? most : MAX(most, from.weight[o]);
            try_weight(c, &from, p, 0, best);
            for (int s = -4; s <= 4; s += 2)
                try_weight(c, &from, p, ldexpf(most, s), best);
        }
    } while (best->value > before);
}

/* Then by factors that get smaller: 2, 2^(1/2), 2^(1/4), 2^(1/8). */
static void refine(struct cache *c, struct best *best)
{
    static const float factors[] = {2, 1.4142135f, 1.1892071f, 1.0905077f};

    for (int f = 0; f < ARRAY_LEN(factors); f++) {
        double before;

        do {
            before = best->value;
            for (int p = 0; p < c->n_parts; p++) {
                struct best from = *best;

                try_weight(c, &from, p, from.weight[p] * factors[f], best);
                try_weight(c, &from, p, from.weight[p] / factors[f], best);
            }
        } while (best->value > before);
    }
}

/* From each part alone, and from all with the same weight: what is found is no worse than these. */
static struct best search(struct cache *c, struct blend_judged *judged)
{
    struct best best = {.value = -1};

    for (int start = 0; start <= c->n_parts; start++) {
        struct best now = {0};

        for (int p = 0; p < c->n_parts; p++)
            now.weight[p] = start == c->n_parts || start == p;
        now.value = mean_value(c, now.weight);
        *(start < c->n_parts ? &judged->alone[start] : &judged->equal) = now.value;
        ascend(c, &now);
        if (better(c, &now, &best))
            best = now;
    }
    refine(c, &best);
    return best;
}

bool blend_learn(struct blend *b, const struct interactions *train, const struct interactions *val,
                 struct err *err)
{
    AUTO(cache) c = {0};
    struct best best;

    if (!val->n)
        return err_set(err, ERR_DATA,
                       "val has no rows: blend chooses its weights by them; preprocess so that "
                       "there are some");
    if (!fill_cache(&c, b, train, val, err))
        return false;
    best = search(&c, &b->judged);
    memcpy(b->weight, best.weight, (size_t)c.n_parts * sizeof *b->weight);
    b->judged.n_users = c.n_users;
    b->judged.chosen = best.value;
    return interrupt_check(err);
}
