#include "data/names.h"

struct names_slot {
    uint32_t hash;
    int32_t number; /* counted from 1; 0: empty */
};

/* ---- hashing ---- */

/* A folded product, as in wyhash (Wang Yi, 2019). */
static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_of(struct name name)
{
    const uint64_t key = 0x9e3779b97f4a7c15, start = 0xe7037ed1a0b428db;
    uint64_t h = start ^ name.len, word;
    size_t at = 0;

    for (; at + sizeof word <= name.len; at += sizeof word) {
        memcpy(&word, name.bytes + at, sizeof word);
        h = mix(h ^ word, key);
    }
    word = 0;
    memcpy(&word, name.bytes + at, name.len - at);
    h = mix(h ^ word, key);
    return (uint32_t)(h >> 32 ^ h);
}

static bool is_name(const struct names *s, int32_t number, struct name name)
{
    struct name has = names_get(s, number);

    return has.len == name.len && !memcmp(has.bytes, name.bytes, name.len);
}

/* Twice the slots, at most a half of them taken. */
static void grow_slots(struct names *s)
{
    uint32_t n = s->n_slots ? s->n_slots * 2 : 4096;
    struct names_slot *slots = xcalloc(n, sizeof *slots);

    for (uint32_t old = 0; old < s->n_slots; old++) {
        uint32_t at = s->slots[old].hash & (n - 1);

        if (!s->slots[old].number)
            continue;
        while (slots[at].number)
            at = (at + 1) & (n - 1);
        slots[at] = s->slots[old];
    }
    free(s->slots);
    s->slots = slots;
    s->n_slots = n;
}

static int32_t append(struct names *s, struct name name)
{
    size_t end = s->n ? (size_t)s->offsets[s->n] : 0;

    if (end + name.len >= s->bytes_cap) {
        s->bytes_cap = MAX(s->bytes_cap + s->bytes_cap / 2, end + name.len + 4096);
        s->bytes = xrealloc(s->bytes, s->bytes_cap, 1);
    }
    if ((size_t)s->n + 2 > s->offsets_cap) {
        s->offsets_cap = MAX(s->offsets_cap + s->offsets_cap / 2, (size_t)4096);
        s->offsets = xrealloc(s->offsets, s->offsets_cap, sizeof *s->offsets);
        s->offsets[0] = 0;
    }
    memcpy(s->bytes + end, name.bytes, name.len);
    s->offsets[++s->n] = (int64_t)(end + name.len);
    return s->n - 1;
}

/* The slot that has the name, or would. */
static struct names_slot *slot_of(const struct names *s, struct name name, uint32_t hash)
{
    uint32_t at = hash & (s->n_slots - 1);

    while (s->slots[at].number &&
           (s->slots[at].hash != hash || !is_name(s, s->slots[at].number - 1, name)))
        at = (at + 1) & (s->n_slots - 1);
    return &s->slots[at];
}

static int32_t find_or_append(struct names *s, struct name name, uint32_t hash)
{
    struct names_slot *slot = slot_of(s, name, hash);

    if (slot->number)
        return slot->number - 1;
    *slot = (struct names_slot){hash, s->n + 1};
    return append(s, name);
}

int32_t names_find(const struct names *s, struct name name)
{
    return s->n_slots ? slot_of(s, name, hash_of(name))->number - 1 : -1;
}

/* Most of the time goes into waiting for memory: so the slots of a whole block are asked for
 * first. */
bool names_add(struct names *s, const struct name *names, int n, int32_t *numbers)
{
    uint32_t hash[NAMES_BLOCK];

    assert(n <= NAMES_BLOCK);
    if (s->n > INT32_MAX - 1 - n)
        return false;
    while ((int64_t)(s->n + n) * 2 > s->n_slots)
        grow_slots(s);
    for (int i = 0; i < n; i++) {
        hash[i] = hash_of(names[i]);
        __builtin_prefetch(&s->slots[hash[i] & (s->n_slots - 1)]);
    }
    for (int i = 0; i < n; i++) {
        int32_t number = s->slots[hash[i] & (s->n_slots - 1)].number;

        if (number)
            __builtin_prefetch(&s->offsets[number - 1]);
    }
    for (int i = 0; i < n; i++)
        numbers[i] = find_or_append(s, names[i], hash[i]);
    return true;
}

/* ---- order ---- */

int name_compare(struct name a, struct name b)
{
    int c = memcmp(a.bytes, b.bytes, MIN(a.len, b.len));

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* A name with its first eight bytes, which decide most comparisons without a look at the rest. */
struct sorted {
    uint64_t prefix;
    int32_t number;
};

static int by_name(const void *a, const void *b, void *context)
{
    const struct sorted *x = a, *y = b;
    const struct names *s = context;

    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    return name_compare(names_get(s, x->number), names_get(s, y->number));
}

void names_sort(const struct names *s, int32_t *numbers, int32_t n)
{
    AUTO_FREE struct sorted *list = xmalloc((size_t)n, sizeof *list);

    for (int32_t i = 0; i < n; i++) {
        struct name name = names_get(s, numbers[i]);
        unsigned char first[8] = {0};

        memcpy(first, name.bytes, MIN(name.len, sizeof first));
        list[i] = (struct sorted){.number = numbers[i]};
        for (int b = 0; b < 8; b++)
            list[i].prefix = list[i].prefix << 8 | first[b];
    }
    qsort_r(list, (size_t)n, sizeof *list, by_name, (void *)s);
    for (int32_t i = 0; i < n; i++)
        numbers[i] = list[i].number;
}

/* ---- the rest ---- */

void names_seal(struct names *s)
{
    free(s->slots);
    s->slots = NULL;
    s->n_slots = 0;
}

size_t names_memory(const struct names *s)
{
    return s->bytes_cap + s->offsets_cap * sizeof *s->offsets + s->n_slots * sizeof *s->slots;
}

void names_release(struct names *s)
{
    free(s->bytes);
    free(s->offsets);
    free(s->slots);
    *s = (struct names){0};
}
