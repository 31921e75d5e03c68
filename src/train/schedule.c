#include "train/schedule.h"

#include "base/rng.h"
#include "comm/comm.h"

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

/* ---- a rank's part ---- */

int64_t schedule_share(int64_t total, int rank, int size)
{
    return total * rank / size;
}

int schedule_owner(int64_t total, int64_t index, int size)
{
    int rank = (int)((index + 1) * size / total);

    while (rank > 0 && schedule_share(total, rank, size) > index)
        rank--;
    while (schedule_share(total, rank + 1, size) <= index)
        rank++;
    return rank;
}

struct schedule_part schedule_part_of(int rank, int size, int p, int32_t n_items)
{
    struct schedule_part part = {
        .rank = rank, .size = size, .first = (int)schedule_share(p, rank, size)};

    part.n = (int)schedule_share(p, rank + 1, size) - part.first;
    part.n_slots = part.n + 2;
    part.slot_rows = n_items / p + 1;
    part.n_rows = part.n_slots * part.slot_rows;
    return part;
}

/* The row of an item in the rank's tables, by its block's visit and its place in the block. */
static int32_t row_of_visit(const struct schedule_part *part, int visit, int32_t place)
{
    return visit % part->n_slots * part->slot_rows + place;
}

/* Where each block's first row is, before the first stratum. */
static void place_blocks(struct schedule *s)
{
    for (int b = 0; b < s->p; b++) {
        int rank = schedule_owner(s->p, b, s->part.size);
        struct schedule_part part = schedule_part_of(rank, s->part.size, s->p, s->n_items);

        s->start[b] = (struct schedule_place){rank, row_of_visit(&part, b - part.first, 0)};
    }
}

struct schedule_place schedule_start(const struct schedule *s, int32_t item)
{
    struct schedule_place at = s->start[s->block_of[item]];

    at.row += s->place_of[item];
    return at;
}

struct schedule_place schedule_rest(const struct schedule *s, int32_t item)
{
    int rank = schedule_owner(s->n_items, item, s->part.size);

    return (struct schedule_place){rank,
                                   item - (int32_t)schedule_share(s->n_items, rank, s->part.size)};
}

/* ---- set-up ---- */

/* Blocks of neighbouring users with about the same number of samples each. */
static void cut_users(struct schedule *s, const int32_t *user_begin)
{
    int32_t u = 0;

    for (int b = s->part.first; s->apart && b <= s->part.first + s->part.n; b++)
        s->user_begin[b] = user_begin[b] - user_begin[s->part.first];
    if (s->apart)
        return;

    for (int b = 0; b < s->p; b++) {
        s->user_begin[b] = u;
        while (u < s->n_users && s->train->offsets[u + 1] <= s->train->n * (b + 1) / s->p)
            u++;
    }
    s->user_begin[s->p] = s->n_users;
}

/* The samples of each item, of all ranks; to be freed. */
static int64_t *count_items(const struct schedule *s)
{
    int64_t *count = xcalloc((size_t)s->n_items, sizeof *count);

    for (int64_t k = 0; k < s->train->n; k++)
        count[s->train->items[k]]++;
    if (s->apart)
        comm_all_fold(count, s->n_items, COMM_SUM);
    return count;
}

/* Counting sort by the number of samples, most first. */
static void rank_items(struct schedule *s)
{
    AUTO_FREE int64_t *count = count_items(s);
    AUTO_FREE int64_t *place = NULL;
    int64_t most = 0, at = 0;

    for (int32_t i = 0; i < s->n_items; i++)
        most = MAX(most, count[i]);
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

/* The range of all ranks' times. */
static void find_times(struct schedule *s, int64_t *end)
{
    const struct interactions *x = s->train;

    s->start_ms = INT64_MAX;
    *end = INT64_MIN;
    for (int64_t k = 0; x->times && k < x->n; k++) {
        s->start_ms = MIN(s->start_ms, x->times[k]);
        *end = MAX(*end, x->times[k]);
    }
    if (s->apart) {
        comm_all_fold(&s->start_ms, 1, COMM_MIN);
        comm_all_fold(end, 1, COMM_MAX);
    }
}

/* The earliest of all ranks'. */
static void fold_since(struct schedule *s)
{
    AUTO_FREE int64_t *since = xcalloc((size_t)s->n_items, sizeof *since);

    for (int32_t i = 0; i < s->n_items; i++)
        since[i] = s->since[i];
    comm_all_fold(since, s->n_items, COMM_MIN);
    for (int32_t i = 0; i < s->n_items; i++)
        s->since[i] = (int32_t)since[i];
}

/* When each item appears; times are cut to what 31 bits hold of their range: 20 years by 0.3 s. */
static void date_items(struct schedule *s)
{
    const struct interactions *x = s->train;
    int64_t end;

    find_times(s, &end);
    while (x->times && end >= s->start_ms && (end - s->start_ms) >> s->shift >= CELL_NEVER)
        s->shift++;
    for (int32_t i = 0; i < s->n_items; i++)
        s->since[i] = CELL_NEVER;
    for (int64_t k = 0; k < x->n; k++)
        s->since[x->items[k]] = MIN(s->since[x->items[k]], time_of(s, k));
    if (s->apart)
        fold_since(s);
}

/* The room that is needed where item blocks travel alone. */
static void init_travel(struct schedule *s)
{
    size_t items = (size_t)s->n_items, visits = (size_t)(s->p + s->part.n - 1);

    place_blocks(s);
    s->block_of = xcalloc(items, sizeof *s->block_of);
    s->place_of = xcalloc(items, sizeof *s->place_of);
    s->end_item = xcalloc((size_t)s->part.n_rows, sizeof *s->end_item);
    s->visit_begin = xcalloc(visits + 1, sizeof *s->visit_begin);
    s->pool = xcalloc(items + (size_t)s->part.n_rows, sizeof *s->pool);
}

/* A row is an item. */
static void init_pool(struct schedule *s, struct comm_memory *common)
{
    size_t items = (size_t)s->n_items;

    s->common = common;
    s->block_of = common ? comm_memory_take(common, items, sizeof *s->block_of)
                         : xcalloc(items, sizeof *s->block_of);
    s->pool =
        common ? comm_memory_take(common, items, sizeof *s->pool) : xcalloc(items, sizeof *s->pool);
}

size_t schedule_common(int32_t n_items)
{
    const struct schedule *s = NULL;

    return comm_memory_room((size_t)n_items, sizeof *s->block_of) +
           comm_memory_room((size_t)n_items, sizeof *s->pool);
}

void schedule_init(struct schedule *s, const struct interactions *train, int32_t n_users,
                   int32_t n_items, int partitions, uint64_t seed, const struct schedule_part *part,
                   const int32_t *user_begin, struct comm_memory *common)
{
    size_t p = (size_t)partitions, n = (size_t)train->n, items = (size_t)n_items;

    assert(partitions >= 1 && partitions <= SCHEDULE_MAX);
    *s = (struct schedule){
        .train = train,
        .n_users = n_users,
        .n_items = n_items,
        .p = partitions,
        .apart = part != NULL,
        .travels = part && (!common || !common->data),
        .part = part ? *part : (struct schedule_part){.size = 1, .n = partitions},
        .seed = seed,
        .user_begin = xcalloc(p + 1, sizeof *s->user_begin),
        .by_popularity = xcalloc(items, sizeof *s->by_popularity),
        .pool_begin = xcalloc(p + 1, sizeof *s->pool_begin),
        .cell_begin = xcalloc(p * p + 1, sizeof *s->cell_begin),
        .users = xaligned(n, sizeof *s->users),
        .items = xaligned(n, sizeof *s->items),
        .when = train->times ? xaligned(n, sizeof *s->when) : NULL,
        .since = xcalloc(items, sizeof *s->since),
    };
    if (s->travels)
        init_travel(s);
    else
        init_pool(s, part ? common : NULL);
    cut_users(s, user_begin);
    rank_items(s);
    for (int32_t k = 0; s->travels && k < n_items; k++)
        s->place_of[s->by_popularity[k]] = k / partitions;
    date_items(s);
}

void schedule_weigh(struct schedule *s, double power)
{
    AUTO_FREE int64_t *count = NULL;
    size_t n = (size_t)s->n_items;

    if (power == 0)
        return;
    s->weight = xcalloc(n, sizeof *s->weight);
    s->alias = xcalloc(n, sizeof *s->alias);
    s->weight_left = xcalloc(n, sizeof *s->weight_left);
    s->work = xcalloc(n, sizeof *s->work);
    count = count_items(s);
    for (size_t i = 0; i < n; i++)
        s->weight[i] = pow((double)count[i], power);
}

void schedule_release(struct schedule *s)
{
    free(s->weight);
    free(s->alias);
    free(s->weight_left);
    free(s->work);
    free(s->user_begin);
    free(s->by_popularity);
    if (!s->common) {
        free(s->block_of);
        free(s->pool);
    }
    free(s->place_of);
    free(s->end_item);
    free(s->visit_begin);
    free(s->pool_begin);
    free(s->cell_begin);
    free(s->users);
    free(s->items);
    free(s->when);
    free(s->since);
    *s = (struct schedule){0};
}

/* Of the P items that follow one another in popularity from `first` on every block gets one, at
 * random: the k-th is for block blocks[k]. */
static void deal_group(const struct schedule *s, int32_t first, int32_t blocks[SCHEDULE_MAX])
{
    struct rng r;

    rng_init(&r, rng_key(s->seed, RNG_DEAL, (uint64_t)s->epoch, (uint64_t)first));
    for (int32_t b = 0; b < s->p; b++)
        blocks[b] = b;
    rng_shuffle(&r, blocks, s->p);
}

/* Blocks differ by the last group, which has fewer than P items, or none. */
static void size_blocks(struct schedule *s)
{
    int32_t groups = s->n_items / s->p, left = s->n_items % s->p;
    int32_t blocks[SCHEDULE_MAX], n[SCHEDULE_MAX];

    for (int b = 0; b < s->p; b++)
        n[b] = groups;
    deal_group(s, groups * s->p, blocks);
    for (int32_t k = 0; k < left; k++)
        n[blocks[k]]++;
    s->pool_begin[0] = 0;
    for (int b = 0; b < s->p; b++)
        s->pool_begin[b + 1] = s->pool_begin[b] + n[b];
}

/* The block that comes as this visit. */
static int block_of_visit(const struct schedule *s, int visit)
{
    return (s->part.first + visit) % s->p;
}

static void size_visits(struct schedule *s)
{
    for (int q = 0; q < s->p + s->part.n - 1; q++) {
        int block = block_of_visit(s, q);

        s->visit_begin[q + 1] = s->visit_begin[q] + s->pool_begin[block + 1] - s->pool_begin[block];
    }
}

static void put_visit(struct schedule *s, int visit, int32_t item, int32_t place)
{
    int32_t row = row_of_visit(&s->part, visit, place);

    s->pool[s->visit_begin[visit] + place] = (struct candidate){row, s->since[item]};
    if (visit >= s->p - 1)
        s->end_item[row] = item;
}

/* An item in a pool, at its place in the block: the group's number. */
static void put_item(struct schedule *s, int32_t item, int block, int32_t place)
{
    int visit = (block - s->part.first + s->p) % s->p;

    s->block_of[item] = (uint8_t)block;
    if (!s->travels) {
        s->pool[s->pool_begin[block] + place] = (struct candidate){item, s->since[item]};
        return;
    }
    if (s->weight)
        s->weight_left[s->pool_begin[block] + place] = s->weight[item];
    put_visit(s, visit, item, place);
    if (visit + s->p < s->p + s->part.n - 1) /* it comes twice */
        put_visit(s, visit + s->p, item, place);
}

void schedule_deal(struct schedule *s, int epoch)
{
    int64_t n_groups = (s->n_items + s->p - 1) / s->p;
    int rank = s->common ? s->part.rank : 0, size = s->common ? s->part.size : 1;
    int32_t begin = (int32_t)schedule_share(n_groups, rank, size),
            end = (int32_t)schedule_share(n_groups, rank + 1, size);

    s->epoch = epoch;
    size_blocks(s);
    if (s->travels) {
        size_visits(s);
        memset(s->end_item, -1, (size_t)s->part.n_rows * sizeof *s->end_item);
    }
#pragma omp parallel for if (end - begin > 256)
    for (int32_t g = begin; g < end; g++) {
        int32_t blocks[SCHEDULE_MAX], first = g * s->p;

        deal_group(s, first, blocks);
        for (int32_t k = 0; k < s->p && first + k < s->n_items; k++)
            put_item(s, s->by_popularity[first + k], blocks[k], g);
    }
    if (s->common)
        comm_all_wait();
}

static void weigh_pool(struct schedule *s, int item_block)
{
    int32_t begin = s->pool_begin[item_block], end = s->pool_begin[item_block + 1];

    for (int32_t k = begin; !s->travels && k < end; k++)
        s->weight_left[k] = s->weight[s->pool[k].item];
    alias_build(s->alias + begin, s->weight_left + begin, s->work + begin, end - begin);
}

/* first (p): the row of each item block's first item when it meets the user block. */
static void find_rows(const struct schedule *s, int user_block, int32_t first[SCHEDULE_MAX])
{
    for (int b = 0; b < s->p; b++) {
        int stratum = (b - user_block + s->p) % s->p;

        first[b] = row_of_visit(&s->part, user_block - s->part.first + stratum, 0);
    }
}

/* Counting sort of the block's samples by item block; users stay in order. */
void schedule_sort(struct schedule *s, int user_block)
{
    int32_t rows[SCHEDULE_MAX] = {0};
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
    if (user_block + 1 == s->part.first + s->part.n)
        s->cell_begin[(user_block + 1) * s->p] = x->n;
    if (s->travels)
        find_rows(s, user_block, rows);
    for (int32_t u = first; u < end; u++)
        for (int64_t k = x->offsets[u]; k < x->offsets[u + 1]; k++) {
            int32_t item = x->items[k], block = s->block_of[item];
            int64_t to = at[block]++;

            s->users[to] = u;
            s->items[to] = s->travels ? rows[block] + s->place_of[item] : item;
            if (s->when)
                s->when[to] = time_of(s, k);
        }
    for (int b = user_block - s->part.first; s->weight && b < s->p; b += s->part.n)
        weigh_pool(s, b); /* each item block by one of the user blocks */
}

struct cell schedule_cell(const struct schedule *s, int stratum, int user_block)
{
    int item_block = (user_block + stratum) % s->p;
    int cell = user_block * s->p + item_block;
    int32_t pool = s->travels ? s->visit_begin[user_block - s->part.first + stratum]
                              : s->pool_begin[item_block];
    int64_t begin = s->cell_begin[cell];

    return (struct cell){
        .users = s->users + begin,
        .items = s->items + begin,
        .when = s->when ? s->when + begin : NULL,
        .n = s->cell_begin[cell + 1] - begin,
        .pool = s->pool + pool,
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

    for (int b = s->part.first; b < s->part.first + s->part.n; b++)
        largest = MAX(largest, schedule_cell(s, stratum, b).n);
    return largest;
}
