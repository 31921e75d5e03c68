/* report_page.h - what preprocess made, as a page to look at. */
#ifndef KINDRED_REPORT_PAGE_H
#define KINDRED_REPORT_PAGE_H

#include "data/summary.h"

struct report_page {
    const char *title;
    const struct report_step {
        const char *what;
        int64_t n;
    } * funnel; /* (n_funnel) first all lines, then what was dropped for which reason, last what was
                   kept */
    int n_funnel;
    const struct report_fact {
        const char *name, *text;
    } * facts; /* (n_facts) such as options */
    int n_facts;
    const struct summary *summary;
};

/* Makes the file's folder too. ERR_IO. */
NODISCARD bool report_page_write(const char *path, const struct report_page *p, struct err *err);

#endif
