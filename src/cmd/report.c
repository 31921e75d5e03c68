#include "cmd/report.h"

#include "base/log.h"

#include <math.h>

OPT_TABLE(report_opts, REPORT_OPTIONS);

enum cmd_next report_parse(struct report *r, const struct cmd *c, struct opt_set *opts,
                           const char *const *argv, struct err *err)
{
    enum cmd_next next;

    OPT_ADD(opts, "Ranking", report_opts, &r->o);
    next = cmd_parse(c, opts, argv, 0, err);
    if (next != CMD_GO)
        return next;
    r->held_out = strcmp(r->o.split, dataset_parts[DATASET_VAL]) ? DATASET_TEST : DATASET_VAL;
    r->plan.include_seen = r->o.include_seen;
    r->plan.threads = r->o.threads;
    r->out = r->o.json && !strcmp(r->o.json, "-") ? NULL : stdout;
    return rank_plan_parse(&r->plan, r->o.metrics, r->o.k, err) ? CMD_GO : CMD_FAILED;
}

unsigned report_parts(enum dataset_part held_out)
{
    return (2u << held_out) - 1;
}

const char *report_mean(double mean, char out[static REPORT_MEAN_MAX])
{
    snprintf(out, REPORT_MEAN_MAX, isnan(mean) ? "-" : "%.4f", mean);
    return out;
}

void report_warn(const struct rank_result *r)
{
    if (!r->known.n_users)
        log_warn(
            "evaluate.users",
            "known=0; nobody with held-out rows has any in train, so there is nothing to average; "
            "preprocess with another --split or --train-ratio");
}

void report_write_json(const struct model *m, enum dataset_part held_out,
                       const struct rank_plan *plan, const struct rank_result *r,
                       struct json_out *out)
{
    json_put_str(out, "model", m->ops->name);
    json_put_str(out, "split", dataset_parts[held_out]);
    json_put_str(out, "digest", m->digest);
    json_put_int(out, "users", r->known.n_users);
    json_put_int(out, "users_without_train", r->all.n_users - r->known.n_users);
    rank_write_json(plan, &r->known, out);
    json_open(out, "all_users", '{');
    json_put_int(out, "users", r->all.n_users);
    rank_write_json(plan, &r->all, out);
    json_close(out, '}');
    json_put_real(out, "seconds", r->seconds);
}

void report_print(const struct model *m, enum dataset_part held_out, const struct rank_plan *plan,
                  const struct rank_result *r, FILE *out)
{
    fprintf(out, "%s on %s: %d users known from train, %d without train rows\n\n", m->ops->name,
            dataset_parts[held_out], r->known.n_users, r->all.n_users - r->known.n_users);
    fprintf(out, "%-14s %12s %12s\n", "metric", "known users", "all users");
    for (int i = 0; i < plan->n_metrics; i++)
        for (int j = 0; j < plan->n_k; j++) {
            char name[32], known[REPORT_MEAN_MAX], all[REPORT_MEAN_MAX];
            int v = i * plan->n_k + j;

            snprintf(name, sizeof name, "%s@%d", plan->metrics[i]->name, plan->k[j]);
            fprintf(out, "%-14s %12s %12s\n", name, report_mean(r->known.value[v], known),
                    report_mean(r->all.value[v], all));
        }
}

void report_print_head(const struct rank_plan *plan, FILE *out)
{
    fprintf(out, "%-12s", "model");
    for (int i = 0; i < plan->n_metrics; i++)
        for (int j = 0; j < plan->n_k; j++) {
            char name[32];

            snprintf(name, sizeof name, "%s@%d", plan->metrics[i]->name, plan->k[j]);
            fprintf(out, " %13s", name);
        }
    fprintf(out, " %9s\n", "seconds");
}

void report_print_row(const struct model *m, const struct rank_plan *plan,
                      const struct rank_result *r, FILE *out)
{
    fprintf(out, "%-12s", m->ops->name);
    for (int v = 0; v < plan->n_metrics * plan->n_k; v++) {
        char mean[REPORT_MEAN_MAX];

        fprintf(out, " %13s", report_mean(r->known.value[v], mean));
    }
    fprintf(out, " %9.2f\n", r->seconds);
}
