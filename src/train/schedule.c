#include "train/schedule.h"

#include "base/rng.h"

#include <math.h>

enum { MIN_ITEMS = 64, MIN_SAMPLES_A_CELL = 1024, DEFAULT_MAX = 16 };

int schedule_partitions(int64_t n_samples, int32_t n_users, int32_t n_items)
{
    int p = DEFAULT_MAX;

    while (p > 1 && (n_items / p < MIN_ITEMS || n_users < p ||
                     n_samples / ((int64_t)p * p) < MIN_SAMPLES_A_CELL))
        p /= 2;
    return p;
}

/* Blocks of neighbouring users with about the same number of samples each. */
static void cut_users(struct schedule *s)
{
    int32_t u = 0;

    for (int b = 0; b < s->p; b++) {
        s->user_begin[b] = u;
        while (u < s->n_users && s->train->offsets[u + 1] <= s->train->n * (b + 1) / s->p)
            u++;
    }
    s->user_begin[s->p] = s->n_users;
}

/* Counting sort by the number of samples, most first. */
static void rank_items(struct schedule *s)
{
    AUTO_FREE int64_t *count = xcalloc((size_t)s->n_items, sizeof *count);
    AUTO_FREE int64_t *place = NULL;
    int64_t most = 0, at = 0;

    for (int64_t k = 0; k < s->train->n; k++)
        most = MAX(most, ++count[s->train->items[k]]);
    place = xcalloc((size_t)most + 1, sizeof *place);
    for (int32_t i = 0; i < s->n_items; i++)
        place[count[i]]++;
    for (int64_t c = most; c >= 0; c--) {
        int64_t n = place[c];

        place[c] = at;
        at += n;
    }
    for (int32_t i = 0; i < s->n_items; i++)
        s->by_popularity[place[count[i]]++] = i;
}

/* Without times all is of one time. */
static int32_t time_of(const struct schedule *s, int64_t sample)
{
    if (!s->train->times)
        return 0;
    return (int32_t)((s->train->times[sample] - s->start_ms) >> s->shift);
}

/* When each item appears; times are cut to what 31 bits hold of their range: 20 years by 0.3 s. */
static void date_items(struct schedule *s)
{
    const struct interactions *x = s->train;
    int64_t end = INT64_MIN;

    s->start_ms = INT64_MAX;
    for (int64_t k = 0; x->times && k < x->n; k++) {
        s->start_ms = MIN(s->start_ms, x->times[k]);
        end = MAX(end, x->times[k]);
    }
    while (x->times && x->n && (end - s->start_ms) >> s->shift >= CELL_NEVER)
        s->shift++;
    for (int32_t i = 0; i < s->n_items; i++)
        s->since[i] = CELL_NEVER;
    for (int64_t k = 0; k < x->n; k++)
        s->since[x->items[k]] = MIN(s->since[x->items[k]], time_of(s, k));
}

void schedule_init(struct schedule *s, const struct interactions *train, int32_t n_users,
                   int32_t n_items, int partitions, uint64_t seed)
{
    size_t p = (size_t)partitions, n = (size_t)train->n, items = (size_t)n_items;

    assert(partitions >= 1 && partitions <= SCHEDULE_MAX);
    *s = (struct schedule){
        .train = train,
        .n_users = n_users,
        .n_items = n_items,
        .p = partitions,
        .seed = seed,
        .user_begin = xcalloc(p + 1, sizeof *s->user_begin),
        .by_popularity = xcalloc(items, sizeof *s->by_popularity),
        .block_of = xcalloc(items, sizeof *s->block_of),
        .pool = xcalloc(items, sizeof *s->pool),
        .pool_begin = xcalloc(p + 1, sizeof *s->pool_begin),
        .cell_begin = xcalloc(p * p + 1, sizeof *s->cell_begin),
        .users = xaligned(n, sizeof *s->users),
        .items = xaligned(n, sizeof *s->items),
        .when = train->times ? xaligned(n, sizeof *s->when) : NULL,
        .since = xcalloc(items, sizeof *s->since),
    };
    cut_users(s);
    rank_items(s);
    date_items(s);
}

void schedule_weigh(struct schedule *s, double power)
{
    size_t n = (size_t)s->n_items;

    if (power == 0)
        return;
    s->weight = xcalloc(n, sizeof *s->weight);
    s->alias = xcalloc(n, sizeof *s->alias);
    s->weight_left = xcalloc(n, sizeof *s->weight_left);
    s->work = xcalloc(n, sizeof *s->work);
    for (int64_t k = 0; k < s->train->n; k++)
        s->weight[s->train->items[k]]++;
    for (size_t i = 0; i < n; i++)
        s->weight[i] = pow(s->weight[i], power);
}

void schedule_release(struct schedule *s)
{
    free(s->weight);
    free(s->alias);
    free(s->weight_left);
    free(s->work);
    free(s->user_begin);
    free(s->by_popularity);
    free(s->block_of);
    free(s->pool);
    free(s->pool_begin);
    free(s->cell_begin);
    free(s->users);
    free(s->items);
    free(s->when);
    free(s->since);
    *s = (struct schedule){0};
}

/* Of each P items that follow one another in popularity every block gets one, at random. */
void schedule_deal(struct schedule *s, int epoch)
{
    int32_t p = s->p, at[SCHEDULE_MAX], blocks[SCHEDULE_MAX];

    s->epoch = epoch;
    for (int32_t b = 0; b < p; b++)
        at[b] = 0;
    for (int32_t first = 0; first < s->n_items; first += p) {
        struct rng r;

        rng_init(&r, rng_key(s->seed, RNG_DEAL, (uint64_t)epoch, (uint64_t)first));
        for (int32_t b = 0; b < p; b++)
            blocks[b] = b;
        rng_shuffle(&r, blocks, p);
        for (int32_t k = 0; k < p && first + k < s->n_items; k++) {
            s->block_of[s->by_popularity[first + k]] = (uint8_t)blocks[k];
            at[blocks[k]]++;
        }
    }
    for (int32_t b = 0, sum = 0; b < p; b++) {
        s->pool_begin[b] = sum;
        sum += at[b];
        at[b] = s->pool_begin[b];
        s->pool_begin[b + 1] = sum;
    }
    for (int32_t k = 0; k < s->n_items; k++) {
        int32_t i = s->by_popularity[k];

        s->pool[at[s->block_of[i]]++] = (struct candidate){i, s->since[i]};
    }
}

static void weigh_pool(struct schedule *s, int item_block)
{
    int32_t begin = s->pool_begin[item_block], end = s->pool_begin[item_block + 1];

    for (int32_t k = begin; k < end; k++)
        s->weight_left[k] = s->weight[s->pool[k].item];
    alias_build(s->alias + begin, s->weight_left + begin, s->work + begin, end - begin);
}

/* Counting sort of the block's samples by item block; users stay in order. */
void schedule_sort(struct schedule *s, int user_block)
{
    const struct interactions *x = s->train;
    int32_t first = s->user_begin[user_block], end = s->user_begin[user_block + 1];
    int64_t at[SCHEDULE_MAX] = {0}, sum = x->offsets[first];

    for (int64_t k = x->offsets[first]; k < x->offsets[end]; k++)
        at[s->block_of[x->items[k]]]++;
    for (int b = 0; b < s->p; b++) {
        int64_t n = at[b];

        s->cell_begin[user_block * s->p + b] = at[b] = sum;
        sum += n;
    }
    if (user_block == s->p - 1)
        s->cell_begin[s->p * s->p] = x->n;
    for (int32_t u = first; u < end; u++)
        for (int64_t k = x->offsets[u]; k < x->offsets[u + 1]; k++) {
            int64_t to = at[s->block_of[x->items[k]]]++;

            s->users[to] = u;
            s->items[to] = x->items[k];
            if (s->when)
                s->when[to] = time_of(s, k);
        }
    if (s->weight)
        weigh_pool(s, user_block); /* of the item block of the same number */
}

struct cell schedule_cell(const struct schedule *s, int stratum, int user_block)
{
    int item_block = (user_block + stratum) % s->p;
    int cell = user_block * s->p + item_block;
    int64_t begin = s->cell_begin[cell];

    return (struct cell){
        .users = s->users + begin,
        .items = s->items + begin,
        .when = s->when ? s->when + begin : NULL,
        .n = s->cell_begin[cell + 1] - begin,
        .pool = s->pool + s->pool_begin[item_block],
        .n_pool = s->pool_begin[item_block + 1] - s->pool_begin[item_block],
        .key = rng_key(s->seed, RNG_CELL, (uint64_t)s->epoch, (uint64_t)cell),
        .alias = s->alias ? s->alias + s->pool_begin[item_block] : NULL,
        .to = s->cell_begin[cell + 1] - begin,
        .block = user_block,
    };
}

int64_t schedule_largest(const struct schedule *s, int stratum)
{
    int64_t largest = 0;

    for (int b = 0; b < s->p; b++)
        largest = MAX(largest, schedule_cell(s, stratum, b).n);
    return largest;
}
