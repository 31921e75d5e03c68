#include "base/err.h"

#include <errno.h>
#include <stdarg.h>

static void one_line(char *s)
{
    for (; *s; s++)
        if (*s == '\n' || *s == '\r')
            *s = ' ';
}

bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    va_list args;

    err->kind = kind;
    err->agreed = false;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    one_line(err->msg);
    return false;
}

bool err_errno(struct err *err, const char *what, const char *path)
{
    return err_set(err, ERR_IO, "cannot %s '%s': %s", what, path, strerror(errno));
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    AUTO_FREE char *inner = xstrdup(err->msg);
    va_list args;
    size_t n;

    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", inner);
    one_line(err->msg);
    return false;
}
