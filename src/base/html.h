/* html.h - what a page for people is written with: text that stays text, numbers with commas. */
#ifndef KINDRED_HTML_H
#define KINDRED_HTML_H

#include "base/buf.h"

/* Text, in an element or between quotes in an attribute: & < > " ' are escaped. */
void html_put_text(struct buf *b, const char *text);

/* "1,234". Needs no escaping. */
void html_put_int(struct buf *b, int64_t n);

/* "34.2 %" for 0.342; "< 0.1 %" for what isn't 0 and would look so, "0 %", "100 %". */
void html_put_share(struct buf *b, double share);

#endif
