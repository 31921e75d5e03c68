/* NeuMF against a plain double of itself: scores, and steps that go down the gradient of the loss.
 */
#include "model/neumf.h"

#include "made.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { USERS = 2, ITEMS = 8, DIM = 3, LAYERS = 2, NEGATIVES = 3, POSITIVES = 5 };
static const int widths[LAYERS + 1] = {6, 5, 4};

/* Two cells of one round: user 0 among items 0 to 3, user 1 among items 4 to 7. */
static const int32_t users_0[] = {0, 0}, items_0[] = {0, 1}, when[] = {0, 0, 0};
static const int32_t users_1[] = {1, 1, 1}, items_1[] = {4, 5, 7};
static const struct candidate pools[2][4] = {{{0, 0}, {1, 0}, {2, 0}, {3, 0}},
                                             {{4, 0}, {5, 0}, {6, 0}, {7, 0}}};
static const struct cell cells[2] = {{.users = users_0,
                                      .items = items_0,
                                      .when = when,
                                      .n = 2,
                                      .pool = pools[0],
                                      .n_pool = 4,
                                      .key = 5,
                                      .to = 2,
                                      .block = 0,
                                      .worker = 1},
                                     {.users = users_1,
                                      .items = items_1,
                                      .when = when,
                                      .n = 3,
                                      .pool = pools[1],
                                      .n_pool = 4,
                                      .key = 6,
                                      .to = 3,
                                      .block = 1,
                                      .worker = 0}};

static struct model *small_model(const char *towers, const char *loss, double lr, double reg)
{
    static int64_t offsets[] = {0, 2, 5};
    static int32_t items[] = {0, 1, 4, 5, 7};
    static const struct interactions train = {.offsets = offsets, .items = items, .n = POSITIVES};
    struct err err = {0};
    const struct model_ops *ops = model_find("neumf", &err);
    struct neumf_opts o = *(const struct neumf_opts *)ops->defaults;
    struct model *m;
    struct tensor t[MODEL_TENSORS_MAX];
    int n;

    o.towers = towers;
    o.loss = loss;
    o.embedding_dim = DIM;
    o.hidden = "6,5,4";
    o.negatives = NEGATIVES;
    o.temperature = 0.7;
    o.optimizer = "sgd";
    o.lr = lr;
    o.reg = reg;
    o.reg_positive = 0.25;
    o.reg_negative = 3;
    m = model_new(ops, USERS, ITEMS, "", &o, 1);
    m->ops->init(m, &train);
    n = m->ops->tensors(m, t);
    for (int i = 0; i < n; i++) /* far enough from 0 that every term of the loss counts */
        for (int k = 0; k < t[i].rows * t[i].cols; k++)
            t[i].data[k] = 0.7f * (float)sin(1 + 1.7 * k + 10 * i);
    return m;
}

/* All numbers of the model in double, and where each tensor of NEUMF_TENSORS begins. */
struct state {
    double x[300];
    int at[NEUMF_TENSORS + 1];
};

static void read_state(struct model *m, struct state *s)
{
    struct tensor all[NEUMF_TENSORS];

    neumf_list(m, all);
    s->at[0] = 0;
    for (int t = 0; t < NEUMF_TENSORS; t++) {
        int n = (int)(all[t].rows * all[t].cols);

        for (int k = 0; k < n; k++)
            s->x[s->at[t] + k] = (double)all[t].data[k];
        s->at[t + 1] = s->at[t] + n;
        assert_true(s->at[t + 1] <= ARRAY_LEN(s->x));
    }
}

static bool has(const struct state *s, int tensor)
{
    return s->at[tensor + 1] > s->at[tensor];
}

/* ---- the plain double ---- */

static double mlp(const struct state *s, int user, int item, const double *output)
{
    double in[6], out[6], sum = 0;

    for (int k = 0; k < 3; k++) {
        in[k] = s->x[s->at[NEUMF_MLP_USERS] + 3 * user + k];
        in[3 + k] = s->x[s->at[NEUMF_MLP_ITEMS] + 3 * item + k];
    }
    for (int l = 0; l < LAYERS; l++) {
        for (int j = 0; j < widths[l + 1]; j++) {
            out[j] = s->x[s->at[neumf_bias(l)] + j];
            for (int i = 0; i < widths[l]; i++)
                out[j] += in[i] * s->x[s->at[neumf_weight(l)] + i * widths[l + 1] + j];
        }
        for (int j = 0; j < widths[l + 1]; j++)
            in[j] = fmax(out[j], 0);
    }
    for (int j = 0; j < widths[LAYERS]; j++)
        sum += output[j] * in[j];
    return sum;
}

static double score(const struct state *s, int user, int item)
{
    const double *output = s->x + s->at[NEUMF_OUTPUT];
    double sum = s->x[s->at[NEUMF_OUTPUT_BIAS]];

    for (int k = 0; has(s, NEUMF_GMF_USERS) && k < DIM; k++)
        sum += *output++ * s->x[s->at[NEUMF_GMF_USERS] + DIM * user + k] *
               s->x[s->at[NEUMF_GMF_ITEMS] + DIM * item + k];
    return has(s, NEUMF_MLP_USERS) ? sum + mlp(s, user, item, output) : sum;
}

/* One positive and the negatives that are drawn for it. */
struct sample {
    int user, items[1 + NEGATIVES];
};

static void draw(struct sample out[POSITIVES])
{
    int n = 0;

    for (int c = 0; c < 2; c++) {
        struct cell slice = cells[c];
        struct sampler s;

        slice.key = rng_key(slice.key, RNG_CELL, 0, 0);
        sampler_init(&s, &slice, 1);
        for (int64_t k = 0; k < cells[c].n; k++, n++) {
            out[n].user = cells[c].users[k];
            out[n].items[0] = cells[c].items[k];
            for (int j = 1; j <= NEGATIVES; j++)
                assert_true((out[n].items[j] = sampler_draw(&s, k)) != SAMPLER_NONE);
        }
    }
}

/* The losses, in the words of loss.c. */
static double loss_of(const char *name, const double *x)
{
    const double t = 0.7;
    double bpr = 0, bce = log1p(exp(-x[0])), sum = 0;

    for (int j = 1; j <= NEGATIVES; j++) {
        bpr += log1p(exp(x[j] - x[0])) / NEGATIVES;
        bce += log1p(exp(x[j]));
        sum += exp(x[j] / t);
    }
    if (!strcmp(name, "bpr"))
        return bpr;
    if (!strcmp(name, "bce"))
        return bce;
    assert_string_equal(name, "softmax");
    return log(sum + exp(x[0] / t)) - x[0] / t;
}

static double total(const struct state *s, const struct sample *samples, const char *name)
{
    double sum = 0;

    for (int p = 0; p < POSITIVES; p++) {
        double x[1 + NEGATIVES];

        for (int j = 0; j <= NEGATIVES; j++)
            x[j] = score(s, samples[p].user, samples[p].items[j]);
        sum += loss_of(name, x);
    }
    return sum;
}

static double squares(const struct state *s, int tensor, int row)
{
    double sum = 0;

    for (int k = 0; has(s, tensor) && k < 3; k++)
        sum += pow(s->x[s->at[tensor] + 3 * row + k], 2);
    return sum;
}

static double penalty(const struct state *s, const struct sample *samples, double reg)
{
    double sum = 0;

    for (int p = 0; p < POSITIVES; p++) {
        sum += squares(s, NEUMF_GMF_USERS, samples[p].user) +
               squares(s, NEUMF_MLP_USERS, samples[p].user);
        for (int j = 0; j <= NEGATIVES; j++)
            sum += (squares(s, NEUMF_GMF_ITEMS, samples[p].items[j]) +
                    squares(s, NEUMF_MLP_ITEMS, samples[p].items[j])) *
                   (j ? 3.0 / NEGATIVES : 0.25);
    }
    return reg / 2 * sum;
}

/* ---- the tests ---- */

/* The step of a round, over lr, is the negative gradient: of the sum over positives for vectors,
 * of the mean for what all share. */
static void check_round(const char *towers, const char *loss, double reg)
{
    const double lr = 0.005, h = 1e-5;
    struct model *m = small_model(towers, loss, lr, reg);
    struct state before, after;
    struct sample samples[POSITIVES];
    struct tally seen = {0};

    made_set(m, "future_negatives", 1);
    draw(samples);
    read_state(m, &before);
    m->ops->begin(m, 2, 2);
    for (int c = 0; c < 2; c++)
        m->ops->learn(m, &cells[c], 0, &seen);
    m->ops->join(m, 2, 0);
    read_state(m, &after);
    assert_int_equal(seen.n, POSITIVES);
    assert_true(fabs(seen.sum - total(&before, samples, loss)) < 1e-4);
    for (int k = 0; k < before.at[NEUMF_TENSORS]; k++) {
        bool dense = k >= before.at[NEUMF_OUTPUT];
        double x = before.x[k], up, down, want, got;

        before.x[k] = x + h;
        up = total(&before, samples, loss) + (dense ? 0 : penalty(&before, samples, reg));
        before.x[k] = x - h;
        down = total(&before, samples, loss) + (dense ? 0 : penalty(&before, samples, reg));
        before.x[k] = x;
        want = -(up - down) / (2 * h) / (dense ? POSITIVES : 1);
        got = (after.x[k] - x) / lr;
        if (fabs(got - want) > 2e-3 * (1 + fabs(want)))
            fail_msg("--towers %s --loss %s, reg %g, number %d: step / lr is %g, -gradient %g",
                     towers, loss, reg, k, got, want);
    }
    model_free(m);
}

static const char *const all_towers[] = {"gmf", "mlp", "both"};

static void a_round_goes_down_the_gradient_of_the_loss(void **)
{
    for (int t = 0; t < ARRAY_LEN(all_towers); t++)
        for (const struct loss *l = losses; l->name; l++) {
            check_round(all_towers[t], l->name, 0);
            check_round(all_towers[t], l->name, 0.1);
        }
}

static void scores_follow_the_formula(void **)
{
    for (int t = 0; t < ARRAY_LEN(all_towers); t++) {
        struct model *m = small_model(all_towers[t], "bce", 0.1, 0);
        struct query q[USERS] = {{.user = 0}, {.user = 1}};
        float got[USERS * ITEMS], again[USERS * ITEMS];
        struct state s;

        read_state(m, &s);
        model_scores(m, q, USERS, got);
        for (int u = 0; u < USERS; u++)
            for (int i = 0; i < ITEMS; i++)
                if (fabs((double)got[u * ITEMS + i] - score(&s, u, i)) > 1e-5)
                    fail_msg("--towers %s, user %d, item %d: %g, not %g", all_towers[t], u, i,
                             (double)got[u * ITEMS + i], score(&s, u, i));
        model_hasten(m); /* the same, to the bit */
        model_scores(m, q, USERS, again);
        assert_memory_equal(got, again, sizeof got);
        model_free(m);
    }
}

/* User 0 has all of the pool: no negative, no step of anything. */
static void a_positive_without_a_negative_teaches_nothing(void **)
{
    static const struct candidate two[] = {{0, 0}, {1, 0}};
    const struct cell c = {.users = users_0,
                           .items = items_0,
                           .when = when,
                           .n = 2,
                           .pool = two,
                           .n_pool = 2,
                           .to = 2};
    struct model *m = small_model("both", "bce", 0.1, 0.1);
    struct state before, after;
    struct tally seen = {0};

    read_state(m, &before);
    m->ops->begin(m, 1, 1);
    m->ops->learn(m, &c, 0, &seen);
    m->ops->join(m, 1, 0);
    read_state(m, &after);
    assert_memory_equal(before.x, after.x, (size_t)before.at[NEUMF_TENSORS] * sizeof *before.x);
    assert_int_equal(seen.n, 0);
    model_free(m);
}

static void refused(const char *name, const char *value, const char *word)
{
    struct err err = {0};
    const struct model_ops *ops = model_find("neumf", &err);
    struct neumf_opts o = *(const struct neumf_opts *)ops->defaults;

    for (const struct opt *row = ops->options; row->name; row++)
        if (!strcmp(row->name, name))
            *(opt_text *)((char *)&o + row->offset) = value;
    assert_false(ops->check(&o, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.msg, word))
        fail_msg("%s %s: %s", name, value, err.msg);
}

static void options_of_no_sense_are_refused(void **)
{
    refused("hidden", "64", "layer");
    refused("hidden", "63,32", "odd");
    refused("hidden", "64,x", "--hidden");
    refused("hidden", "64,0", "--hidden");
    refused("hidden", "2,2,2,2,2,2,2,2,2,2", "--hidden");
    refused("init_gmf", "some.safetensors", "--init-mlp");
    refused("init_mlp", "some.safetensors", "--init-gmf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_goes_down_the_gradient_of_the_loss),
        cmocka_unit_test(scores_follow_the_formula),
        cmocka_unit_test(a_positive_without_a_negative_teaches_nothing),
        cmocka_unit_test(options_of_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
