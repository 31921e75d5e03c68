#include "model/learn.h"

#include <math.h>

double learn_rate(double lr, const char *schedule, double end, double progress)
{
    if (!strcmp(schedule, "linear"))
        return lr * (1 - (1 - end) * progress);
    if (!strcmp(schedule, "cosine"))
        return lr * (end + (1 - end) * (1 + cos(M_PI * progress)) / 2);
    return lr;
}
