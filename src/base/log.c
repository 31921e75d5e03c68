#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/progress.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int max_level = LOG_INFO;
static bool as_json;
static int own_rank = -1; /* none; above 0: others tell the rest */

void log_set_level(enum log_level level)
{
    max_level = (int)level;
}

void log_set_json(bool json)
{
    as_json = json;
}

void log_set_rank(int rank)
{
    own_rank = rank;
}

enum log_level log_level_named(const char *name)
{
    for (int i = 0; i < ARRAY_LEN(level_names); i++)
        if (!strcmp(name, level_names[i]))
            return (enum log_level)i;
    assert(!"a level that the option table let through");
    return LOG_INFO;
}

/* ---- lines ---- */

/* A bare value: a number where all of it is one. */
static void put_value(struct json_out *o, const char *key, const char *value)
{
    bool numeric = strchr("-.0123456789", *value) && *value;
    char *end;
    long long whole = strtoll(value, &end, 10);
    double real;

    if (numeric && !*end) {
        json_put_int(o, key, whole);
        return;
    }
    real = strtod(value, &end);
    if (numeric && !*end)
        json_put_real(o, key, real);
    else
        json_put_str(o, key, value);
}

/* The end of a quoted value: its message may have quotes of its own. NULL: it has none. */
static char *closing_quote(char *s)
{
    while ((s = strchr(s, '"')) && !strchr(" ;", s[1]))
        s++;
    return s;
}

/* key=value, key="words", set apart by blanks; from "; " on, or where no key is, words. */
static void put_fields(struct json_out *o, char *text)
{
    while (*text) {
        size_t key = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
        char *value = text + key + 1, *end;
        bool quoted = key && text[key] == '=' && *value == '"';
        char after;

        if (!key || text[key] != '=')
            break;
        end = quoted ? closing_quote(value + 1) : value + strcspn(value, " ;");
        if (!end)
            break;
        text[key] = '\0';
        after = quoted ? end[1] : *end;
        *end = '\0';
        if (quoted)
            json_put_str(o, text, value + 1);
        else
            put_value(o, text, value);
        text = end + (quoted && after) + (after != '\0');
        text += strspn(text, " ");
        if (after == ';')
            break;
    }
    if (*text)
        json_put_str(o, "message", text);
}

static void write_line(const struct buf *line)
{
    progress_clear();
    fwrite(line->data, 1, line->len, stderr);
}

static void open_line(struct json_out *o, const char *when, enum log_level level, const char *event)
{
    json_open(o, NULL, '{');
    json_put_str(o, "time", when);
    json_put_str(o, "level", level_names[level]);
    if (own_rank >= 0)
        json_put_int(o, "rank", own_rank);
    json_put_str(o, "event", event);
}

static void close_line(struct json_out *o)
{
    json_close(o, '}');
    buf_printf(&o->buf, "\n");
    write_line(&o->buf);
}

static void write_json(const char *when, enum log_level level, const char *event, char *text)
{
    AUTO(json_out) o = {0};

    open_line(&o, when, level, event);
    put_fields(&o, text);
    close_line(&o);
}

static void write_text(const char *when, enum log_level level, const char *event, const char *text)
{
    AUTO(buf) line = {0};

    buf_printf(&line, "%s %-5s", when, level_names[level]);
    if (own_rank >= 0)
        buf_printf(&line, " rank=%d", own_rank);
    buf_printf(&line, " %s %s\n", event, text);
    write_line(&line);
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
    char when[CLOCK_ISO_MAX];
    va_list args;
    char text[1024];

    if ((int)level > max_level || (own_rank > 0 && level > LOG_WARN))
        return;
    clock_iso(clock_epoch_ms(), when);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (as_json)
        write_json(when, level, event, text);
    else
        write_text(when, level, event, text);
}

void log_failure(const char *command, const char *why)
{
    char when[CLOCK_ISO_MAX];
    AUTO(json_out) o = {0};

    progress_clear();
    if (!as_json) {
        fprintf(stderr, "kindred %s: %s\n", command, why);
        return;
    }
    clock_iso(clock_epoch_ms(), when);
    open_line(&o, when, LOG_ERROR, command);
    json_put_str(&o, "message", why);
    close_line(&o);
}
