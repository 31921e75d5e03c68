/* finder.c - a query x and an item y are a head, in the space of few directions in which most of
 * the items' lengths lie, and a tail at right angles to it. The heads are bytes times a scale, and
 * what is left over; b is the item's bias:
 *
 *     xh = sx bx + ex,  yh = sy by + ey:
 *     x.y + b <= sx sy (bx.by) + |xh - ex| |ey| + |ex| |yh| + |xt| |yt| + b
 *
 * by Cauchy and Schwarz. A score is a sum of 32-bit floats, which is off by dim roundings of
 * |x| |y| at most; that much is added.
 *
 * A query may have little of its length in those directions; it goes on with the whole vector as
 * bytes. */
#include "model/finder.h"

#include "base/rng.h"
#include "base/thread.h"
#include "kern/kern.h"

#include <math.h>

enum { BLOCK = 256, FIRST_BLOCK = KERN_BYTES, FOUR = 4, EIGHT = 8 };

/* What items are bounded by. */
struct form {
    int head, width;             /* in numbers; that in bytes */
    float *directions;           /* (head, dim) at right angles, of length 1; NULL: all is head */
    uint8_t *bytes;              /* as struct kern_bytes has it, as the next */
    float *scale, *error, *tail; /* sy, |ey|, |yt|, no smaller than they are */
};

struct finder {
    const struct model *m;
    struct item_vectors items; /* rows NULL: scores are no products */
    int dim;
    struct form brief;    /* what searches begin with */
    struct form whole;    /* all is head; bytes NULL: as brief is */
    float *inverse;       /* (n) what to multiply a score by, where vectors count at length 1 */
    int32_t *order;       /* (n) items, those that may reach most first; all else as these */
    float *length, *bias; /* (n, in whole groups) |y|, b, no smaller than they are */
    float *rest_length, *rest_bias; /* (groups) the most of a group and all behind it */
    float slack;                    /* roundings, as a part of |x| |y| */
};

/* Of so many numbers, in bytes. */
static int width_of(int n)
{
    return (n + EIGHT - 1) / EIGHT * EIGHT;
}

static int32_t groups_of(const struct finder *f)
{
    return (f->m->n_items + KERN_BYTES - 1) / KERN_BYTES;
}

/* ---- the items ---- */

static void measure_units(struct finder *f)
{
    const struct item_vectors *v = &f->items;

    f->inverse = xaligned((size_t)f->m->n_items, sizeof *f->inverse);
#pragma omp parallel for
    for (int32_t i = 0; i < f->m->n_items; i++) {
        const float *row = v->rows + (int64_t)i * v->dim;
        float squares = kern_best()->dot(row, row, v->dim);

        f->inverse[i] = squares > 0 ? 1 / sqrtf(squares) : 0;
    }
}

static void copy_vector(const struct finder *f, int32_t i, float *out)
{
    kern_best()->scaled(out, f->inverse ? f->inverse[i] : 1,
                        f->items.rows + (int64_t)i * f->items.dim, f->dim);
}

/* A little more than the root: sums of squares may be too small by their roundings. */
static float length_of(const float *x, int n)
{
    double squares = 0;

    for (int k = 0; k < n; k++)
        squares += (double)x[k] * (double)x[k];
    return (float)(sqrt(squares) * (1 + 1e-6));
}

/* A little more than it is, for the roundings of sums with it. */
static float bias_of(const struct finder *f, int32_t i)
{
    float bias = f->items.bias ? f->items.bias[i] : 0;

    return bias + fabsf(bias) * 1e-6f;
}

/* x as bytes from -bound to bound; returns the scale. left: what they leave over. */
static float quantise(const float *x, int dim, int width, int bound, int8_t *bytes, float *left)
{
    float most = 0, scale, inverse;

    for (int k = 0; k < dim; k++)
        most = MAX(most, fabsf(x[k]));
    scale = most / (float)bound;
    inverse = scale > 0 ? 1 / scale : 0;
    if (!isfinite(inverse)) /* too small to be told from nothing: all is left over */
        scale = inverse = 0;
    for (int k = 0; k < dim; k++) {
        float step = x[k] * inverse;
        int whole = (int)(step + (step < 0 ? -0.5f : 0.5f));

        bytes[k] = (int8_t)MIN(bound, MAX(-bound, whole));
        left[k] = x[k] - scale * (float)bytes[k];
    }
    memset(bytes + dim, 0, (size_t)(width - dim));
    return scale;
}

/* ---- their order ---- */

struct placed {
    float length, reach; /* reach: of a query as long as items are on average */
    int32_t item;
};

static int by_reach(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;

    thread_pace();
    if (x->reach != y->reach)
        return x->reach < y->reach ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

static struct placed *sort_items(const struct finder *f)
{
    int32_t n = f->m->n_items;
    struct placed *items = xcalloc((size_t)MAX(n, 1), sizeof *items);
    double sum = 0;

#pragma omp parallel
    {
        AUTO_FREE float *vector = xaligned((size_t)f->dim, sizeof *vector);

#pragma omp for
        for (int32_t i = 0; i < n; i++) {
            copy_vector(f, i, vector);
            thread_pace();
            items[i] = (struct placed){.length = length_of(vector, f->dim), .item = i};
        }
    }
    for (int32_t i = 0; i < n; i++)
        sum += (double)items[i].length;
    for (int32_t i = 0; i < n; i++)
        items[i].reach = items[i].length * (float)(sum / n) + bias_of(f, i);
    qsort(items, (size_t)n, sizeof *items, by_reach);
    return items;
}

/* ---- the head ---- */

static double squares_of(const double *x, int n)
{
    double squares = 0;

    for (int k = 0; k < n; k++)
        squares += x[k] * x[k];
    return squares;
}

/* The n rows of x, each made of length 1 and at right angles to those before it, by Gram and
 * Schmidt, twice: once leaves too much where rows are alike. What those before it leave nothing of
 * but roundings becomes 0. */
static void straighten(double *x, int n, int dim)
{
    const double nothing = 1e-16;

    for (int r = 0; r < n; r++) {
        double *row = x + (int64_t)r * dim, before = squares_of(row, dim), squares;

        for (int turn = 0; turn < 2; turn++)
            for (int q = 0; q < r; q++) {
                const double *other = x + (int64_t)q * dim;
                double product = 0;

                for (int k = 0; k < dim; k++)
                    product += row[k] * other[k];
                for (int k = 0; k < dim; k++)
                    row[k] -= product * other[k];
            }
        squares = squares_of(row, dim);
        for (int k = 0; k < dim; k++)
            row[k] *= squares > nothing * before ? 1 / sqrt(squares) : 0;
    }
}

/* out (dim, dim): the sum over those that are looked at first of each one's vector with itself. */
static void sum_squares(const struct finder *f, const struct placed *sorted, double *out)
{
    enum { SOME = 1 << 12 };
    AUTO_FREE float *vector = xaligned((size_t)f->dim, sizeof *vector);

    for (int32_t at = 0; at < MIN(SOME, f->m->n_items); at++) {
        thread_pace();
        copy_vector(f, sorted[at].item, vector);
        for (int a = 0; a < f->dim; a++)
            for (int b = 0; b < f->dim; b++)
                out[(int64_t)a * f->dim + b] += (double)vector[a] * (double)vector[b];
    }
}

/* x (n, dim) = x times c (dim, dim); room: as x */
static void multiply(double *x, int n, int dim, const double *c, double *room)
{
    memset(room, 0, (size_t)n * (size_t)dim * sizeof *room);
    for (int r = 0; r < n; r++)
        for (int a = 0; a < dim; a++)
            for (int b = 0; b < dim; b++)
                room[(int64_t)r * dim + b] += x[(int64_t)r * dim + a] * c[(int64_t)a * dim + b];
    memcpy(x, room, (size_t)n * (size_t)dim * sizeof *x);
}

/* How many of the n directions hold so much of all squares, in steps of a byte group's; 0: too many
 * for it to be worth it. */
static int choose_head(const double *x, int n, int dim, const double *c)
{
    const double enough = 0.85;
    double all = 0, held = 0;

    for (int a = 0; a < dim; a++)
        all += c[(int64_t)a * dim + a];
    for (int r = 0; r < n; r++) {
        for (int a = 0; a < dim; a++)
            for (int b = 0; b < dim; b++)
                held += x[(int64_t)r * dim + a] * c[(int64_t)a * dim + b] * x[(int64_t)r * dim + b];
        if ((r + 1) % EIGHT == 0 && held >= enough * all)
            return r + 1;
    }
    return 0;
}

/* The first principal directions, by orthogonal iteration (Golub and Van Loan, Matrix Computations,
 * 8.2.4): they needn't be exact, only at right angles. */
static void find_directions(struct finder *f, const struct placed *sorted)
{
    enum { ITERATIONS = 12, LEAST = 32 };
    int dim = f->dim, most = dim / 2 / EIGHT * EIGHT;
    size_t size = (size_t)most * (size_t)dim;
    AUTO_FREE double *c = NULL, *x = NULL, *room = NULL;

    f->brief.head = dim;
    if (dim < LEAST)
        return;
    c = xcalloc((size_t)dim * (size_t)dim, sizeof *c);
    x = xcalloc(size, sizeof *x);
    room = xcalloc(size, sizeof *room);
    sum_squares(f, sorted, c);
    for (size_t k = 0; k < size; k++)
        x[k] = (double)(rng_key(1, k, 0, 0) >> 11) * 0x1p-53 - 0.5;
    for (int i = 0; i < ITERATIONS; i++) {
        multiply(x, most, dim, c, room);
        straighten(x, most, dim);
    }
    most = choose_head(x, most, dim, c);
    if (!most)
        return;
    f->brief.head = most;
    f->brief.directions = xaligned((size_t)most * (size_t)dim, sizeof *f->brief.directions);
    for (int64_t k = 0; k < (int64_t)most * dim; k++)
        f->brief.directions[k] = (float)x[k];
}

/* The head of a vector, and the length of its tail, no smaller. */
static float split(const struct form *form, const float *vector, int dim, float length, float *head)
{
    const double roundings = 1e-5;
    double squares = (double)length * (double)length, held = 0;

    if (!form->directions) {
        memcpy(head, vector, (size_t)dim * sizeof *head);
        return 0;
    }
    kern_best()->scores(vector, 1, form->directions, form->head, dim, head);
    for (int k = 0; k < form->head; k++)
        held += (double)head[k] * (double)head[k];
    return (float)(sqrt(MAX(squares - held, 0) + roundings * squares) * (1 + 1e-6));
}

/* ---- their places ---- */

/* The bytes of the item at that place, among those of its group. */
static void place_bytes(const struct form *form, int32_t at, const int8_t *bytes)
{
    uint8_t *to = form->bytes + (int64_t)(at / KERN_BYTES) * KERN_BYTES * form->width +
                  FOUR * (at % KERN_BYTES);

    for (int k = 0; k < form->width; k++)
        to[KERN_BYTES * (k / FOUR * FOUR) + k % FOUR] = (uint8_t)(bytes[k] + KERN_BYTE_ZERO);
}

static void fill_places(const struct finder *f, struct form *form)
{
#pragma omp parallel
    {
        AUTO_FREE float *vector = xaligned((size_t)f->dim, sizeof *vector);
        AUTO_FREE float *head = xaligned((size_t)f->dim, sizeof *head);
        AUTO_FREE float *left = xaligned((size_t)f->dim, sizeof *left);
        AUTO_FREE int8_t *bytes = xcalloc((size_t)form->width, 1);

#pragma omp for
        for (int32_t at = 0; at < f->m->n_items; at++) {
            thread_pace();
            copy_vector(f, f->order[at], vector);
            form->tail[at] = split(form, vector, f->dim, f->length[at], head);
            form->scale[at] =
                quantise(head, form->head, form->width, KERN_BYTE_ZERO - 1, bytes, left);
            form->error[at] = length_of(left, form->head);
            place_bytes(form, at, bytes);
        }
    }
}

static float *zeros(size_t n)
{
    float *x = xaligned(n, sizeof *x);

    memset(x, 0, n * sizeof *x);
    return x;
}

static void fill_form(const struct finder *f, struct form *form)
{
    size_t n = (size_t)MAX(groups_of(f), 1) * KERN_BYTES;

    form->width = width_of(form->head);
    form->bytes = xaligned(n * (size_t)form->width, 1);
    memset(form->bytes, KERN_BYTE_ZERO, n * (size_t)form->width);
    form->scale = zeros(n);
    form->error = zeros(n);
    form->tail = zeros(n);
    fill_places(f, form);
}

static void form_release(struct form *form)
{
    free(form->directions);
    free(form->bytes);
    free(form->scale);
    free(form->error);
    free(form->tail);
}

static void sum_up_rest(struct finder *f)
{
    float length = 0, bias = -INFINITY;

    for (int32_t at = f->m->n_items - 1; at >= 0; at--) {
        length = MAX(length, f->length[at]);
        bias = MAX(bias, f->bias[at]);
        f->rest_length[at / KERN_BYTES] = length;
        f->rest_bias[at / KERN_BYTES] = bias;
    }
}

static void fill_order(struct finder *f, const struct placed *sorted)
{
    size_t groups = (size_t)MAX(groups_of(f), 1), n = groups * KERN_BYTES;

    f->order = xcalloc(n, sizeof *f->order);
    f->length = zeros(n);
    f->bias = zeros(n);
    f->rest_length = zeros(groups);
    f->rest_bias = zeros(groups);
    for (int32_t at = 0; at < f->m->n_items; at++) {
        f->order[at] = sorted[at].item;
        f->length[at] = sorted[at].length;
        f->bias[at] = bias_of(f, sorted[at].item);
    }
    sum_up_rest(f);
}

struct finder *finder_new(const struct model *m)
{
    struct finder *f = xcalloc(1, sizeof *f);
    AUTO_FREE struct placed *sorted = NULL;

    f->m = m;
    if (!m->ops->vectors || !m->ops->vectors(m, &f->items)) {
        f->items.rows = NULL;
        return f;
    }
    f->dim = f->items.dim;
    f->slack = (float)(f->dim + 32) * 0x1p-22f;
    if (f->items.unit)
        measure_units(f);
    sorted = sort_items(f);
    fill_order(f, sorted);
    find_directions(f, sorted);
    fill_form(f, &f->brief);
    f->whole.head = f->dim;
    if (f->brief.directions)
        fill_form(f, &f->whole);
    return f;
}

void finder_free(struct finder *f)
{
    if (!f)
        return;
    free(f->inverse);
    free(f->order);
    form_release(&f->brief);
    form_release(&f->whole);
    free(f->length);
    free(f->bias);
    free(f->rest_length);
    free(f->rest_bias);
    free(f);
}

bool finder_is_fast(const struct finder *f)
{
    return f->items.rows != NULL;
}

/* ---- a thread's room ---- */

void finder_room_init(struct finder_room *r, const struct finder *f)
{
    *r = (struct finder_room){
        .state = model_state(f->m, FINDER_QUERIES),
        .scores = xaligned((size_t)BLOCK * FINDER_QUERIES, sizeof *r->scores),
        .bytes = xaligned((size_t)MAX(width_of(f->dim), 1) * FINDER_QUERIES, 1),
        .left = xaligned((size_t)MAX(f->dim, 1), sizeof *r->left),
        .head = xaligned((size_t)MAX(f->dim, 1), sizeof *r->head),
        .found = xcalloc((size_t)BLOCK * FINDER_QUERIES, sizeof *r->found),
        .left_out = xcalloc((size_t)MAX(f->m->n_items, 1), sizeof *r->left_out),
    };
    if (f->items.extras)
        r->extras = xcalloc((size_t)MAX(f->m->n_items, 1), sizeof *r->extras);
}

void finder_room_release(struct finder_room *r)
{
    free(r->state);
    free(r->scores);
    free(r->extras);
    free(r->bytes);
    free(r->left);
    free(r->head);
    free(r->found);
    free(r->left_out);
    *r = (struct finder_room){0};
}

int64_t finder_scored(const struct finder_room *r)
{
    return r->scored;
}

bool finder_was_long(const struct finder_room *r)
{
    enum { MANY = 8192 };

    return r->looked_at > (int64_t)MANY * r->n_queries;
}

static void mark_item(struct finder_room *r, int32_t item, uint16_t bit, bool as)
{
    r->left_out[item] = (uint16_t)(as ? r->left_out[item] | bit : r->left_out[item] & ~bit);
}

static void mark(struct finder_room *r, const struct finder_query *q, uint16_t bit, bool as)
{
    for (int32_t h = 0; q->exclude_seen && h < q->q.n_history; h++)
        mark_item(r, q->q.history[h], bit, as);
    for (int e = 0; e < q->n_exclude; e++)
        mark_item(r, q->exclude[e], bit, as);
}

static bool lists(const struct finder_room *r, const struct finder_query *q, uint16_t bit,
                  int32_t item)
{
    return !(r->left_out[item] & bit) && (!q->among || (q->among[item / 64] >> (item % 64) & 1));
}

void finder_mark(struct finder_room *r, const struct finder_query *q, bool as)
{
    mark(r, q, 1, as);
}

bool finder_lists(const struct finder_room *r, const struct finder_query *q, int32_t item)
{
    return lists(r, q, 1, item);
}

/* ---- searching ---- */

/* One query's, and its list so far: a heap, the worst on top. */
struct search {
    const struct finder_query *q;
    uint16_t bit; /* in left_out */
    struct hit *hits;
    int n;

    const float *state;
    const float *extras;     /* (n_items) what items have beside the product; NULL: nothing */
    const struct form *form; /* what it bounds items by */
    int8_t *bytes;
    float length;
    int64_t looked_at, scored; /* by the brief form */
    struct kern_bound bound;
};

static void consider(struct search *s, struct hit h)
{
    if (!(h.score > -INFINITY))
        return;
    if (s->n < s->q->k)
        hits_push(s->hits, &s->n, h);
    else if (hit_worse(s->hits[0], h))
        hits_replace(s->hits, s->n, h);
}

/* What an item must reach to be listed. */
static float limit_of(const struct search *s)
{
    return s->n < s->q->k ? -INFINITY : s->hits[0].score;
}

/* Scores (count, n) of the items from `first`, by all n searches. */
static void consider_block(struct finder_room *r, struct search *s, int n, int32_t first,
                           int32_t count)
{
    enum { PIECE = 32 };
    float limits[FINDER_QUERIES];

    for (int32_t c = 0; c < count; c += PIECE) {
        const float *scores = r->scores + (int64_t)c * n;
        int n_found;

        for (int k = 0; k < n; k++)
            limits[k] = limit_of(&s[k]);
        n_found = kern_best()->above(scores, MIN(PIECE, count - c), n, limits, r->found);
        for (int f = 0; f < n_found; f++) {
            struct search *of = &s[r->found[f] % n];
            struct hit h = {first + c + r->found[f] / n, scores[r->found[f]]};

            if (lists(r, of->q, of->bit, h.item))
                consider(of, h);
        }
    }
}

static void scan_all(const struct finder *f, struct finder_room *r, struct search *s,
                     const struct query *q, int n)
{
    const struct model *m = f->m;

    for (int32_t first = 0; first < m->n_items; first += BLOCK) {
        int32_t count = MIN(BLOCK, m->n_items - first);

        m->ops->score(m, q, n, r->state, first, count, r->scores);
        consider_block(r, s, n, first, count);
    }
    r->scored = r->looked_at = (int64_t)m->n_items * n;
}

/* Whether it was scored with those that have more than the product. */
static bool is_extra(const struct search *s, int32_t item)
{
    return s->extras && s->extras[item] > 0;
}

/* Places in a block become items, those that may be listed; returns how many. */
static int listed_of(const struct finder *f, struct finder_room *r, const struct search *s,
                     int32_t first, int n)
{
    int n_listed = 0;

    for (int k = 0; k < n; k++) {
        int32_t item = f->order[first + r->found[k]];

        if (lists(r, s->q, s->bit, item) && !is_extra(s, item))
            r->found[n_listed++] = item;
    }
    return n_listed;
}

/* r->scores[k] of the items r->found[k], to the bits that the model's score() gives. */
static void score_exactly(const struct finder *f, struct finder_room *r, const struct search *s,
                          int n)
{
    const struct item_vectors *v = &f->items;

    kern_best()->picked_scores(s->state, v->rows, r->found, n, v->dim, r->scores);
    for (int k = 0; f->inverse && k < n; k++)
        r->scores[k] *= f->inverse[r->found[k]];
    for (int k = 0; v->bias && k < n; k++)
        r->scores[k] += v->bias[r->found[k]];
    for (int k = 0; s->extras && k < n; k++)
        r->scores[k] += s->extras[r->found[k]];
    r->scored += n;
}

/* What r->found holds. */
static void consider_found(const struct finder *f, struct finder_room *r, struct search *s, int n)
{
    score_exactly(f, r, s, n);
    for (int k = 0; k < n; k++)
        consider(s, (struct hit){r->found[k], r->scores[k]});
}

/* Those that have more than the product, before all others: no bound speaks of them. What the
 * others have beside it is no more than 0. */
static void consider_extras(const struct finder *f, struct finder_room *r, struct search *s)
{
    const float none = 0;
    int n_extras = kern_best()->above(s->extras, f->m->n_items, 1, &none, r->extras), n = 0;

    for (int k = 0; k < n_extras; k++) {
        int32_t item = r->extras[k];

        if (!lists(r, s->q, s->bit, item))
            continue;
        r->found[n++] = item;
        if (n == BLOCK) {
            consider_found(f, r, s, n);
            n = 0;
        }
    }
    consider_found(f, r, s, n);
    r->looked_at += n_extras;
}

/* The query in that form. */
static void aim(const struct finder *f, struct finder_room *r, struct search *s,
                const struct form *form)
{
    float left;

    s->form = form;
    s->bound.tail = split(form, s->state, f->dim, s->length, r->head);
    s->bound.scale = quantise(r->head, form->head, form->width, KERN_BYTE_MOST, s->bytes, r->left);
    left = length_of(r->left, form->head);
    s->bound.error = s->length + left; /* at least |xh - ex| */
    s->bound.length = left + f->slack * s->length;
}

/* Where the brief form leaves too many to be scored, of a query of which its directions hold
 * little, the whole is worth its bytes. */
static void aim_again(const struct finder *f, struct finder_room *r, struct search *s, int n_scored,
                      int32_t count)
{
    enum { SOME = 512, ONE_IN = 24 };

    if (s->bound.limit == -INFINITY) /* all are scored until the list is full */
        return;
    s->looked_at += count;
    s->scored += n_scored;
    if (s->form == &f->brief && f->whole.bytes && s->looked_at >= SOME &&
        s->scored * ONE_IN > s->looked_at)
        aim(f, r, s, &f->whole);
}

/* Those of the block that may reach the limit, exactly. */
static void look_at_block(const struct finder *f, struct finder_room *r, struct search *s,
                          int32_t first, int32_t count)
{
    const struct form *form = s->form;
    const struct kern_bytes rows = {form->bytes + (int64_t)first * form->width,
                                    form->scale + first,
                                    form->error + first,
                                    form->tail + first,
                                    f->length + first,
                                    f->bias + first};
    int n;

    r->looked_at += count;
    s->bound.limit = limit_of(s);
    n = kern_best()->reaching(s->bytes, &rows, count, form->width, s->bound, r->found);
    n = listed_of(f, r, s, first, n);
    consider_found(f, r, s, n);
    aim_again(f, r, s, n, count);
}

/* Whether nothing from that group on can be listed. */
static bool is_over(const struct finder *f, const struct search *s, int32_t group)
{
    float most = f->rest_length[group] * s->length * (1 + 2 * f->slack) + f->rest_bias[group];

    return s->n == s->q->k && most < limit_of(s);
}

static void scan_longest(const struct finder *f, struct finder_room *r, struct search *searches,
                         int n)
{
    struct search *left[FINDER_QUERIES];
    int32_t block = FIRST_BLOCK; /* limits are to come soon */

    for (int k = 0; k < n; k++) {
        left[k] = &searches[k];
        left[k]->length = length_of(left[k]->state, f->dim);
        aim(f, r, left[k], &f->brief);
        if (left[k]->extras)
            consider_extras(f, r, left[k]);
    }
    for (int32_t first = 0; first < f->m->n_items && n; block = MIN(2 * block, BLOCK)) {
        int32_t count = MIN(block, f->m->n_items - first);

        for (int k = 0; k < n;)
            if (is_over(f, left[k], first / KERN_BYTES))
                left[k] = left[--n];
            else
                look_at_block(f, r, left[k++], first, count);
        first += count;
    }
}

void finder_find_many(const struct finder *f, struct finder_room *r, const struct finder_query *q,
                      int n, struct hit *const *out, int *n_out)
{
    struct search s[FINDER_QUERIES];
    struct query queries[FINDER_QUERIES] = {0};
    const float *extras = f->items.extras ? r->state : NULL;
    const float *vectors = r->state + (extras ? (int64_t)n * f->m->n_items : 0);

    assert(n >= 1 && n <= FINDER_QUERIES);
    for (int k = 0; k < n; k++) {
        assert(q[k].k >= 1 && q[k].k <= TOPK_MAX);
        queries[k] = q[k].q;
        s[k] = (struct search){.q = &q[k],
                               .bit = (uint16_t)(1 << k),
                               .hits = out[k],
                               .state = vectors + (int64_t)k * f->dim,
                               .extras = extras ? extras + (int64_t)k * f->m->n_items : NULL,
                               .bytes = r->bytes + (int64_t)k * width_of(f->dim)};
        mark(r, &q[k], s[k].bit, true);
    }
    r->scored = r->looked_at = 0;
    r->n_queries = n;
    model_prepare(f->m, queries, n, r->state);
    if (finder_is_fast(f))
        scan_longest(f, r, s, n);
    else
        scan_all(f, r, s, queries, n);
    for (int k = 0; k < n; k++) {
        mark(r, &q[k], s[k].bit, false);
        hits_sort(out[k], s[k].n);
        n_out[k] = s[k].n;
    }
}

int finder_find(const struct finder *f, struct finder_room *r, const struct finder_query *q,
                struct hit *out)
{
    int n;

    finder_find_many(f, r, q, 1, &out, &n);
    return n;
}
