/* page.h - what a report is made of: one HTML file that needs no other and no script, for light and
 * dark, wide and narrow. */
#ifndef KINDRED_PAGE_H
#define KINDRED_PAGE_H

#include "base/buf.h"
#include "base/err.h"

/* From <!doctype> to <main>, and back. */
void page_open(struct buf *b, const char *title);
void page_close(struct buf *b);

/* Write the finished page; makes the file's folder too. ERR_IO. */
NODISCARD bool page_write(const char *path, const struct buf *page, struct err *err);

/* The heading: what it is a page of, its name. More may follow before </header>. */
void page_open_header(struct buf *b, const char *what, const char *title);

/* A card: id is its class too. */
void page_open_card(struct buf *b, const char *id, const char *title);
void page_close_card(struct buf *b);

/* A table's head: names separated by '|', the first one of the rows. */
void page_open_table(struct buf *b, const char *columns);
void page_close_table(struct buf *b);

/* A table that scrolls where it's wider than the page, and one behind "The numbers". */
void page_open_wide_table(struct buf *b, const char *columns);
void page_close_wide_table(struct buf *b);
void page_open_details(struct buf *b, const char *columns);
void page_close_details(struct buf *b);

void page_put_cell(struct buf *b, int64_t n);

/* The track of a bar, with what is drawn in it: from where to where (0 to 1). */
void page_put_track(struct buf *b, const char *class, double from, double to);

extern const char page_style[]; /* CSS: page_style.c */

#endif
