#include "base/thread.h"

#include "base/clock.h"

#include <omp.h>
#include <signal.h>
#include <time.h>

bool thread_start(pthread_t *out, void *(*run)(void *context), void *context)
{
    sigset_t all, before;
    bool ok;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(out, NULL, run, context) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void thread_condition_init(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static _Thread_local struct {
    bool on;
    unsigned calls;
    double since; /* the last sleep's end */
} pace;

void thread_give_way(void)
{
    omp_set_num_threads(1);
    pace.on = true;
}

void thread_pace(void)
{
    enum { CALLS = 64 }; /* between two looks at the clock */
    const double work_s = 0.0005;
    const struct timespec sleep = {.tv_nsec = 1000000};

    if (!pace.on || ++pace.calls % CALLS || clock_seconds() - pace.since < work_s)
        return;
    nanosleep(&sleep, NULL);
    pace.since = clock_seconds();
}
