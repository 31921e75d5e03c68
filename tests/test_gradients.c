/* mf's steps against finite differences of what they are to lower, for every loss, similarity and
 * way to draw negatives. */
#include "model/mf.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { USERS = 4, ITEMS = 9, DIM = 5, NEGATIVES = 6, POSITIVES = 6 };
enum { BIAS_AT = (USERS + ITEMS) * DIM, NUMBERS = BIAS_AT + ITEMS };

static const double reg = 0.1, reg_positive = 0.5, reg_negative = 2, temperature = 0.7, lr = 5e-4;

/* User 0 has three positives, user 3 came before all items but those that it has. */
static const int32_t users[] = {0, 0, 0, 1, 2, 3}, items[] = {0, 1, 2, 1, 3, 0};
static const int32_t when[] = {50, 50, 20, 90, 40, 0};
static const struct candidate pool[] = {{0, 0},  {1, 5},  {2, 20}, {3, 30},        {4, 10},
                                        {5, 45}, {6, 60}, {7, 15}, {8, CELL_NEVER}};

struct setting {
    const struct loss *loss;
    bool cosine, bias;
    int batch_size, negatives;
    struct cell cell;
};

/* One that a positive is to stand above, or that all positives share. */
struct slot {
    int32_t item, since;
};

static struct model *model_of(const struct setting *s)
{
    static int64_t offsets[] = {0, 0, 0, 0, 0};
    static const struct interactions train = {.offsets = offsets};
    struct dataset d = {.n_users = USERS, .n_items = ITEMS};
    struct model *m = made_model("mf", &d, 3);
    struct tensor t[MODEL_TENSORS_MAX];
    int n;

    made_set_text(m, "loss", s->loss->name);
    made_set_text(m, "similarity", s->cosine ? "cosine" : "dot");
    made_set_text(m, "lr_schedule", "constant");
    ((struct mf_opts *)m->options)->item_bias = s->bias;
    made_set(m, "embedding_dim", DIM);
    made_set(m, "batch_size", s->batch_size);
    made_set(m, "negatives", s->negatives);
    made_set(m, "future_negatives", 0.3);
    made_set(m, "lr", lr);
    made_set(m, "reg", reg);
    made_set(m, "reg_positive", reg_positive);
    made_set(m, "reg_negative", reg_negative);
    made_set(m, "temperature", temperature);
    m->ops->init(m, &train);
    n = m->ops->tensors(m, t);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < t[i].rows * t[i].cols; k++)
            t[i].data[k] = (float)sin(1 + 3 * k + 10 * i);
    return m;
}

static void read_state(struct model *m, double x[NUMBERS])
{
    struct tensor t[MODEL_TENSORS_MAX];
    int n = m->ops->tensors(m, t), at = 0;

    for (int i = 0; i < n; i++)
        for (int k = 0; k < t[i].rows * t[i].cols; k++)
            x[at++] = (double)t[i].data[k];
    while (at < NUMBERS)
        x[at++] = 0;
}

/* ---- what is lowered, in double ---- */

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double loss_of(const char *name, double positive, const double *negatives, int n)
{
    double sum = 0;

    for (int k = 0; k < n; k++)
        sum += !strcmp(name, "bpr")   ? softplus(negatives[k] - positive) / n
               : !strcmp(name, "bce") ? softplus(negatives[k])
                                      : exp(negatives[k] / temperature);
    if (!strcmp(name, "bce"))
        return sum + softplus(-positive);
    if (!strcmp(name, "softmax"))
        return log(sum + exp(positive / temperature)) - positive / temperature;
    return sum;
}

static double product(const double *a, const double *b)
{
    double sum = 0;

    for (int k = 0; k < DIM; k++)
        sum += a[k] * b[k];
    return sum;
}

static double score(const struct setting *s, const double *x, int32_t user, int32_t item)
{
    const double *u = x + user * DIM, *i = x + (USERS + item) * DIM;

    return product(u, i) / (s->cosine ? sqrt(product(u, u) * product(i, i)) : 1) +
           x[BIAS_AT + item];
}

static double penalty(const double *x, int32_t item)
{
    const double *i = x + (USERS + item) * DIM;

    return (product(i, i) + x[BIAS_AT + item] * x[BIAS_AT + item]) / 2;
}

static bool has(const struct cell *c, int32_t user, int32_t item)
{
    for (int64_t k = 0; k < c->n; k++)
        if (c->users[k] == user && c->items[k] == item)
            return true;
    return false;
}

/* slots: of all positives alike. *seen: the sum of the losses alone, *learned: of how many. */
static double total(const struct setting *s, const double *x, const struct slot *slots, int n_slots,
                    double *seen, int *learned)
{
    const struct cell *c = &s->cell;
    double sum = 0;

    *seen = 0;
    *learned = 0;
    for (int64_t k = 0; k < c->n; k++) {
        double negatives[NEGATIVES];
        int n = 0;

        for (int j = 0; j < n_slots; j++)
            if (slots[j].since <= c->when[k] && !has(c, c->users[k], slots[j].item))
                negatives[n++] = score(s, x, c->users[k], slots[j].item);
        if (!n)
            continue;
        *seen += loss_of(s->loss->name, score(s, x, c->users[k], c->items[k]), negatives, n);
        sum += reg / 2 * product(x + c->users[k] * DIM, x + c->users[k] * DIM) +
               reg * reg_positive * penalty(x, c->items[k]);
        ++*learned;
    }
    for (int j = 0; j < n_slots; j++)
        sum += reg * reg_negative * penalty(x, slots[j].item) * *learned / n_slots;
    return sum + *seen;
}

/* The slots that the model will draw. */
static int draw(const struct setting *s, struct slot slots[NEGATIVES])
{
    struct sampler d;
    int n = 0;

    sampler_init(&d, &s->cell, 0.3);
    for (int j = 0; j < s->negatives; j++) {
        struct candidate c = {SAMPLER_NONE, CELL_ALWAYS};

        if (s->batch_size == 1)
            c.item = sampler_draw(&d, 0);
        else
            c = sampler_draw_shared(&d);
        if (c.item != SAMPLER_NONE)
            slots[n++] = (struct slot){c.item, c.since};
    }
    return n;
}

static void check_step(const struct setting *s)
{
    const double h = 1e-5;
    double before[NUMBERS], after[NUMBERS], seen, ignored;
    struct slot slots[NEGATIVES];
    struct model *m = model_of(s);
    struct tally tally = {0};
    int n = draw(s, slots), learned;

    read_state(m, before);
    m->ops->learn(m, &s->cell, 0, &tally);
    read_state(m, after);
    for (int k = 0; k < (s->bias ? NUMBERS : BIAS_AT); k++) {
        double at = before[k], up, down, want, got = (after[k] - before[k]) / lr;

        before[k] = at + h, up = total(s, before, slots, n, &ignored, &learned);
        before[k] = at - h, down = total(s, before, slots, n, &ignored, &learned);
        before[k] = at;
        want = -(up - down) / (2 * h);
        if (fabs(got - want) > 2e-3 * (1 + fabs(want)))
            fail_msg("%s, %s, bias %d, batch %d, %d negatives: number %d: step / lr is %g, "
                     "-gradient %g",
                     s->loss->name, s->cosine ? "cosine" : "dot", s->bias, s->batch_size,
                     s->negatives, k, got, want);
    }
    total(s, before, slots, n, &seen, &learned);
    assert_int_equal(tally.n, learned);
    if (fabs(tally.sum - seen) > 1e-4 * (1 + fabs(seen)))
        fail_msg("%s: a loss of %g was told, not %g", s->loss->name, tally.sum, seen);
    model_free(m);
}

/* batch_size 1 is tried on one positive, 16 on all. */
static void each_step_goes_down_the_gradient(void **)
{
    for (const struct loss *loss = losses; loss->name; loss++)
        for (int which = 0; which < 16; which++)
            for (uint64_t key = 1; key <= 5; key++) {
                struct setting s = {.loss = loss,
                                    .cosine = which & 1,
                                    .bias = which & 2,
                                    .batch_size = which & 4 ? 16 : 1,
                                    .negatives = which & 8 ? NEGATIVES : 1};

                s.cell = (struct cell){.users = users,
                                       .items = items,
                                       .when = when,
                                       .n = s.batch_size == 1 ? 1 : POSITIVES,
                                       .pool = pool,
                                       .n_pool = ITEMS,
                                       .key = key};
                check_step(&s);
            }
}

/* A batch of one user's positives, cut in two: what the user has in the other half is masked too.
 */
static void what_the_user_has_outside_the_batch_is_masked(void **)
{
    static const int32_t one_user[] = {0, 0}, two_items[] = {0, 1}, zero[] = {0, 0};
    static const struct candidate both[] = {{0, 0}, {1, 0}};
    struct setting s = {.loss = loss_find("softmax"), .batch_size = 2, .negatives = NEGATIVES};
    struct model *m;
    struct tally tally = {0};

    s.cell = (struct cell){one_user, two_items, zero, 2, both, 2, 1, NULL};
    m = model_of(&s);
    m->ops->learn(m, &s.cell, 0, &tally);
    assert_int_equal(tally.n, 0);
    model_free(m);
}

/* Scores as asked for are those that were learned from. */
static void scores_are_those_that_were_learned_from(void **)
{
    for (int which = 0; which < 4; which++) {
        struct setting s = {.loss = losses,
                            .cosine = which & 1,
                            .bias = which & 2,
                            .batch_size = 1,
                            .negatives = 2};
        struct model *m = model_of(&s);
        double x[NUMBERS];
        float got[ITEMS];

        read_state(m, x);
        for (int32_t u = 0; u < USERS; u++) {
            struct query q = {.user = u};

            model_scores(m, &q, 1, got);
            for (int32_t i = 0; i < ITEMS; i++)
                if (fabs((double)got[i] - score(&s, x, u, i)) > 1e-5)
                    fail_msg("user %d, item %d: %g, not %g", u, i, got[i], score(&s, x, u, i));
        }
        model_free(m);
    }
}

/* reg means the same however many negatives there are: after many cells without a gradient to speak
 * of (all scores far apart), the items that are only negatives have shrunk alike. */
static void negatives_shrink_alike_however_many_there_are(void **)
{
    static const int32_t u[] = {0, 1, 2, 3}, i[] = {0, 0, 0, 0}, zero[] = {0, 0, 0, 0};
    static const struct candidate all[] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}};
    static const int sizes[][2] = {{1, 1}, {1, 6}, {4, 1}, {4, 6}};
    const double pull = 2e-3 * 0.05 * reg_negative; /* of one positive */

    for (int n = 0; n < ARRAY_LEN(sizes); n++) {
        struct setting s = {.loss = losses, .batch_size = sizes[n][0], .negatives = sizes[n][1]};
        struct model *m = model_of(&s);
        struct tally tally = {0};
        struct tensor t[MODEL_TENSORS_MAX];
        double got = 0, want = 0;

        m->ops->tensors(m, t);
        made_set(m, "lr", 2e-3);
        made_set(m, "reg", 0.05);
        for (int r = 0; r < USERS; r++)
            t[0].data[r * DIM] = 1e3f;
        for (int r = 0; r < ITEMS; r++)
            t[1].data[r * DIM] = r == 0 ? 1e3f : -1e3f;
        for (int r = 1; r < 5; r++)
            for (int k = 1; k < DIM; k++)
                want += log(fabs((double)t[1].data[r * DIM + k]));
        for (uint64_t key = 0; key < 2000; key++) {
            struct cell c = {u, i, zero, 4, all, 5, key, NULL};

            m->ops->learn(m, &c, 0, &tally);
        }
        for (int r = 1; r < 5; r++)
            for (int k = 1; k < DIM; k++)
                got += log(fabs((double)t[1].data[r * DIM + k]));
        /* 8,000 positives pull a row each; a slot that is item 0 pulls it, where batches share */
        want -= 8000 * (DIM - 1) * pull * (sizes[n][0] > 1 ? 0.8 : 1);
        if (fabs(got - want) > 0.05 * 8000 * (DIM - 1) * pull)
            fail_msg("batch %d, %d negatives: %g, not %g", sizes[n][0], sizes[n][1], got, want);
        model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_goes_down_the_gradient),
        cmocka_unit_test(what_the_user_has_outside_the_batch_is_masked),
        cmocka_unit_test(scores_are_those_that_were_learned_from),
        cmocka_unit_test(negatives_shrink_alike_however_many_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
