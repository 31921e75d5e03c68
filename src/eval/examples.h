/* examples.h - single users to look at: those whom a model serves best, and worst. */
#ifndef KINDRED_EXAMPLES_H
#define KINDRED_EXAMPLES_H

#include "eval/rank.h"

enum { EXAMPLES_EACH = 5, EXAMPLES_LEAST = 3, EXAMPLES_LIST = 20 };

struct examples {
    int k; /* length of the lists, at most EXAMPLES_LIST */
    int n; /* the best first, then the worst */
    int n_best;
    struct example {
        int32_t user; /* place in heldout.users */
        double ndcg;  /* at the plan's largest k shown */
        int n_list;
        int32_t list[EXAMPLES_LIST];
    } users[2 * EXAMPLES_EACH];
};

/* Of the known users with at least EXAMPLES_LEAST items held out, the five of the highest and the
 * five of the lowest NDCG; of equal ones who has more held out, then the lower index. Nobody is
 * among both. */
void examples_find(const struct ranking *r, const struct model *m, struct examples *out);

/* As cards of a page: what the user took before, the list, what was held out. */
void examples_put(struct buf *b, const struct examples *e, const struct heldout *h,
                  const struct ids *users, const struct ids *titles);

#endif
