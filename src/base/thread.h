/* thread.h - threads that work beside the main one, which alone sees signals. */
#ifndef KINDRED_THREAD_H
#define KINDRED_THREAD_H

#include "base/base.h"

#include <pthread.h>

/* False: the system has no more of them. */
NODISCARD bool thread_start(pthread_t *out, void *(*run)(void *context), void *context);

/* A condition whose timed waits are by CLOCK_MONOTONIC. */
void thread_condition_init(pthread_cond_t *c);

#endif
