#include "train/loop.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "model/store.h"
#include "train/checkpoint.h"
#include "train/epoch.h"

#include <math.h>
#include <omp.h>

/* What a run of training is made of. */
struct run {
    struct model *m; /* what learns: of a rank, its part */
    const struct dataset *d;
    const struct loop_plan *plan;
    struct schedule *s;
    struct share *share; /* NULL: alone */
    struct loop_result *r;
    int signal; /* that came to any rank, as all ranks know it */
};

/* Ranks come to know of signals here alone, so that all do the same. */
static void look_for_signals(struct run *run)
{
    int64_t signal = interrupt_signal();

    if (run->share)
        comm_all_fold(&signal, 1, COMM_MAX);
    run->signal = (int)signal;
}

static bool check_signal(const struct run *run, struct err *err)
{
    if (!run->signal)
        return true;
    interrupt_note(run->signal);
    return interrupt_check(err);
}

static double mean_loss(const struct tally *loss, int n)
{
    struct tally all = {0};

    for (int b = 0; b < n; b++) {
        all.sum += loss[b].sum;
        all.n += loss[b].n;
    }
    return all.n ? all.sum / (double)all.n : 0;
}

static bool evaluate(const struct run *run, struct rank_result *out, struct err *err)
{
    struct loop_result *r = run->r;

    r->metrics.threads = run->plan->threads;
    if (run->share)
        return share_all_evaluate(run->share, run->d, &r->metrics, out, err);
    return rank_evaluate(run->m, run->d, DATASET_VAL, &r->metrics, out, err);
}

/* A look at val, if there is anything to see. */
static bool look_at_val(const struct run *run, int epoch, struct err *err)
{
    struct loop_result *r = run->r;
    struct loop_epoch *e = &r->epochs[epoch];

    if (!run->plan->n_val)
        return true;
    if (!evaluate(run, &e->val, err))
        return false;
    e->has_val = true;
    r->val_s += e->val.seconds;
    log_debug("train.val", "epoch=%d %s_at_%d=%.4f users=%d", epoch + 1,
              r->metrics.metrics[0]->name, r->metrics.k[0], e->val.known.value[0],
              e->val.known.n_users);
    return true;
}

static bool check_finite(const struct run *run, double loss, int epoch, double progress, bool whole,
                         struct err *err)
{
    const char *bad = "the loss";

    if (isfinite(loss) &&
        (!whole || (run->share ? share_all_finite(run->share, &bad) : model_finite(run->m, &bad))))
        return true;
    return err_set(err, ERR_DATA,
                   "%s is no longer finite in epoch %d at a learning rate of %g; lower --lr", bad,
                   epoch + 1, run->m->ops->rate(run->m, progress));
}

/* ---- the best epoch ---- */

static void copy_best(struct run *run)
{
    struct loop_best *b = &run->r->best;

    if (run->share) {
        rested_release(&b->rested);
        share_all_rest(run->share, true, &b->rested);
    } else if (b->model) {
        model_copy(b->model, run->m);
    } else {
        b->model = model_clone(run->m);
    }
}

/* After a look at val. */
static void keep_best(struct run *run)
{
    enum { NDCG_AT_20 = 3 }; /* of recall@10, recall@20, ndcg@10, ndcg@20 */
    struct loop_result *r = run->r;
    struct loop_best *b = &r->best;
    double value = r->epochs[r->n_epochs - 1].val.known.value[NDCG_AT_20];

    if (b->epoch && !(value > b->value)) {
        b->looks_since++;
        return;
    }
    copy_best(run);
    b->epoch = r->n_epochs;
    b->value = value;
    b->looks_since = 0;
}

static bool is_over(const struct run *run)
{
    const struct loop_result *r = run->r;

    return r->n_epochs == run->plan->epochs ||
           (run->plan->early_stop && r->best.looks_since >= run->plan->early_stop);
}

/* ---- epochs ---- */

/* Look at val after the last epoch that was done, where it's time and hasn't been yet. */
static bool look_if_due(struct run *run, struct err *err)
{
    const struct loop_plan *plan = run->plan;
    struct loop_result *r = run->r;
    int n = r->n_epochs;
    bool due = n == plan->epochs || (plan->eval_every && n % plan->eval_every == 0);

    if (n == 0 || !due || r->epochs[n - 1].has_val)
        return true;
    if (!look_at_val(run, n - 1, err))
        return false;
    if (plan->early_stop)
        keep_best(run);
    return true;
}

/* After n epochs it's time for a checkpoint, or a signal says that it's the last chance. */
static bool saves_now(const struct run *run, int n)
{
    int every = run->plan->checkpoint_every;

    return every && (run->signal || n % every == 0);
}

/* One epoch into r->epochs[r->n_epochs]. */
static bool one_epoch(struct run *run, struct err *err)
{
    struct tally loss[SCHEDULE_MAX];
    const struct loop_plan *plan = run->plan;
    struct loop_result *r = run->r;
    int e = r->n_epochs;
    struct loop_epoch *now = &r->epochs[e];
    double start = clock_seconds(), progress = plan->epochs > 1 ? e / (plan->epochs - 1.0) : 0;

    epoch_run(&(struct epoch_plan){.m = run->m,
                                   .s = run->s,
                                   .share = run->share,
                                   .threads = plan->threads,
                                   .finish = plan->checkpoint_every > 0},
              e, progress, loss);
    look_for_signals(run);
    now->seconds = clock_seconds() - start;
    now->loss = mean_loss(loss, run->s->p);
    now->samples_per_s = (double)plan->n_train / now->seconds;
    r->epochs_s += now->seconds;
    r->n_epochs = e + 1;
    return (plan->checkpoint_every || check_signal(run, err)) &&
           check_finite(run, now->loss, e, progress,
                        e == plan->epochs - 1 || saves_now(run, r->n_epochs), err);
}

/* Write a checkpoint if it's time. (Where a signal came, a look at val that was due comes when the
 * run goes on.) */
static bool keep_safe(const struct run *run, struct err *err)
{
    if (saves_now(run, run->r->n_epochs) &&
        !checkpoint_save(run->plan, run->m, run->share, run->r, err))
        return false;
    return check_signal(run, err);
}

static void tell(const struct run *run)
{
    if (run->plan->after_epoch)
        run->plan->after_epoch(run->plan->context, run->r);
}

static bool run_epochs(struct run *run, struct err *err)
{
    struct loop_result *r = run->r;
    AUTO(progress) bar = {0};

    progress_init(&bar, "train", "epochs", run->plan->epochs);
    if (!look_if_due(run, err))
        return false;
    while (!is_over(run)) {
        char note[64];

        if (!one_epoch(run, err))
            return false;
        if (!run->signal && !look_if_due(run, err) &&
            err->kind != ERR_INTERRUPTED) /* else the epoch is worth keeping all the same */
            return false;
        look_for_signals(run);
        tell(run);
        if (!keep_safe(run, err))
            return false;
        snprintf(note, sizeof note, "loss %.4f", r->epochs[r->n_epochs - 1].loss);
        progress_update(&bar, r->n_epochs, note);
    }
    if (r->best.model)
        model_copy(run->m, r->best.model);
    return true;
}

/* A rank's part of `whole`, in `run` from here on. */
static void share_out(struct run *run, struct model *whole)
{
    struct loop_result *r = run->r;

    r->share = xcalloc(1, sizeof *r->share);
    share_init(r->share, whole, run->s, run->plan->user_begin, &run->d->part[DATASET_TRAIN]);
    run->share = r->share;
    run->m = r->share->m;
}

static void init_schedule(struct run *run)
{
    const struct dataset *d = run->d;
    const struct interactions *train = &d->part[DATASET_TRAIN];
    struct loop_result *r = run->r;
    struct schedule_part part =
        schedule_part_of(comm_rank(), comm_size(), r->partitions, d->n_items);

    if (run->plan->user_begin)
        share_all_map(run->m, &r->common);
    schedule_init(run->s, train, d->n_users, d->n_items, r->partitions, run->m->seed,
                  run->plan->user_begin ? &part : NULL, run->plan->user_begin, &r->common);
    schedule_weigh(run->s,
                   run->m->ops->popularity_power ? run->m->ops->popularity_power(run->m) : 0);
}

static bool learn_by_epochs(struct run *run, struct err *err)
{
    const struct loop_plan *plan = run->plan;
    struct loop_result *r = run->r;
    double start = clock_seconds();

    r->epochs = xcalloc((size_t)plan->epochs, sizeof *r->epochs);
    init_schedule(run);
    if (plan->user_begin)
        share_out(run, run->m);
    else
        run->m->ops->init(run->m, &run->d->part[DATASET_TRAIN]);
    if (plan->resume && !checkpoint_resume(plan, run->m, run->share, r, err))
        return false;
    if (r->n_epochs == 0 && run->m->ops->warm_start &&
        !comm_all_agree(run->m->ops->warm_start(run->m, err), err))
        return false;
    if (plan->checkpoint_every && !checkpoint_begin(plan, r, err))
        return false;
    r->init_s = clock_seconds() - start;
    return run_epochs(run, err);
}

static bool learn_at_once(struct run *run, struct err *err)
{
    const struct interactions *train = &run->d->part[DATASET_TRAIN];
    struct model *m = run->m;
    struct loop_result *r = run->r;
    double start = clock_seconds();

    r->epochs = xcalloc(1, sizeof *r->epochs);
    if (!(m->ops->combine ? m->ops->combine(m, train, &run->d->part[DATASET_VAL], err)
                          : m->ops->fit(m, train, err)))
        return false;
    r->n_epochs = 1;
    r->epochs_s = r->epochs[0].seconds = clock_seconds() - start;
    r->epochs[0].loss = NAN;
    r->epochs[0].samples_per_s = (double)run->plan->n_train / MAX(r->epochs_s, 1e-9);
    if (!look_at_val(run, 0, err))
        return false;
    tell(run);
    return true;
}

/* What the plan leaves open. */
static void complete(struct loop_plan *p, const struct dataset *d, struct loop_result *out)
{
    int64_t n[2] = {d->part[DATASET_TRAIN].n, d->part[DATASET_VAL].n};

    if (p->user_begin)
        comm_all_fold(n, 2, COMM_SUM);
    p->n_train = n[0];
    p->n_val = n[1];
    if (!p->threads)
        p->threads = omp_get_max_threads();
    omp_set_num_threads(p->threads);
    out->partitions =
        p->partitions ? p->partitions : schedule_partitions(n[0], d->n_users, d->n_items);
}

bool loop_train(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                struct loop_result *out, struct err *err)
{
    struct loop_plan p = *plan;
    struct run run = {m, d, &p, &out->schedule, NULL, out, 0};

    *out = (struct loop_result){0};
    complete(&p, d, out);
    if (!p.n_train)
        return err_set(err, ERR_DATA, "train has no rows: there is nothing to learn from");
    if (p.early_stop && !p.n_val)
        return err_set(err, ERR_DATA, "val has no rows: --early-stop has nothing to look at");
    if (!rank_plan_parse(&out->metrics, "recall,ndcg", "10,20", err))
        return false;
    return m->ops->learn ? learn_by_epochs(&run, err) : learn_at_once(&run, err);
}

/* {"val": {"users": 120, "recall_at_10": 0.05, ...}}, of the epoch whose model it is; NULL: val had
 * nobody to look at. */
static char *metrics_text(const struct loop_result *r)
{
    const struct loop_epoch *of = &r->epochs[(r->best.epoch ? r->best.epoch : r->n_epochs) - 1];
    AUTO(json_out) j = {0};

    if (!of->has_val)
        return NULL;
    json_open(&j, NULL, '{');
    json_open(&j, "val", '{');
    json_put_int(&j, "users", of->val.known.n_users);
    rank_write_json(&r->metrics, &of->val.known, &j);
    json_close(&j, '}');
    json_close(&j, '}');
    return xstrdup(buf_str(&j.buf));
}

bool loop_save(struct loop_result *r, struct model *m, const char *path, struct err *err)
{
    AUTO(rested) rested = {0};

    free(m->metrics);
    m->metrics = metrics_text(r);
    if (!r->share) /* all ranks have all of it */
        return comm_all_agree(comm_rank() > 0 || store_save(m, path, err), err);
    if (r->best.epoch)
        return share_all_save(r->share, &r->best.rested, NULL, path, err);
    share_all_rest(r->share, false, &rested);
    return share_all_save(r->share, &rested, NULL, path, err);
}

void loop_count_ranks(struct loop_result *r)
{
    struct comm_cost cost = comm_cost();
    AUTO_FREE int64_t *begin = NULL;

    if (comm_size() == 1)
        return;
    r->n_ranks = comm_size();
    r->ranks = xcalloc((size_t)r->n_ranks, sizeof *r->ranks);
    r->ranks[comm_rank()] = (struct loop_rank){
        .samples = r->schedule.train ? r->schedule.train->n : 0,
        .sent = cost.sent,
        .waited_s = cost.waiting_s + (r->share ? share_waited_s(r->share) : 0),
    };
    begin = xcalloc((size_t)r->n_ranks + 1, sizeof *begin);
    for (int k = 0; k <= r->n_ranks; k++)
        begin[k] = k * (int64_t)sizeof *r->ranks;
    comm_all_gather(r->ranks, begin);
}

void loop_result_release(struct loop_result *r)
{
    free(r->epochs);
    free(r->ranks);
    model_free(r->best.model);
    rested_release(&r->best.rested);
    if (r->share)
        share_release(r->share);
    free(r->share);
    schedule_release(&r->schedule);
    comm_memory_release(&r->common);
    *r = (struct loop_result){0};
}

static void write_epoch(const struct loop_result *r, int e, struct json_out *out)
{
    const struct loop_epoch *now = &r->epochs[e];

    json_open(out, NULL, '{');
    json_put_int(out, "epoch", e + 1);
    json_put_real(out, "loss", now->loss);
    json_put_real(out, "seconds", now->seconds);
    json_put_real(out, "samples_per_s", now->samples_per_s);
    if (now->has_val)
        rank_write_json(&r->metrics, &now->val.known, out);
    json_close(out, '}');
}

static void write_ranks(const struct loop_result *r, struct json_out *out)
{
    json_open(out, "ranks", '[');
    for (int k = 0; k < r->n_ranks; k++) {
        const struct loop_rank *rank = &r->ranks[k];

        json_open(out, NULL, '{');
        json_put_int(out, "rank", k);
        json_put_int(out, "samples", rank->samples);
        json_put_real(out, "samples_per_s",
                      (double)rank->samples * r->n_epochs / MAX(r->epochs_s, 1e-9));
        json_put_int(out, "bytes_sent", rank->sent);
        json_put_real(out, "waiting_s", rank->waited_s);
        json_close(out, '}');
    }
    json_close(out, ']');
}

void loop_write_json(const struct loop_result *r, struct json_out *out)
{
    json_put_int(out, "partitions", r->partitions);
    if (r->best.epoch)
        json_put_int(out, "best_epoch", r->best.epoch);
    json_open(out, "epochs", '[');
    for (int e = 0; e < r->n_epochs; e++)
        write_epoch(r, e, out);
    json_close(out, ']');
    if (r->n_ranks)
        write_ranks(r, out);
    json_open(out, "timings", '{');
    json_put_real(out, "init_s", r->init_s);
    json_put_real(out, "epochs_s", r->epochs_s);
    json_put_real(out, "validation_s", r->val_s);
    json_close(out, '}');
}
