/* thread.h - threads that work beside the main one, which alone sees signals. */
#ifndef KINDRED_THREAD_H
#define KINDRED_THREAD_H

#include "base/base.h"

#include <pthread.h>

/* False: the system has no more of them. */
NODISCARD bool thread_start(pthread_t *out, void *(*run)(void *context), void *context);

/* A condition whose timed waits are by CLOCK_MONOTONIC. */
void thread_condition_init(pthread_cond_t *c);

/* From now on this thread gives way to those that wait for the same processor: it works for half a
 * millisecond and sleeps for one, where a turn that the scheduler gives is some milliseconds long,
 * whatever its nice value; and it starts no threads to share its loops with. */
void thread_give_way(void);

/* Sleeps, if the thread gives way and has worked for so long. Cheap: for each item of a long loop.
 */
void thread_pace(void);

#endif
