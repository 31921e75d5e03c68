/* memory.h - what processes hold and the machine has, as Linux counts it. */
#ifndef KINDRED_MEMORY_H
#define KINDRED_MEMORY_H

#include "base/err.h"

/* Give back what is free, and count the peak from here on. False: the system doesn't let us. */
NODISCARD bool memory_reset_peak(void);

/* The most bytes that were resident at a time, of the program, its files and all; 0: unknown. */
int64_t memory_peak(void);

/* The sum of those of a process and all below it. */
int64_t memory_peak_of(int process);

/* Bytes that can be had without pushing others out; 0: unknown. */
int64_t memory_available(void);

/* Bytes of memory that the machine has, or that the container is given. */
double memory_of_machine(void);

/* Bytes of a size such as "512MB" or "1.5 GiB", as DuckDB reads it. ERR_USAGE: names the option. */
NODISCARD bool memory_parse(const char *option, const char *text, double *bytes, struct err *err);

#endif
