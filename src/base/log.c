#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/progress.h"

#include <stdarg.h>
#include <stdatomic.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int max_level = LOG_INFO;
static int own_rank; /* above 0: others tell the rest */
static char rank_field[24];

void log_set_level(enum log_level level)
{
    max_level = (int)level;
}

void log_set_rank(int rank)
{
    own_rank = rank;
    snprintf(rank_field, sizeof rank_field, " rank=%d", rank);
}

enum log_level log_level_named(const char *name)
{
    for (int i = 0; i < ARRAY_LEN(level_names); i++)
        if (!strcmp(name, level_names[i]))
            return (enum log_level)i;
    assert(!"a level that the option table let through");
    return LOG_INFO;
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
    char when[CLOCK_ISO_MAX];
    AUTO(buf) line = {0};
    va_list args;
    char text[1024];

    if ((int)level > max_level || (own_rank > 0 && level > LOG_WARN))
        return;
    clock_iso(clock_epoch_ms(), when);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_printf(&line, "%s %-5s%s %s %s\n", when, level_names[level], rank_field, event, text);
    progress_clear();
    fwrite(line.data, 1, line.len, stderr);
}
