/* monitor.h - the machine while a run lives, as metrics under MLflow's names for them:
 * system/cpu_utilization_percentage and so on (machine.h). Every second at first, later every
 * hundredth part of the run's time. */
#ifndef KINDRED_MONITOR_H
#define KINDRED_MONITOR_H

#include "base/base.h"

struct track;
struct monitor;

/* NULL: there are no threads left; it's done without. */
struct monitor *monitor_start(struct track *t);
void monitor_stop(struct monitor *m);

#endif
