/* log.h - talk on stderr: an event name, then key=value.
 *
 *     2026-11-24T13:42:02Z info  train.epoch epoch=1 loss=0.6900 seconds=1.50
 *
 * Error: only in cmd/ and main.c. Warn: something is lost but the run goes on, and the line says
 * so. Info: once an epoch or rarer. Debug: anything but the inner loops. */
#ifndef KINDRED_LOG_H
#define KINDRED_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are dropped. The start is LOG_INFO. */
void log_set_level(enum log_level level);

/* This is one of several ranks: lines say so (rank=1), and ranks other than 0 tell no less than a
 * warning, whatever the level. */
void log_set_rank(int rank);

/* "error", "warn", "info" or "debug" to a level; the option table has checked the name. */
enum log_level log_level_named(const char *name);

/* Safe from any thread; one line is one write. */
void log_write(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
#define log_warn(event, ...)  log_write(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)

#endif
