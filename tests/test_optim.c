/* The optimisers: steps of an independent implementation, on every variant of the kernels. */
#include "model/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DIM = 4, STEPS = 3, ROWS = 3 };

static const float start[DIM] = {0.5f, -1, 2, 0.25f};
static const float dirs[STEPS][DIM] = {{1, -2, 0.5f, 0}, {-0.5f, 1.5f, 2, -1}, {0.25f, 0, -3, 1}};
static const struct kern_step steps[STEPS] = {
    {.lr = 0.1f, .coef = 0.5f, .l2 = 0.1f},
    {.lr = 0.05f, .coef = -0.25f, .l2 = 0},
    {.lr = 0.2f, .coef = 2, .l2 = 0.3f},
};

/* The row after each step, in double, by Optax: sgd(lr); adagrad(lr, initial_accumulator_value=0,
 * eps=1e-20), which has eps below the root; adam(lr, .9, .999, eps=1e-8); and for rowwise-adagrad a
 * GradientTransformation with s + jnp.mean(g * g) and -lr * g / (jnp.sqrt(s) + 1e-10). */
static const struct {
    const char *name;
    double row[STEPS][DIM];
} known[] = {
    {"sgd",
     {{0.445, -0.89, 1.955, 0.2475},
      {0.43875, -0.87125, 1.98, 0.235},
      {0.312425, -0.818975, 3.0612, -0.1791}}},
    {"adagrad",
     {{0.4, -0.9, 1.9, 0.15},
      {0.388918945, -0.883866304, 1.93716471, 0.10024814},
      {0.241337967, -0.839377497, 2.13564129, -0.0982375207}}},
    {"rowwise-adagrad",
     {{0.416018911, -0.832037822, 1.9312882, 0.246182678},
      {0.407561325, -0.806665064, 1.96511854, 0.229267506},
      {0.366181881, -0.790572643, 2.32490221, 0.0916982897}}},
    {"adam",
     {{0.400000002, -0.900000001, 1.9, 0.15000004},
      {0.359081271, -0.856279747, 1.90525575, 0.109645655},
      {0.179370439, -0.69668826, 2.03404713, -0.0324504302}}},
};

static void make(struct optim_table *t, const char *name, float *rows, int dim)
{
    const struct tensor of = tensor_floats("x.weight", ROWS, dim, rows);

    optim_init(t, optimizer_find(name), &of);
    optim_alloc(t, NULL);
}

/* Row 1 alone steps; its neighbours and what belongs to them stay. */
static void steps_are_those_of_another_implementation(void **)
{
    assert_int_equal(ARRAY_LEN(known), KERN_OPTIMIZERS);
    for (const struct kern *const *kern = kern_all(); *kern; kern++)
        for (int i = 0; i < ARRAY_LEN(known); i++) {
            float rows[ROWS * DIM] = {0};
            AUTO(optim_table) t = {0};

            make(&t, known[i].name, rows, DIM);
            memcpy(rows + DIM, start, sizeof start);
            for (int s = 0; s < STEPS; s++) {
                optim_step(&t, *kern, 1, dirs[s], steps[s]);
                for (int k = 0; k < DIM; k++)
                    if (fabs(rows[DIM + k] - known[i].row[s][k]) > 2e-6)
                        fail_msg("%s, %s: step %d, number %d is %.9g, not %.9g", known[i].name,
                                 (*kern)->isa, s, k, rows[DIM + k], known[i].row[s][k]);
            }
            for (int k = 0; k < DIM; k++)
                assert_true(rows[k] == 0 && rows[2 * DIM + k] == 0);
            for (int n = 0; n < t.how->n_states; n++)
                for (int k = 0; k < t.state_dim[n]; k++) {
                    assert_true(t.state[n][k] == 0 && t.state[n][2 * t.state_dim[n] + k] == 0);
                    assert_true(t.state[n][t.state_dim[n] + k] != 0);
                }
        }
}

/* The same in rows of every length: no number depends on where it stands in the row. */
static void a_row_of_any_length_steps_alike(void **)
{
    for (const struct kern *const *kern = kern_all(); *kern; kern++)
        for (int i = 0; i < ARRAY_LEN(known); i++)
            for (int dim = 4; dim <= 100; dim += 4) {
                float rows[ROWS * 100], dir[100];
                AUTO(optim_table) t = {0};

                make(&t, known[i].name, rows, dim);
                for (int k = 0; k < dim; k++)
                    rows[dim + k] = start[k % DIM];
                for (int s = 0; s < STEPS; s++) {
                    for (int k = 0; k < dim; k++)
                        dir[k] = dirs[s][k % DIM];
                    optim_step(&t, *kern, 1, dir, steps[s]);
                }
                for (int k = 0; k < dim; k++)
                    if (fabs(rows[dim + k] - known[i].row[STEPS - 1][k % DIM]) > 4e-6)
                        fail_msg("%s, %s, dim %d, number %d", known[i].name, (*kern)->isa, dim, k);
            }
}

/* After many steps along one gradient Adam's step is the rate, whatever the gradient. */
static void adam_keeps_its_pace(void **)
{
    float rows[ROWS * DIM] = {0}, before = 0;
    const float dir[DIM] = {1e-4f, 1, 100, -3};
    AUTO(optim_table) t = {0};

    make(&t, "adam", rows, DIM);
    for (int s = 0; s < 50000; s++) {
        before = rows[0];
        optim_step(&t, kern_best(), 0, dir, (struct kern_step){.lr = 1e-4f, .coef = 1});
    }
    assert_true(fabsf(before - rows[0] - 1e-4f) < 2e-6f);
    assert_true(fabsf(rows[0] + 5) < 0.01f && fabsf(rows[3] - 5) < 0.01f);
}

static void the_state_is_listed_by_name_and_shape(void **)
{
    struct tensor out[1 + OPTIM_STATE_MAX];
    float rows[ROWS * DIM];
    AUTO(optim_table) t = {0};

    make(&t, "adam", rows, DIM);
    assert_int_equal(optim_tensors(&t, out, 1), 4);
    assert_string_equal(out[1].name, "optimizer.x.weight.mean");
    assert_string_equal(out[3].name, "optimizer.x.weight.ones");
    assert_true(out[2].rows == ROWS && out[2].cols == DIM && out[2].data == t.state[1]);
    assert_true(out[3].rows == ROWS && out[3].cols == 2);
}

static void the_names_are_those_of_the_table(void **)
{
    AUTO_FREE char *all = xstrdup("");

    for (const struct optimizer *o = optimizers; o->name; o++) {
        char *longer = xasprintf("%s%s%s", all, *all ? "|" : "", o->name);

        free(all);
        all = longer;
        assert_ptr_equal(optimizer_find(o->name), o);
    }
    assert_string_equal(all, OPTIM_NAMES);
    assert_null(optimizer_find("lion"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_another_implementation),
        cmocka_unit_test(a_row_of_any_length_steps_alike),
        cmocka_unit_test(adam_keeps_its_pace),
        cmocka_unit_test(the_state_is_listed_by_name_and_shape),
        cmocka_unit_test(the_names_are_those_of_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
