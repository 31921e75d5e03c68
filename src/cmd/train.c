#include "cmd/cmd.h"

#include "cmd/package.h"
#include "cmd/report.h"
#include "cmd/tracking.h"
#include "base/clock.h"
#include "train/loop.h"
#include "train/schedule.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define TRAIN_OPTIONS(X, S)                                                                        \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR", "what preprocess wrote")               \
    X(S, opt_text, output_dir, "outputs", 0, 0, "DIR",                                             \
      "folder for model.safetensors and run.json")                                                 \
    X(S, opt_text, model, "mf", 0, 0, "NAME",                                                      \
      "which model; they are listed at the end of this help")                                      \
    X(S, int, epochs, 0, 0, 1000000, "N",                                                          \
      "passes over the train rows; 0 is what suits the model: mf 200, neumf 20")                   \
    X(S, int64_t, seed, 1, 0, 1e15, "N", "the same seed gives the same model, bit for bit")        \
    X(S, int, threads, 0, 0, 1024, "N",                                                            \
      "threads; 0 is one for each processor. The model doesn't depend on it")                      \
    X(S, int, partitions, 0, 0, SCHEDULE_MAX, "P",                                                 \
      "blocks of users and of items that threads take turns with, at least one for each thread; "  \
      "another number gives another model; 0 is what fits the data")                               \
    X(S, int, eval_every, 0, 0, 1000000, "N",                                                      \
      "epochs between two looks at the val rows; 0 is only after the last")                        \
    X(S, int, early_stop, 0, 0, 1000000, "N",                                                      \
      "with --eval-every: end after N looks without a better NDCG@20, and keep the best epoch's "  \
      "model; 0 is never")                                                                         \
    X(S, int, checkpoint_every, 0, 0, 1000000, "N",                                                \
      "epochs between two checkpoints, of which OUTPUT_DIR/checkpoints has the last two; 0 is "    \
      "none")                                                                                      \
    X(S, bool, resume, false, 0, 0, NULL,                                                          \
      "go on from the last checkpoint of a run with these options, if there is one")               \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write run.json there too; - is stdout")

OPT_DEFINE(train_opts, TRAIN_OPTIONS);

#define REGISTRY_OPTIONS(X, S)                                                                     \
    X(S, opt_text, alias, NULL, 0, 0, "NAME",                                                      \
      "with --register: what to call the version, such as champion")                               \
    X(S, bool, log_model, false, 0, 0, NULL,                                                       \
      "log the same without a name: it can be registered later, in MLflow's pages")

struct registry_opts {
    opt_text name;
    REGISTRY_OPTIONS(OPT_FIELD, registry_opts)
};

static const struct registry_opts registry_opts_default;
static const struct opt registry_opts_table[] = {
    OPT_ROW_AS(registry_opts, opt_text, name, register, 0, 0, "NAME",
               "put the model into MLflow's registry as the next version of that name, with the "
               "names of users and items, so that 'kindred serve --model-uri' and Python can load "
               "it") REGISTRY_OPTIONS(OPT_ROW, registry_opts){0}};

enum { OPTIONS, TRACKING, REGISTRY, MODEL_OPTIONS }; /* groups, in this order */

/* Whether a file can be made in the folder, or the folder be made: to know before hours of work. */
static bool check_writable(const char *dir, struct err *err)
{
    AUTO_FREE char *at = path_existing(dir);

    if (access(at, W_OK | X_OK) == 0)
        return true;
    return err_errno(err, "write to", at);
}

/* told: lines of the model about itself. */
static void write_run(const struct opt_set *opts, const struct model *m,
                      const struct loop_result *r, struct json_out *out, struct buf *told)
{
    json_open(out, NULL, '{');
    json_put_str(out, "model", m->ops->name);
    json_put_str(out, "version", KINDRED_VERSION);
    json_put_str(out, "digest", m->digest);
    json_open(out, "options", '{');
    opt_write_json(&opts->groups[OPTIONS], out);
    if (m->ops->options_size)
        opt_write_json(&opts->groups[MODEL_OPTIONS], out);
    json_close(out, '}');
    if (m->ops->tell)
        m->ops->tell(m, out, told);
    loop_write_json(r, out);
    json_close(out, '}');
}

static void print_summary(const struct loop_result *r, const struct model *m, const char *told,
                          const char *path)
{
    const struct loop_epoch *last = &r->epochs[r->n_epochs - 1];

    printf("%s", told);
    if (m->ops->learn)
        printf("%s: %d epochs in %.2f s, %.3g samples a second, loss %.4f\n", m->ops->name,
               r->n_epochs, r->epochs_s,
               last->samples_per_s * last->seconds * r->n_epochs / r->epochs_s, last->loss);
    if (r->best.epoch) {
        last = &r->epochs[r->best.epoch - 1];
        printf("the best epoch on val is %d\n", r->best.epoch);
    }
    if (last->has_val) {
        printf("val, %d known users:", last->val.known.n_users);
        for (int i = 0; i < r->metrics.n_metrics; i++)
            for (int j = 0; j < r->metrics.n_k; j++) {
                char mean[RANK_NUMBER];

                printf("  %s@%d %s", r->metrics.metrics[i]->name, r->metrics.k[j],
                       rank_number(last->val.known.value[i * r->metrics.n_k + j], mean));
            }
        printf("\n");
    }
    printf("%s\n", path);
}

static bool write_run_file(const char *path, const struct train_opts *o,
                           const struct json_out *json, struct err *err)
{
    return dir_create(o->output_dir, err) && cmd_write_json(json, path, err);
}

/* The model's file comes last: where it is new, all is. Rank 0 writes. */
static bool write_outputs(const struct train_opts *o, const struct opt_set *opts, struct model *m,
                          struct loop_result *r, struct err *err)
{
    AUTO_FREE char *model_path = path_join(o->output_dir, "model.safetensors");
    AUTO_FREE char *run_path = path_join(o->output_dir, "run.json");
    AUTO(json_out) json = {.pretty = true};
    AUTO(buf) told = {0};
    bool first = comm_rank() == 0;

    loop_count_ranks(r);
    write_run(opts, m, r, &json, &told);
    if (!comm_all_agree(!first || write_run_file(run_path, o, &json, err), err) ||
        !loop_save(r, m, model_path, err) ||
        !comm_all_agree(!first || cmd_write_json(&json, o->json, err), err))
        return false;
    if (first && (!o->json || strcmp(o->json, "-")))
        print_summary(r, m, buf_str(&told), model_path);
    return true;
}

/* What this process trains on. */
struct input {
    struct dataset d;    /* of a rank its users alone */
    int32_t n_users;     /* in all */
    int32_t *user_begin; /* struct loop_plan; NULL: d is all */
};

static void input_release(struct input *in)
{
    dataset_release(&in->d);
    free(in->user_begin);
    *in = (struct input){0};
}

/* The rows of the rank's user blocks. */
static bool open_part(struct input *in, const char *dir, unsigned parts, struct loop_plan *plan,
                      struct err *err)
{
    AUTO(dataset) whole = {0};
    struct schedule_part part;

    if (!dataset_cut(&whole, dir, &plan->partitions, schedule_partitions, &in->user_begin, err))
        return false;
    if (plan->partitions < comm_size())
        return err_set(err, ERR_USAGE,
                       "%d ranks, but --partitions is %d: each rank needs a block of users; "
                       "start fewer, or name more (another number gives another model)",
                       comm_size(), plan->partitions);
    in->n_users = whole.n_users;
    part = schedule_part_of(comm_rank(), comm_size(), plan->partitions, whole.n_items);
    return dataset_open_users(&in->d, dir, parts, in->user_begin[part.first],
                              in->user_begin[part.first + part.n], err);
}

/* A model that learns cell by cell is shared among ranks; others look at all rows. */
static bool open_input(struct input *in, const struct model_ops *ops, const char *dir,
                       unsigned parts, struct loop_plan *plan, struct err *err)
{
    if (ops->learn && comm_size() > 1)
        return open_part(in, dir, parts, plan, err);
    if (!dataset_open(&in->d, dir, parts, err))
        return false;
    in->n_users = in->d.n_users;
    return true;
}

/* What MLflow is told after each epoch. */
static void track_epoch(void *context, const struct loop_result *r)
{
    struct tracking *tr = context;
    const struct loop_epoch *now = &r->epochs[r->n_epochs - 1];
    AUTO(json_out) val = {0};

    tracking_all_ranks(tr);
    if (!tr->t)
        return;
    if (!isnan(now->loss)) /* what learns at once has none */
        track_metric(tr->t, "loss", now->loss, r->n_epochs);
    track_metric(tr->t, "samples_per_s", now->samples_per_s, r->n_epochs);
    if (!now->has_val)
        return;
    json_open(&val, NULL, '{');
    rank_write_json(&r->metrics, &now->val.known, &val);
    json_close(&val, '}');
    tracking_metrics(tr, "val/", &val, r->n_epochs);
}

static bool check_registry(const struct registry_opts *reg, const struct tracking *tr,
                           struct err *err)
{
    if (reg->alias && !reg->name)
        return err_set(err, ERR_USAGE, "--alias calls a version so: it needs --register NAME");
    if (reg->name && !registry_is_name(reg->name))
        return err_set(err, ERR_USAGE,
                       "--register %s: MLflow's names hold neither / nor :", reg->name);
    if (reg->alias && !registry_is_alias(reg->alias))
        return err_set(err, ERR_USAGE,
                       "--alias %s: an alias is letters, digits, _ and -, and neither 'latest' "
                       "nor as 'v1'",
                       reg->alias);
    return (!reg->name && !reg->log_model) || !tracking_is_off(tr) ||
           err_set(err, ERR_USAGE,
                   "%s goes to MLflow, which --track or KINDRED_TRACK has switched off",
                   reg->name ? "--register" : "--log-model");
}

/* The model as a thing of its own, which versions of the registry are of. */
static bool track_package(struct tracking *tr, const struct train_opts *o,
                          const struct registry_opts *reg, const struct model *m,
                          const struct loop_result *r, struct err *err)
{
    AUTO_FREE char *dir = path_join(o->output_dir, "mlflow_model");
    AUTO_FREE char *path = path_join(o->output_dir, "model.safetensors");
    AUTO_FREE char *data = realpath(o->data_dir, NULL);
    bool whole = reg->name || reg->log_model;
    char *names[RANK_VALUES_MAX];
    struct track_model logged = {.name = m->ops->name,
                                 .registered = reg->name,
                                 .alias = reg->alias,
                                 .dir = dir,
                                 .files = whole ? package_all : package_record,
                                 .dataset = path_name(data ? data : o->data_dir),
                                 .digest = m->digest,
                                 .metrics = (const char *const *)names,
                                 .n_metrics = rank_n_values(&r->metrics),
                                 .step = r->best.epoch ? r->best.epoch : r->n_epochs};

    if (!package_write(dir, m->ops, m->digest, path, o->data_dir, whole, err))
        return false;
    for (int v = 0; v < logged.n_metrics; v++) {
        AUTO_FREE char *name = rank_value_name(&r->metrics, v / r->metrics.n_k, v % r->metrics.n_k);

        names[v] = xasprintf("val/%s", name);
    }
    track_model(tr->t, &logged);
    for (int v = 0; v < logged.n_metrics; v++)
        free(names[v]);
    return true;
}

/* After the end: the files, and what is known only now. */
static bool track_outputs(struct tracking *tr, const struct train_opts *o,
                          const struct registry_opts *reg, const struct model *m,
                          const struct loop_result *r, struct err *err)
{
    AUTO_FREE char *model_path = path_join(o->output_dir, "model.safetensors");
    AUTO_FREE char *run_path = path_join(o->output_dir, "run.json");

    if (!tr->t)
        return true;
    track_metric(tr->t, "epochs_s", r->epochs_s, r->n_epochs);
    if (r->best.epoch)
        track_metric(tr->t, "best_epoch", r->best.epoch, r->n_epochs);
    track_file(tr->t, model_path, "model.safetensors");
    track_file(tr->t, run_path, "run.json");
    return track_package(tr, o, reg, m, r, err);
}

static bool train(const struct train_opts *o, const struct registry_opts *reg,
                  const struct opt_set *opts, const struct model_ops *ops,
                  const void *model_options, struct tracking *tr, struct err *err)
{
    AUTO_FREE char *checkpoints = path_join(o->output_dir, "checkpoints");
    struct loop_plan plan = {.epochs = o->epochs,
                             .threads = o->threads,
                             .partitions = o->partitions,
                             .eval_every = o->eval_every,
                             .early_stop = o->early_stop,
                             .checkpoint_every = o->checkpoint_every,
                             .checkpoint_dir = checkpoints,
                             .resume = o->resume,
                             .after_epoch = tr->t || tr->on_ranks ? track_epoch : NULL,
                             .context = tr};
    unsigned parts = 1u << DATASET_TRAIN | 1u << DATASET_VAL;
    AUTO(loop_result) r = {0};
    AUTO(input) in = {0};
    struct model *m;
    bool ok;

    if (o->early_stop && !o->eval_every)
        return err_set(err, ERR_USAGE, "--early-stop needs --eval-every N: looks to judge by");
    if (ops->dated && ops->dated(model_options))
        parts |= DATASET_TIMES;
    if (!comm_all_agree((comm_rank() > 0 || check_writable(o->output_dir, err)) &&
                            open_input(&in, ops, o->data_dir, parts, &plan, err),
                        err))
        return false;
    plan.user_begin = in.user_begin;
    tracking_dataset(tr, o->data_dir, &in.d, "training");
    m = model_new(ops, in.n_users, in.d.n_items, in.d.digest, model_options, (uint64_t)o->seed);
    ok = loop_train(m, &in.d, &plan, &r, err) && write_outputs(o, opts, m, &r, err) &&
         comm_all_agree(track_outputs(tr, o, reg, m, &r, err), err);
    model_free(m);
    return ok;
}

bool train_has_option(const char *model, const char *name)
{
    struct err ignored = {0};
    const struct model_ops *ops = model_find(model, &ignored);

    return ops && (opt_in_table(train_opts_table, name) ||
                   (ops->options_size && opt_in_table(ops->options, name)));
}

/* The options of one model alone: a group of the command's. */
struct model_group {
    char title[64];
    void *values; /* (ops->options_size) */
};

static void model_group_release(struct model_group *g)
{
    free(g->values);
    *g = (struct model_group){0};
}

static void add_group(struct opt_set *opts, const struct model_ops *ops, struct model_group *g)
{
    g->values = xcalloc(1, ops->options_size);
    snprintf(g->title, sizeof g->title, "Options of --model %s", ops->name);
    if (ops->options_size)
        opt_add(opts, g->title, ops->options, ops->defaults, g->values, ops->options_size);
}

/* Shows the options of every model, and what the models are. */
static bool help(struct opt_set *opts, const char *const *argv, struct err *err)
{
    struct model_group groups[OPT_GROUPS_MAX] = {0};
    enum cmd_next next;

    for (int i = 0; models[i]; i++)
        add_group(opts, models[i], &groups[i]);
    next = cmd_parse(&cmd_train, opts, argv, 0, err);
    printf("\nModels:\n");
    for (int i = 0; models[i]; i++) {
        printf("  %-24s  %s\n", models[i]->name, models[i]->summary);
        model_group_release(&groups[i]);
    }
    return next == CMD_DONE;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    AUTO(model_group) group = {0};
    struct train_opts o;
    struct registry_opts reg;
    struct tracking tr;
    const struct model_ops *ops;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", train_opts, &o);
    tracking_add(&tr, &opts);
    OPT_ADD(&opts, "Registry", registry_opts, &reg);
    if (cmd_peek(&cmd_train, &opts, argv, 0)) /* the model's name tells which options there are */
        return help(&opts, argv, err);
    ops = model_find(o.model, err);
    if (!ops)
        return err_wrap(err, "--model");
    add_group(&opts, ops, &group);
    next = cmd_parse(&cmd_train, &opts, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!o.epochs)
        o.epochs = ops->epochs;
    if ((ops->check && !ops->check(group.values, err)) || !check_registry(&reg, &tr, err) ||
        (ops->combine && !cmd_check_alone(err)) ||
        !tracking_begin(&tr, &cmd_train, &opts, "training", err))
        return false;
    return tracking_end(&tr, train(&o, &reg, &opts, ops, group.values, &tr, err), err);
}

const struct cmd cmd_train = {
    .name = "train",
    .summary = "fit a model to a dataset",
    .about =
        "Reads the train rows, and the val rows to watch the model on data that it doesn't learn\n"
        "from (blend alone chooses by them); the test rows are never read. Writes "
        "model.safetensors and, with the options,\n"
        "the loss and the metrics of each epoch, run.json. With the same data, options and seed\n"
        "the model is the same, bit for bit, on any number of threads.",
    .run = run,
    .ranks = true,
};
