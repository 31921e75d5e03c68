#include "base/clock.h"

#include <time.h>

static struct timespec now(clockid_t which)
{
    struct timespec t;
    int rc = clock_gettime(which, &t);

    assert(rc == 0);
    return t;
}

double clock_seconds(void)
{
    struct timespec t = now(CLOCK_MONOTONIC);

    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t clock_epoch_ms(void)
{
    struct timespec t = now(CLOCK_REALTIME);

    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_iso(int64_t epoch_ms, char out[static CLOCK_ISO_MAX])
{
    time_t seconds = epoch_ms / 1000;
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(out, CLOCK_ISO_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
