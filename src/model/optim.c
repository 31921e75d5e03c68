#include "model/optim.h"

const struct optimizer optimizers[] = {
    {"sgd", "plain gradient descent", KERN_SGD, {{0}}, 0},
    {"adagrad",
     "each number's rate falls with the squares of its gradients",
     KERN_ADAGRAD,
     {{"squares", 0}},
     1},
    {"rowwise-adagrad",
     "adagrad with one rate a row, and no second table",
     KERN_ROWWISE_ADAGRAD,
     {{"squares", 1}},
     1},
    {"adam",
     "moving means of gradient and square, for rows that are touched",
     KERN_ADAM,
     {{"mean", 0}, {"squares", 0}, {"ones", 2}},
     3},
    {0},
};

const struct optimizer *optimizer_find(const char *name)
{
    for (const struct optimizer *o = optimizers; o->name; o++)
        if (!strcmp(o->name, name))
            return o;
    return NULL;
}

void optim_init(struct optim_table *t, const struct optimizer *how, const struct tensor *of)
{
    *t = (struct optim_table){
        .how = how, .rows = of->data, .of = of->of, .n = of->rows, .dim = (int)of->cols};
    for (int k = 0; k < how->n_states; k++) {
        t->state_dim[k] = how->state[k].cols ? how->state[k].cols : t->dim;
        snprintf(t->state_name[k], OPTIM_NAME_MAX, "optimizer.%s.%s", of->name, how->state[k].name);
    }
}

void optim_alloc(struct optim_table *t, struct comm_memory *common)
{
    t->common = common;
    for (int k = 0; k < t->how->n_states; k++)
        t->state[k] = model_room(common, t->of, (size_t)t->n * (size_t)t->state_dim[k]);
}

void optim_table_release(struct optim_table *t)
{
    for (int k = 0; k < OPTIM_STATE_MAX; k++)
        model_room_free(t->common, t->of, t->state[k]);
    *t = (struct optim_table){0};
}

int optim_tensors(const struct optim_table *t, struct tensor *out, int n)
{
    for (int k = 0; k < t->how->n_states; k++)
        out[n++] = tensor_rows(t->state_name[k], t->of, t->n, t->state_dim[k], t->state[k]);
    return n;
}
