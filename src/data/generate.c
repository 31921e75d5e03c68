#include "data/generate.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/packed.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    CLUSTER_ITEMS = 64, /* about as many items a cluster */
    CLUSTERS_MIN = 4,
    CLUSTERS_MAX = 64,
    LIKED = 3,               /* clusters a user likes */
    REVIEWS_MIN = 5,         /* a user, where there are enough */
    TRIES = 64,              /* to find a fresh item that the user hasn't had */
    BLOCK_REVIEWS = 1024,    /* about as many in a block of users, one thread's piece of work */
    BLOCK_USERS_MAX = 65536, /* where most have none */
    PAGE = 1 << 22,          /* bytes of a block that are put together before they're written */
    TITLE_WORDS_MAX = 30,
    TEXT_WORDS_MAX = 1500,
    WORD_MAX = 15, /* bytes of a word and the blank after it */
    LINE_MAX_BYTES = (TITLE_WORDS_MAX + TEXT_WORDS_MAX) * WORD_MAX + 1024,
};

enum purpose { FOR_USER_ID = 1, FOR_ITEM, FOR_ACTIVITY, FOR_USER, FOR_TEXT };

static const int64_t start_ms = 1546300800000; /* 2019-01-01 */
static const double span_ms = 5 * 365.25 * 86400e3;

/* ---- the world ---- */

/* Times are shares of the span: 0 is its start, 1 its end. */
struct life {
    float birth; /* when the item appears; below 0: was there before */
    float fade;  /* time after which it's down to 1/e; after three of them it's gone */
};

/* Nothing in it is as large as the number of users: a block's users are made when it's written. */
struct world {
    const struct generate_options *o;
    int threads;
    int32_t n_clusters;
    double *cluster_sum; /* (n_clusters) running sum of the clusters' popularity */
    double *rank_sum; /* (size of cluster 0) running sum of popularity by rank within any cluster */
    struct life *lives; /* (n_items) */
    int32_t users_a_block, n_blocks;
    double *active_sum; /* (n_blocks + 1) running sum of the users' activity before each block */
};

/* Item j of cluster c is item j * n_clusters + c, so that clusters are of one size, but for 1. */
static int32_t cluster_size(const struct world *w, int32_t c)
{
    return (w->o->n_items - c + w->n_clusters - 1) / w->n_clusters;
}

static void make_clusters(struct world *w)
{
    double sum = 0, within = 0;
    int32_t n;

    w->n_clusters = MIN(MAX(w->o->n_items / CLUSTER_ITEMS, CLUSTERS_MIN), CLUSTERS_MAX);
    w->n_clusters = MIN(w->n_clusters, w->o->n_items);
    w->cluster_sum = xmalloc((size_t)w->n_clusters, sizeof *w->cluster_sum);
    for (int32_t c = 0; c < w->n_clusters; c++)
        w->cluster_sum[c] = sum += pow(c + 3, -0.5);
    n = cluster_size(w, 0);
    w->rank_sum = xmalloc((size_t)n, sizeof *w->rank_sum);
    for (int32_t j = 0; j < n; j++)
        w->rank_sum[j] = within += pow(j + 2, -0.9);
}

static void make_items(struct world *w)
{
    w->lives = xmalloc((size_t)w->o->n_items, sizeof *w->lives);
#pragma omp parallel for num_threads(w->threads)
    for (int32_t i = 0; i < w->o->n_items; i++) {
        struct rng r;

        if (interrupt_signal())
            continue;
        rng_init(&r, rng_key(w->o->seed, FOR_ITEM, (uint64_t)i, 0));
        w->lives[i].birth = (float)(rng_uniform(&r) * 1.35 - 0.4);
        w->lives[i].fade = (float)(0.1 * pow(12, rng_uniform(&r))); /* 0.1 .. 1.2 */
    }
}

/* How much a user writes, by a Pareto law of exponent 1.5, cut at 120 times the least. */
static double activity(const struct world *w, int64_t user)
{
    uint64_t x = rng_key(w->o->seed, FOR_ACTIVITY, (uint64_t)user, 0) >> 11;

    return MIN(pow((double)(x + 1) * 0x1p-53, -1 / 1.5), 120.0);
}

static int64_t block_start(const struct world *w, int32_t block)
{
    return MIN((int64_t)block * w->users_a_block, w->o->n_users);
}

/* Reviews of the users before this one, whose activity sums up to `sum`: everyone has the least
 * number, the rest is shared by activity. */
static int64_t reviews_before(const struct world *w, int64_t user, double sum)
{
    int64_t least = MIN(REVIEWS_MIN, w->o->n_reviews / w->o->n_users);
    int64_t rest = w->o->n_reviews - least * w->o->n_users;

    return least * user + (int64_t)((double)rest * (sum / w->active_sum[w->n_blocks]));
}

static void make_blocks(struct world *w)
{
    int64_t n = BLOCK_REVIEWS * (int64_t)w->o->n_users / w->o->n_reviews;

    w->users_a_block = (int32_t)MIN(MAX(n, 1), BLOCK_USERS_MAX);
    w->n_blocks = (w->o->n_users - 1) / w->users_a_block + 1;
    w->active_sum = xcalloc((size_t)w->n_blocks + 1, sizeof *w->active_sum);
#pragma omp parallel for num_threads(w->threads)
    for (int32_t b = 0; b < w->n_blocks; b++)
        for (int64_t u = block_start(w, b); u < block_start(w, b + 1) && !interrupt_signal(); u++)
            w->active_sum[b + 1] += activity(w, u);
    for (int32_t b = 0; b < w->n_blocks; b++)
        w->active_sum[b + 1] += w->active_sum[b];
}

static void world_release(struct world *w)
{
    free(w->cluster_sum);
    free(w->rank_sum);
    free(w->lives);
    free(w->active_sum);
    *w = (struct world){0};
}

static void world_init(struct world *w, const struct generate_options *o)
{
    *w = (struct world){.o = o, .threads = o->threads ? o->threads : omp_get_max_threads()};
    make_clusters(w);
    make_items(w);
    make_blocks(w);
}

/* ---- the items that a user has had ---- */

/* A hash table with open addressing, at most half full. */
struct taken {
    int32_t *slots; /* (size) item + 1; 0: free */
    size_t size;    /* a power of two */
    size_t cap;     /* what there is memory for */
};

/* Empty, with room for n items. */
static void taken_clear(struct taken *t, int64_t n)
{
    for (t->size = 32; t->size < (size_t)n * 2;)
        t->size *= 2;
    if (t->size > t->cap) {
        t->slots = xrealloc(t->slots, t->size, sizeof *t->slots);
        t->cap = t->size;
    }
    memset(t->slots, 0, t->size * sizeof *t->slots);
}

/* False when it's there already. */
static bool taken_add(struct taken *t, int32_t item)
{
    size_t at = (uint32_t)item * (size_t)0x9e3779b97f4a7c15u >> 32; /* Fibonacci hashing */

    for (;; at++) {
        int32_t *slot = &t->slots[at & (t->size - 1)];

        if (*slot == item + 1)
            return false;
        if (*slot == 0) {
            *slot = item + 1;
            return true;
        }
    }
}

/* ---- a user ---- */

struct user {
    struct rng rng;  /* what the user does */
    struct rng text; /* what the user writes */
    char id[29];
    int32_t likes[LIKED];
    double from, until; /* when active */
    double rest;        /* share of that time still to come */
    int64_t left;       /* reviews still to come */
};

/* An index in proportion to the steps of a running sum: a binary search without branches, which
 * nobody could predict. */
static int32_t draw(struct rng *r, const double *sum, int32_t n)
{
    double x = rng_uniform(r) * sum[n - 1];
    int32_t at = 0;

    while (n > 1) {
        int32_t half = n / 2;

        at += (sum[at + half - 1] <= x) * half;
        n -= half;
    }
    return at;
}

static void put_digits(char *out, int n, uint64_t x, const char *digits, unsigned base)
{
    for (int i = 0; i < n; i++, x /= base)
        out[i] = digits[x % base];
}

static void user_init(struct user *u, const struct world *w, int64_t number, int64_t n_reviews)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint64_t unique = rng_key(w->o->seed, FOR_USER_ID, 0, (uint64_t)number); /* one to one */

    rng_init(&u->rng, rng_key(w->o->seed, FOR_USER, (uint64_t)number, 0));
    rng_init(&u->text, rng_key(w->o->seed, FOR_TEXT, (uint64_t)number, 0));
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
    u->rest = 1;
    u->left = n_reviews;
}

/* The next of the user's times, which are uniform over the active stretch: of n numbers in [0, 1)
 * the largest is distributed as the n-th root of one, the others uniformly below it. So they come
 * in order without being kept, however many there are. */
static double next_time(struct user *u)
{
    u->rest *= pow(1 - rng_uniform(&u->rng), 1 / (double)u->left--);
    return u->from + (1 - u->rest) * (u->until - u->from);
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
static double freshness(struct life item, double t)
{
    double age = (t - (double)item.birth) / (double)item.fade;

    return age < 0 || age > 3 ? 0 : exp(-age);
}

/* What the user takes at time t: by popularity, if it's fresh enough and new to the user. */
static int32_t draw_item(struct user *u, const struct world *w, struct taken *taken, double t)
{
    int32_t item = 0, repeat = -1;

    for (int try = 0; try < TRIES; try++) {
        int32_t c = draw_cluster(u, w);

        item = draw(&u->rng, w->rank_sum, cluster_size(w, c)) * w->n_clusters + c;
        if (rng_uniform(&u->rng) >= freshness(w->lives[item], t))
            continue;
        if (taken_add(taken, item))
            return item;
        repeat = item;
    }
    return repeat < 0 ? item : repeat;
}

/* ---- a line ---- */

struct word {
    char text[WORD_MAX]; /* a blank at its end */
    unsigned char len;   /* with the blank */
};

#define WORD(s)                                                                                    \
    {                                                                                              \
        s " ", sizeof s                                                                            \
    }

enum { WORD_BITS = 7 };

/* 5.3 bytes with the blank, on the average; one has a sign beyond ASCII. */
static const struct word words[1 << WORD_BITS] = {
    WORD("a"),       WORD("about"),    WORD("actual"),    WORD("after"),   WORD("again"),
    WORD("all"),     WORD("also"),     WORD("amazing"),   WORD("an"),      WORD("and"),
    WORD("another"), WORD("are"),      WORD("around"),    WORD("arrived"), WORD("as"),
    WORD("at"),      WORD("awesome"),  WORD("back"),      WORD("battery"), WORD("beautiful"),
    WORD("because"), WORD("been"),     WORD("before"),    WORD("best"),    WORD("better"),
    WORD("bought"),  WORD("box"),      WORD("bright"),    WORD("but"),     WORD("came"),
    WORD("can"),     WORD("cheap"),    WORD("clean"),     WORD("color"),   WORD("could"),
    WORD("cute"),    WORD("daughter"), WORD("day"),       WORD("design"),  WORD("did"),
    WORD("do"),      WORD("easy"),     WORD("enough"),    WORD("even"),    WORD("every"),
    WORD("exactly"), WORD("fast"),     WORD("favorite"),  WORD("fits"),    WORD("for"),
    WORD("from"),    WORD("get"),      WORD("gift"),      WORD("good"),    WORD("got"),
    WORD("great"),   WORD("happy"),    WORD("has"),       WORD("have"),    WORD("house"),
    WORD("I"),       WORD("if"),       WORD("in"),        WORD("is"),      WORD("it"),
    WORD("it’s"),    WORD("just"),     WORD("kids"),      WORD("last"),    WORD("like"),
    WORD("little"),  WORD("long"),     WORD("look"),      WORD("looks"),   WORD("love"),
    WORD("made"),    WORD("make"),     WORD("more"),      WORD("much"),    WORD("my"),
    WORD("need"),    WORD("nice"),     WORD("not"),       WORD("now"),     WORD("of"),
    WORD("on"),      WORD("one"),      WORD("only"),      WORD("other"),   WORD("out"),
    WORD("perfect"), WORD("picture"),  WORD("pretty"),    WORD("price"),   WORD("product"),
    WORD("quality"), WORD("really"),   WORD("recommend"), WORD("right"),   WORD("since"),
    WORD("size"),    WORD("small"),    WORD("so"),        WORD("soft"),    WORD("some"),
    WORD("strong"),  WORD("than"),     WORD("that"),      WORD("the"),     WORD("them"),
    WORD("they"),    WORD("this"),     WORD("time"),      WORD("too"),     WORD("two"),
    WORD("up"),      WORD("use"),      WORD("very"),      WORD("was"),     WORD("well"),
    WORD("when"),    WORD("will"),     WORD("with"),      WORD("works"),   WORD("worth"),
    WORD("would"),   WORD("year"),     WORD("you"),
};

static char *put(char *to, const char *s)
{
    size_t n = strlen(s);

    memcpy(to, s, n);
    return to + n;
}

/* n >= 1; a word's bytes are copied all at once, and several words come out of one draw. */
static char *put_words(char *to, struct rng *r, int n)
{
    while (n > 0) {
        uint64_t bits = rng_next(r);

        for (int i = 0; i < 64 / WORD_BITS && n > 0; i++, n--, bits >>= WORD_BITS) {
            const struct word *word = &words[bits % ARRAY_LEN(words)];

            memcpy(to, word, sizeof *word);
            to += word->len;
        }
    }
    return to - 1; /* the last blank */
}

/* n words, 1 or more, by a log-normal law: z is a normal number. */
static int word_count(double median, double sigma, double z, int max)
{
    return 1 + (int)MIN(median * exp(sigma * z), max - 1.0);
}

/* Title and text, about as long as in Amazon Reviews 2023; one of 25 is in quotation marks, which
 * JSON escapes. */
static char *put_texts(char *to, struct rng *r)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2 * log(1 - rng_uniform(r))), angle = two_pi * rng_uniform(r);
    double z1 = radius * cos(angle), z2 = radius * sin(angle); /* Box and Muller, 1958 */
    const char *mark = rng_below(r, 25) ? "" : "\\\"";

    to = put(put(to, "\"title\": \""), mark);
    to = put_words(to, r, word_count(2.5, 0.75, z1, TITLE_WORDS_MAX));
    to = put(put(put(to, mark), "\", \"text\": \""), mark);
    to = put_words(to, r, word_count(22, 1.25, z2, TEXT_WORDS_MAX));
    return put(put(to, mark), "\"");
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

enum { ASIN_LEN = 10 };

/* "B0" and eight digits to base 36, one to one: the factor has no divisor in common with 36^8. */
static char *put_asin(char *to, int32_t item)
{
    static const char base36[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const uint64_t size = 2821109907456; /* 36^8 */

    to = put(to, "B0");
    put_digits(to, 8, (uint64_t)item * 1732050807571 % size, base36, 36);
    return to + ASIN_LEN - 2;
}

static char *put_line(char *to, struct user *u, int32_t item, bool liked, int64_t ms)
{
    uint32_t x = rng_below(&u->rng, 5), y = rng_below(&u->rng, 5), stars = liked ? MAX(x, y) : x;
    const char *asin;

    to = put(to, "{\"rating\": ");
    *to++ = (char)('1' + stars);
    to = put_texts(put(to, ".0, "), &u->text);
    to = put(to, ", \"images\": [], \"asin\": \"");
    asin = to;
    to = put(put_asin(to, item), "\", \"parent_asin\": \"");
    memcpy(to, asin, ASIN_LEN);
    to = put(put(put(to + ASIN_LEN, "\", \"user_id\": \""), u->id), "\", \"timestamp\": ");
    to = put(put_number(to, ms), ", \"helpful_vote\": ");
    to = put_number(to, rng_below(&u->text, 100) / 90);
    to = put(to, rng_below(&u->text, 10) ? ", \"verified_purchase\": true}\n"
                                         : ", \"verified_purchase\": false}\n");
    return to;
}

static char *put_review(char *to, struct user *u, const struct world *w, struct taken *taken)
{
    double t = next_time(u);
    int32_t item = draw_item(u, w, taken, t), cluster = item % w->n_clusters;
    bool liked = cluster == u->likes[0] || cluster == u->likes[1] || cluster == u->likes[2];

    return put_line(to, u, item, liked, start_ms + (int64_t)(t * span_ms));
}

/* ---- all ---- */

/* What one thread writes a block of users with. */
struct pen {
    const struct world *w;
    int64_t user, end; /* who is next, and who isn't in the block any more */
    double active;     /* activity of the block's users before `user` */
    int32_t block;
    struct user u; /* whose reviews are being written */
    struct taken taken;
    char *page; /* (PAGE + LINE_MAX_BYTES) lines that aren't in the file yet */
    size_t len;
    int64_t n_lines;
};

static void pen_release(struct pen *p)
{
    free(p->taken.slots);
    free(p->page);
    *p = (struct pen){0};
}

static void pen_start(struct pen *p, int32_t block)
{
    p->block = block;
    p->user = block_start(p->w, block);
    p->end = block_start(p->w, block + 1);
    p->active = 0;
    p->u.left = 0;
    p->len = 0;
    p->n_lines = 0;
}

/* Go on to the block's next user who has reviews; false at its end. */
static bool pen_next_user(struct pen *p)
{
    double base = p->w->active_sum[p->block];

    while (p->user < p->end) {
        int64_t before = reviews_before(p->w, p->user, base + p->active), after;

        p->active += activity(p->w, p->user);
        after = reviews_before(p->w, p->user + 1, base + p->active);
        if (after > before) {
            user_init(&p->u, p->w, p->user++, after - before);
            taken_clear(&p->taken, MIN(p->u.left, p->w->o->n_items));
            return true;
        }
        p->user++;
    }
    return false;
}

/* Put lines until the page is full; false when the block has no more. */
static bool pen_fill(struct pen *p)
{
    while (p->len < PAGE) {
        if (p->u.left > 0) {
            p->len = (size_t)(put_review(p->page + p->len, &p->u, p->w, &p->taken) - p->page);
            p->n_lines++;
        } else if (!pen_next_user(p)) {
            return false;
        }
    }
    return true;
}

/* Where the pages go, in the blocks' order. */
struct sink {
    struct text_out out;
    struct progress progress;
    int64_t done; /* reviews written */
    struct err err;
    atomic_bool broken; /* `err` says how */

    pthread_mutex_t lock;
    pthread_cond_t moved;
    int32_t turn;          /* the block to be written next */
    atomic_int handed_out; /* blocks that a thread has begun */
};

static void sink_release(struct sink *s)
{
    text_out_release(&s->out);
    progress_release(&s->progress);
}

static void wait_for_turn(struct sink *s, int32_t block)
{
    pthread_mutex_lock(&s->lock);
    while (s->turn != block)
        pthread_cond_wait(&s->moved, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void pass_turn(struct sink *s)
{
    pthread_mutex_lock(&s->lock);
    s->turn++;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

/* In the block's turn: its page, and what didn't fit there page by page. */
static bool write_pages(struct sink *s, struct pen *p, bool more)
{
    for (;; more = pen_fill(p)) {
        if (!interrupt_check(&s->err) || !text_out_write(&s->out, p->page, p->len, &s->err))
            return false;
        s->done += p->n_lines;
        p->len = 0;
        p->n_lines = 0;
        progress_update(&s->progress, s->done, NULL);
        if (!more)
            return true;
    }
}

static void write_block(struct sink *s, struct pen *p, int32_t block)
{
    bool more;

    pen_start(p, block);
    more = pen_fill(p);
    wait_for_turn(s, block);
    if (!atomic_load(&s->broken) && !write_pages(s, p, more))
        atomic_store(&s->broken, true);
    pass_turn(s);
}

/* Each thread makes a block's lines and then waits for its turn to write them, so that there are
 * never more blocks in memory than threads. (OpenMP's own `ordered` waits in a loop that takes the
 * processor from whoever reads the other end of a pipe.) The blocks are handed out in order:
 * whoever waits, waits for a block that another thread has. */
static void write_blocks(const struct world *w, struct sink *s)
{
#pragma omp parallel num_threads(w->threads)
    {
        AUTO(pen) p = {.w = w, .page = xmalloc(PAGE + LINE_MAX_BYTES, 1)};
        int32_t block;

        while (!atomic_load(&s->broken) &&
               (block = atomic_fetch_add(&s->handed_out, 1)) < w->n_blocks)
            write_block(s, &p, block);
    }
}

bool generate(const struct generate_options *o, struct err *err)
{
    AUTO(world) w = {0};
    AUTO(sink) s = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

    if (!text_out_open(&s.out, o->output, err))
        return false;
    progress_init(&s.progress, "generate", "reviews", o->n_reviews);
    world_init(&w, o);
    if (!interrupt_check(err))
        return false;
    write_blocks(&w, &s);
    if (s.broken) {
        *err = s.err;
        return false;
    }
    assert(s.done == o->n_reviews);
    return text_out_commit(&s.out, err);
}
