#include "train/epoch.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "kern/kern.h"

#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

/* An epoch as a list of jobs, taken in order by whichever worker is free. Stage 0 sorts the block's
 * samples; then come the strata, a stage each, in which each block has its cell. A job needs the
 * stage before of its own user block, and of the next one: in the stratum before, that block held
 * the item block of this cell. So there is no barrier between strata, and a worker that the machine
 * has put aside holds up no other until its rows are needed.
 *
 * On a rank (share.h) the jobs are those of its own user blocks, and for the last of these the item
 * block comes from the next rank; or, in common, that rank's first user block is done with it.
 *
 * For a model that learns in rounds (model.h) a stratum is a stage for each round, and a job needs
 * all of the stage before, and the join that whoever ends it last does. */
struct epoch {
    const struct epoch_plan *plan;
    struct model *m;
    struct schedule *s;
    struct share *share;
    double progress;
    struct tally *loss; /* (p) a block's cells come one after the other: sums in a fixed order */
    atomic_int next;    /* job: stage * p + block */
    atomic_int *done;   /* (p) stages that are done; of the blocks that are here, or in common */
    atomic_int sorted;  /* blocks whose stage 0 is done */
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
    return e->plan->finish || !interrupt_signal();
}

static void plan_stages(struct epoch *e)
{
    int64_t slice = in_rounds(e) ? e->m->ops->slice(e->m, e->s->p) : 0;
    int64_t largest[SCHEDULE_MAX];

    for (int s = 0; slice && s < e->s->p; s++)
        largest[s] = schedule_largest(e->s, s);
    if (slice && e->share)
        comm_all_fold(largest, e->s->p, COMM_MAX);
    e->first_stage[0] = 1;
    for (int s = 0; s < e->s->p; s++)
        e->first_stage[s + 1] =
            e->first_stage[s] + (slice ? (int)((largest[s] + slice - 1) / slice) : 1);
}

static int stratum_of(const struct epoch *e, int stage)
{
    int stratum = 0;

    while (e->first_stage[stratum + 1] <= stage)
        stratum++;
    return stratum;
}

/* ---- the order ---- */

static void give_way(int *tries)
{
    if ((*tries)++ >= 100)
        sched_yield();
}

static void await(atomic_int *done, int stages)
{
    for (int tries = 0; atomic_load_explicit(done, memory_order_acquire) < stages;)
        give_way(&tries);
}

/* Strata that the block has behind it; stage 0 is none. */
static int strata_done(const struct epoch *e, int block)
{
    int stages = atomic_load_explicit(&e->done[block], memory_order_acquire);

    return stages < 1 ? 0 : MIN(stages - 1, e->s->p);
}

static void travel(const struct epoch *e)
{
    if (e->s->travels)
        share_travel(e->share, strata_done(e, e->s->part.first));
}

/* As await, and see to the item blocks on their way meanwhile. */
static void await_on_rank(struct epoch *e, atomic_int *done, int stages)
{
    for (int tries = 0; atomic_load_explicit(done, memory_order_acquire) < stages;) {
        travel(e);
        give_way(&tries);
    }
}

static void await_visit(const struct epoch *e, int visit)
{
    double start = 0;

    for (int tries = 0; !share_is_here(e->share, visit);) {
        start = start > 0 ? start : clock_seconds();
        travel(e);
        give_way(&tries);
    }
    if (start > 0)
        share_waited(e->share, clock_seconds() - start);
}

/* In common the next rank's first block is seen as any other. */
static void await_neighbour(struct epoch *e, int stage)
{
    atomic_int *done = &e->done[(e->s->part.first + e->s->part.n) % e->s->p];
    double start = clock_seconds();

    if (atomic_load_explicit(done, memory_order_acquire) >= stage)
        return;
    await(done, stage);
    share_waited(e->share, clock_seconds() - start);
}

/* Stage 1 needs all of stage 0: where negatives are weighed, the tables to draw from of an item
 * block are made by any user block of the rank. */
static void await_turn_on_rank(struct epoch *e, int stage, int block)
{
    const struct schedule_part *part = &e->s->part;
    int last = part->first + part->n - 1;

    if (stage == 0)
        return;
    await_on_rank(e, &e->done[block], stage);
    if (stage == 1)
        await_on_rank(e, &e->sorted, part->n);
    if (stage > e->s->p)
        return;
    if (block < last)
        await_on_rank(e, &e->done[block + 1], stage);
    else if (e->s->common)
        await_neighbour(e, stage);
    else
        await_visit(e, part->n - 1 + stage - 1);
}

static void await_turn(struct epoch *e, int stage, int block)
{
    if (in_rounds(e)) {
        await(&e->joined, stage);
    } else if (e->share) {
        await_turn_on_rank(e, stage, block);
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

/* All ranks have what each block says. */
static void gather_joined(struct epoch *e)
{
    struct block_rows rows[MODEL_JOINED_MAX];
    const struct schedule_part *part = &e->s->part;
    int n = e->m->ops->joined(e->m, rows);

    for (int i = 0; i < n; i++)
        share_all_gather(part, e->s->p, rows[i].data, rows[i].size);
}

/* The stratum's last round: item blocks move on. */
static void pass_blocks(struct epoch *e, int stage)
{
    int stratum = stratum_of(e, stage);

    if (!e->s->travels || stage + 1 < e->first_stage[stratum + 1] || stratum + 1 == e->s->p)
        return;
    for (int tries = 0; !share_is_here(e->share, e->s->part.n + stratum);) {
        share_travel(e->share, stratum + 1);
        give_way(&tries);
    }
}

static void join(struct epoch *e, int stage)
{
    if (stage == 0) {
        plan_stages(e);
    } else {
        if (e->share)
            gather_joined(e);
        if (goes_on(e))
            e->m->ops->join(e->m, e->s->p, e->progress);
        if (e->share)
            pass_blocks(e, stage);
    }
    atomic_store_explicit(&e->joined, done_with(e, stage), memory_order_release);
}

static void end_job(struct epoch *e, int stage, int block)
{
    if (!in_rounds(e))
        atomic_store_explicit(&e->done[block], done_with(e, stage), memory_order_release);
    else if (atomic_fetch_add(&e->ended, 1) + 1 == (stage + 1) * e->s->part.n)
        join(e, stage);
    if (stage == 0)
        atomic_fetch_add(&e->sorted, 1);
    if (!in_rounds(e))
        travel(e);
}

/* ---- the work ---- */

static void learn(struct epoch *e, int stage, int block)
{
    int stratum = stratum_of(e, stage), round = stage - e->first_stage[stratum];
    int rounds = e->first_stage[stratum + 1] - e->first_stage[stratum];
    struct cell c = schedule_cell(e->s, stratum, block);

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

static void take_jobs(struct epoch *e)
{
    int n = e->s->part.n;

    for (;;) {
        int job = atomic_fetch_add(&e->next, 1), stage = job / n;
        int block = e->s->part.first + job % n;

        await_turn(e, stage, block);
        if (stage > 0 && stage >= e->first_stage[e->s->p])
            return;
        do_job(e, stage, block);
        end_job(e, stage, block);
    }
}

/* Slopes that have all but vanished would each take a hundred steps of the processor's. */
static void work(struct epoch *e)
{
    unsigned before = kern_flush_subnormals();

    take_jobs(e);
    kern_restore_subnormals(before);
}

void epoch_run(const struct epoch_plan *plan, int epoch, double progress, struct tally *loss)
{
    atomic_int done[SCHEDULE_MAX] = {0};
    struct epoch e = {.plan = plan,
                      .m = plan->m,
                      .s = plan->s,
                      .share = plan->share,
                      .progress = progress,
                      .loss = loss,
                      .done = done};

    if (plan->share && plan->share->done)
        e.done = plan->share->done;
    for (int b = 0; b < plan->s->part.n; b++)
        atomic_store(&e.done[plan->s->part.first + b], 0);
    if (plan->share)
        share_all_deal(plan->share, epoch);
    else
        schedule_deal(plan->s, epoch);
    if (in_rounds(&e))
        plan->m->ops->begin(plan->m, plan->s->p, plan->threads);
    else
        plan_stages(&e);
#pragma omp parallel num_threads(plan->threads)
    work(&e);
    if (plan->share) {
        share_leave(plan->share);
        share_all_gather(&plan->s->part, plan->s->p, loss, sizeof *loss);
    }
}
