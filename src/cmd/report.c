#include "cmd/report.h"

#include "base/log.h"

#include <math.h>

OPT_TABLE(report_opts, REPORT_OPTIONS);

enum { NAME_WIDTH = 16, CELL_WIDTH = 18 };

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
    r->n_by = r->n_by_shown = groups_parse("--by", r->o.by, r->by, err);
    if (r->n_by < 0)
        return CMD_FAILED;
    return rank_plan_parse(&r->plan, r->o.metrics, r->o.k, err) ? CMD_GO : CMD_FAILED;
}

void report_widen(struct report *r)
{
    rank_plan_widen(&r->plan);
    for (const struct grouping *by = groupings; by->name; by++) {
        bool asked = false;

        for (int i = 0; i < r->n_by_shown; i++)
            asked |= r->by[i] == by;
        if (!asked)
            r->by[r->n_by++] = by;
    }
}

unsigned report_parts(enum dataset_part held_out)
{
    return (2u << held_out) - 1;
}

/* ---- what came of a model ---- */

bool report_measure(const struct report *r, const struct model *m, const struct heldout *h,
                    struct ranking *ranking, struct outcome *out, struct err *err)
{
    *out = (struct outcome){.model = m->ops->name};
    memcpy(out->digest, m->digest, sizeof out->digest);
    if (!ranking_make(ranking, m, h, &r->plan, err))
        return false;
    ranking_result(ranking, &out->result);
    for (int i = 0; i < r->n_by; i++)
        group_means_make(&out->groups[i], r->by[i], ranking);
    return true;
}

void outcome_release(struct outcome *o)
{
    for (int i = 0; i < GROUPINGS_MAX; i++)
        group_means_release(&o->groups[i]);
}

void report_warn(const struct rank_result *r)
{
    if (!r->known.n_users)
        log_warn(
            "evaluate.users",
            "known=0; nobody with held-out rows has any in train, so there is nothing to average; "
            "preprocess with another --split or --train-ratio");
}

void report_write_json(const struct report *r, const struct outcome *o, struct json_out *out)
{
    const struct rank_result *result = &o->result;

    json_put_str(out, "model", o->model);
    json_put_str(out, "split", dataset_parts[r->held_out]);
    json_put_str(out, "digest", o->digest);
    json_put_int(out, "users", result->known.n_users);
    json_put_int(out, "users_without_train", result->all.n_users - result->known.n_users);
    json_put_int(out, "held_out_rows", result->n_rows);
    json_put_int(out, "new_item_rows", result->n_new_rows);
    rank_write_intervals(&r->plan, &result->known, out);
    json_open(out, "all_users", '{');
    json_put_int(out, "users", result->all.n_users);
    rank_write_intervals(&r->plan, &result->all, out);
    json_close(out, '}');
    if (r->n_by_shown) {
        json_open(out, "groups", '{');
        for (int i = 0; i < r->n_by_shown; i++)
            group_means_write_json(&o->groups[i], &r->plan, out);
        json_close(out, '}');
    }
    json_put_real(out, "seconds", result->seconds);
}

/* ---- tables ---- */

void report_print_cell(const struct report *r, double mean, double half, int width)
{
    char text[RANK_NUMBER];
    int n = (int)strlen(rank_number(mean, text));

    if (isnan(half)) {
        fprintf(r->out, "%*s", width, text);
        return;
    }
    n += 3 + snprintf(NULL, 0, "%.*f", rank_decimals(mean), half);
    fprintf(r->out, "%*s%s ± %.*f", MAX(width - n, 1), "", text, rank_decimals(mean), half);
}

int report_n_shown(const struct report *r)
{
    return r->plan.n_metrics_shown * r->plan.n_k_shown;
}

int report_shown(const struct report *r, int s, char name[static RANK_NUMBER])
{
    int m = s / r->plan.n_k_shown, j = s % r->plan.n_k_shown;

    snprintf(name, RANK_NUMBER, "%s@%d", r->plan.metrics[m]->name, r->plan.k[j]);
    return m * r->plan.n_k + j;
}

void report_print_head(const struct report *r, const struct rank_result *result)
{
    int without = result->all.n_users - result->known.n_users;

    fprintf(r->out, "%s: %d users known from train, %d without train rows\n",
            dataset_parts[r->held_out], result->known.n_users, without);
    fprintf(r->out, "%lld held-out rows, %lld (%.1f %%) of items without train rows\n",
            (long long)result->n_rows, (long long)result->n_new_rows,
            100 * (double)result->n_new_rows / (double)result->n_rows);
    fprintf(r->out, "mean over users ± half of its 95 %% interval\n\n");
}

static void print_groups(const struct report *r, const struct group_means *g)
{
    char name[RANK_NUMBER];

    fprintf(r->out, "\n%s\n%-*s", g->by->title, NAME_WIDTH, "metric");
    for (int i = 0; i < g->groups.n; i++)
        fprintf(r->out, " %*s", CELL_WIDTH, g->groups.label[i]);
    fprintf(r->out, "\n%-*s", NAME_WIDTH, "users");
    for (int i = 0; i < g->groups.n; i++)
        fprintf(r->out, " %*d", CELL_WIDTH, g->means[i].n_users);
    fprintf(r->out, "\n");
    for (int s = 0; s < report_n_shown(r); s++) {
        int v = report_shown(r, s, name);

        if (!group_means_has(g, r->plan.metrics[v / r->plan.n_k]))
            continue;
        fprintf(r->out, "%-*s", NAME_WIDTH, name);
        for (int i = 0; i < g->groups.n; i++)
            report_print_cell(r, g->means[i].value[v], g->means[i].half[v], CELL_WIDTH + 1);
        fprintf(r->out, "\n");
    }
}

void report_print_groups(const struct report *r, const struct outcome *o)
{
    for (int i = 0; i < r->n_by_shown; i++)
        print_groups(r, &o->groups[i]);
}

void report_print(const struct report *r, const struct outcome *o)
{
    const struct rank_means *known = &o->result.known, *all = &o->result.all;

    fprintf(r->out, "%s on ", o->model);
    report_print_head(r, &o->result);
    fprintf(r->out, "%-*s %*s %*s\n", NAME_WIDTH, "metric", CELL_WIDTH, "known users", CELL_WIDTH,
            "all users");
    for (int s = 0; s < report_n_shown(r); s++) {
        char name[RANK_NUMBER];
        int v = report_shown(r, s, name);

        fprintf(r->out, "%-*s", NAME_WIDTH, name);
        report_print_cell(r, known->value[v], known->half[v], CELL_WIDTH + 1);
        report_print_cell(r, all->value[v], all->half[v], CELL_WIDTH + 1);
        fprintf(r->out, "\n");
    }
    report_print_groups(r, o);
}

/* ---- a row a model ---- */

enum { MODEL_WIDTH = 11, VALUE_WIDTH = 15, SECONDS_WIDTH = 7, MEGABYTES_WIDTH = 8 };

void report_print_columns(const struct report *r, int first, bool cost)
{
    fprintf(r->out, "%-*s", MODEL_WIDTH, "model");
    for (int s = first; s < MIN(first + REPORT_VALUES_A_LINE, report_n_shown(r)); s++) {
        char name[RANK_NUMBER];

        report_shown(r, s, name);
        fprintf(r->out, " %*s", VALUE_WIDTH, name);
    }
    if (cost)
        fprintf(r->out, " %*s %*s %*s", SECONDS_WIDTH, "fit s", SECONDS_WIDTH, "rank s",
                MEGABYTES_WIDTH, "peak MB");
    fprintf(r->out, "\n");
}

static void print_cost(const struct report *r, const struct outcome *o)
{
    if (o->made)
        fprintf(r->out, " %*.2f", SECONDS_WIDTH, o->fit_s);
    else
        fprintf(r->out, " %*s", SECONDS_WIDTH, "-");
    fprintf(r->out, " %*.2f", SECONDS_WIDTH, o->result.seconds);
    if (o->peak_bytes)
        fprintf(r->out, " %*.0f", MEGABYTES_WIDTH, 1e-6 * (double)o->peak_bytes);
    else
        fprintf(r->out, " %*s", MEGABYTES_WIDTH, "-");
}

void report_print_row(const struct report *r, const struct outcome *o, int first, bool all,
                      bool cost)
{
    const struct rank_means *means = all ? &o->result.all : &o->result.known;

    fprintf(r->out, "%-*s", MODEL_WIDTH, o->model);
    for (int s = first; s < MIN(first + REPORT_VALUES_A_LINE, report_n_shown(r)); s++) {
        char name[RANK_NUMBER];
        int v = report_shown(r, s, name);

        report_print_cell(r, means->value[v], means->half[v], VALUE_WIDTH + 1);
    }
    if (cost)
        print_cost(r, o);
    fprintf(r->out, "\n");
    fflush(r->out);
}
