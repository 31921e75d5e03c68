/* eval_page.h - what an evaluation gave, as a page to look at. */
#ifndef KINDRED_EVAL_PAGE_H
#define KINDRED_EVAL_PAGE_H

#include "eval/examples.h"
#include "eval/groups.h"

struct eval_page {
    const char *title, *data_dir;
    const struct heldout *h;
    const struct rank_plan *plan; /* widened */
    const struct eval_page_model {
        const char *name, *path;
        const struct rank_result *result;
        const struct group_means *groups;    /* (n_groups) */
        const struct rank_means *difference; /* to the first model */
    } * models;
    int n, n_groups;
    const struct examples *examples; /* of the first model */
    const struct ids *users, *titles;
};

/* Makes the file's folder too. ERR_IO. */
NODISCARD bool eval_page_write(const char *path, const struct eval_page *p, struct err *err);

#endif
