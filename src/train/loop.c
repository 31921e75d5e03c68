#include "train/loop.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/schedule.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

/* An epoch as a list of jobs, taken in order by whichever worker is free. Stage 0 sorts the block's
 * samples; then come the strata, a stage each, in which each block has its cell. A job needs the
 * stage before of its own user block, and of the next one: in the stratum before, that block held
 * the item block of this cell. So there is no barrier between strata, and a worker that the machine
 * has put aside holds up no other until its rows are needed.
 *
 * For a model that learns in rounds (model.h) a stratum is a stage for each round, and a job needs
 * all of the stage before, and the join that whoever ends it last does. */
struct epoch {
    struct model *m;
    struct schedule *s;
    double progress;
    bool finish;        /* whatever signal comes */
    struct tally *loss; /* (p) a block's cells come one after the other: sums in a fixed order */
    atomic_int next;    /* job: stage * p + block */
    atomic_int *done;   /* (p) stages that are done */
    atomic_int ended;   /* rounds: jobs that are done */
    atomic_int joined;  /* rounds: stages that are done, join and all */
    int first_stage[SCHEDULE_MAX + 1]; /* (p + 1) of each stratum; in rounds known after stage 0 */
};

static bool in_rounds(const struct epoch *e)
{
    return e->m->ops->join != NULL;
}

static bool goes_on(const struct epoch *e)
{
    return e->finish || !interrupt_signal();
}

static void plan_stages(struct epoch *e)
{
    int64_t slice = in_rounds(e) ? e->m->ops->slice(e->m, e->s->p) : 0;

    e->first_stage[0] = 1;
    for (int s = 0; s < e->s->p; s++)
        e->first_stage[s + 1] =
            e->first_stage[s] +
            (slice ? (int)((schedule_largest(e->s, s) + slice - 1) / slice) : 1);
}

/* ---- the order ---- */

static void await(atomic_int *done, int stages)
{
    for (int tries = 0; atomic_load_explicit(done, memory_order_acquire) < stages; tries++)
        if (tries >= 100)
            sched_yield();
}

static void await_turn(struct epoch *e, int stage, int block)
{
    if (in_rounds(e)) {
        await(&e->joined, stage);
    } else {
        await(&e->done[block], stage);
        await(&e->done[(block + 1) % e->s->p], stage);
    }
}

/* How many stages are done with this one; after the last as many as anyone may wait for. */
static int done_with(const struct epoch *e, int stage)
{
    return stage + 1 == e->first_stage[e->s->p] ? INT_MAX : stage + 1;
}

static void join(struct epoch *e, int stage)
{
    if (stage == 0)
        plan_stages(e);
    else if (goes_on(e))
        e->m->ops->join(e->m, e->s->p, e->progress);
    atomic_store_explicit(&e->joined, done_with(e, stage), memory_order_release);
}

static void end_job(struct epoch *e, int stage, int block)
{
    if (!in_rounds(e))
        atomic_store_explicit(&e->done[block], done_with(e, stage), memory_order_release);
    else if (atomic_fetch_add(&e->ended, 1) + 1 == (stage + 1) * e->s->p)
        join(e, stage);
}

/* ---- the work ---- */

static void learn(struct epoch *e, int stage, int block)
{
    int stratum = 0, rounds, round;
    struct cell c;

    while (e->first_stage[stratum + 1] <= stage)
        stratum++;
    rounds = e->first_stage[stratum + 1] - e->first_stage[stratum];
    round = stage - e->first_stage[stratum];
    c = schedule_cell(e->s, stratum, block);
    c.from = c.n * round / rounds;
    c.to = c.n * (round + 1) / rounds;
    c.worker = omp_get_thread_num();
    e->m->ops->learn(e->m, &c, e->progress, &e->loss[block]);
}

static void do_job(struct epoch *e, int stage, int block)
{
    if (stage == 0) {
        schedule_sort(e->s, block);
        e->loss[block] = (struct tally){0};
    } else if (goes_on(e)) {
        learn(e, stage, block);
    }
}

static void work(struct epoch *e)
{
    int p = e->s->p;

    for (;;) {
        int job = atomic_fetch_add(&e->next, 1), stage = job / p, block = job % p;

        await_turn(e, stage, block);
        if (stage > 0 && stage >= e->first_stage[p])
            return;
        do_job(e, stage, block);
        end_job(e, stage, block);
    }
}

static void run_epoch(struct model *m, struct schedule *s, int epoch, double progress,
                      const struct loop_plan *plan, struct tally *loss)
{
    atomic_int done[SCHEDULE_MAX] = {0};
    struct epoch e = {.m = m,
                      .s = s,
                      .progress = progress,
                      .finish = plan->checkpoint_every > 0,
                      .loss = loss,
                      .done = done};

    schedule_deal(s, epoch);
    if (in_rounds(&e))
        m->ops->begin(m, s->p, plan->threads);
    else
        plan_stages(&e);
#pragma omp parallel num_threads(plan->threads)
    work(&e);
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

/* A look at val, if there is anything to see. */
static bool look_at_val(const struct model *m, const struct dataset *d, int epoch, int threads,
                        struct loop_result *r, struct err *err)
{
    struct loop_epoch *e = &r->epochs[epoch];

    if (!d->part[DATASET_VAL].n)
        return true;
    r->metrics.threads = threads;
    if (!rank_evaluate(m, d, DATASET_VAL, &r->metrics, &e->val, err))
        return false;
    e->has_val = true;
    r->val_s += e->val.seconds;
    log_debug("train.val", "epoch=%d %s_at_%d=%.4f users=%d", epoch + 1,
              r->metrics.metrics[0]->name, r->metrics.k[0], e->val.known.value[0],
              e->val.known.n_users);
    return true;
}

static bool check_finite(struct model *m, double loss, int epoch, double progress, bool whole,
                         struct err *err)
{
    const char *bad = "the loss";

    if (isfinite(loss) && (!whole || model_finite(m, &bad)))
        return true;
    return err_set(err, ERR_DATA,
                   "%s is no longer finite in epoch %d at a learning rate of %g; lower --lr", bad,
                   epoch + 1, m->ops->rate(m, progress));
}

/* ---- the best epoch ---- */

/* After a look at val. */
static void keep_best(struct model *m, struct loop_result *r)
{
    enum { NDCG_AT_20 = 3 }; /* of recall@10, recall@20, ndcg@10, ndcg@20 */
    double value = r->epochs[r->n_epochs - 1].val.known.value[NDCG_AT_20];
    struct loop_best *b = &r->best;

    if (b->epoch && !(value > b->value)) {
        b->looks_since++;
        return;
    }
    if (b->model)
        model_copy(b->model, m);
    else
        b->model = model_clone(m);
    *b = (struct loop_best){r->n_epochs, value, 0, b->model};
}

static bool is_over(const struct loop_plan *plan, const struct loop_result *r)
{
    return r->n_epochs == plan->epochs ||
           (plan->early_stop && r->best.looks_since >= plan->early_stop);
}

/* ---- epochs ---- */

/* Look at val after the last epoch that was done, where it's time and hasn't been yet. */
static bool look_if_due(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                        struct loop_result *r, struct err *err)
{
    int n = r->n_epochs;
    bool due = n == plan->epochs || (plan->eval_every && n % plan->eval_every == 0);

    if (n == 0 || !due || r->epochs[n - 1].has_val)
        return true;
    if (!look_at_val(m, d, n - 1, plan->threads, r, err))
        return false;
    if (plan->early_stop)
        keep_best(m, r);
    return true;
}

/* After n epochs it's time for a checkpoint, or a signal says that it's the last chance. */
static bool saves_now(const struct loop_plan *plan, int n)
{
    return plan->checkpoint_every && (interrupt_signal() || n % plan->checkpoint_every == 0);
}

/* One epoch into r->epochs[r->n_epochs]. */
static bool one_epoch(struct model *m, const struct loop_plan *plan, struct schedule *s,
                      struct loop_result *r, struct err *err)
{
    struct tally loss[SCHEDULE_MAX];
    int e = r->n_epochs;
    struct loop_epoch *now = &r->epochs[e];
    double start = clock_seconds(), progress = plan->epochs > 1 ? e / (plan->epochs - 1.0) : 0;

    run_epoch(m, s, e, progress, plan, loss);
    now->seconds = clock_seconds() - start;
    now->loss = mean_loss(loss, s->p);
    now->samples_per_s = (double)s->train->n / now->seconds;
    r->epochs_s += now->seconds;
    r->n_epochs = e + 1;
    return (plan->checkpoint_every || interrupt_check(err)) &&
           check_finite(m, now->loss, e, progress,
                        e == plan->epochs - 1 || saves_now(plan, r->n_epochs), err);
}

/* Write a checkpoint if it's time. (Where a signal came, a look at val that was due comes when the
 * run goes on.) */
static bool keep_safe(const struct loop_plan *plan, struct model *m, const struct loop_result *r,
                      struct err *err)
{
    if (saves_now(plan, r->n_epochs) && !checkpoint_save(plan, m, r, err))
        return false;
    return interrupt_check(err);
}

static bool run_epochs(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                       struct schedule *s, struct loop_result *r, struct err *err)
{
    AUTO(progress) bar = {0};

    progress_init(&bar, "train", "epochs", plan->epochs);
    if (!look_if_due(m, d, plan, r, err))
        return false;
    while (!is_over(plan, r)) {
        char note[64];

        if (!one_epoch(m, plan, s, r, err))
            return false;
        if (!interrupt_signal() && !look_if_due(m, d, plan, r, err) &&
            err->kind != ERR_INTERRUPTED) /* else the epoch is worth keeping all the same */
            return false;
        if (!keep_safe(plan, m, r, err))
            return false;
        snprintf(note, sizeof note, "loss %.4f", r->epochs[r->n_epochs - 1].loss);
        progress_update(&bar, r->n_epochs, note);
    }
    if (r->best.model)
        model_copy(m, r->best.model);
    return true;
}

static bool learn_by_epochs(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                            struct loop_result *r, struct err *err)
{
    const struct interactions *train = &d->part[DATASET_TRAIN];
    double start = clock_seconds();
    AUTO(schedule) s = {0};

    r->partitions =
        plan->partitions ? plan->partitions : schedule_partitions(train->n, d->n_users, d->n_items);
    r->epochs = xcalloc((size_t)plan->epochs, sizeof *r->epochs);
    m->ops->init(m, train);
    schedule_init(&s, train, d->n_users, d->n_items, r->partitions, m->seed);
    schedule_weigh(&s, m->ops->popularity_power ? m->ops->popularity_power(m) : 0);
    if (plan->resume && !checkpoint_resume(plan, m, r, err))
        return false;
    if (r->n_epochs == 0 && m->ops->warm_start && !m->ops->warm_start(m, err))
        return false;
    if (plan->checkpoint_every && !checkpoint_begin(plan, r, err))
        return false;
    r->init_s = clock_seconds() - start;
    return run_epochs(m, d, plan, &s, r, err);
}

static bool learn_at_once(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                          struct loop_result *r, struct err *err)
{
    const struct interactions *train = &d->part[DATASET_TRAIN];
    double start = clock_seconds();

    r->epochs = xcalloc(1, sizeof *r->epochs);
    if (!(m->ops->combine ? m->ops->combine(m, train, &d->part[DATASET_VAL], err)
                          : m->ops->fit(m, train, err)))
        return false;
    r->n_epochs = 1;
    r->epochs_s = r->epochs[0].seconds = clock_seconds() - start;
    r->epochs[0].loss = NAN;
    r->epochs[0].samples_per_s = (double)train->n / MAX(r->epochs_s, 1e-9);
    return look_at_val(m, d, 0, plan->threads, r, err);
}

bool loop_train(struct model *m, const struct dataset *d, const struct loop_plan *plan,
                struct loop_result *out, struct err *err)
{
    struct loop_plan p = *plan;

    *out = (struct loop_result){0};
    if (!d->part[DATASET_TRAIN].n)
        return err_set(err, ERR_DATA, "train has no rows: there is nothing to learn from");
    if (p.early_stop && !d->part[DATASET_VAL].n)
        return err_set(err, ERR_DATA, "val has no rows: --early-stop has nothing to look at");
    if (!p.threads)
        p.threads = omp_get_max_threads();
    omp_set_num_threads(p.threads);
    if (!rank_plan_parse(&out->metrics, "recall,ndcg", "10,20", err))
        return false;
    return m->ops->learn ? learn_by_epochs(m, d, &p, out, err) : learn_at_once(m, d, &p, out, err);
}

void loop_result_release(struct loop_result *r)
{
    free(r->epochs);
    model_free(r->best.model);
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

void loop_write_json(const struct loop_result *r, struct json_out *out)
{
    json_put_int(out, "partitions", r->partitions);
    if (r->best.epoch)
        json_put_int(out, "best_epoch", r->best.epoch);
    json_open(out, "epochs", '[');
    for (int e = 0; e < r->n_epochs; e++)
        write_epoch(r, e, out);
    json_close(out, ']');
    json_open(out, "timings", '{');
    json_put_real(out, "init_s", r->init_s);
    json_put_real(out, "epochs_s", r->epochs_s);
    json_put_real(out, "validation_s", r->val_s);
    json_close(out, '}');
}
