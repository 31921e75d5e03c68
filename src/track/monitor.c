#include "track/monitor.h"

#include "base/clock.h"
#include "track/track.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <time.h>

static const double MB = 1e6;

struct counts {
    int64_t busy, all;            /* processor time, in ticks */
    int64_t received, sent;       /* bytes, of all devices but the loop back */
    int64_t memory, available;    /* bytes */
    int64_t disk_used, disk_free; /* bytes, where the run works; what is root's alone is neither */
};

struct monitor {
    struct track *track;
    struct counts first, last;
    int64_t n; /* samples */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool over;
};

/* ---- what the kernel tells; what it doesn't stays 0 ---- */

static void read_processors(struct counts *c)
{
    FILE *f = fopen("/proc/stat", "r");
    int64_t t[8] = {0};

    if (!f)
        return;
    if (fscanf(f,
               "cpu %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
               " %" SCNd64 " %" SCNd64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) == ARRAY_LEN(t))
        for (int i = 0; i < ARRAY_LEN(t); i++) {
            c->all += t[i];
            c->busy += i == 3 || i == 4 ? 0 : t[i]; /* idle, and waiting for disks */
        }
    fclose(f);
}

static void read_memory(struct counts *c)
{
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    int64_t kb;

    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %" SCNd64, &kb) == 1)
            c->memory = kb * 1024;
        if (sscanf(line, "MemAvailable: %" SCNd64, &kb) == 1)
            c->available = kb * 1024;
    }
    if (f)
        fclose(f);
}

static void read_network(struct counts *c)
{
    FILE *f = fopen("/proc/net/dev", "r");
    char line[512];

    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        int64_t in, out;

        if (colon && !strstr(line, "lo:") &&
            sscanf(colon + 1, "%" SCNd64 " %*d %*d %*d %*d %*d %*d %*d %" SCNd64, &in, &out) == 2) {
            c->received += in;
            c->sent += out;
        }
    }
    if (f)
        fclose(f);
}

static void read_disk(struct counts *c)
{
    struct statvfs s;

    if (statvfs(".", &s))
        return;
    c->disk_used = (int64_t)((s.f_blocks - s.f_bfree) * s.f_frsize);
    c->disk_free = (int64_t)(s.f_bavail * s.f_frsize);
}

static struct counts count(void)
{
    struct counts c = {0};

    read_processors(&c);
    read_memory(&c);
    read_network(&c);
    read_disk(&c);
    return c;
}

/* ---- samples ---- */

static void sample(struct monitor *m)
{
    struct counts c = count();
    struct track *t = m->track;
    int64_t ticks = c.all - m->last.all, used = c.memory - c.available;

    if (ticks > 0)
        track_metric(t, "system/cpu_utilization_percentage",
                     100.0 * (double)(c.busy - m->last.busy) / (double)ticks, m->n);
    if (c.memory) {
        track_metric(t, "system/system_memory_usage_megabytes", (double)used / MB, m->n);
        track_metric(t, "system/system_memory_usage_percentage",
                     100.0 * (double)used / (double)c.memory, m->n);
    }
    if (c.disk_used + c.disk_free) {
        track_metric(t, "system/disk_usage_percentage",
                     100.0 * (double)c.disk_used / (double)(c.disk_used + c.disk_free), m->n);
        track_metric(t, "system/disk_usage_megabytes", (double)c.disk_used / MB, m->n);
        track_metric(t, "system/disk_available_megabytes", (double)c.disk_free / MB, m->n);
    }
    track_metric(t, "system/network_receive_megabytes",
                 (double)(c.received - m->first.received) / MB, m->n);
    track_metric(t, "system/network_transmit_megabytes", (double)(c.sent - m->first.sent) / MB,
                 m->n);
    m->last = c;
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
    pthread_condattr_t monotonic;
    sigset_t all, before;
    int failed;

    m->track = t;
    m->first = m->last = count();
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    failed = pthread_create(&m->thread, NULL, watch, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
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
