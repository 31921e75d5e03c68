/* The schedule, and runs of training over it. */
#include "train/loop.h"
#include "train/schedule.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { USERS = 103, ITEMS = 61 };

static void deal(struct schedule *s, int epoch)
{
    schedule_deal(s, epoch);
    for (int b = 0; b < s->p; b++)
        schedule_sort(s, b);
}

static int block_holding(const struct schedule *s, int32_t item)
{
    for (int b = 0; b < s->p; b++)
        for (int32_t k = s->pool_begin[b]; k < s->pool_begin[b + 1]; k++)
            if (s->pool[k].item == item)
                return b;
    return -1;
}

/* Each positive once in an epoch, users in order, items from the pool, no row shared in a stratum.
 */
static void check_epoch(const struct schedule *s)
{
    static bool met[USERS][ITEMS];
    int64_t n = 0;

    memset(met, 0, sizeof met);
    for (int stratum = 0; stratum < s->p; stratum++) {
        int taken[SCHEDULE_MAX] = {0};

        for (int b = 0; b < s->p; b++) {
            struct cell c = schedule_cell(s, stratum, b);
            int item_block = c.n_pool ? block_holding(s, c.pool[0].item) : -1;

            if (item_block >= 0)
                assert_int_equal(taken[item_block]++, 0);
            for (int64_t k = 0; k < c.n; k++) {
                assert_in_range(c.users[k], s->user_begin[b], s->user_begin[b + 1] - 1);
                assert_true(k == 0 || c.users[k - 1] <= c.users[k]);
                assert_int_equal(block_holding(s, c.items[k]), item_block);
                assert_false(met[c.users[k]][c.items[k]]);
                met[c.users[k]][c.items[k]] = true;
                n++;
            }
        }
    }
    assert_int_equal(n, s->train->n);
}

static void an_epoch_meets_each_positive_once(void **)
{
    static const int partitions[] = {1, 2, 7, 16, 61, 150, SCHEDULE_MAX};
    struct dataset d;

    made_dataset(&d, USERS, ITEMS, 1);
    for (int p = 0; p < ARRAY_LEN(partitions); p++) {
        AUTO(schedule) s = {0};

        schedule_init(&s, &d.part[DATASET_TRAIN], USERS, ITEMS, partitions[p], 1, NULL, NULL, NULL);
        for (int epoch = 0; epoch < 2; epoch++) {
            deal(&s, epoch);
            check_epoch(&s);
        }
    }
    made_release(&d);
}

static void items_are_dealt_anew_each_epoch_and_evenly(void **)
{
    enum { P = 8 };
    struct dataset d;
    AUTO(schedule) s = {0};
    int together = 0;

    made_dataset(&d, USERS, ITEMS, 1);
    schedule_init(&s, &d.part[DATASET_TRAIN], USERS, ITEMS, P, 1, NULL, NULL, NULL);
    for (int epoch = 0; epoch < 200; epoch++) {
        bool met[P] = {0};

        deal(&s, epoch);
        for (int b = 0; b < P; b++)
            assert_in_range(s.pool_begin[b + 1] - s.pool_begin[b], ITEMS / P, ITEMS / P + 1);
        for (int k = 0; k < P; k++) { /* the most popular ones: one a block */
            int b = block_holding(&s, s.by_popularity[k]);

            assert_false(met[b]);
            met[b] = true;
        }
        together += block_holding(&s, s.by_popularity[0]) == block_holding(&s, s.by_popularity[P]);
    }
    assert_in_range(together, 200 / P - 20, 200 / P + 20);
    made_release(&d);
}

static void user_blocks_have_about_the_same_work(void **)
{
    enum { P = 8 };
    struct dataset d;
    AUTO(schedule) s = {0};
    const struct interactions *train = &d.part[DATASET_TRAIN];

    made_dataset(&d, USERS, ITEMS, 1);
    schedule_init(&s, train, USERS, ITEMS, P, 1, NULL, NULL, NULL);
    for (int b = 0; b < P; b++) {
        int64_t n = train->offsets[s.user_begin[b + 1]] - train->offsets[s.user_begin[b]];

        assert_in_range(n, train->n / P - ITEMS, train->n / P + ITEMS);
    }
    made_release(&d);
}

/* ---- on ranks ---- */

enum { RANKS_MAX = 5, ROWS_MAX = ITEMS * 4 };

/* Which item stands in which row of each rank. */
struct tables {
    int32_t item[RANKS_MAX][ROWS_MAX];
};

static void put(struct tables *t, struct schedule_place at, int32_t item)
{
    assert_in_range(at.row, 0, ROWS_MAX - 1);
    assert_int_equal(t->item[at.rank][at.row], -1); /* no two in one place */
    t->item[at.rank][at.row] = item;
}

/* After each stratum every rank's oldest visit goes to the rank before, into a slot that is free.
 */
static void travel(struct tables *t, struct schedule *s, int ranks, int p)
{
    for (int stratum = 0; stratum + 1 < p; stratum++) {
        struct tables before = *t;

        for (int r = 0; r < ranks; r++) {
            const struct schedule *from = &s[(r + 1) % ranks], *to = &s[r];
            int leaves = stratum % from->part.n_slots;
            int comes = (to->part.n + stratum) % to->part.n_slots;
            int32_t *rows = t->item[r] + comes * to->part.slot_rows;

            for (int q = stratum; q < stratum + to->part.n; q++)
                assert_int_not_equal(q % to->part.n_slots, comes);
            memcpy(rows, before.item[(r + 1) % ranks] + leaves * from->part.slot_rows,
                   (size_t)to->part.slot_rows * sizeof *rows);
        }
    }
}

/* Dealt, sent round by the visits, and found again where end_item has them; at rest each rank
 * has its share in order. */
static void check_travel(struct schedule *s, int ranks, int p)
{
    static struct tables t, rest;
    bool found[ITEMS] = {false};
    int n_found = 0;

    memset(&t, -1, sizeof t);
    memset(&rest, -1, sizeof rest);
    for (int32_t i = 0; i < ITEMS; i++) {
        put(&t, schedule_start(&s[0], i), i);
        put(&rest, schedule_rest(&s[0], i), i);
    }
    travel(&t, s, ranks, p);
    for (int r = 0; r < ranks; r++)
        for (int32_t row = 0; row < s[r].part.n_rows; row++)
            if (s[r].end_item[row] >= 0) {
                assert_int_equal(t.item[r][row], s[r].end_item[row]);
                assert_false(found[s[r].end_item[row]]);
                found[s[r].end_item[row]] = true;
                n_found++;
            }
    assert_int_equal(n_found, ITEMS);
    for (int r = 0; r < ranks; r++)
        for (int64_t k = 0;
             k < schedule_share(ITEMS, r + 1, ranks) - schedule_share(ITEMS, r, ranks); k++)
            assert_int_equal(rest.item[r][k], schedule_share(ITEMS, r, ranks) + k);
}

static void blocks_travel_to_where_the_schedule_has_them(void **)
{
    static const int partitions[] = {2, 5, 8};
    int32_t begin[SCHEDULE_MAX + 1];
    struct dataset d;

    made_dataset(&d, USERS, ITEMS, 1);
    for (int p = 0; p < ARRAY_LEN(partitions); p++)
        for (int ranks = 2; ranks <= MIN(partitions[p], RANKS_MAX); ranks++) {
            struct schedule s[RANKS_MAX];

            for (int b = 0; b <= partitions[p]; b++)
                begin[b] = USERS * b / partitions[p];
            for (int r = 0; r < ranks; r++) {
                struct schedule_part part = schedule_part_of(r, ranks, partitions[p], ITEMS);

                schedule_init(&s[r], &d.part[DATASET_TRAIN], USERS, ITEMS, partitions[p], 1, &part,
                              begin, NULL);
                schedule_deal(&s[r], 3);
            }
            check_travel(s, ranks, partitions[p]);
            for (int r = 0; r < ranks; r++)
                schedule_release(&s[r]);
        }
    made_release(&d);
}

static void shares_are_whole(void **)
{
    for (int64_t total = 1; total < 40; total++)
        for (int size = 1; size <= 7; size++)
            for (int64_t k = 0; k < total; k++) {
                int owner = schedule_owner(total, k, size);

                assert_true(schedule_share(total, owner, size) <= k);
                assert_true(schedule_share(total, owner + 1, size) > k);
            }
}

/* The chance of each item of a pool, by its alias table. */
static void pool_chances(const struct schedule *s, int block, double chance[ITEMS])
{
    struct cell c = schedule_cell(s, block, 0);

    for (int k = 0; k < c.n_pool; k++)
        chance[k] = 0;
    for (int k = 0; k < c.n_pool; k++) {
        double keep = c.alias[k].other == k ? 1 : c.alias[k].keep * 0x1p-32;

        chance[k] += keep / c.n_pool;
        chance[c.alias[k].other] += (1 - keep) / c.n_pool;
    }
}

static void pools_are_weighed_by_popularity(void **)
{
    enum { P = 4 };
    struct dataset d;
    AUTO(schedule) s = {0};
    const struct interactions *train = &d.part[DATASET_TRAIN];
    double count[ITEMS] = {0}, chance[ITEMS];

    made_dataset(&d, USERS, ITEMS, 1);
    for (int64_t k = 0; k < train->n; k++)
        count[train->items[k]]++;
    schedule_init(&s, train, USERS, ITEMS, P, 1, NULL, NULL, NULL);
    schedule_weigh(&s, 0.75);
    for (int epoch = 0; epoch < 3; epoch++) {
        deal(&s, epoch);
        for (int b = 0; b < P; b++) {
            struct cell c = schedule_cell(&s, b, 0);
            double sum = 0;

            pool_chances(&s, b, chance);
            for (int k = 0; k < c.n_pool; k++)
                sum += pow(count[c.pool[k].item], 0.75);
            for (int k = 0; k < c.n_pool; k++)
                assert_true(fabs(chance[k] - pow(count[c.pool[k].item], 0.75) / sum) < 1e-6);
        }
    }
    made_release(&d);
}

static void the_grid_fits_the_data(void **)
{
    assert_int_equal(schedule_partitions(810128, 29858, 40981), 16);
    assert_int_equal(schedule_partitions(100, 10, 10), 1);
    assert_int_equal(schedule_partitions(INT64_C(1) << 40, 1 << 30, 100), 1);
    assert_in_range(schedule_partitions(56141, 6404, 4371), 2, 8);
}

/* ---- runs ---- */

static struct model *trained(const struct dataset *d, struct loop_plan plan, uint64_t seed,
                             struct loop_result *r)
{
    struct model *m = made_model("mf", d, seed);
    struct err err = {0};

    made_set(m, "embedding_dim", 20);
    if (!loop_train(m, d, &plan, r, &err))
        fail_msg("%s", err.msg);
    return m;
}

static bool same(struct model *a, struct model *b)
{
    struct tensor x[MODEL_TENSORS_MAX], y[MODEL_TENSORS_MAX];
    int n = a->ops->tensors(a, x);

    b->ops->tensors(b, y);
    for (int i = 0; i < n; i++)
        if (memcmp(x[i].data, y[i].data, (size_t)(x[i].rows * x[i].cols) * sizeof(float)))
            return false;
    return true;
}

static void the_model_is_the_same_on_any_number_of_threads(void **)
{
    static const int partitions[] = {0, 3, 16};
    struct dataset d;

    made_dataset(&d, 400, 200, 1);
    for (int p = 0; p < ARRAY_LEN(partitions); p++) {
        struct loop_plan plan = {.epochs = 5, .threads = 1, .partitions = partitions[p]};
        struct loop_result one = {0};
        struct model *m = trained(&d, plan, 1, &one);

        for (plan.threads = 2; plan.threads <= 4; plan.threads++) {
            struct loop_result other = {0};
            struct model *again = trained(&d, plan, 1, &other);

            assert_true(same(m, again));
            for (int e = 0; e < plan.epochs; e++)
                assert_true(one.epochs[e].loss == other.epochs[e].loss);
            model_free(again);
            loop_result_release(&other);
        }
        model_free(m);
        loop_result_release(&one);
    }
    made_release(&d);
}

static void seed_and_partitions_make_another_model(void **)
{
    const struct loop_plan plan = {.epochs = 2, .threads = 2, .partitions = 4};
    const struct loop_plan finer = {.epochs = 2, .threads = 2, .partitions = 8};
    struct loop_result r[3] = {0};
    struct dataset d;
    struct model *m[3];

    made_dataset(&d, 100, 80, 1);
    m[0] = trained(&d, plan, 1, &r[0]);
    m[1] = trained(&d, plan, 2, &r[1]);
    m[2] = trained(&d, finer, 1, &r[2]);
    assert_false(same(m[0], m[1]));
    assert_false(same(m[0], m[2]));
    for (int i = 0; i < 3; i++) {
        model_free(m[i]);
        loop_result_release(&r[i]);
    }
    made_release(&d);
}

static void the_loss_falls_and_val_is_found(void **)
{
    const struct loop_plan plan = {.epochs = 40, .eval_every = 10};
    struct loop_result r = {0};
    struct dataset d;
    struct model *m;

    made_dataset(&d, 400, 80, 1);
    m = trained(&d, plan, 1, &r);
    assert_true(fabs(r.epochs[0].loss - log(2)) < 0.1);
    assert_true(r.epochs[39].loss < 0.5 * r.epochs[0].loss);
    for (int e = 0; e < r.n_epochs; e++)
        assert_int_equal(r.epochs[e].has_val, (e + 1) % 10 == 0);
    /* value[0] is recall@10: of 78 items 20 are of the user's kind, and half of them not yet taken
     */
    assert_true(r.epochs[39].val.known.value[0] > 3 * 10.0 / 78);
    model_free(m);
    loop_result_release(&r);
    made_release(&d);
}

static void numbers_out_of_bounds_stop_the_run(void **)
{
    const struct loop_plan plan = {.epochs = 50};
    struct loop_result r = {0};
    struct err err = {0};
    struct dataset d;
    struct model *m;

    made_dataset(&d, 100, 40, 1);
    m = made_model("mf", &d, 1);
    made_set(m, "lr", 10);
    made_set(m, "reg", 10);
    assert_false(loop_train(m, &d, &plan, &r, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.msg, "in epoch"));
    assert_non_null(strstr(err.msg, "learning rate"));
    model_free(m);
    loop_result_release(&r);
    made_release(&d);
}

static void an_empty_train_part_is_an_error(void **)
{
    const struct loop_plan plan = {.epochs = 1};
    struct loop_result r = {0};
    struct err err = {0};
    int64_t offsets[3] = {0};
    struct dataset d = {.n_users = 2, .n_items = 2, .part = {{.offsets = offsets}}};
    struct model *m = made_model("mf", &d, 1);

    assert_false(loop_train(m, &d, &plan, &r, &err));
    assert_int_equal(err.kind, ERR_DATA);
    model_free(m);
    loop_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_meets_each_positive_once),
        cmocka_unit_test(items_are_dealt_anew_each_epoch_and_evenly),
        cmocka_unit_test(user_blocks_have_about_the_same_work),
        cmocka_unit_test(blocks_travel_to_where_the_schedule_has_them),
        cmocka_unit_test(shares_are_whole),
        cmocka_unit_test(pools_are_weighed_by_popularity),
        cmocka_unit_test(the_grid_fits_the_data),
        cmocka_unit_test(the_model_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(seed_and_partitions_make_another_model),
        cmocka_unit_test(the_loss_falls_and_val_is_found),
        cmocka_unit_test(numbers_out_of_bounds_stop_the_run),
        cmocka_unit_test(an_empty_train_part_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
