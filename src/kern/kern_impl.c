/* The loops themselves. The file's compiler flags make them vectors; see kern.h and meson.build. */
#include "kern/kern.h"

#include <math.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

extern const struct kern KERN_TABLE;

/* Inlined where sizes are constants, so that loops have no ends to look after. */
#define INLINE static inline __attribute__((always_inline))

static float dot(const float *restrict a, const float *restrict b, int dim)
{
    float sum = 0;

    for (int k = 0; k < dim; k++)
        sum += a[k] * b[k];
    return sum;
}

typedef float group __attribute__((vector_size(KERN_GROUP * sizeof(float))));
typedef int32_t group_bits __attribute__((vector_size(KERN_GROUP * sizeof(int32_t))));

INLINE group choose(group_bits mask, group yes, group no)
{
    return (group)((mask & (group_bits)yes) | (~mask & (group_bits)no));
}

/* exp(x) to 2 ulp or so, for x in -87..88; beyond, what it is at the bounds; NaN of NaN.
 * exp(x) = 2^n exp(r), |r| <= ln 2 / 2; the polynomial is that of Cephes' expf. */
INLINE group exp_group(group x)
{
    const group zero = {0}, low = zero - 87.0f, high = zero + 88.0f;
    group r, y;
    group_bits n;

    x = choose(x < low, low, x);
    x = choose(x > high, high, x);
    r = x * 1.44269504f;
    n = __builtin_convertvector(r + choose(r < zero, zero - 0.5f, zero + 0.5f), group_bits);
    y = __builtin_convertvector(n, group);
    r = x - y * 0.693359375f + y * 2.12194440e-4f; /* ln 2 in two parts */
    y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    return y * (group)((n + 127) << 23);
}

INLINE group load(const float *x)
{
    group v;

    memcpy(&v, x, sizeof v);
    return v;
}

INLINE void store(float *x, group v)
{
    memcpy(x, &v, sizeof v);
}

INLINE void bpr_update(float *restrict u, float *restrict i, float *restrict j, int dim, float g,
                       struct kern_l2 keep)
{
    for (int k = 0; k < dim; k++) {
        float uk = u[k], ik = i[k], jk = j[k], gu = g * uk;

        u[k] = keep.u * uk + g * (ik - jk);
        i[k] = keep.i * ik + gu;
        j[k] = keep.j * jk - gu;
    }
}

/* <u, i - j>, a part in each lane. Two sums, so that one needn't wait for the other. */
INLINE group bpr_margin(const float *u, const float *i, const float *j, int dim)
{
    group even = {0}, odd = {0};
    int k = 0;

    for (; k + 2 * KERN_GROUP <= dim; k += 2 * KERN_GROUP) {
        const int next = k + KERN_GROUP;

        even += load(u + k) * (load(i + k) - load(j + k));
        odd += load(u + next) * (load(i + next) - load(j + next));
    }
    for (; k < dim; k++)
        even[0] += u[k] * (i[k] - j[k]);
    return even + odd;
}

/* Lane k of the result is the sum of the lanes of part[k]. */
INLINE group sum_lanes(group part[KERN_GROUP])
{
    group a, b, c, d;
#define PAIRS(x, y)                                                                                \
    (__builtin_shufflevector(x, y, 0, 8, 2, 10, 4, 12, 6, 14) +                                    \
     __builtin_shufflevector(x, y, 1, 9, 3, 11, 5, 13, 7, 15))
#define FOURS(x, y)                                                                                \
    (__builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13) +                                     \
     __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15))
    a = FOURS(PAIRS(part[0], part[1]), PAIRS(part[2], part[3]));
    b = FOURS(PAIRS(part[4], part[5]), PAIRS(part[6], part[7]));
    c = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    d = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    return c + d;
}

INLINE void prefetch_row(const float *row, int dim)
{
    for (int k = 0; k < dim; k += 16)
        __builtin_prefetch(row + k, 1);
}

INLINE void bpr_prefetch(const struct kern_triples *t, int64_t k, int dim)
{
    if (k >= t->n)
        return;
    prefetch_row(t->user_rows + (int64_t)t->users[k] * dim, dim);
    prefetch_row(t->item_rows + (int64_t)t->taken[k] * dim, dim);
    prefetch_row(t->item_rows + (int64_t)t->others[k] * dim, dim);
}

INLINE group margin_of(const struct kern_triples *t, int64_t k, int dim, bool biased)
{
    group part;

    if (k >= t->n)
        return (group){0};
    part = bpr_margin(t->user_rows + (int64_t)t->users[k] * dim,
                      t->item_rows + (int64_t)t->taken[k] * dim,
                      t->item_rows + (int64_t)t->others[k] * dim, dim);
    if (biased)
        part[0] += t->item_bias[t->taken[k]] - t->item_bias[t->others[k]];
    return part;
}

INLINE void update_of(const struct kern_triples *t, int64_t k, int dim, bool biased, float g,
                      struct kern_l2 keep)
{
    if (k >= t->n)
        return;
    bpr_update(t->user_rows + (int64_t)t->users[k] * dim, t->item_rows + (int64_t)t->taken[k] * dim,
               t->item_rows + (int64_t)t->others[k] * dim, dim, g, keep);
    if (biased) {
        float *i = &t->item_bias[t->taken[k]], *j = &t->item_bias[t->others[k]];

        *i = keep.i * *i + g;
        *j = keep.j * *j - g;
    }
}

/* A step's stores keep the store queue busy and the product that comes next waits for a sigmoid: so
 * steps of one group take turns with products of the next. */
INLINE void bpr_steps_of(const struct kern_triples *all, int dim, bool biased, float lr,
                         struct kern_l2 l2, float *margins)
{
    const struct kern_l2 keep = {1 - lr * l2.u, 1 - lr * l2.i, 1 - lr * l2.j};
    const struct kern_triples here = *all, *t = &here; /* which no store can change */
    group part[KERN_GROUP];

    for (int k = 0; k < KERN_GROUP; k++)
        part[k] = margin_of(t, k, dim, biased);
    for (int64_t first = 0; first < t->n; first += KERN_GROUP) {
        group x = sum_lanes(part);
        group g = lr / (1 + exp_group(x)); /* lr * sigmoid(-x): lr times the slope of log sigmoid */

        store(margins + first, x);
        for (int64_t k = first; k < first + KERN_GROUP; k++) {
            bpr_prefetch(t, k + 2 * KERN_GROUP, dim);
            update_of(t, k, dim, biased, g[k - first], keep);
            part[k - first] = margin_of(t, k + KERN_GROUP, dim, biased);
        }
    }
}

/* What people take is compiled apart: loops have no ends to look after then, and no bias. */
static void bpr_steps(const struct kern_triples *t, float lr, struct kern_l2 l2, float *margins)
{
    if (t->item_bias)
        bpr_steps_of(t, t->dim, true, lr, l2, margins);
    else if (t->dim == 32)
        bpr_steps_of(t, 32, false, lr, l2, margins);
    else if (t->dim == 64)
        bpr_steps_of(t, 64, false, lr, l2, margins);
    else if (t->dim == 128)
        bpr_steps_of(t, 128, false, lr, l2, margins);
    else
        bpr_steps_of(t, t->dim, false, lr, l2, margins);
}

static void may_have(const int32_t *owners, const int32_t *ids, int64_t n, const int32_t *others,
                     int64_t first, int64_t count, bool *maybe)
{
    int64_t k = first, end = first + count, inner = n - KERN_WINDOW;

    for (; k < end && k < KERN_WINDOW; k++)
        maybe[k - first] = true;
    for (; k < end && k < inner; k++) {
        const int32_t *owner = owners + k - KERN_WINDOW, *id = ids + k - KERN_WINDOW;
        int32_t u = owners[k], j = others[k - first], found = 0;

        for (int w = 0; w < 2 * KERN_WINDOW; w++)
            found |= (owner[w] == u) & (id[w] == j);
        maybe[k - first] = found | (owner[0] == u) | (owner[2 * KERN_WINDOW - 1] == u);
    }
    for (; k < end; k++)
        maybe[k - first] = true;
}

static bool holds(const int32_t *ids, int64_t n, int32_t id)
{
    int32_t found = 0;

    for (int64_t k = 0; k < n; k++)
        found |= ids[k] == id;
    return found;
}

INLINE int best_of_dim(const float *query, const float *rows, const int32_t *ids, int n, int dim)
{
    float most = -INFINITY;
    int best = -1;

    for (int k = 0; k < n; k++) {
        float score = ids[k] < 0 ? -INFINITY : dot(query, rows + (int64_t)ids[k] * dim, dim);

        if (score > most) {
            most = score;
            best = k;
        }
    }
    return best;
}

static int best_of(const float *query, const float *rows, const int32_t *ids, int n, int dim)
{
    return dim == 64 ? best_of_dim(query, rows, ids, n, 64) : best_of_dim(query, rows, ids, n, dim);
}

static void bias_relu(const float *x, int m, int n, const float *bias, float *out)
{
    for (int i = 0; i < m; i++, x += n, out += n)
#pragma GCC ivdep
        for (int k = 0; k < n; k++) {
            float sum = x[k] + bias[k];

            out[k] = sum > 0 ? sum : 0;
        }
}

static void relu_slope(float *restrict slope, const float *restrict out, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        slope[k] = out[k] > 0 ? slope[k] : 0;
}

static void product(float *y, const float *a, const float *b, int n)
{
#pragma GCC ivdep
    for (int k = 0; k < n; k++)
        y[k] = a[k] * b[k];
}

static void add_product(float *restrict y, const float *restrict a, const float *restrict b, int n)
{
    for (int k = 0; k < n; k++)
        y[k] += a[k] * b[k];
}

static void inverse_roots(const float *restrict x, int n, float scale, float add,
                          float *restrict out)
{
    for (int k = 0; k < n; k++)
        out[k] = 1 / sqrtf(scale * x[k] + add);
}

static int above(const float *x, int count, int n, const float *limits, int32_t *found)
{
    int n_found = 0;

    for (int c = 0; c < count; c++, x += n) {
        int32_t any = 0;

        for (int r = 0; r < n; r++)
            any |= x[r] > limits[r];
        for (int r = 0; any && r < n; r++)
            if (x[r] > limits[r])
                found[n_found++] = c * n + r;
    }
    return n_found;
}

/* ---- products of bytes ----
 *
 * The rows of a group stand side by side, four bytes of each in turn, so that what is added up in
 * one lane of a register is one row's. Rows are 0 .. 255, x -63 .. 63: a product and its neighbour
 * fit in 16 bits together. */

#ifdef __AVX2__
/* Four bytes as one number, to be in all lanes. */
static int32_t four_of(const int8_t *x)
{
    int32_t four;

    memcpy(&four, x, sizeof four);
    return four;
}
#endif

#if defined(__AVX512BW__)
static __m512i add_products(__m512i sum, const uint8_t *rows, __m512i x)
{
#ifdef __AVX512VNNI__
    return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(rows), x);
#else
    __m512i pairs = _mm512_maddubs_epi16(_mm512_loadu_si512(rows), x);

    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}

/* Two sums a row, as each must wait for the last product. */
static void byte_dots(const int8_t *x, const uint8_t *rows, int width, int32_t *out)
{
    enum { HALF = KERN_BYTES / 2, STEP = 4 * KERN_BYTES };
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

    for (int k = 0; k < width; k += 8, rows += 2 * STEP) {
        __m512i by = _mm512_set1_epi32(four_of(x + k)),
                next = _mm512_set1_epi32(four_of(x + k + 4));

        a = add_products(a, rows, by);
        b = add_products(b, rows + STEP / 2, by);
        c = add_products(c, rows + STEP, next);
        d = add_products(d, rows + STEP + STEP / 2, next);
    }
    _mm512_storeu_si512(out, _mm512_add_epi32(a, c));
    _mm512_storeu_si512(out + HALF, _mm512_add_epi32(b, d));
}
#elif defined(__AVX2__)
static __m256i add_products(__m256i sum, const uint8_t *rows, __m256i x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)rows), x);

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static void byte_dots(const int8_t *x, const uint8_t *rows, int width, int32_t *out)
{
    enum { PARTS = 4, PART = KERN_BYTES / PARTS };
    __m256i sums[PARTS] = {0};

    for (int k = 0; k < width; k += 4, rows += 4 * KERN_BYTES)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++)
            sums[p] = add_products(sums[p], rows + 4 * PART * p, _mm256_set1_epi32(four_of(x + k)));
    for (int p = 0; p < PARTS; p++)
        _mm256_storeu_si256((__m256i *)(out + p * PART), sums[p]);
}
#else
static void byte_dots(const int8_t *x, const uint8_t *rows, int width, int32_t *out)
{
    memset(out, 0, KERN_BYTES * sizeof *out);
    for (int k = 0; k < width; k += 4)
        for (int r = 0; r < KERN_BYTES; r++)
            for (int l = 0; l < 4; l++)
                out[r] += (int32_t)x[k + l] * *rows++;
}
#endif

/* A bit for each row of the group from `first` that may reach the limit. */
#if defined(__AVX512F__)
static uint32_t may_reach(const int32_t *dots, const struct kern_bytes *rows, int first,
                          struct kern_bound bound)
{
    enum { LANES_512 = 16 };
    uint32_t bits = 0;

    for (int k = 0; k < KERN_BYTES; k += LANES_512) {
        int r = first + k;
        __m512 most = _mm512_loadu_ps(rows->bias + r);
        __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(dots + k)),
                                       _mm512_loadu_ps(rows->scale + r));

        most =
            _mm512_fmadd_ps(_mm512_set1_ps(bound.length), _mm512_loadu_ps(rows->length + r), most);
        most = _mm512_fmadd_ps(_mm512_set1_ps(bound.error), _mm512_loadu_ps(rows->error + r), most);
        most = _mm512_fmadd_ps(_mm512_set1_ps(bound.tail), _mm512_loadu_ps(rows->tail + r), most);
        most = _mm512_fmadd_ps(_mm512_set1_ps(bound.scale), product, most);
        bits |= (uint32_t)_mm512_cmp_ps_mask(most, _mm512_set1_ps(bound.limit), _CMP_GE_OQ) << k;
    }
    return bits;
}
#else
static uint32_t may_reach(const int32_t *dots, const struct kern_bytes *rows, int first,
                          struct kern_bound bound)
{
    int32_t reaches[KERN_BYTES], any = 0;
    uint32_t bits = 0;

    for (int k = 0; k < KERN_BYTES; k++) {
        int r = first + k;
        float most = bound.scale * rows->scale[r] * (float)dots[k] + bound.error * rows->error[r] +
                     bound.tail * rows->tail[r] + bound.length * rows->length[r] + rows->bias[r];

        reaches[k] = most >= bound.limit;
        any |= reaches[k];
    }
    for (int k = 0; any && k < KERN_BYTES; k++)
        bits |= (uint32_t)reaches[k] << k;
    return bits;
}
#endif

static int reaching(const int8_t *x, const struct kern_bytes *rows, int n, int width,
                    struct kern_bound bound, int32_t *found)
{
    int32_t shift = 0;
    int n_found = 0;

    for (int k = 0; k < width; k++)
        shift += KERN_BYTE_ZERO * x[k];
    for (int first = 0; first < n; first += KERN_BYTES) {
        int32_t dots[KERN_BYTES];
        uint32_t bits;

        byte_dots(x, rows->bytes + (int64_t)first * width, width, dots);
        for (int k = 0; k < KERN_BYTES; k++)
            dots[k] -= shift;
        bits = may_reach(dots, rows, first, bound);
        for (; bits; bits &= bits - 1) {
            int r = first + __builtin_ctz(bits);

            if (r < n)
                found[n_found++] = r;
        }
    }
    return n_found;
}

static void scaled(float *y, float a, const float *x, int n)
{
    for (int k = 0; k < n; k++)
        y[k] = a * x[k];
}

static void add_scaled(float *restrict y, float a, const float *restrict x, int n)
{
    for (int k = 0; k < n; k++)
        y[k] += a * x[k];
}

/* ---- matrix product ----
 *
 * A tile of c, TILE_ROWS by TILE_COLS, stays in registers over DEPTH steps of k; the columns of b
 * that belong to it are packed, zeros behind the last. Every number of c is summed in the order of
 * k, in whichever tile it lies. */
#if defined(__AVX512F__)
enum { LANES = 16, TILE_ROWS = 12 };
#elif defined(__AVX2__)
enum { LANES = 8, TILE_ROWS = 6 };
#else
enum { LANES = 4, TILE_ROWS = 6 };
#endif
enum { TILE_COLS = 2 * LANES, DEPTH = 256 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t int_lanes __attribute__((vector_size(LANES * sizeof(int32_t))));

struct panel {
    lanes b[DEPTH][2];
};

/* (k, n) of b, n <= TILE_COLS. */
static void pack(struct panel *p, int k, int n, const float *b, int ldb)
{
    if (n == TILE_COLS)
        for (int l = 0; l < k; l++)
            memcpy(p->b[l], b + (int64_t)l * ldb, sizeof p->b[l]);
    else
        for (int l = 0; l < k; l++) {
            memset(p->b[l], 0, sizeof p->b[l]);
            memcpy(p->b[l], b + (int64_t)l * ldb, (size_t)n * sizeof(float));
        }
}

/* TILE_COLS columns of m rows of c, m <= TILE_ROWS a constant where it's inlined. */
static inline __attribute__((always_inline)) void tile(int m, int k, const float *a, int64_t a_row,
                                                       int64_t a_col, const struct panel *p,
                                                       float *c, int64_t ldc, bool accumulate)
{
    lanes sum[TILE_ROWS][2] = {0};

#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
        if (accumulate) {
            sum[i][0] = *(const loose *)(c + i * ldc);
            sum[i][1] = *(const loose *)(c + i * ldc + LANES);
        }
    for (int l = 0; l < k; l++) {
        lanes b0 = p->b[l][0], b1 = p->b[l][1];

#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            float x = a[i * a_row + l * a_col];

            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
        *(loose *)(c + i * ldc) = sum[i][0];
        *(loose *)(c + i * ldc + LANES) = sum[i][1];
    }
}

/* All TILE_COLS columns of c; the last rows in one tile of as many. */
static void tiles(int m, int k, const float *a, int64_t a_row, int64_t a_col, const struct panel *p,
                  float *c, int64_t ldc, bool accumulate)
{
    int i = 0;

#define TILE(rows) tile(rows, k, a + i * a_row, a_row, a_col, p, c + i * ldc, ldc, accumulate)
    for (; m - i >= TILE_ROWS; i += TILE_ROWS)
        TILE(TILE_ROWS);
    for (; m - i >= 6; i += 6)
        TILE(6);
    if (m - i == 5)
        TILE(5);
    else if (m - i == 4)
        TILE(4);
    else if (m - i == 3)
        TILE(3);
    else if (m - i == 2)
        TILE(2);
    else if (m - i == 1)
        TILE(1);
#undef TILE
}

/* The last n < TILE_COLS columns, by way of whole tiles beside c. */
static void edge_tiles(int m, int n, int k, const float *a, int64_t a_row, int64_t a_col,
                       const struct panel *p, float *c, int64_t ldc, bool accumulate)
{
    lanes whole[TILE_ROWS][2] = {0};
    size_t bytes = (size_t)n * sizeof(float);

    for (int i = 0; i < m; i += TILE_ROWS) {
        int rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;

        for (int r = 0; accumulate && r < rows; r++)
            memcpy(whole[r], c + (i + r) * ldc, bytes);
        tiles(rows, k, a + i * a_row, a_row, a_col, p, (float *)whole, TILE_COLS, accumulate);
        for (int r = 0; r < rows; r++)
            memcpy(c + (i + r) * ldc, whole[r], bytes);
    }
}

static void gemm(int m, int n, int k, const float *a, int a_row, int a_col, const float *b, int ldb,
                 float *c, int ldc, bool accumulate)
{
    struct panel p;

    for (int l = 0; l == 0 || l < k; l += DEPTH, accumulate = true)
        for (int j = 0; j < n; j += TILE_COLS) {
            int depth = k - l < DEPTH ? k - l : DEPTH, cols = n - j < TILE_COLS ? n - j : TILE_COLS;
            const float *from = a + (int64_t)l * a_col;

            pack(&p, depth, cols, b + (int64_t)l * ldb + j, ldb);
            if (cols == TILE_COLS)
                tiles(m, depth, from, a_row, a_col, &p, c + j, ldc, accumulate);
            else
                edge_tiles(m, cols, depth, from, a_row, a_col, &p, c + j, ldc, accumulate);
        }
}

/* The transpose of 8 x 8 numbers. */
INLINE void turn_groups(const group in[8], group out[8])
{
    group a[8], b[8];
#define LOW(x, y)  __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(x, y) __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15)
#define EVEN(x, y) __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13)
#define ODD(x, y)  __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15)
    for (int r = 0; r < 8; r += 2) {
        b[r] = LOW(in[r], in[r + 1]);
        b[r + 1] = HIGH(in[r], in[r + 1]);
    }
    for (int r = 0; r < 8; r += 4) {
        a[r] = EVEN(b[r], b[r + 2]);
        a[r + 1] = ODD(b[r], b[r + 2]);
        a[r + 2] = EVEN(b[r + 1], b[r + 3]);
        a[r + 3] = ODD(b[r + 1], b[r + 3]);
    }
    for (int r = 0; r < 4; r++) {
        out[r] = __builtin_shufflevector(a[r], a[r + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        out[r + 4] = __builtin_shufflevector(a[r], a[r + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#undef LOW
#undef HIGH
#undef EVEN
#undef ODD
}

INLINE void turn_square(const float *x, int64_t ldx, float *out, int64_t ld_out)
{
    group rows[8], turned[8];

    for (int r = 0; r < 8; r++)
        rows[r] = load(x + r * ldx);
    turn_groups(rows, turned);
    for (int r = 0; r < 8; r++)
        store(out + r * ld_out, turned[r]);
}

/* Numbers l .. l + depth - 1 of each of n <= TILE_COLS queries, one query a column; those that
 * there aren't are 0. */
static void turn(const float *queries, int n, int dim, int l, int depth, struct panel *p)
{
    const float *from = queries + l;
    float *out = (float *)p->b;
    int whole = n / 8 * 8, deep = depth / 8 * 8;

    for (int r = 0; r < whole; r += 8)
        for (int k = 0; k < deep; k += 8)
            turn_square(from + (int64_t)r * dim + k, dim, out + k * TILE_COLS + r, TILE_COLS);
    for (int k = 0; k < depth; k++)
        for (int r = k < deep ? whole : 0; r < TILE_COLS; r++)
            out[k * TILE_COLS + r] = r < n ? from[(int64_t)r * dim + k] : 0;
}

enum { PICK = 8 };

/* What is summed up to here isn't mixed with what follows. */
#ifdef __AVX__
#define IN_ORDER(sum) __asm__("" : "+x"(sum))
#else
#define IN_ORDER(sum) __asm__("" : "+m"(sum)) /* a group takes more than one register */
#endif

/* Eight products, each summed number by number, as those of a tile are. */
static group picked_group(const float *query, const float *const rows[PICK], int dim)
{
    int whole = dim / PICK * PICK;
    group in[PICK], turned[PICK], sum = {0};

    for (int l = 0; l < whole; l += PICK) {
#pragma GCC unroll 8
        for (int r = 0; r < PICK; r++)
            in[r] = load(rows[r] + l);
        turn_groups(in, turned);
#pragma GCC unroll 8
        for (int k = 0; k < PICK; k++) {
            sum += turned[k] * query[l + k];
            IN_ORDER(sum);
        }
    }
    for (int l = whole; l < dim; l++) {
        float column[PICK];

        for (int r = 0; r < PICK; r++)
            column[r] = rows[r][l];
        sum += load(column) * query[l];
        IN_ORDER(sum);
    }
    return sum;
}

/* Columns of few queries would leave a tile's others empty. */
static void few_scores(const float *queries, int n, const float *items, int32_t count, int dim,
                       float *out)
{
    for (int32_t first = 0; first < count; first += PICK) {
        int some = count - first < PICK ? count - first : PICK;
        const float *of[PICK];

        for (int k = 0; k < PICK; k++)
            of[k] = items + (int64_t)(first + (k < some ? k : 0)) * dim;
        for (int r = 0; r < n; r++) {
            float sums[PICK];

            store(sums, picked_group(queries + (int64_t)r * dim, of, dim));
            for (int k = 0; k < some; k++)
                out[(int64_t)(first + k) * n + r] = sums[k];
        }
    }
}

/* A product of matrices whose panels are queries: items are read as they lie. */
static void scores(const float *queries, int n, const float *items, int32_t count, int dim,
                   float *out)
{
    enum { FEW = 3 };
    struct panel p;

    if (n <= FEW) {
        few_scores(queries, n, items, count, dim, out);
        return;
    }
    for (int r = 0; r < n; r += TILE_COLS) {
        int cols = n - r < TILE_COLS ? n - r : TILE_COLS;

        for (int l = 0; l < dim; l += DEPTH) {
            int depth = dim - l < DEPTH ? dim - l : DEPTH;

            turn(queries + (int64_t)r * dim, cols, dim, l, depth, &p);
            if (cols == TILE_COLS)
                tiles(count, depth, items + l, dim, 1, &p, out + r, n, l > 0);
            else
                edge_tiles(count, cols, depth, items + l, dim, 1, &p, out + r, n, l > 0);
        }
    }
}

static void picked_scores(const float *query, const float *rows, const int32_t *ids, int n, int dim,
                          float *out)
{
    enum { LINE = 16 }; /* floats */

    for (int k = 0; k < n; k++)
        for (int l = 0; l < dim; l += LINE)
            __builtin_prefetch(rows + (int64_t)ids[k] * dim + l);
    for (int first = 0; first < n; first += PICK) {
        int count = n - first < PICK ? n - first : PICK;
        const float *of[PICK];
        float sums[PICK];

        for (int r = 0; r < PICK; r++)
            of[r] = rows + (int64_t)ids[first + (r < count ? r : 0)] * dim;
        store(sums, picked_group(query, of, dim));
        memcpy(out + first, sums, (size_t)count * sizeof *out);
    }
}

/* TILE_COLS columns at a time, from the diagonal down. */
static void row_products(const float *x, int n, int dim, float *out)
{
    struct panel p;

    for (int r = 0; r < n; r += TILE_COLS) {
        int cols = n - r < TILE_COLS ? n - r : TILE_COLS;
        const float *from = x + (int64_t)r * dim;
        float *to = out + (int64_t)r * n + r;

        for (int l = 0; l < dim; l += DEPTH) {
            int depth = dim - l < DEPTH ? dim - l : DEPTH;

            turn(from, cols, dim, l, depth, &p);
            if (cols == TILE_COLS)
                tiles(n - r, depth, from + l, dim, 1, &p, to, n, l > 0);
            else
                edge_tiles(n - r, cols, depth, from + l, dim, 1, &p, to, n, l > 0);
        }
    }
}

/* ---- Cholesky ---- */

/* Columns at a time: the block on the diagonal is factored number by number, what lies below it
 * follows by products of matrices. */
enum { FACTOR_COLS = 32 };

/* The block (n, n) on the diagonal. */
static bool factor(int n, float *a, int64_t lda)
{
    for (int i = 0; i < n; i++) {
        float *row = a + i * lda, left;

        for (int j = 0; j < i; j++)
            row[j] = (row[j] - dot(row, a + j * lda, j)) / a[j * lda + j];
        left = row[i] - dot(row, row, i);
        if (!(left > 0) || left > 3.4e38f)
            return false;
        row[i] = sqrtf(left);
    }
    return true;
}

/* out (n, FACTOR_COLS) = transpose of the inverse of the lower triangle l (n, n). */
static void invert_factor(int n, const float *l, int64_t ldl, float *out)
{
    float inverse[FACTOR_COLS][FACTOR_COLS] = {0};

    for (int i = 0; i < n; i++) {
        const float *row = l + i * ldl;

        inverse[i][i] = 1;
        for (int j = 0; j < i; j++)
            add_scaled(inverse[i], -row[j], inverse[j], j + 1);
        scaled(inverse[i], 1 / row[i], inverse[i], i + 1);
        for (int j = 0; j < n; j++)
            out[j * FACTOR_COLS + i] = 0;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            out[j * FACTOR_COLS + i] = inverse[i][j];
}

/* rows (m, n), below the block l, become rows l^-T. */
static void divide_by_factor(int m, int n, float *rows, const float *l, int64_t lda)
{
    enum { ROWS = 48 };
    float inverse[FACTOR_COLS * FACTOR_COLS], part[ROWS * FACTOR_COLS];

    invert_factor(n, l, lda, inverse);
    for (int i = 0; i < m; i += ROWS) {
        int some = m - i < ROWS ? m - i : ROWS;

        gemm(some, n, n, rows + i * lda, (int)lda, 1, inverse, FACTOR_COLS, part, FACTOR_COLS,
             false);
        for (int r = 0; r < some; r++)
            memcpy(rows + (i + r) * lda, part + r * FACTOR_COLS, (size_t)n * sizeof *part);
    }
}

/* Take from columns first .. first + cols - 1, from the diagonal down, what the columns before them
 * account for. */
static void take_before(int n, float *a, int first, int cols)
{
    float turned[DEPTH * FACTOR_COLS];
    float *rows = a + (int64_t)first * n;

    for (int l = 0; l < first; l += DEPTH) {
        int depth = first - l < DEPTH ? first - l : DEPTH;

        for (int k = 0; k < depth; k++)
            for (int c = 0; c < cols; c++)
                turned[k * FACTOR_COLS + c] = -rows[(int64_t)c * n + l + k];
        gemm(n - first, cols, depth, rows + l, n, 1, turned, FACTOR_COLS, rows + first, n, true);
    }
}

static bool cholesky(int n, float *a)
{
    for (int first = 0; first < n; first += FACTOR_COLS) {
        int cols = n - first < FACTOR_COLS ? n - first : FACTOR_COLS, next = first + cols;
        float *block = a + (int64_t)first * n + first;

        take_before(n, a, first, cols);
        if (!factor(cols, block, n))
            return false;
        if (next < n)
            divide_by_factor(n - next, cols, block + (int64_t)cols * n, block, n);
    }
    return true;
}

static void cholesky_solve(int n, const float *l, float *b)
{
    for (int i = 0; i < n; i++) {
        const float *row = l + (int64_t)i * n;

        b[i] = (b[i] - dot(row, b, i)) / row[i];
    }
    for (int i = n - 1; i >= 0; i--) {
        const float *row = l + (int64_t)i * n;

        b[i] /= row[i];
        add_scaled(b, -b[i], row, i);
    }
}

/* ---- exponentials ---- */

/* x - n * ln 2. Without fused products the rounding of the second counts: as much as that of x. */
static inline float minus_ln2(float x, float n)
{
#ifdef __FMA__
    return __builtin_fmaf(-n, 0.693147181f, x);
#else
    return x - n * 0.693147181f;
#endif
}

/* exp(x) of x <= 0; 0 below -88. x = n ln 2 + r; n + 127 is the exponent of the result, exp(r) a
 * polynomial (Cephes, expf). */
static inline float exp_of(float x)
{
    float r, p, power;
    uint32_t bits;
    int32_t n;

    x = x < -88.02f ? -88.02f : x;
    n = (int32_t)(x * 1.44269504f + 127.5f);
    r = minus_ln2(x, (float)(int32_t)((uint32_t)n - 127)); /* wraps where x is no number */
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    bits = (uint32_t)n << 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* log(1 + e), 0 <= e <= 1: twice the series of artanh(e / (2 + e)), whose argument is at most 1/3.
 */
static inline float log1p_of(float e)
{
    float w = e / (2 + e), w2 = w * w, p = 1.0f / 13;

    p = p * w2 + 1.0f / 11;
    p = p * w2 + 1.0f / 9;
    p = p * w2 + 1.0f / 7;
    p = p * w2 + 1.0f / 5;
    p = p * w2 + 1.0f / 3;
    p = p * w2 + 1;
    return 2 * w * p;
}

static struct kern_sums logistic(const float *restrict x, int n, float shift,
                                 float *restrict slopes)
{
    float loss = 0, slope = 0;
    int counted = 0;

    for (int k = 0; k < n; k++) {
        float z = x[k] - shift, e = exp_of(z > 0 ? -z : z), s = (z > 0 ? 1 : e) / (1 + e);

        loss += (z > 0 ? z : 0) + log1p_of(e);
        slope += s;
        counted += x[k] != -INFINITY;
        slopes[k] = s;
    }
    return (struct kern_sums){loss, slope, counted};
}

/* The greatest of x[0..n-1]; -INFINITY where there is none. Lane by lane: as one running maximum
 * the loop is not made a vector. */
static float greatest(const float *x, int n)
{
    lanes most = (lanes){0} - INFINITY, some;
    float all = -INFINITY;
    int k = 0;

    for (; k + LANES <= n; k += LANES) {
        int_lanes more;

        memcpy(&some, x + k, sizeof some);
        more = some > most;
        most = (lanes)((more & (int_lanes)some) | (~more & (int_lanes)most));
    }
    for (int l = 0; l < LANES; l++)
        all = most[l] > all ? most[l] : all;
    for (; k < n; k++)
        all = x[k] > all ? x[k] : all;
    return all;
}

static int mask_later(const float *restrict x, const int32_t *restrict since, int n, int32_t when,
                      float *restrict out)
{
    int left = 0;

    for (int k = 0; k < n; k++) {
        out[k] = since[k] > when ? -INFINITY : x[k];
        left += out[k] != -INFINITY;
    }
    return left;
}

/* Four rows at a time, while those that come next are fetched. */
static void sum_rows(const float *restrict rows, const int32_t *restrict ids, int64_t n,
                     const float *restrict weights, int dim, float *restrict out)
{
    enum { FETCHED = 1024 }; /* longer ones the processor sees coming */
    int64_t at = 0;

    memset(out, 0, (size_t)dim * sizeof *out);
    for (; at + 4 <= n; at += 4) {
        const float *x[4];
        float w[4];

        for (int r = 0; r < 4; r++) {
            x[r] = rows + (int64_t)ids[at + r] * dim;
            w[r] = weights ? weights[ids[at + r]] : 1;
            if (dim <= FETCHED && at + r + 4 < n)
                prefetch_row(rows + (int64_t)ids[at + r + 4] * dim, dim);
        }
        for (int k = 0; k < dim; k++)
            out[k] += (w[0] * x[0][k] + w[1] * x[1][k]) + (w[2] * x[2][k] + w[3] * x[3][k]);
    }
    for (; at < n; at++)
        add_scaled(out, weights ? weights[ids[at]] : 1, rows + (int64_t)ids[at] * dim, dim);
}

static float softmax(const float *restrict x, int n, float scale, float weight, float *restrict out)
{
    float most = greatest(x, n), sum = 0;

    if (most == -INFINITY) {
        memset(out, 0, (size_t)n * sizeof *out);
        return -INFINITY;
    }
    for (int k = 0; k < n; k++) {
        float e = exp_of((x[k] - most) * scale);

        sum += e;
        out[k] = e;
    }
    scaled(out, weight / sum, out, n);
    return most * scale + logf(sum);
}

/* ---- steps of the optimisers ---- */

static void step_sgd(float *restrict row, float *const *, const float *restrict dir, int n,
                     struct kern_step s)
{
    const float keep = 1 - s.lr * s.l2, by = s.lr * s.coef;

    for (int k = 0; k < n; k++)
        row[k] = keep * row[k] - by * dir[k];
}

static const float ADAGRAD_EPS = 1e-10f;

static void step_adagrad(float *restrict row, float *const *state, const float *restrict dir, int n,
                         struct kern_step s)
{
    float *restrict squares = state[0];

    for (int k = 0; k < n; k++) {
        float g = s.coef * dir[k] + s.l2 * row[k], sum = squares[k] + g * g;

        squares[k] = sum;
        row[k] -= s.lr * g / (sqrtf(sum) + ADAGRAD_EPS);
    }
}

static void step_rowwise_adagrad(float *restrict row, float *const *state,
                                 const float *restrict dir, int n, struct kern_step s)
{
    float squares = 0, by;

    for (int k = 0; k < n; k++) {
        float g = s.coef * dir[k] + s.l2 * row[k];

        squares += g * g;
    }
    *state[0] += squares / (float)n;
    by = s.lr / (sqrtf(*state[0]) + ADAGRAD_EPS);
    for (int k = 0; k < n; k++)
        row[k] -= by * (s.coef * dir[k] + s.l2 * row[k]);
}

/* The moving means start at 0; that of 1, after t steps, is 1 - beta^t: what they lack. */
static void step_adam(float *restrict row, float *const *state, const float *restrict dir, int n,
                      struct kern_step s)
{
    const float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
    float *restrict mean = state[0], *restrict squares = state[1], *ones = state[2];
    float by, root;

    ones[0] = beta1 * ones[0] + (1 - beta1);
    ones[1] = beta2 * ones[1] + (1 - beta2);
    by = s.lr / ones[0];
    root = 1 / sqrtf(ones[1]);
    for (int k = 0; k < n; k++) {
        float g = s.coef * dir[k] + s.l2 * row[k];
        float m = beta1 * mean[k] + (1 - beta1) * g;
        float v = beta2 * squares[k] + (1 - beta2) * g * g;

        mean[k] = m;
        squares[k] = v;
        row[k] -= by * m / (root * sqrtf(v) + eps);
    }
}

const struct kern KERN_TABLE = {
    .isa = KERN_ISA,
    .scores = scores,
    .best_of = best_of,
    .bpr_steps = bpr_steps,
    .may_have = may_have,
    .holds = holds,
    .dot = dot,
    .bias_relu = bias_relu,
    .relu_slope = relu_slope,
    .product = product,
    .add_product = add_product,
    .gemm = gemm,
    .inverse_roots = inverse_roots,
    .row_products = row_products,
    .cholesky = cholesky,
    .cholesky_solve = cholesky_solve,
    .logistic = logistic,
    .softmax = softmax,
    .mask_later = mask_later,
    .add_scaled = add_scaled,
    .scaled = scaled,
    .sum_rows = sum_rows,
    .step = {[KERN_SGD] = step_sgd,
             [KERN_ADAGRAD] = step_adagrad,
             [KERN_ROWWISE_ADAGRAD] = step_rowwise_adagrad,
             [KERN_ADAM] = step_adam},
    .above = above,
    .picked_scores = picked_scores,
    .reaching = reaching,
};
