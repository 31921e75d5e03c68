#include "data/generate.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/packed.h"

#include <math.h>

enum {
    CLUSTER_ITEMS = 64, /* about as many items a cluster */
    CLUSTERS_MIN = 4,
    CLUSTERS_MAX = 64,
    LIKED = 3,       /* clusters a user likes */
    REVIEWS_MIN = 5, /* a user, where there are enough */
    TRIES = 64,      /* to find a fresh item that the user hasn't had */
    BLOCK = 1 << 20, /* bytes put together before they are written */
    LINE_MAX_BYTES = 2048,
};

enum purpose { FOR_USER_ID = 1, FOR_ITEM, FOR_ACTIVITY, FOR_USER };

static const int64_t start_ms = 1546300800000; /* 2019-01-01 */
static const double span_ms = 5 * 365.25 * 86400e3;

/* ---- the world ---- */

/* Times are shares of the span: 0 is its start, 1 its end. */
struct world {
    const struct generate_options *o;
    int32_t n_clusters;
    double *cluster_sum; /* (n_clusters) running sum of the clusters' popularity */
    double *item_sum;    /* (n_items) running sum of popularity within the cluster, by its order */
    double *birth;       /* (n_items) when it appears; below 0: was there before */
    double *fade;   /* (n_items) time after which it's down to 1/e; after three of them it's gone */
    int64_t *first; /* (n_users + 1) running sum of reviews */
    int32_t *had_by; /* (n_items) the last user that took it */
};

/* Item j of cluster c is item j * n_clusters + c, so that clusters are of one size, but for 1. */
static int32_t cluster_size(const struct world *w, int32_t c)
{
    return (w->o->n_items - c + w->n_clusters - 1) / w->n_clusters;
}

static int64_t cluster_start(const struct world *w, int32_t c)
{
    int32_t whole = w->o->n_items / w->n_clusters, more = w->o->n_items % w->n_clusters;

    return (int64_t)c * whole + MIN(c, more);
}

static void make_items(struct world *w)
{
    double sum = 0;

    for (int32_t c = 0; c < w->n_clusters; c++) {
        double *out = w->item_sum + cluster_start(w, c), within = 0;

        w->cluster_sum[c] = sum += pow(c + 3, -0.5);
        for (int32_t j = 0; j < cluster_size(w, c); j++)
            out[j] = within += pow(j + 2, -0.9);
    }
    for (int32_t i = 0; i < w->o->n_items; i++) {
        struct rng r;

        rng_init(&r, rng_key(w->o->seed, FOR_ITEM, (uint64_t)i, 0));
        w->birth[i] = rng_uniform(&r) * 1.35 - 0.4;
        w->fade[i] = 0.1 * pow(12, rng_uniform(&r)); /* 0.1 .. 1.2 */
    }
}

/* Everyone gets the least number; the rest by a Pareto law of exponent 1.5, cut at 120 times. */
static void share_reviews(struct world *w)
{
    int64_t n = w->o->n_users, least = MIN(REVIEWS_MIN, w->o->n_reviews / n);
    int64_t rest = w->o->n_reviews - least * n;
    double total = INFINITY; /* not known in the first pass */
    struct rng r;

    for (int pass = 0; pass < 2; pass++) {
        double sum = 0;

        rng_init(&r, rng_key(w->o->seed, FOR_ACTIVITY, 0, 0));
        for (int64_t u = 0; u < n; u++) {
            double weight = pow(1 - rng_uniform(&r), -1 / 1.5);

            sum += MIN(weight, 120.0);
            w->first[u + 1] = least * (u + 1) + (int64_t)((double)rest * (sum / total));
        }
        total = sum;
    }
    assert(w->first[n] == w->o->n_reviews);
}

static void world_release(struct world *w)
{
    free(w->cluster_sum);
    free(w->item_sum);
    free(w->birth);
    free(w->fade);
    free(w->first);
    free(w->had_by);
    *w = (struct world){0};
}

static void world_init(struct world *w, const struct generate_options *o)
{
    size_t n_items = (size_t)o->n_items;

    *w = (struct world){.o = o};
    w->n_clusters = MIN(MAX(o->n_items / CLUSTER_ITEMS, CLUSTERS_MIN), CLUSTERS_MAX);
    w->n_clusters = MIN(w->n_clusters, o->n_items);
    w->cluster_sum = xmalloc((size_t)w->n_clusters, sizeof *w->cluster_sum);
    w->item_sum = xmalloc(n_items, sizeof *w->item_sum);
    w->birth = xmalloc(n_items, sizeof *w->birth);
    w->fade = xmalloc(n_items, sizeof *w->fade);
    w->first = xcalloc((size_t)o->n_users + 1, sizeof *w->first);
    w->had_by = xmalloc(n_items, sizeof *w->had_by);
    memset(w->had_by, -1, n_items * sizeof *w->had_by);
    make_items(w);
    share_reviews(w);
}

/* ---- a user ---- */

struct user {
    struct rng rng;
    char id[29];
    int32_t number, likes[LIKED];
    double from, until; /* when active */
};

/* An index in proportion to the steps of a running sum. */
static int32_t draw(struct rng *r, const double *sum, int32_t n)
{
    double x = rng_uniform(r) * sum[n - 1];
    int32_t lo = 0, hi = n - 1;

    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;

        if (sum[mid] > x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static void put_digits(char *out, int n, uint64_t x, const char *digits, unsigned base)
{
    for (int i = 0; i < n; i++, x /= base)
        out[i] = digits[x % base];
}

static void user_init(struct user *u, const struct world *w, int32_t number)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint64_t unique = rng_key(w->o->seed, FOR_USER_ID, 0, (uint64_t)number); /* one to one */

    rng_init(&u->rng, rng_key(w->o->seed, FOR_USER, (uint64_t)number, 0));
    u->number = number;
    memcpy(u->id, "A", 2);
    put_digits(u->id + 1, 14, rng_next(&u->rng), base32, 32);
    put_digits(u->id + 15, 13, unique, base32, 32);
    u->id[28] = '\0';
    for (int l = 0; l < LIKED; l++)
        u->likes[l] = draw(&u->rng, w->cluster_sum, w->n_clusters);
    u->from = rng_uniform(&u->rng) * 1.2 - 0.2;
    u->until = u->from + 0.1 - 0.5 * log(1 - rng_uniform(&u->rng));
    u->from = MAX(u->from, 0.0);
    u->until = MIN(MAX(u->until, u->from + 0.05), 1.0);
}

static int32_t draw_cluster(struct user *u, const struct world *w)
{
    static const double until[LIKED] = {0.5, 0.75, 0.9}; /* beyond: anything */
    double x = rng_uniform(&u->rng);

    for (int l = 0; l < LIKED; l++)
        if (x < until[l])
            return u->likes[l];
    return draw(&u->rng, w->cluster_sum, w->n_clusters);
}

/* The share of its first popularity that an item has at time t; 0 before it appears, and after
 * three times its fade. */
static double freshness(const struct world *w, int32_t item, double t)
{
    double age = (t - w->birth[item]) / w->fade[item];

    return age < 0 || age > 3 ? 0 : exp(-age);
}

/* What the user takes at time t: by popularity, if it's fresh enough and new to the user. */
static int32_t draw_item(struct user *u, struct world *w, double t)
{
    int32_t item = 0, repeat = -1;

    for (int try = 0; try < TRIES; try++) {
        int32_t c = draw_cluster(u, w);

        item = draw(&u->rng, w->item_sum + cluster_start(w, c), cluster_size(w, c));
        item = item * w->n_clusters + c;
        if (rng_uniform(&u->rng) >= freshness(w, item, t))
            continue;
        if (w->had_by[item] != u->number) {
            w->had_by[item] = u->number;
            return item;
        }
        repeat = item;
    }
    return repeat < 0 ? item : repeat;
}

/* ---- a line ---- */

static const char *const words[] = {
    "a",       "after",  "again",  "also",    "and",   "any",   "as",    "at",
    "best",    "better", "bought", "box",     "but",   "came",  "clean", "color",
    "easy",    "enough", "every",  "fast",    "fits",  "for",   "from",  "gift",
    "good",    "great",  "happy",  "have",    "house", "in",    "is",    "it",
    "just",    "kids",   "like",   "little",  "long",  "love",  "made",  "more",
    "much",    "my",     "need",   "nice",    "not",   "of",    "on",    "one",
    "perfect", "price",  "really", "quality", "size",  "small", "so",    "strong",
    "the",     "this",   "too",    "use",     "very",  "well",  "with",  "works",
};

static char *put(char *to, const char *s)
{
    size_t n = strlen(s);

    memcpy(to, s, n);
    return to + n;
}

static char *put_words(char *to, struct rng *r, int n)
{
    for (int i = 0; i < n; i++) {
        if (i)
            *to++ = ' ';
        to = put(to, words[rng_below(r, ARRAY_LEN(words))]);
    }
    return to;
}

static char *put_number(char *to, int64_t n)
{
    char digits[24];
    int len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (len > 0)
        *to++ = digits[--len];
    return to;
}

/* "B0" and eight digits to base 36, one to one: the factor has no divisor in common with 36^8. */
static char *put_asin(char *to, int32_t item)
{
    static const char base36[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const uint64_t size = 2821109907456; /* 36^8 */

    to = put(to, "B0");
    put_digits(to, 8, (uint64_t)item * 1732050807571 % size, base36, 36);
    return to + 8;
}

static char *put_line(char *to, struct user *u, int32_t item, bool liked, int64_t ms)
{
    static const char *const ratings[] = {"1.0", "2.0", "3.0", "4.0", "5.0"};
    struct rng *r = &u->rng;
    uint32_t x = rng_below(r, 5), y = rng_below(r, 5), stars = liked ? MAX(x, y) : x;

    to = put(put(put(to, "{\"rating\": "), ratings[stars]), ", \"title\": \"");
    to = put_words(to, r, 1 + (int)rng_below(r, 5));
    to = put_words(put(to, "\", \"text\": \""), r, 3 + (int)rng_below(r, 40));
    to = put_asin(put(to, "\", \"images\": [], \"asin\": \""), item);
    to = put_asin(put(to, "\", \"parent_asin\": \""), item);
    to = put(put(put(to, "\", \"user_id\": \""), u->id), "\", \"timestamp\": ");
    to = put_number(put(put_number(to, ms), ", \"helpful_vote\": "), rng_below(r, 100) / 90);
    to = put(to, rng_below(r, 10) ? ", \"verified_purchase\": true}\n"
                                  : ", \"verified_purchase\": false}\n");
    return to;
}

/* ---- all ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Append the user's lines to `out`. */
static void write_user(struct world *w, int32_t number, struct buf *out)
{
    int64_t n = w->first[number + 1] - w->first[number];
    AUTO_FREE double *times = xmalloc((size_t)n, sizeof *times);
    char line[LINE_MAX_BYTES];
    struct user u;

    user_init(&u, w, number);
    for (int64_t i = 0; i < n; i++)
        times[i] = u.from + rng_uniform(&u.rng) * (u.until - u.from);
    qsort(times, (size_t)n, sizeof *times, by_value);
    for (int64_t i = 0; i < n; i++) {
        int32_t item = draw_item(&u, w, times[i]), cluster = item % w->n_clusters;
        bool liked = cluster == u.likes[0] || cluster == u.likes[1] || cluster == u.likes[2];
        char *end = put_line(line, &u, item, liked, start_ms + (int64_t)(times[i] * span_ms));

        buf_put(out, line, (size_t)(end - line));
    }
}

static bool write_all(struct world *w, struct text_out *out, struct err *err)
{
    AUTO(progress) progress = {0};
    AUTO(buf) block = {0};

    progress_init(&progress, "generate", "reviews", w->o->n_reviews);
    for (int32_t u = 0; u < w->o->n_users; u++) {
        write_user(w, u, &block);
        if (block.len < BLOCK && u + 1 < w->o->n_users)
            continue;
        if (!interrupt_check(err) || !text_out_write(out, block.data, block.len, err))
            return false;
        buf_clear(&block);
        progress_update(&progress, w->first[u + 1], NULL);
    }
    return true;
}

bool generate(const struct generate_options *o, struct err *err)
{
    AUTO(world) w = {0};
    AUTO(text_out) out = {0};

    world_init(&w, o);
    return text_out_open(&out, o->output, err) && write_all(&w, &out, err) &&
           text_out_commit(&out, err);
}
