/* clock.h - time: since some start for durations, since 1970 for people. */
#ifndef KINDRED_CLOCK_H
#define KINDRED_CLOCK_H

#include "base/base.h"

double clock_seconds(void);   /* monotonic; only differences mean something */
int64_t clock_epoch_ms(void); /* since 1970-01-01T00:00:00Z */

/* out: "2026-11-24T13:42:02Z". */
enum { CLOCK_ISO_MAX = 32 };
void clock_iso(int64_t epoch_ms, char out[static CLOCK_ISO_MAX]);

#endif
