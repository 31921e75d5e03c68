#include "data/split.h"

#include <math.h>

const struct split splits[] = {
    {"temporal", "split_temporal", true},
    {"leave-one-out", "split_leave_one_out", false},
    {0},
};

const struct split *split_named(const char *name)
{
    for (const struct split *s = splits; s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    assert(!"a split that the option table let through");
    return NULL;
}

bool split_label(const struct split *s, struct duck *d, int64_t n_rows, double train_ratio,
                 double val_ratio, struct err *err)
{
    double n = (double)n_rows;
    int64_t n_train;

    if (!duck_set_int(d, "train_end", (int64_t)floor(n * train_ratio), err) ||
        !duck_set_int(d, "val_end", (int64_t)floor(n * (train_ratio + val_ratio)), err) ||
        !duck_run(d, s->script, err) ||
        !duck_row(d, "SELECT count(*) FROM labelled WHERE part = 'train'", &n_train, 1, err))
        return false;
    if (n_train == 0)
        return err_set(err, ERR_DATA,
                       "no row is left to train on: all %lld are at or after the time of the cut; "
                       "raise --train-ratio, or choose --split leave-one-out",
                       (long long)n_rows);
    return true;
}
