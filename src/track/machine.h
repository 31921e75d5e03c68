/* machine.h - what a machine is busy with, as MLflow names it in its system metrics. */
#ifndef KINDRED_MACHINE_H
#define KINDRED_MACHINE_H

#include "base/base.h"

enum { MACHINE_VALUES = 8 };

extern const char *const machine_names[MACHINE_VALUES]; /* "cpu_utilization_percentage" */

struct machine_counts {
    int64_t busy, all;            /* processor time, in ticks */
    int64_t received, sent;       /* bytes, of all devices but the loop back */
    int64_t memory, available;    /* bytes */
    int64_t disk_used, disk_free; /* bytes, where the run works; what is root's alone is neither */
};

struct machine {
    struct machine_counts first, last;
};

void machine_begin(struct machine *m);

/* Processors since the last time, the network since the beginning, the rest now; megabytes are 1e6
 * bytes. What the kernel doesn't tell is NAN. */
void machine_read(struct machine *m, double out[static MACHINE_VALUES]);

#endif
