/* served.h - what is served now: a catalog with all that is made of it once, which can be put in
 * another's place while requests are answered. */
#ifndef KINDRED_SERVED_H
#define KINDRED_SERVED_H

#include "model/finder.h"
#include "serve/catalog.h"
#include "serve/keys.h"

/* An item that is of a category. */
struct category {
    const char *name; /* in names */
    int32_t item;
};

struct served {
    struct catalog catalog;
    struct finder *finder;
    struct finder_room *rooms; /* (n_workers) */
    int n_workers;
    int32_t *popular;       /* (n_items) those that most users took first */
    int32_t *counts;        /* (n_items) how many that are */
    float *inverse_lengths; /* (n_items) of the model's item vectors; NULL: it has none */
    struct item_vectors vectors;
    struct category *categories; /* (n_categories) by name, then item */
    int64_t n_categories;
    struct buf names;
    struct keys *keys; /* NULL: anybody may ask */
    char *source;      /* where it is from, "models:/films/3" */
    int64_t loaded_ms;
};

/* Takes catalog and keys over; source is copied, up to a '#', behind which stands what tells it
 * from others of that name. */
struct served *served_new(struct catalog *c, struct keys *keys, const char *source, int n_workers);
void served_free(struct served *s);

/* Set the bits of the items that are of that category. */
void served_add_category(const struct served *s, const char *name, uint64_t *bits);

/* The k items that are most like one: by the angle between the model's vectors, or else what goes
 * with a history of that one. Best first, without itself; returns how many. */
int served_similar(const struct served *s, struct finder_room *room, int32_t item, int k,
                   struct hit *out);

/* The one that is served, for workers 0 .. n_workers - 1. */
struct serving;

/* first: taken over. */
struct serving *serving_new(struct served *first, int n_workers);
void serving_free(struct serving *s);

/* The one that is served now: for who replaces it. */
const struct served *serving_now(const struct serving *s);

/* What a worker serves from until it lets go of it; one at a time. Never waits. */
struct served *serving_hold(struct serving *s, int worker);
void serving_let_go(struct serving *s, int worker);

/* From here on `next` is served; returns once no worker holds what was, which is freed. One caller
 * at a time. */
void serving_replace(struct serving *s, struct served *next);

#endif
