/* fate.h - what becomes of a line of the input: a row that counts, or why not. */
#ifndef KINDRED_FATE_H
#define KINDRED_FATE_H

#include "data/duck.h"

/* The first of these that applies. */
enum fate {
    FATE_VALID,
    FATE_MALFORMED,        /* no JSON object, or one with none of the fields; not the number of
                              columns; invalid UTF-8 */
    FATE_MISSING_FIELD,    /* no user, item or time */
    FATE_OUT_OF_RANGE,     /* a time that can't be read or lies outside the years 1970 to 9999 */
    FATE_BELOW_MIN_RATING, /* or there is no rating to compare */
    FATE_OUTSIDE_DATES,
    FATES
};

struct fate_rules {
    bool has_times;
    bool is_json; /* ids are JSON values, of which texts and whole numbers count */
    bool nulls_are_malformed;
    double min_rating;     /* NaN: none */
    int64_t after, before; /* after <= time < before, in milliseconds */
};

/* What stood in the file; bytes NULL: nothing. */
struct fate_texts {
    struct duck_string user, item, time, rating;
    bool is_seconds; /* the time, whatever its size */
};

/* A row that counts. An id that had to be put together is `owned`. */
struct fate_row {
    struct duck_string user, item;
    char *owned_user, *owned_item; /* to be freed, or NULL */
    int64_t time;                  /* milliseconds; 0 without times */
    float rating;                  /* NaN: none */
};

/* Fills *row whatever the fate. */
enum fate fate_of(const struct fate_rules *rules, const struct fate_texts *texts,
                  struct fate_row *row);

static inline bool fate_is_bad(enum fate f)
{
    return f >= FATE_MALFORMED && f <= FATE_OUT_OF_RANGE;
}

#endif
