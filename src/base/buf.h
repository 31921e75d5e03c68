/* buf.h - a string that grows: what JSON, SQL and HTTP answers are written into. */
#ifndef KINDRED_BUF_H
#define KINDRED_BUF_H

#include "base/base.h"

struct buf {
    char *data; /* ends in '\0' when not NULL; that byte isn't counted in len */
    size_t len, cap;
};

void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_clear(struct buf *b); /* empty, memory kept */
void buf_release(struct buf *b);

/* The text so far; "" when nothing was put. Valid until the next put. */
const char *buf_str(const struct buf *b);

#endif
