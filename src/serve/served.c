#include "serve/served.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "kern/kern.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

/* ---- popularity ---- */

static int by_count(const void *a, const void *b, void *counts)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    const int32_t *count = counts;

    thread_pace();
    if (count[x] != count[y])
        return count[x] < count[y] ? 1 : -1;
    return (x > y) - (x < y);
}

static void sort_popular(struct served *s)
{
    const struct catalog *c = &s->catalog;
    int32_t n = c->items.n;

    s->counts = xcalloc((size_t)MAX(n, 1), sizeof *s->counts);
    s->popular = xcalloc((size_t)MAX(n, 1), sizeof *s->popular);
    for (int64_t k = 0; k < c->seen.n; k++)
        s->counts[c->seen.items[k]]++;
    for (int32_t i = 0; i < n; i++)
        s->popular[i] = i;
    qsort_r(s->popular, (size_t)n, sizeof *s->popular, by_count, s->counts);
}

/* ---- categories ---- */

static int by_name(const void *a, const void *b)
{
    const struct category *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : (x->item > y->item) - (x->item < y->item);
}

/* Names are offsets while there may be more of them. */
static void add_name(struct served *s, const char *name, int32_t item, int64_t *room)
{
    if (!name)
        return;
    if (s->n_categories == *room) {
        *room = *room ? 2 * *room : 1024;
        s->categories = xrealloc(s->categories, (size_t)*room, sizeof *s->categories);
    }
    s->categories[s->n_categories++] =
        (struct category){(const char *)(uintptr_t)s->names.len, item};
    buf_put(&s->names, name, strlen(name) + 1);
}

static void list_categories(struct served *s)
{
    int64_t room = 0;

    for (int32_t i = 0; i < s->catalog.items.n; i++) {
        const char *meta = ids_get(&s->catalog.item_meta, i);
        AUTO(json_doc) doc = {0};
        struct err unused;
        const struct json_t *list;

        thread_pace();
        if (!*meta || !json_parse(&doc, meta, strlen(meta), &unused))
            continue;
        add_name(s, json_text(json_get(doc.root, "main_category")), i, &room);
        list = json_get(doc.root, "categories");
        for (int k = 0; k < json_size(list); k++)
            add_name(s, json_text(json_at(list, k)), i, &room);
    }
    for (int64_t k = 0; k < s->n_categories; k++)
        s->categories[k].name = s->names.data + (uintptr_t)s->categories[k].name;
    if (s->n_categories)
        qsort(s->categories, (size_t)s->n_categories, sizeof *s->categories, by_name);
}

void served_add_category(const struct served *s, const char *name, uint64_t *bits)
{
    int64_t lo = 0, hi = s->n_categories;

    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;

        if (strcmp(s->categories[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->n_categories && !strcmp(s->categories[lo].name, name); lo++) {
        int32_t item = s->categories[lo].item;

        bits[item / 64] |= UINT64_C(1) << (item % 64);
    }
}

/* ---- similar items ---- */

static void measure_vectors(struct served *s)
{
    const struct model *m = s->catalog.model;

    if (!m->ops->vectors || !m->ops->vectors(m, &s->vectors) || s->vectors.extras)
        return;
    s->inverse_lengths = xaligned((size_t)m->n_items, sizeof *s->inverse_lengths);
    for (int64_t i = 0; i < m->n_items; i++) {
        const float *row = s->vectors.rows + i * s->vectors.dim;
        float squares = kern_best()->dot(row, row, s->vectors.dim);

        s->inverse_lengths[i] = squares > 0 ? 1 / sqrtf(squares) : 0;
    }
}

static int by_angle(const struct served *s, int32_t item, int k, struct hit *out)
{
    int32_t n = s->catalog.items.n;
    const float *row = s->vectors.rows + (int64_t)item * s->vectors.dim;
    AUTO_FREE float *scores = xaligned((size_t)n, sizeof *scores);

    kern_best()->scores(row, 1, s->vectors.rows, n, s->vectors.dim, scores);
    for (int32_t i = 0; i < n; i++)
        scores[i] = s->inverse_lengths[i] > 0
                        ? scores[i] * s->inverse_lengths[i] * s->inverse_lengths[item]
                        : -INFINITY;
    scores[item] = -INFINITY;
    return s->inverse_lengths[item] > 0 ? topk_best(scores, n, k, out) : 0;
}

int served_similar(const struct served *s, struct finder_room *room, int32_t item, int k,
                   struct hit *out)
{
    struct finder_query q = {
        .q = {.user = -1, .history = &item, .n_history = 1}, .k = k, .exclude_seen = true};

    if (s->inverse_lengths)
        return by_angle(s, item, k, out);
    if (!s->catalog.model->ops->serves(s->catalog.model, &q.q))
        return 0;
    return finder_find(s->finder, room, &q, out);
}

/* ---- one ---- */

/* What models make when they are first asked for, they make before anybody waits for it. */
static void warm(struct served *s)
{
    static const int32_t item = 0;
    struct finder_query q = {.q = {.user = -1, .history = &item, .n_history = 1}, .k = 1};
    struct hit hit = {0};

    if (s->catalog.items.n && s->catalog.model->ops->serves(s->catalog.model, &q.q))
        (void)finder_find(s->finder, &s->rooms[0], &q, &hit);
}

struct served *served_new(struct catalog *c, struct keys *keys, const char *source, int n_workers)
{
    struct served *s = xcalloc(1, sizeof *s);

    s->catalog = *c;
    *c = (struct catalog){0};
    s->keys = keys;
    model_hasten(s->catalog.model);
    s->finder = finder_new(s->catalog.model);
    s->n_workers = n_workers;
    s->rooms = xcalloc((size_t)n_workers, sizeof *s->rooms);
    for (int w = 0; w < n_workers; w++)
        finder_room_init(&s->rooms[w], s->finder);
    sort_popular(s);
    list_categories(s);
    measure_vectors(s);
    warm(s);
    s->source = xstrndup(source, strcspn(source, "#"));
    s->loaded_ms = clock_epoch_ms();
    return s;
}

void served_free(struct served *s)
{
    if (!s)
        return;
    for (int w = 0; w < s->n_workers; w++)
        finder_room_release(&s->rooms[w]);
    free(s->rooms);
    finder_free(s->finder);
    keys_free(s->keys);
    catalog_release(&s->catalog);
    free(s->popular);
    free(s->counts);
    free(s->inverse_lengths);
    free(s->categories);
    buf_release(&s->names);
    free(s->source);
    free(s);
}

/* ---- the one that is served ---- */

/* A worker says what it holds (a hazard pointer): M. Michael, "Hazard Pointers: Safe Memory
 * Reclamation for Lock-Free Objects", IEEE TPDS 2004. */
struct slot {
    _Alignas(64) struct served *_Atomic held;
};

struct serving {
    struct served *_Atomic now;
    struct slot *slots; /* (n_workers) */
    int n_workers;
};

struct serving *serving_new(struct served *first, int n_workers)
{
    struct serving *s = xcalloc(1, sizeof *s);

    s->slots = xaligned((size_t)n_workers, sizeof *s->slots);
    for (int w = 0; w < n_workers; w++)
        atomic_init(&s->slots[w].held, NULL);
    s->n_workers = n_workers;
    atomic_init(&s->now, first);
    return s;
}

void serving_free(struct serving *s)
{
    if (!s)
        return;
    served_free(atomic_load(&s->now));
    free(s->slots);
    free(s);
}

const struct served *serving_now(const struct serving *s)
{
    return atomic_load(&s->now);
}

struct served *serving_hold(struct serving *s, int worker)
{
    struct served *now = atomic_load(&s->now), *again;

    for (;; now = again) {
        atomic_store(&s->slots[worker].held, now);
        again = atomic_load(&s->now);
        if (again == now) /* whoever replaces it from here on sees that it's held */
            return now;
    }
}

void serving_let_go(struct serving *s, int worker)
{
    atomic_store_explicit(&s->slots[worker].held, NULL, memory_order_release);
}

void serving_replace(struct serving *s, struct served *next)
{
    const struct timespec pause = {.tv_nsec = 200000};
    struct served *before = atomic_exchange(&s->now, next);

    for (int w = 0; w < s->n_workers; w++)
        while (atomic_load(&s->slots[w].held) == before)
            nanosleep(&pause, NULL);
    served_free(before);
}
