#include "eval/compare.h"

#include <math.h>

static void add_user(const void *context, int64_t i, struct moments *sums)
{
    const struct ranking *const *both = context;
    double from[RANK_VALUES_MAX], to[RANK_VALUES_MAX];

    if (!both[0]->h->n_train[i])
        return;
    ranking_values(both[0], (int32_t)i, NULL, 0, from);
    ranking_values(both[1], (int32_t)i, NULL, 0, to);
    for (int v = 0; v < rank_n_values(both[0]->plan); v++)
        if (!isnan(to[v] - from[v]))
            moments_add(&sums[v], to[v] - from[v]);
}

void compare_to(const struct ranking *to, const struct ranking *r,
                const struct rank_means *means_to, const struct rank_means *means,
                struct rank_means *out)
{
    const struct rank_plan *plan = r->plan;
    const struct ranking *const both[] = {to, r};
    struct moments sums[RANK_VALUES_MAX];

    assert(to->h == r->h && to->plan == plan);
    *out = (struct rank_means){.n_users = r->h->n_known};
    moments_over(r->h->n_users, rank_n_values(plan), plan->threads, add_user, both, sums);
    for (int v = 0; v < rank_n_values(plan); v++) {
        bool lists = plan->metrics[v / plan->n_k]->lists;

        out->value[v] = lists ? means->value[v] - means_to->value[v] : moments_mean(&sums[v]);
        out->half[v] = moments_half(&sums[v]);
    }
}

bool compare_excludes_0(double value, double half)
{
    return fabs(value) > half; /* false where there is no interval */
}

void compare_write_json(const struct rank_plan *plan, const struct rank_means *differences,
                        struct json_out *out)
{
    for (int m = 0; m < plan->n_metrics_shown; m++)
        for (int j = 0; j < plan->n_k_shown; j++) {
            AUTO_FREE char *name = rank_value_name(plan, m, j);
            AUTO_FREE char *key = xasprintf("%s_excludes_0", name);
            int v = m * plan->n_k + j;

            rank_write_value(plan, m, j, differences->value[v], differences->half[v], out);
            if (!plan->metrics[m]->lists)
                json_put_bool(out, key,
                              compare_excludes_0(differences->value[v], differences->half[v]));
        }
}
