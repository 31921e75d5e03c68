#include "base/rng.h"

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t rng_key(uint64_t seed, uint64_t purpose, uint64_t a, uint64_t b)
{
    return mix(mix(mix(mix(seed) ^ purpose) ^ a) ^ b);
}

void rng_init(struct rng *r, uint64_t key)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = key = mix(key);
}

void rng_fill(float *x, int64_t n, float a, uint64_t key)
{
    struct rng r;

    rng_init(&r, key);
    for (int64_t k = 0; k < n; k++)
        x[k] = a * (2 * (float)rng_uniform(&r) - 1);
}

void rng_shuffle(struct rng *r, int32_t *ids, int64_t n)
{
    assert(n <= UINT32_MAX);
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t j = rng_below(r, (uint32_t)i + 1);
        int32_t t = ids[i];

        ids[i] = ids[j];
        ids[j] = t;
    }
}
