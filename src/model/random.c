/* random.c - chance: what any other model must beat. A score is a hash of seed, user and item. */
#include "model/model.h"

static int random_tensors(struct model *, struct tensor[MODEL_TENSORS_MAX])
{
    return 0;
}

static void random_adopt(struct model *, const struct tensor *)
{
}

static bool random_fit(struct model *, const struct interactions *, struct err *)
{
    return true;
}

static bool random_serves(const struct model *, const struct query *)
{
    return true;
}

static void random_score(const struct model *m, const struct query *q, int n_queries, const float *,
                         int32_t first, int32_t n, float *out)
{
    for (int32_t c = 0; c < n; c++)
        for (int r = 0; r < n_queries; r++) {
            uint64_t h = rng_key(m->seed, RNG_SCORE, (uint64_t)q[r].user, (uint64_t)(first + c));

            *out++ = (float)(h >> 40) * 0x1p-24f;
        }
}

static void random_release(struct model *)
{
}

static const struct opt no_options[] = {{0}};

const struct model_ops model_random = {
    .name = "random",
    .summary = "chance: the floor under every other model",
    .options = no_options,
    .size = sizeof(struct model),
    .tensors = random_tensors,
    .adopt = random_adopt,
    .fit = random_fit,
    .serves = random_serves,
    .score = random_score,
    .release = random_release,
};
