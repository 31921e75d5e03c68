/* groups.h - the metrics once more, apart for groups: of users, or of the items held out.
 *
 * Where items are grouped, only the held-out items of the group are relevant, and the mean is over
 * the users who have one; metrics of what is listed have no value there.
 *
 * To add a grouping: a function and a row in groups.c, its name in GROUPS_NAMES. */
#ifndef KINDRED_GROUPS_H
#define KINDRED_GROUPS_H

#include "eval/rank.h"

enum { GROUPS_MAX = 4, GROUPS_LABEL = 32 };

/* Who or what is in which group. */
struct groups {
    int n;
    char label[GROUPS_MAX][GROUPS_LABEL];
    int8_t *of; /* (heldout.n_users) or (n_items), by the grouping: -1 is in none */
};

struct grouping {
    const char *name, *title;
    bool of_items;                                               /* else of users */
    void (*divide)(const struct heldout *h, struct groups *out); /* `of` is there, all -1 */
};

#define GROUPS_NAMES "activity, users, popularity, newness"

/* All of them, NULL name at the end. */
extern const struct grouping groupings[];
enum { GROUPINGS_MAX = 8 };

/* "activity,newness" -> rows of the table, each once; NULL or "": none. Returns how many; -1 on a
 * fault, as ERR_USAGE with the nearest name. */
int groups_parse(const char *option, const char *text, const struct grouping *out[GROUPINGS_MAX],
                 struct err *err);

/* One grouping's means: group by group, over users known to train (but for the grouping "users",
 * where that is the question). n_users: with a held-out item of the group. */
struct group_means {
    const struct grouping *by;
    struct groups groups;
    struct rank_means *means; /* (groups.n) */
};

/* The numbers do not depend on the number of threads. */
void group_means_make(struct group_means *g, const struct grouping *by, const struct ranking *r);
void group_means_release(struct group_means *g);

/* Whether the metric has a value in these groups. */
bool group_means_has(const struct group_means *g, const struct metric *m);

/* The member "activity": [{"group": "1-4", "users": n, "recall_at_10": ...}, ...] of the open
 * object. */
void group_means_write_json(const struct group_means *g, const struct rank_plan *plan,
                            struct json_out *out);

#endif
