/* rng.h - random numbers that depend on a key, never on which thread or rank draws them.
 *
 * A key is made of a seed and of what the numbers are for (epoch, block, ...); each use has its own
 * stream. The stream is xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64. */
#ifndef KINDRED_RNG_H
#define KINDRED_RNG_H

#include "base/base.h"

struct rng {
    uint64_t s[4];
};

/* A well-mixed function of its arguments: SplitMix64's finaliser over each in turn. */
uint64_t rng_key(uint64_t seed, uint64_t purpose, uint64_t a, uint64_t b);

void rng_init(struct rng *r, uint64_t key);

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, x = s[1] * 5, out = (x << 7 | x >> 57) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

/* Uniform in 0..n-1, n >= 1; the bias is under n / 2^32. (Lemire's multiplication, without
 * rejection.) */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static inline double rng_uniform(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

/* x (n) uniform in [-a, a), by the key's stream. */
void rng_fill(float *x, int64_t n, float a, uint64_t key);

/* Fisher-Yates over (n) ids. */
void rng_shuffle(struct rng *r, int32_t *ids, int64_t n);

#endif
