/* base.h - what every file may use: allocation that does not fail, scopes that clean up.
 *
 * Out of memory ends the program with a message: no caller could do better, and what the outside
 * world can make us allocate is bounded where it comes in. */
#ifndef KINDRED_BASE_H
#define KINDRED_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef NDEBUG
#error "asserts are part of the program: build without NDEBUG"
#endif

#define ARRAY_LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))

#define NODISCARD                   __attribute__((warn_unused_result))
#define PRINTF(fmt_index, va_index) __attribute__((format(printf, fmt_index, va_index)))

/* AUTO(buf) b = {0}: buf_release(&b) runs when the scope ends, however it ends. Every _release does
 * nothing on a zeroed struct, and leaves one. AUTO_FREE is the same for a plain pointer. */
#define AUTO(type) __attribute__((cleanup(type##_release))) struct type
#define AUTO_FREE  __attribute__((cleanup(free_pointer)))

static inline void free_pointer(void *p)
{
    free(*(void **)p);
}

/* malloc, calloc, realloc and strdup that return memory or end the program. n * size must be what
 * fits memory: an overflow ends the program too. */
void *xmalloc(size_t n, size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

/* How these call this process when they end it: one of several has a name. */
void name_process(const char *name);

/* Memory for the big arrays: zeroed, aligned to 64 bytes, to be given to free(). */
void *xaligned(size_t n, size_t size);

/* Sort (n) ids and take out those that are there twice; returns how many are left. */
int32_t sort_unique(int32_t *ids, int32_t n);

#define KINDRED_VERSION "0.1.0"

/* What overruns its target or hides its state has no place here. */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets rand srand

#endif
