#include "base/base.h"

#include <stdarg.h>
#include <sys/mman.h>

static char own_name[128];

void name_process(const char *name)
{
    snprintf(own_name, sizeof own_name, "%s: ", name);
}

static void out_of_memory(size_t n, size_t size)
{
    fprintf(stderr, "kindred: %sout of memory (asked for %zu x %zu bytes)\n", own_name, n, size);
    exit(1);
}

void *xrealloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    void *got;

    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory(n, size);
    got = realloc(p, bytes ? bytes : 1);
    if (!got)
        out_of_memory(n, size);
    return got;
}

void *xmalloc(size_t n, size_t size)
{
    return xrealloc(NULL, n, size);
}

void *xcalloc(size_t n, size_t size)
{
    void *got = calloc(n ? n : 1, size ? size : 1);

    if (!got)
        out_of_memory(n, size);
    return got;
}

/* Large arrays that are read at random are asked for in huge pages: a row here and a row there
 * would else cost a walk of the page table each. */
void *xaligned(size_t n, size_t size)
{
    enum { LINE = 64, HUGE_PAGE = 2 << 20 };
    size_t bytes;
    void *got;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - LINE)
        out_of_memory(n, size);
    bytes = bytes ? (bytes + LINE - 1) / LINE * LINE : LINE;
    if (posix_memalign(&got, bytes >= HUGE_PAGE ? HUGE_PAGE : LINE, bytes))
        out_of_memory(n, size);
    if (bytes >= HUGE_PAGE)
        madvise(got, bytes, MADV_HUGEPAGE); /* without, it's but slower */
    return memset(got, 0, bytes);
}

char *xstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = xmalloc(len + 1, 1);

    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    char *s;
    int n;

    va_start(args, fmt);
    n = vasprintf(&s, fmt, args);
    va_end(args);
    if (n < 0)
        out_of_memory(1, strlen(fmt));
    return s;
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

int32_t sort_unique(int32_t *ids, int32_t n)
{
    int32_t left = 0;

    qsort(ids, (size_t)n, sizeof *ids, ascending);
    for (int32_t i = 0; i < n; i++)
        if (left == 0 || ids[left - 1] != ids[i])
            ids[left++] = ids[i];
    return left;
}
