#include "model/loss.h"

#include "kern/kern.h"

#include <math.h>

/* The mean over the negatives of -log sigmoid(positive - negative). Source: Rendle et al., "BPR:
 * Bayesian Personalized Ranking from Implicit Feedback", UAI 2009. */
static float bpr(const float *scores, int n, const struct loss_options *, float *slopes)
{
    const struct kern *kern = kern_best();
    struct kern_sums sums = kern->logistic(scores + 1, n, scores[0], slopes + 1);
    float each = 1 / (float)MAX(sums.n, 1);

    if (sums.n > 1)
        kern->scaled(slopes + 1, each, slopes + 1, n);
    slopes[0] = -sums.slope * each;
    return sums.loss * each;
}

/* -log sigmoid(positive) - the sum of log sigmoid(-negative). Source: He et al., "Neural
 * Collaborative Filtering", WWW 2017, equation 7. */
static float bce(const float *scores, int n, const struct loss_options *, float *slopes)
{
    const struct kern *kern = kern_best();
    struct kern_sums sums = kern->logistic(scores + 1, n, 0, slopes + 1), positive;
    float from_0 = -scores[0];

    if (sums.n == 0) {
        slopes[0] = 0;
        return 0;
    }
    positive = kern->logistic(&from_0, 1, 0, slopes);
    slopes[0] = -slopes[0];
    return positive.loss + sums.loss;
}

/* -log of the positive's share in the sum of exp(score / temperature). Source: Wu et al., "On the
 * Effectiveness of Sampled Softmax Loss for Item Recommendation", TOIS 2024. */
static float softmax(const float *scores, int n, const struct loss_options *o, float *slopes)
{
    float scale = 1 / o->temperature;
    float log_sum = kern_best()->softmax(scores, 1 + n, scale, scale, slopes);

    slopes[0] -= scale;
    return log_sum - scores[0] * scale;
}

const struct loss losses[] = {
    {"bpr", "pairs: the positive above each negative", bpr},
    {"bce", "points: positives are 1, negatives 0", bce},
    {"softmax", "lists: the positive among all its negatives", softmax},
    {0},
};

const struct loss *loss_find(const char *name)
{
    for (const struct loss *l = losses; l->name; l++)
        if (!strcmp(l->name, name))
            return l;
    return NULL;
}
