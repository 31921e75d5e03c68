/* test.h - what the cmocka tests share. */
#ifndef KINDRED_TEST_H
#define KINDRED_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/err.h"

#include <unistd.h>

/* A file or folder name of this process's own below the system's temporary folder. */
static inline char *temp_path(const char *name)
{
    const char *dir = getenv("TMPDIR");

    return xasprintf("%s/kindred-test-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
}

#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, (err).msg);                                                  \
    } while (0)

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr(text, part))                                                                   \
            fail_msg("'%s' is not in '%s'", part, text);                                           \
    } while (0)

#endif
