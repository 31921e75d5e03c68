#include "track/monitor.h"

#include "base/clock.h"
#include "base/thread.h"
#include "track/machine.h"
#include "track/track.h"

#include <math.h>
#include <time.h>

struct monitor {
    struct track *track;
    struct machine machine;
    int64_t n; /* samples */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool over;
};

static void sample(struct monitor *m)
{
    double values[MACHINE_VALUES];

    machine_read(&m->machine, values);
    for (int i = 0; i < MACHINE_VALUES; i++) {
        AUTO_FREE char *key = xasprintf("system/%s", machine_names[i]);

        if (!isnan(values[i]))
            track_metric(m->track, key, values[i], m->n);
    }
    m->n++;
}

static void *watch(void *context)
{
    struct monitor *m = context;
    double start = clock_seconds();
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&m->lock);
    while (!m->over) {
        next.tv_sec += (time_t)MAX(1, floor((clock_seconds() - start) / 100));
        while (!m->over && !pthread_cond_timedwait(&m->change, &m->lock, &next))
            ;
        sample(m); /* also the last bit of a run */
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

struct monitor *monitor_start(struct track *t)
{
    struct monitor *m = xcalloc(1, sizeof *m);

    m->track = t;
    machine_begin(&m->machine);
    pthread_mutex_init(&m->lock, NULL);
    thread_condition_init(&m->change);
    if (thread_start(&m->thread, watch, m))
        return m;
    free(m);
    return NULL;
}

void monitor_stop(struct monitor *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    m->over = true;
    pthread_cond_broadcast(&m->change);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->change);
    free(m);
}
