/* log.h - talk on stderr: an event name, then key=value.
 *
 *     2026-11-24T13:42:02Z info  train.resumed epoch=3 of=20
 *     {"time":"2026-11-24T13:42:02Z","level":"info","event":"train.resumed","epoch":3,"of":20}
 *
 * Error: only in cmd/ and main.c. Warn: something is lost but the run goes on, and the line says
 * so. Info: once an epoch or rarer. Debug: anything but the inner loops. */
#ifndef KINDRED_LOG_H
#define KINDRED_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are dropped. The start is LOG_INFO. */
void log_set_level(enum log_level level);

/* Lines are JSON objects: time, level, rank under a launcher, event, then the line's own fields,
 * numbers where they read as such; what it says in words is "message". */
void log_set_json(bool json);

/* This is one of several ranks: lines say so (rank=1), and ranks other than 0 tell no less than a
 * warning, whatever the level. */
void log_set_rank(int rank);

/* "error", "warn", "info" or "debug" to a level; the option table has checked the name. */
enum log_level log_level_named(const char *name);

/* Why a command ends: "kindred train: why", or a line of level error if lines are JSON. */
void log_failure(const char *command, const char *why);

/* Safe from any thread; one line is one write. */
void log_write(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
#define log_warn(event, ...)  log_write(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)

#endif
