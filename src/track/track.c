#include "track/track.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "track/delivery.h"
#include "track/journal.h"
#include "track/monitor.h"
#include "track/sink.h"

#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct track {
    struct journal journal;
    struct track_plan plan; /* texts are the caller's until the end */
    struct monitor *monitor;
    pthread_t sender;
    bool has_sender;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t change;
    bool over;        /* the end stands in the journal */
    bool done;        /* the sender has left */
    bool gave_up;     /* the store doesn't take the run */
    double deadline;  /* over: for the sender */
    struct buf link;  /* where the run is; the sender's until it's done */
    struct err error; /* of the last try */
    bool whole;
};

/* ---- the sender ---- */

static struct timespec from_now(double seconds)
{
    struct timespec t;
    double whole = floor(seconds);

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)((seconds - whole) * 1e9);
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

/* Until it's time to try again, or the run is over. Locked. */
static void rest(struct track *t, double seconds)
{
    struct timespec until = from_now(seconds);

    while (!t->over && !pthread_cond_timedwait(&t->change, &t->lock, &until))
        ;
}

/* Seconds until the next try: doubling, with jitter; or what the store asks for. */
static double back_off(int failures, double asked)
{
    enum { MOST_S = 30 };
    struct timespec now;
    double jitter;

    clock_gettime(CLOCK_MONOTONIC, &now);
    jitter = 0.5 + (double)(now.tv_nsec / 1000 % 1000) / 1000;
    return MAX(asked, MIN(MOST_S, ldexp(0.25, failures)) * jitter);
}

/* The last try ended so; whether another one is to come. Locked. */
static bool goes_on(struct track *t, const struct delivery *d, bool ok, int *failures)
{
    enum { EVERY_S = 1 };
    double pause = ok ? EVERY_S : back_off(*failures, delivery_wait(d));

    *failures = ok ? 0 : MIN(*failures + 1, 16);
    if (delivery_is_whole(d) || (!ok && t->error.kind == ERR_DATA))
        return false;
    if (!t->over) {
        rest(t, pause);
        return true;
    }
    if (ok) /* the end was added while it sent */
        return true;
    if (clock_seconds() + pause >= t->deadline)
        return false;
    pthread_mutex_unlock(&t->lock);
    nanosleep(&(struct timespec){(time_t)pause, (long)((pause - floor(pause)) * 1e9)}, NULL);
    pthread_mutex_lock(&t->lock);
    return true;
}

static void send_all(struct track *t, struct delivery *d)
{
    int failures = 0;
    bool ok;

    pthread_mutex_lock(&t->lock);
    do {
        struct err err = {0};

        pthread_mutex_unlock(&t->lock);
        ok = delivery_go(d, &err);
        pthread_mutex_lock(&t->lock);
        t->error = err;
    } while (goes_on(t, d, ok, &failures));
    t->gave_up = !ok && t->error.kind == ERR_DATA;
    pthread_mutex_unlock(&t->lock);
}

static void *send(void *context)
{
    struct track *t = context;
    struct delivery *d = NULL;
    struct err err = {0};

    if (delivery_open(&d, t->journal.dir, &err))
        send_all(t, d);
    else
        t->error = err;
    delivery_show(d, &t->link);
    pthread_mutex_lock(&t->lock);
    t->whole = delivery_is_whole(d);
    if (t->whole)
        delivery_forget(d);
    t->done = true;
    pthread_cond_broadcast(&t->change);
    pthread_mutex_unlock(&t->lock);
    delivery_close(d);
    return NULL;
}

/* ---- lines ---- */

enum { DIGEST_MOST = 36 }; /* characters that a store takes */

/* {"name":[key, */
static void open_line(struct json_out *line, const char *name, const char *key)
{
    json_open(line, NULL, '{');
    json_open(line, name, '[');
    json_put_str(line, NULL, key);
}

static void close_line(struct track *t, struct json_out *line)
{
    json_close(line, ']');
    json_close(line, '}');
    journal_add(&t->journal, line);
}

static void add_texts(struct track *t, const char *name, const char *key, const char *value)
{
    AUTO(json_out) line = {0};

    if (!t)
        return;
    open_line(&line, name, key);
    json_put_str(&line, NULL, value);
    close_line(t, &line);
}

void track_param(struct track *t, const char *key, const char *value)
{
    add_texts(t, "param", key, value);
}

void track_tag(struct track *t, const char *key, const char *value)
{
    add_texts(t, "tag", key, value);
}

void track_metric(struct track *t, const char *key, double value, int64_t step)
{
    AUTO(json_out) line = {0};

    if (!t)
        return;
    open_line(&line, "metric", key);
    if (isfinite(value))
        json_put_real(&line, NULL, value);
    else
        json_put_str(&line, NULL, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    json_put_int(&line, NULL, clock_epoch_ms());
    json_put_int(&line, NULL, step);
    close_line(t, &line);
}

void track_dataset(struct track *t, const char *name, const char *digest, const char *dir,
                   const char *profile, const char *context)
{
    AUTO(json_out) line = {0}, source = {0};

    if (!t)
        return;
    json_open(&source, NULL, '{');
    json_put_str(&source, "uri", dir);
    json_close(&source, '}');
    json_open(&line, NULL, '{');
    json_open(&line, "dataset", '{');
    json_put_str(&line, "name", name);
    json_put_strn(&line, "digest", digest, strnlen(digest, DIGEST_MOST));
    json_put_str(&line, "source", buf_str(&source.buf));
    json_put_str(&line, "profile", profile);
    json_put_str(&line, "context", context);
    json_close(&line, '}');
    json_close(&line, '}');
    journal_add(&t->journal, &line);
}

/* Its name in the journal, to be freed; NULL, after a warning: it couldn't be kept. */
static char *keep(struct track *t, const char *path)
{
    struct err err = {0};
    char *name = journal_keep(&t->journal, path, &err);

    if (!name)
        log_warn("track.lost", "file=\"%s\" error=\"%s\"; the run goes on", path, err.msg);
    return name;
}

void track_file(struct track *t, const char *path, const char *as)
{
    AUTO_FREE char *name = t ? keep(t, path) : NULL;
    AUTO(json_out) line = {0};

    if (!name)
        return;
    open_line(&line, "file", name);
    json_put_str(&line, NULL, as);
    close_line(t, &line);
}

/* False: one couldn't be kept. */
static bool put_files(struct track *t, const struct track_model *m, struct json_out *line)
{
    json_open(line, "files", '[');
    for (int i = 0; m->files[i]; i++) {
        AUTO_FREE char *path = path_join(m->dir, m->files[i]), *name = keep(t, path);

        if (!name)
            return false;
        json_open(line, NULL, '[');
        json_put_str(line, NULL, name);
        json_put_str(line, NULL, m->files[i]);
        json_close(line, ']');
    }
    json_close(line, ']');
    return true;
}

void track_model(struct track *t, const struct track_model *m)
{
    AUTO(json_out) line = {0};

    if (!t)
        return;
    json_open(&line, NULL, '{');
    json_open(&line, "model", '{');
    json_put_str(&line, "name", m->name);
    json_put_str(&line, "registered", m->registered);
    json_put_str(&line, "alias", m->alias);
    json_put_str(&line, "dataset", m->dataset);
    json_put_strn(&line, "digest", m->digest, strnlen(m->digest, DIGEST_MOST));
    json_put_int(&line, "step", m->step);
    json_open(&line, "metrics", '[');
    for (int i = 0; i < m->n_metrics; i++)
        json_put_str(&line, NULL, m->metrics[i]);
    json_close(&line, ']');
    if (!put_files(t, m, &line))
        return;
    json_close(&line, '}');
    json_close(&line, '}');
    journal_add(&t->journal, &line);
}

const char *track_id(const struct track *t)
{
    return t->journal.id;
}

/* ---- begin and end ---- */

static void add_head(struct track *t)
{
    const struct track_plan *p = &t->plan;
    AUTO(json_out) line = {0};

    json_open(&line, NULL, '{');
    json_open(&line, "run", '{');
    json_put_str(&line, "id", t->journal.id);
    json_put_str(&line, "experiment", p->experiment);
    json_put_str(&line, "experiment_id", p->experiment_id);
    json_put_str(&line, "name", p->name);
    json_put_str(&line, "resumed", p->resumed);
    json_put_str(&line, "parent", p->parent);
    json_put_int(&line, "start_ms", clock_epoch_ms());
    json_put_str(&line, "uri", p->uri);
    json_close(&line, '}');
    json_close(&line, '}');
    journal_add(&t->journal, &line);
}

static void track_free(struct track *t)
{
    journal_close(&t->journal);
    buf_release(&t->link);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->change);
    free(t);
}

struct track *track_begin(const struct track_plan *plan)
{
    struct track *t = xcalloc(1, sizeof *t);
    struct err err = {0};

    t->plan = *plan;
    pthread_mutex_init(&t->lock, NULL);
    thread_condition_init(&t->change);
    if (!journal_create(&t->journal, plan->dir, &err)) {
        log_warn("track.off", "error=\"%s\"; the run goes on without", err.msg);
        track_free(t);
        return NULL;
    }
    add_head(t);
    t->has_sender = thread_start(&t->sender, send, t);
    t->monitor = monitor_start(t);
    return t;
}

static void add_end(struct track *t, const char *status)
{
    AUTO(json_out) line = {0};

    open_line(&line, "end", status);
    json_put_int(&line, NULL, clock_epoch_ms());
    close_line(t, &line);
}

/* Whether the sender has left in time. */
static bool await_sender(struct track *t)
{
    const double look_s = 0.1;
    bool asked = !isnan(t->plan.wait_s), done;
    double begun = clock_seconds();

    pthread_mutex_lock(&t->lock);
    t->over = true;
    t->deadline = begun + (asked ? t->plan.wait_s : TRACK_WAIT_S);
    pthread_cond_broadcast(&t->change);
    while (t->has_sender && !t->done) {
        double now = clock_seconds(), left = t->deadline - now;
        struct timespec until = from_now(MAX(0, MIN(left, look_s)));

        if (left <= 0 || (!asked && now - begun > TRACK_WAIT_SLOW_S && sink_is_slow()))
            break;
        pthread_cond_timedwait(&t->change, &t->lock, &until);
    }
    done = t->has_sender && t->done;
    pthread_mutex_unlock(&t->lock);
    if (done)
        pthread_join(t->sender, NULL);
    return done;
}

static void tell(const struct track *t, bool in_time)
{
    if (in_time && t->whole)
        log_info("track.run", "url=%s", buf_str(&t->link));
    else if (in_time && t->gave_up)
        log_warn("track.refused", "journal=\"%s\" error=\"%s\"; nothing of the run is lost",
                 t->journal.dir, t->error.msg);
    else
        log_warn("track.waiting",
                 "journal=\"%s\" error=\"%s\"; 'kindred track sync' sends it later", t->journal.dir,
                 in_time ? t->error.msg : "the store takes its time");
}

/* A sender that isn't back in time goes with the process, and what it uses stays. */
void track_end(struct track *t, const char *status)
{
    bool in_time;

    if (!t)
        return;
    monitor_stop(t->monitor);
    add_end(t, status);
    in_time = await_sender(t);
    tell(t, in_time);
    if (in_time || !t->has_sender)
        track_free(t);
}

/* ---- what waits ---- */

struct sync {
    int n_sent, n_left;
    struct err error; /* the first */
};

/* A process that was killed has said no end: it was when it last said something. */
static bool has_end(void *context, const struct json_t *line, struct err *)
{
    *(bool *)context |= json_get(line, "end") != NULL;
    return true;
}

static bool end_killed(const char *path, int held, struct err *err)
{
    AUTO(json_out) line = {0};
    struct stat s;
    int64_t from = 0;
    bool ended = false;

    if (!journal_each(path, &from, has_end, &ended, err) || fstat(held, &s))
        return err->kind == ERR_NONE ? err_errno(err, "look at", path) : false;
    if (ended)
        return true;
    if (from < s.st_size) /* half a line */
        buf_putc(&line.buf, '\n');
    open_line(&line, "end", "KILLED");
    json_put_int(&line, NULL, s.st_mtim.tv_sec * INT64_C(1000) + s.st_mtim.tv_nsec / 1000000);
    json_close(&line, ']');
    json_close(&line, '}');
    buf_putc(&line.buf, '\n');
    return write(held, line.buf.data, line.buf.len) == (ssize_t)line.buf.len ||
           err_errno(err, "write", path);
}

static bool sync_run(void *context, const char *run_dir, struct err *)
{
    AUTO_FREE char *path = path_join(run_dir, "journal.jsonl");
    struct sync *s = context;
    struct delivery *d = NULL;
    struct err err = {0};
    int held = journal_hold(path);

    s->n_left++;
    if (held < 0) /* it lives */
        return true;
    if (end_killed(path, held, &err) && delivery_open(&d, run_dir, &err) && delivery_go(d, &err) &&
        delivery_is_whole(d)) {
        delivery_forget(d);
        s->n_sent++;
        s->n_left--;
    } else if (err.kind != ERR_NONE) {
        err_wrap(&err, "%s", run_dir);
        log_warn("track.waiting", "journal=\"%s\" error=\"%s\"; it stays", run_dir, err.msg);
        if (s->error.kind == ERR_NONE)
            s->error = err;
    }
    delivery_close(d);
    close(held);
    return true;
}

bool track_sync(const char *dir, int *n_sent, int *n_left, struct err *err)
{
    struct sync s = {0};
    int sent_before;
    bool ok;

    do { /* a run may wait for the one that it's a part of, which is of later */
        sent_before = s.n_sent;
        s.n_left = 0;
        s.error = (struct err){0};
        ok = journal_each_run(dir, sync_run, &s, err);
    } while (ok && s.n_left && s.n_sent > sent_before);
    *n_sent = s.n_sent;
    *n_left = s.n_left;
    if (ok && s.error.kind != ERR_NONE)
        *err = s.error;
    return ok && s.error.kind == ERR_NONE;
}
