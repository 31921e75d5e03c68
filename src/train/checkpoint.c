#include "train/checkpoint.h"

#include "base/json.h"
#include "base/log.h"
#include "model/store.h"

#include <dirent.h>
#include <math.h>
#include <unistd.h>

#define EPOCH_FILE "epoch-%06d.safetensors"
#define BEST_FILE  "best-%06d.safetensors"

enum { KEPT = 2 };

static char *file_of(const char *dir, const char *format, int epoch)
{
    AUTO_FREE char *name = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    name = xasprintf(format, epoch);
#pragma GCC diagnostic pop
    return path_join(dir, name);
}

/* The newest checkpoint before epoch `before`; 0: none. */
static int newest_before(const char *dir, int before)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int newest = 0;

    while (d && (e = readdir(d))) {
        int epoch, end = 0;

        if (sscanf(e->d_name, EPOCH_FILE "%n", &epoch, &end) == 1 && end && !e->d_name[end] &&
            epoch < before)
            newest = MAX(newest, epoch);
    }
    if (d)
        closedir(d);
    return newest;
}

static void remove_one(const char *dir, int epoch)
{
    AUTO_FREE char *model = file_of(dir, EPOCH_FILE, epoch);
    AUTO_FREE char *best = file_of(dir, BEST_FILE, epoch);

    unlink(model);
    unlink(best);
}

static bool begin(const struct loop_plan *plan, const struct loop_result *r, struct err *err)
{
    if (!dir_create(plan->checkpoint_dir, err))
        return err_wrap(err, "checkpoints");
    for (int epoch;
         r->n_epochs == 0 && (epoch = newest_before(plan->checkpoint_dir, INT32_MAX)) > 0;)
        remove_one(plan->checkpoint_dir, epoch);
    return true;
}

bool checkpoint_begin(const struct loop_plan *plan, const struct loop_result *r, struct err *err)
{
    return comm_all_agree(comm_rank() > 0 || begin(plan, r, err), err);
}

/* What runs that were killed left half-written. */
static void remove_stale(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        const char *tmp = strstr(e->d_name, ".tmp-");
        AUTO_FREE char *path = path_join(dir, e->d_name);

        if (tmp && file_is_stale(tmp, ".tmp-"))
            unlink(path);
    }
    if (d)
        closedir(d);
}

static void prune(const char *dir)
{
    int epoch = INT32_MAX;

    remove_stale(dir);
    for (int i = 0; i < KEPT && epoch > 0; i++)
        epoch = newest_before(dir, epoch);
    while (epoch > 0 && (epoch = newest_before(dir, epoch)) > 0)
        remove_one(dir, epoch);
}

/* ---- saving ---- */

static void put_training(const struct loop_plan *plan, const struct loop_result *r,
                         struct json_out *j)
{
    int n_users = 0; /* of a look at val: the same each time */

    for (int e = 0; e < r->n_epochs; e++)
        n_users = MAX(n_users, r->epochs[e].val.known.n_users);
    json_open(j, NULL, '{');
    json_put_int(j, "planned_epochs", plan->epochs);
    json_put_int(j, "eval_every", plan->eval_every);
    json_put_int(j, "early_stop", plan->early_stop);
    json_put_real(j, "best_value", r->best.value);
    json_put_int(j, "looks_since", r->best.looks_since);
    json_put_int(j, "val_users", n_users);
    loop_write_json(r, j);
    json_close(j, '}');
}

static bool save(struct model *m, const struct loop_result *r, const char *training,
                 const char *path, const char *best, struct err *err)
{
    return (!r->best.model || store_save(r->best.model, best, err)) &&
           store_save_checkpoint(m, training, path, err);
}

static bool save_shared(struct share *share, const struct loop_result *r, const char *training,
                        const char *path, const char *best, struct err *err)
{
    AUTO(rested) rested = {0};

    if (r->best.epoch && !share_all_save(share, &r->best.rested, NULL, best, err))
        return false;
    share_all_rest(share, false, &rested);
    return share_all_save(share, &rested, training, path, err);
}

bool checkpoint_save(const struct loop_plan *plan, struct model *m, struct share *share,
                     const struct loop_result *r, struct err *err)
{
    AUTO_FREE char *path = file_of(plan->checkpoint_dir, EPOCH_FILE, r->n_epochs);
    AUTO_FREE char *best = file_of(plan->checkpoint_dir, BEST_FILE, r->n_epochs);
    AUTO(json_out) training = {0};

    put_training(plan, r, &training);
    if (!(share ? save_shared(share, r, buf_str(&training.buf), path, best, err)
                : save(m, r, buf_str(&training.buf), path, best, err)))
        return err_wrap(err, "checkpoint after epoch %d", r->n_epochs);
    if (comm_rank() == 0)
        prune(plan->checkpoint_dir);
    return true;
}

/* ---- going on ---- */

static void get_epoch(const struct loop_result *r, const struct json_t *from, int32_t n_users,
                      struct loop_epoch *e)
{
    *e = (struct loop_epoch){.loss = json_real_or(json_get(from, "loss"), NAN),
                             .seconds = json_real_or(json_get(from, "seconds"), 0),
                             .samples_per_s = json_real_or(json_get(from, "samples_per_s"), 0)};
    e->has_val = rank_read_json(&r->metrics, from, &e->val.known);
    e->val.known.n_users = e->has_val ? n_users : 0;
}

static bool get_training(const struct json_t *from, int epoch, struct loop_result *r,
                         struct err *err)
{
    const struct json_t *epochs = json_get(from, "epochs");
    int32_t n_users = (int32_t)json_int_or(json_get(from, "val_users"), 0);

    if (json_size(epochs) != epoch)
        return err_set(err, ERR_DATA, "it tells of %d epochs, not %d", json_size(epochs), epoch);
    for (int e = 0; e < epoch; e++) {
        get_epoch(r, json_at(epochs, e), n_users, &r->epochs[e]);
        r->epochs_s += r->epochs[e].seconds;
    }
    r->best.epoch = (int)json_int_or(json_get(from, "best_epoch"), 0);
    r->best.value = json_real_or(json_get(from, "best_value"), NAN);
    r->best.looks_since = (int)json_int_or(json_get(from, "looks_since"), 0);
    r->n_epochs = epoch;
    return true;
}

static bool same_options(const struct model *a, const struct model *b)
{
    AUTO_FREE char *x = model_options_json(a);
    AUTO_FREE char *y = model_options_json(b);

    return !strcmp(x, y);
}

/* What the course of training depends on must be what it was. */
static bool check_same_run(const struct loop_plan *plan, const struct model *m,
                           const struct loop_result *r, const struct model *was,
                           const struct json_t *training, struct err *err)
{
    const struct {
        const char *option;
        int64_t is, was;
    } numbers[] = {
        {"--epochs", plan->epochs, json_int_or(json_get(training, "planned_epochs"), -1)},
        {"--partitions", r->partitions, json_int_or(json_get(training, "partitions"), -1)},
        {"--eval-every", plan->eval_every, json_int_or(json_get(training, "eval_every"), -1)},
        {"--early-stop", plan->early_stop, json_int_or(json_get(training, "early_stop"), -1)},
        {"--seed", (int64_t)m->seed, (int64_t)was->seed},
    };

    if (strcmp(m->digest, was->digest) != 0)
        return err_set(err, ERR_USAGE, "--resume: the checkpoint is of another dataset");
    if (m->ops != was->ops)
        return err_set(err, ERR_USAGE, "--resume: the checkpoint is of --model %s", was->ops->name);
    for (int i = 0; i < ARRAY_LEN(numbers); i++)
        if (numbers[i].is != numbers[i].was)
            return err_set(err, ERR_USAGE, "--resume: the checkpoint is of %s %lld, not %lld",
                           numbers[i].option, (long long)numbers[i].was, (long long)numbers[i].is);
    if (!same_options(m, was))
        return err_set(err, ERR_USAGE, "--resume: the checkpoint is of other options of --model %s",
                       m->ops->name);
    return true;
}

/* A checkpoint that was read, on rank 0. */
struct found {
    struct model *was, *best; /* best: NULL where none was kept */
};

static void found_release(struct found *f)
{
    model_free(f->was);
    model_free(f->best);
    *f = (struct found){0};
}

static bool find_best(const struct loop_plan *plan, const struct loop_result *r, struct found *f,
                      struct err *err)
{
    AUTO_FREE char *path = file_of(plan->checkpoint_dir, BEST_FILE, r->n_epochs);

    if (r->best.epoch == 0)
        return true;
    f->best = store_load(path, err);
    return f->best != NULL;
}

static bool find_epoch(const struct loop_plan *plan, const struct model *m, struct loop_result *r,
                       int epoch, struct found *f, struct err *err)
{
    AUTO_FREE char *path = file_of(plan->checkpoint_dir, EPOCH_FILE, epoch);
    AUTO(json_doc) training = {0};
    AUTO(buf) text = {0};

    f->was = store_load(path, err);
    if (!f->was)
        return false;
    if (!store_training(f->was, &text) || !json_parse(&training, text.data, text.len, err))
        return err_set(err, ERR_DATA, "%s: it isn't a checkpoint", path);
    return check_same_run(plan, m, r, f->was, training.root, err) &&
           get_training(training.root, epoch, r, err) && find_best(plan, r, f, err);
}

/* The newest whole one; f->was stays NULL where there is none. */
static bool find(const struct loop_plan *plan, const struct model *m, struct loop_result *r,
                 struct found *f, struct err *err)
{
    for (int epoch = INT32_MAX; (epoch = newest_before(plan->checkpoint_dir, epoch)) > 0;) {
        struct err why = {0};

        r->epochs_s = 0;
        if (epoch <= plan->epochs && find_epoch(plan, m, r, epoch, f, &why)) {
            log_info("train.resumed", "epoch=%d of=%d", epoch, plan->epochs);
            return true;
        }
        found_release(f);
        if (why.kind == ERR_USAGE) {
            *err = why;
            return false;
        }
        log_warn("train.checkpoint", "passed over: %s",
                 why.kind ? why.msg : "it's of more epochs than --epochs");
        r->best = (struct loop_best){0};
        r->n_epochs = 0;
    }
    return true;
}

static void take(struct model *m, struct loop_result *r, const struct found *f)
{
    model_copy(m, f->was);
    store_copy_training(m, f->was);
    if (f->best)
        r->best.model = model_clone(f->best);
}

/* What rank 0 knows of the run and of the model. */
static void take_share(struct share *share, struct loop_result *r, const struct found *f)
{
    struct tensor t[2 * MODEL_TENSORS_MAX];

    comm_all_share(&r->n_epochs, sizeof r->n_epochs, 0);
    if (r->n_epochs == 0)
        return;
    comm_all_share(r->epochs, r->n_epochs * (int64_t)sizeof *r->epochs, 0);
    comm_all_share(&r->epochs_s, sizeof r->epochs_s, 0);
    comm_all_share(&r->best.epoch, sizeof r->best.epoch, 0);
    comm_all_share(&r->best.value, sizeof r->best.value, 0);
    comm_all_share(&r->best.looks_since, sizeof r->best.looks_since, 0);
    if (f->was)
        store_checkpoint_tensors(f->was, t);
    share_all_take(share, f->was ? t : NULL);
    if (r->best.epoch == 0)
        return;
    if (f->best)
        f->best->ops->tensors(f->best, t);
    share_all_take_kept(share, f->best ? t : NULL, &r->best.rested);
}

bool checkpoint_resume(const struct loop_plan *plan, struct model *m, struct share *share,
                       struct loop_result *r, struct err *err)
{
    AUTO(found) f = {0};
    struct model *whole = share ? share->whole : m;

    if (!comm_all_agree(comm_rank() > 0 || find(plan, whole, r, &f, err), err))
        return false;
    if (share)
        take_share(share, r, &f);
    else if (f.was)
        take(m, r, &f);
    return true;
}
