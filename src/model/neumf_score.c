/* neumf_score.c - NeuMF's scores of all items for some users.
 *
 * The first layer's weights fall into those of the user and those of the item: a user's part is
 * computed once a call, the items' part once for all queries; what is left for each pair is to add
 * the two, and the layers from the second on. */
#include "model/neumf.h"

/* Tiles of items, few enough that a layer's output has at most TILE_FLOATS numbers. */
enum { QUERIES = 16, TILE_ITEMS = 128, TILE_FLOATS = TILE_ITEMS * 128 };

struct asked {
    int n;
    float gmf[QUERIES * NEUMF_WIDTH_MAX]; /* (n, dim) the user's vector times the output weights */
    float mlp[QUERIES * NEUMF_WIDTH_MAX]; /* (n, width[1]) the user's part of the first layer */
};

static void ask(const struct neumf *nm, const struct neumf_shape *s, const struct query *q, int n,
                struct asked *a)
{
    const struct kern *kern = kern_best();
    int half = s->half, out = s->width[1];

    a->n = n;
    if (s->dim)
        memset(a->gmf, 0, (size_t)(n * s->dim) * sizeof *a->gmf);
    for (int r = 0; r < n; r++) {
        int64_t user = q[r].user;

        if (s->dim)
            kern->add_product(a->gmf + r * s->dim, nm->data[NEUMF_GMF_USERS] + user * s->dim,
                              nm->data[NEUMF_OUTPUT], s->dim);
        if (half) {
            memcpy(a->mlp + r * out, nm->data[neumf_bias(0)], (size_t)out * sizeof *a->mlp);
            kern->gemm(1, out, half, nm->data[NEUMF_MLP_USERS] + user * half, half, 1,
                       nm->data[neumf_weight(0)], out, a->mlp + r * out, out, true);
        }
    }
}

/* out[r * stride + i] for the items first .. first + n - 1. */
static void score_mlp(const struct neumf *nm, const struct neumf_shape *s, const struct asked *a,
                      int32_t first, int n, float *out, int64_t stride)
{
    const struct kern *kern = kern_best();
    const float *output = nm->data[NEUMF_OUTPUT] + s->dim;
    float items[TILE_FLOATS], room[2][TILE_FLOATS], *z[NEUMF_LAYERS_MAX];
    int half = s->half, wide = s->width[1];

    for (int l = 0; l < s->n_layers; l++)
        z[l] = room[l % 2];
    kern->gemm(n, wide, half, nm->data[NEUMF_MLP_ITEMS] + (int64_t)first * half, half, 1,
               nm->data[neumf_weight(0)] + half * wide, wide, items, wide, false);
    for (int r = 0; r < a->n; r++) {
        kern->bias_relu(items, n, wide, a->mlp + r * wide, z[0]);
        neumf_forward(nm, s, n, z);
        kern->scores(&output, 1, z[s->n_layers - 1], n, s->last, out + r * stride, stride);
    }
}

/* The same, added to what is there. */
static void add_gmf(const struct neumf *nm, const struct neumf_shape *s, const struct asked *a,
                    int32_t first, int n, float *out, int64_t stride)
{
    const struct kern *kern = kern_best();
    float scores[QUERIES * TILE_ITEMS];
    const float *rows[QUERIES];

    for (int r = 0; r < a->n; r++)
        rows[r] = a->gmf + r * s->dim;
    kern->scores(rows, a->n, nm->data[NEUMF_GMF_ITEMS] + (int64_t)first * s->dim, n, s->dim, scores,
                 TILE_ITEMS);
    for (int r = 0; r < a->n; r++)
        kern->add_scaled(out + r * stride, 1, scores + r * TILE_ITEMS, n);
}

static int tile_items(const struct neumf_shape *s)
{
    int n = TILE_ITEMS;

    for (int l = 1; l <= s->n_layers; l++)
        n = MIN(n, TILE_FLOATS / s->width[l]);
    return n;
}

static void score_some(const struct neumf *nm, const struct neumf_shape *s, const struct query *q,
                       int n_queries, int32_t first, int32_t n, float *out)
{
    float bias = *nm->data[NEUMF_OUTPUT_BIAS];
    int tile = tile_items(s);
    struct asked a;

    ask(nm, s, q, n_queries, &a);
    for (int64_t k = 0; k < (int64_t)n_queries * n; k++)
        out[k] = 0;
    for (int32_t at = 0; at < n; at += tile) {
        int some = MIN(tile, n - at);

        if (s->half)
            score_mlp(nm, s, &a, first + at, some, out + at, n);
        if (s->dim)
            add_gmf(nm, s, &a, first + at, some, out + at, n);
    }
    for (int64_t k = 0; k < (int64_t)n_queries * n; k++)
        out[k] += bias;
}

void neumf_score(const struct model *m, const struct query *q, int n_queries, int32_t first,
                 int32_t n, float *out)
{
    struct neumf_shape s = neumf_shape_of(m);

    for (int done = 0; done < n_queries; done += QUERIES)
        score_some((const struct neumf *)m, &s, q + done, MIN(QUERIES, n_queries - done), first, n,
                   out + (int64_t)done * n);
}
