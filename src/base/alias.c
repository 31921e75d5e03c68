#include "base/alias.h"

/* So that they are 1 on average. */
static void normalise(double *weights, int32_t n)
{
    double sum = 0;

    for (int32_t k = 0; k < n; k++)
        sum += weights[k];
    for (int32_t k = 0; k < n; k++)
        weights[k] = sum > 0 ? weights[k] * n / sum : 1;
}

/* Those below 1 wait at the front of `work`, the others at its back; each of the first is filled up
 * from one of the second. */
void alias_build(struct alias *out, double *weights, int32_t *work, int32_t n)
{
    int32_t low = 0, high = n;

    normalise(weights, n);
    for (int32_t k = 0; k < n; k++) {
        out[k] = (struct alias){UINT32_MAX, k};
        work[weights[k] < 1 ? low++ : --high] = k;
    }
    while (low > 0 && high < n) {
        int32_t poor = work[--low], rich = work[high];

        out[poor] = (struct alias){(uint32_t)(weights[poor] * 0x1p32), rich};
        weights[rich] -= 1 - weights[poor];
        if (weights[rich] < 1) {
            high++;
            work[low++] = rich;
        }
    }
}
