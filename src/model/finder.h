/* finder.h - the best k items for a query, exactly, without looking closely at all of them: what
 * the server ranks by. The lists are those of topk.h, item for item.
 *
 * Where a score is the product of a query's vector and an item's, plus a bias of the item (or plus
 * what few items have for a query: those are scored first), items
 * lie in the order of lengths and biases, their principal parts as bytes: once nothing that follows
 * can be long enough, the search ends; and what is looked at is scored exactly only where the
 * product of bytes, and the most that it may be wrong by, reach the k-th best. Other models score
 * every item. */
#ifndef KINDRED_FINDER_H
#define KINDRED_FINDER_H

#include "model/topk.h"

struct finder;

/* For a model that stays as it is, and outlives it. Cost: less than 1.5 dim + 48 bytes an item. */
struct finder *finder_new(const struct model *m);
void finder_free(struct finder *f);

/* Whether it looks at few items. */
bool finder_is_fast(const struct finder *f);

enum { FINDER_QUERIES = 16 }; /* at most, a call */

/* What one thread searches with, again and again. */
struct finder_room {
    float *state;              /* of FINDER_QUERIES queries, as the next two */
    float *scores;             /* of a block */
    int32_t *extras;           /* (n_items) items that have more than the product; NULL: none has */
    int8_t *bytes;             /* what their vectors are as bytes */
    float *left;               /* of one, what its bytes leave over */
    float *head;               /* of one */
    int32_t *found;            /* places in a block */
    uint16_t *left_out;        /* (n_items) a bit a query: not listed; 0 between two searches */
    int64_t scored, looked_at; /* of the last search, by all its queries */
    int n_queries;             /* of it */
};

void finder_room_init(struct finder_room *r, const struct finder *f);
void finder_room_release(struct finder_room *r);

struct finder_query {
    struct query q; /* served by the model */
    int k;          /* 1 <= k <= TOPK_MAX */
    bool exclude_seen;
    const int32_t *exclude; /* (n_exclude) items, besides */
    int n_exclude;
    const uint64_t *among; /* a bit an item: only these are listed; NULL: all */
};

/* Best first; returns how many. out: room for k. */
int finder_find(const struct finder *f, struct finder_room *room, const struct finder_query *q,
                struct hit *out);

/* The same for n <= FINDER_QUERIES queries at once, for which a block of items is read once.
 *
 * out    (n) room for k hits of each
 * n_out  (n) how many there are */
void finder_find_many(const struct finder *f, struct finder_room *room,
                      const struct finder_query *q, int n, struct hit *const *out, int *n_out);

/* For lists that are made otherwise: what the query leaves out is marked, until it's unmarked; and
 * whether an item may be listed. */
void finder_mark(struct finder_room *room, const struct finder_query *q, bool as);
bool finder_lists(const struct finder_room *room, const struct finder_query *q, int32_t item);

/* Whether the last search looked at so many items that queries had better be searched for together.
 */
bool finder_was_long(const struct finder_room *room);

/* How many items the last search of that room scored exactly: for tests and benchmarks. */
int64_t finder_scored(const struct finder_room *room);

#endif
