/* common.h - memory that all ranks of a run see, where they are on one host. */
#ifndef KINDRED_COMMON_H
#define KINDRED_COMMON_H

#include "base/base.h"

struct comm_memory {
    char *data; /* NULL: there is none, on any rank */
    size_t size, used;
};

/* `size` bytes, zeroed; by all ranks. None where the ranks are on several hosts, or in containers
 * that can't see each other, where the host has no room, or KINDRED_SHARED_MEMORY is 0. It's gone
 * with the last process that has it, however that ends. */
void comm_all_map(struct comm_memory *m, size_t size);
void comm_memory_release(struct comm_memory *m);

/* What comm_memory_take needs for n * size bytes. */
size_t comm_memory_room(size_t n, size_t size);

/* The next n * size bytes, aligned as xaligned has it; NULL where there is no such memory. All
 * ranks take the same in the same order. What one rank writes others see after a call of all. */
void *comm_memory_take(struct comm_memory *m, size_t n, size_t size);

#endif
