#include "cmd/reload.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <malloc.h>
#include <math.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct reload {
    struct reload_plan plan;
    pthread_t thread;
    char *seen; /* what was opened last, or refused */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t change;
    bool asked, over;
};

void opened_release(struct opened *o)
{
    catalog_release(&o->catalog);
    keys_free(o->keys);
    tls_identity_free(o->tls);
    free(o->what);
    *o = (struct opened){0};
}

static void put_in_place(struct reload *r)
{
    const struct reload_plan *p = &r->plan;
    AUTO(opened) opened = {.before = &serving_now(p->serving)->catalog};
    struct err err = {0};
    double begun = clock_seconds();
    bool ok = p->open(p->context, &opened, &err);

    if (ok) {
        p->place(p->context, &opened);
        serving_replace(p->serving,
                        served_new(&opened.catalog, opened.keys, opened.what, p->n_workers));
        opened.keys = NULL;
        malloc_trim(0); /* the old one's memory is the system's again */
        log_info("serve.reloaded", "model=\"%s\" seconds=%.2f", serving_now(p->serving)->source,
                 clock_seconds() - begun);
    }
    if (!ok)
        log_warn("serve.refused", "error=\"%s\"; the old model stays", err.msg);
    api_note_reload(p->api, p->role, ok ? NULL : err.msg);
}

/* Whether something else is there than what was opened, or refused, last. */
static bool is_new(struct reload *r)
{
    char *there = r->plan.look(r->plan.context);
    bool is = there && (!r->seen || strcmp(there, r->seen) != 0);

    if (is) {
        free(r->seen);
        r->seen = there;
    } else {
        free(there);
    }
    return is;
}

/* Until it's asked for, over, or time to look. Returns whether it was asked for. */
static bool rest(struct reload *r)
{
    struct timespec until;
    bool asked, late = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)r->plan.watch_s;
    until.tv_nsec += (long)((r->plan.watch_s - floor(r->plan.watch_s)) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->lock);
    while (!r->asked && !r->over && !late)
        if (r->plan.watch_s > 0)
            late = pthread_cond_timedwait(&r->change, &r->lock, &until) != 0;
        else
            pthread_cond_wait(&r->change, &r->lock);
    asked = r->asked;
    r->asked = false;
    pthread_mutex_unlock(&r->lock);
    return asked;
}

static bool is_over(struct reload *r)
{
    bool over;

    pthread_mutex_lock(&r->lock);
    over = r->over;
    pthread_mutex_unlock(&r->lock);
    return over;
}

static void *work(void *context)
{
    enum { LESS = 10 };
    struct reload *r = context;

    /* answers come first, before this thread; if not, then not */
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), LESS);
    thread_give_way();
    for (;;) {
        bool asked = rest(r), changed;

        if (is_over(r))
            return NULL;
        changed = is_new(r); /* noted even where it was asked for */
        if (asked || changed)
            put_in_place(r);
    }
}

static void reload_free(struct reload *r)
{
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->change);
    free(r->seen);
    free(r);
}

struct reload *reload_start(const struct reload_plan *plan)
{
    struct reload *r = xcalloc(1, sizeof *r);

    r->plan = *plan;
    r->seen = xstrdup(plan->now);
    pthread_mutex_init(&r->lock, NULL);
    thread_condition_init(&r->change);
    if (thread_start(&r->thread, work, r))
        return r;
    log_warn("serve.reload", "error=\"no thread for it\"; the model stays what it is");
    reload_free(r);
    return NULL;
}

void reload_ask(void *reload)
{
    struct reload *r = reload;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->asked = true;
    pthread_cond_signal(&r->change);
    pthread_mutex_unlock(&r->lock);
}

void reload_stop(struct reload *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->over = true;
    pthread_cond_signal(&r->change);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    reload_free(r);
}
