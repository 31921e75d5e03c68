/* memory.h - what this process holds, as Linux counts it. */
#ifndef KINDRED_MEMORY_H
#define KINDRED_MEMORY_H

#include "base/base.h"

/* Give back what is free, and count the peak from here on. False: the system doesn't let us. */
NODISCARD bool memory_reset_peak(void);

/* The most bytes that were resident at a time, of the program, its files and all; 0: unknown. */
int64_t memory_peak(void);

#endif
