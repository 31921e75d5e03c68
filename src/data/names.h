/* names.h - ids as numbers: each different one gets the next, from 0. */
#ifndef KINDRED_NAMES_H
#define KINDRED_NAMES_H

#include "base/base.h"

struct name {
    const char *bytes; /* any bytes, '\0' too */
    size_t len;
};

struct names {
    int32_t n;
    char *bytes;      /* all names, one after the other */
    int64_t *offsets; /* (n + 1) into bytes */
    struct names_slot *slots;
    uint32_t n_slots; /* 0, or a power of two */
    size_t bytes_cap, offsets_cap;
};

enum { NAMES_BLOCK = 2048 };

/* The numbers of (n <= NAMES_BLOCK) names, new ones appended. False when there would be more than
 * 2^31 - 1 names.
 *
 * Memory: a name's bytes and 8, and 10 to 20 of the hash table. */
NODISCARD bool names_add(struct names *s, const struct name *names, int n, int32_t *numbers);

/* -1: it isn't there. */
int32_t names_find(const struct names *s, struct name name);

static inline struct name names_get(const struct names *s, int32_t i)
{
    return (struct name){s->bytes + s->offsets[i], (size_t)(s->offsets[i + 1] - s->offsets[i])};
}

/* Bytewise, a prefix first: below, equal to, above 0. */
int name_compare(struct name a, struct name b);

/* Sort (n) numbers by their names. */
void names_sort(const struct names *s, int32_t *numbers, int32_t n);

/* Give the hash table back; nothing can be added from here on. */
void names_seal(struct names *s);

size_t names_memory(const struct names *s); /* bytes */
void names_release(struct names *s);

#endif
