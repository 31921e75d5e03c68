/* neumf_score.c - NeuMF's scores of all items for some users.
 *
 * The first layer's weights fall into those of the user and those of the item: a user's part is
 * prepared once, the items' part once for all queries, or ahead; what is left for each pair is to
 * add the two, and the layers from the second on. */
#include "model/neumf.h"

/* Tiles of items, few enough that a layer's output has at most TILE_FLOATS numbers. */
enum { TILE_ITEMS = 128, TILE_FLOATS = TILE_ITEMS * 128 };

/* Each tower's part of a query's state: the user's vector times the output weights (dim); the
 * user's part of the first layer, with its bias (width[1]). */
struct state_parts {
    int gmf, mlp;
};

static struct state_parts parts_of(const struct neumf_shape *s)
{
    return (struct state_parts){s->dim, s->half ? s->width[1] : 0};
}

int64_t neumf_state(const struct model *m)
{
    struct neumf_shape s = neumf_shape_of(m);
    struct state_parts p = parts_of(&s);

    return p.gmf + p.mlp;
}

/* All gmf parts first, (n, dim), then all mlp parts, (n, width[1]). */
void neumf_prepare(const struct model *m, const struct query *q, int n, float *state)
{
    const struct neumf *nm = (const struct neumf *)m;
    const struct kern *kern = kern_best();
    struct neumf_shape s = neumf_shape_of(m);
    struct state_parts p = parts_of(&s);
    float *gmf = state, *mlp = state + (int64_t)n * p.gmf;

    for (int r = 0; r < n; r++, gmf += p.gmf, mlp += p.mlp) {
        int64_t user = q[r].user;

        if (p.gmf) {
            kern->product(gmf, nm->data[NEUMF_OUTPUT], nm->data[NEUMF_GMF_USERS] + user * p.gmf,
                          p.gmf);
        }
        if (p.mlp) {
            memcpy(mlp, nm->data[neumf_bias(0)], (size_t)p.mlp * sizeof *mlp);
            kern->gemm(1, p.mlp, s.half, nm->data[NEUMF_MLP_USERS] + user * s.half, s.half, 1,
                       nm->data[neumf_weight(0)], p.mlp, mlp, p.mlp, true);
        }
    }
}

/* What so many items add to the first layer, (count, width[1]). */
static void make_item_part(const struct neumf *nm, const struct neumf_shape *s, int32_t first,
                           int count, float *out)
{
    int half = s->half, wide = s->width[1];

    kern_best()->gemm(count, wide, half, nm->data[NEUMF_MLP_ITEMS] + (int64_t)first * half, half, 1,
                      nm->data[neumf_weight(0)] + half * wide, wide, out, wide, false);
}

void neumf_hasten(struct model *m)
{
    struct neumf *nm = (struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);

    if (!s.half || nm->item_part)
        return;
    nm->item_part = xaligned((size_t)m->n_items * (size_t)s.width[1], sizeof *nm->item_part);
    make_item_part(nm, &s, 0, m->n_items, nm->item_part);
}

/* Adds the output of the layers to out (count, n) of the items first .. first + count - 1. */
static void add_mlp(const struct neumf *nm, const struct neumf_shape *s, const float *mlp, int n,
                    int32_t first, int count, float *out)
{
    const struct kern *kern = kern_best();
    const float *output = nm->data[NEUMF_OUTPUT] + s->dim;
    float made[TILE_FLOATS], room[2][TILE_FLOATS], scores[TILE_ITEMS], *z[NEUMF_LAYERS_MAX];
    int wide = s->width[1];
    const float *items = nm->item_part ? nm->item_part + (int64_t)first * wide : made;

    for (int l = 0; l < s->n_layers; l++)
        z[l] = room[l % 2];
    if (!nm->item_part)
        make_item_part(nm, s, first, count, made);
    for (int r = 0; r < n; r++) {
        kern->bias_relu(items, count, wide, mlp + (int64_t)r * wide, z[0]);
        neumf_forward(nm, s, count, z);
        kern->scores(output, 1, z[s->n_layers - 1], count, s->last, scores);
        for (int c = 0; c < count; c++)
            out[(int64_t)c * n + r] += scores[c];
    }
}

static int tile_items(const struct neumf_shape *s)
{
    int n = TILE_ITEMS;

    for (int l = 1; l <= s->n_layers; l++)
        n = MIN(n, TILE_FLOATS / s->width[l]);
    return n;
}

void neumf_score(const struct model *m, const struct query *, int n_queries, const float *state,
                 int32_t first, int32_t n, float *out)
{
    const struct neumf *nm = (const struct neumf *)m;
    struct neumf_shape s = neumf_shape_of(m);
    const float *mlp = state + (int64_t)n_queries * parts_of(&s).gmf;
    float bias = *nm->data[NEUMF_OUTPUT_BIAS];

    if (s.dim)
        kern_best()->scores(state, n_queries, nm->data[NEUMF_GMF_ITEMS] + (int64_t)first * s.dim, n,
                            s.dim, out);
    for (int64_t k = 0; k < (int64_t)n_queries * n; k++)
        out[k] = bias + (s.dim ? out[k] : 0);
    for (int32_t at = 0; s.half && at < n; at += tile_items(&s))
        add_mlp(nm, &s, mlp, n_queries, first + at, MIN(tile_items(&s), n - at),
                out + (int64_t)at * n_queries);
}
