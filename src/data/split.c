#include "data/split.h"

const struct split splits[] = {
    {.name = "temporal", .script = "split_temporal", .has_ratios = true, .needs_times = true},
    {.name = "leave-one-out", .script = "split_leave_one_out"},
    {.name = "ratio", .script = "split_ratio", .has_ratios = true},
    {.name = "random", .script = "split_random", .has_ratios = true, .has_seed = true},
    {.name = "given", .script = "split_given"},
    {0},
};

const struct split *const split_given = &splits[ARRAY_LEN(splits) - 2];

const struct split *split_named(const char *name)
{
    for (const struct split *s = splits; s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    assert(!"a split that the option table let through");
    return NULL;
}

bool split_label(const struct split_options *o, struct duck *d, struct err *err)
{
    int64_t n_rows, n_train;

    if (!duck_set_real(d, "train_ratio", o->train_ratio, err) ||
        !duck_set_real(d, "until_val", o->train_ratio + o->val_ratio, err) ||
        !duck_set_int(d, "seed", o->seed, err) || !duck_run(d, "user_cuts", err) ||
        !duck_run(d, o->split->script, err) ||
        !duck_row(d, "SELECT count(*) FROM labelled WHERE part = 'train'", &n_train, 1, err) ||
        !duck_row(d, "SELECT count(*) FROM kept", &n_rows, 1, err))
        return false;
    if (n_train == 0)
        return err_set(err, ERR_DATA,
                       "no row is left to train on: all %lld are at or after the time of the cut; "
                       "raise --train-ratio, or choose --split leave-one-out",
                       (long long)n_rows);
    return true;
}
