#include "eval/eval_page.h"

#include "base/html.h"
#include "base/page.h"
#include "base/plot.h"
#include "eval/compare.h"

#include <math.h>

enum { COLOURS = 6 };

/* ---- numbers ---- */

/* "0.1811 ± 0.0021" */
static void put_mean(struct buf *b, double mean, double half)
{
    char text[RANK_NUMBER];

    buf_puts(b, rank_number(mean, text));
    if (!isnan(half))
        buf_printf(b, " <small>± %.*f</small>", rank_decimals(mean), half);
}

static void put_mean_cell(struct buf *b, double mean, double half)
{
    buf_puts(b, "<td>");
    put_mean(b, mean, half);
    buf_puts(b, "</td>");
}

/* Models have letters where their names would be long. */
static char letter(int i)
{
    return (char)('A' + i);
}

static int colour(int model)
{
    return model % COLOURS;
}

/* ---- the head ---- */

/* The place among the plan's ks of the largest one shown. */
static int last_k(const struct rank_plan *plan)
{
    int j = 0;

    while (plan->k[j] != rank_k_shown(plan))
        j++;
    return j;
}

static void put_tile(struct buf *b, const char *what, int64_t n)
{
    buf_puts(b, "<div><dd>");
    html_put_int(b, n);
    buf_printf(b, "</dd><dt>%s</dt></div>\n", what);
}

static void put_mean_tiles(struct buf *b, const struct eval_page *p)
{
    const struct rank_means *known = &p->models[0].result->known;
    int j = last_k(p->plan);

    for (int m = 0; m < p->plan->n_metrics_shown; m++) {
        int v = m * p->plan->n_k + j;
        char text[RANK_NUMBER];

        buf_printf(b, "<div><dd>%s</dd><dt>%s@%d", rank_number(known->value[v], text),
                   p->plan->metrics[m]->name, p->plan->k[j]);
        if (!isnan(known->half[v]))
            buf_printf(b, " ± %.*f", rank_decimals(known->value[v]), known->half[v]);
        buf_puts(b, "</dt></div>\n");
    }
}

static void put_head(struct buf *b, const struct eval_page *p)
{
    const struct heldout *h = p->h;

    page_open_header(b, "Evaluation", p->title);
    buf_printf(b, "<p class=\"lead\">%s of ", dataset_parts[h->part]);
    html_put_text(b, p->data_dir);
    buf_puts(b, "</p>\n<dl class=\"tiles\">\n");
    if (p->n == 1)
        put_mean_tiles(b, p);
    put_tile(b, "users known from train", h->n_known);
    put_tile(b, "users without train rows", h->n_users - h->n_known);
    put_tile(b, "held-out rows", h->n_rows);
    buf_puts(b, "<div><dd>");
    html_put_share(b, (double)h->n_new_rows / (double)h->n_rows);
    buf_puts(b, "</dd><dt>of them of items without train rows</dt></div>\n</dl>\n</header>\n");
}

/* ---- means ---- */

static void put_legend(struct buf *b, const struct eval_page *p)
{
    if (p->n == 1)
        return;
    buf_puts(b, "<ul class=\"legend\">\n");
    for (int i = 0; i < p->n; i++) {
        buf_printf(b, "<li class=\"m%d\">%c <b>", colour(i), letter(i));
        html_put_text(b, p->models[i].name);
        buf_puts(b, "</b> <span>");
        html_put_text(b, p->models[i].path);
        buf_puts(b, "</span></li>\n");
    }
    buf_puts(b, "</ul>\n");
}

static void open_means(struct buf *b, const struct eval_page *p, bool differences)
{
    AUTO(buf) columns = {0};

    buf_puts(&columns, "metric");
    for (int i = 0; i < p->n && p->n > 1; i++)
        buf_printf(&columns, "|%c", letter(i));
    for (int i = 1; i < p->n && differences; i++)
        buf_printf(&columns, "|%c − A", letter(i));
    page_open_wide_table(b, p->n > 1 ? buf_str(&columns) : "metric|known users|all users");
}

static void open_row(struct buf *b, const struct rank_plan *plan, int m, int j)
{
    buf_printf(b, "<tr><th scope=\"row\">%s@%d</th>", plan->metrics[m]->name, plan->k[j]);
}

static void put_means_row(struct buf *b, const struct eval_page *p, int m, int j)
{
    int v = m * p->plan->n_k + j;

    open_row(b, p->plan, m, j);
    for (int i = 0; i < p->n; i++) {
        const struct rank_result *r = p->models[i].result;

        put_mean_cell(b, r->known.value[v], r->known.half[v]);
        if (p->n == 1)
            put_mean_cell(b, r->all.value[v], r->all.half[v]);
    }
    for (int i = 1; i < p->n; i++) {
        const struct rank_means *d = p->models[i].difference;
        bool sure = compare_excludes_0(d->value[v], d->half[v]);

        buf_puts(b, sure ? "<td><b>" : "<td>");
        put_mean(b, d->value[v], d->half[v]);
        buf_puts(b, sure ? "</b></td>" : "</td>");
    }
    buf_puts(b, "</tr>\n");
}

static void put_means(struct buf *b, const struct eval_page *p)
{
    page_open_card(b, "means", p->n > 1 ? "Side by side" : "Means");
    put_legend(b, p);
    buf_printf(b, "<p class=\"lead\">Mean over %s ± half of its 95&nbsp;%% interval.%s</p>\n",
               p->n > 1 ? "users known from train" : "users",
               p->n > 1
                   ? " Differences are over the same users; bold where the interval excludes 0."
                   : "");
    open_means(b, p, true);
    for (int m = 0; m < p->plan->n_metrics_shown; m++)
        for (int j = 0; j < p->plan->n_k_shown; j++)
            put_means_row(b, p, m, j);
    page_close_wide_table(b);
    page_close_card(b);
}

/* ---- curves ---- */

/* Places of the plan's ks, ascending, none above the largest shown. */
static int sorted_ks(const struct rank_plan *plan, int at[RANK_KS_MAX])
{
    int n = 0;

    for (int j = 0; j < plan->n_k; j++) {
        int i = n++;

        for (; i && plan->k[at[i - 1]] > plan->k[j]; i--)
            at[i] = at[i - 1];
        at[i] = j;
    }
    return n;
}

struct curves {
    const struct eval_page *p;
    int m, n;
    int at[RANK_KS_MAX]; /* (n) the places of the ks, ascending */
    double top;          /* of the axis */
};

static double value_at(const struct curves *c, int model, int i)
{
    return c->p->models[model].result->known.value[c->m * c->p->plan->n_k + c->at[i]];
}

static double half_at(const struct curves *c, int model, int i)
{
    double half = c->p->models[model].result->known.half[c->m * c->p->plan->n_k + c->at[i]];

    return isnan(half) ? 0 : half;
}

static double x_of(const struct curves *c, int i)
{
    return PLOT_SIZE * (double)c->p->plan->k[c->at[i]] / rank_k_shown(c->p->plan);
}

static void put_point(struct buf *b, const struct curves *c, char command, int i, double y)
{
    y = MIN(MAX(y, 0), c->top);
    buf_printf(b, "%c%.1f,%.1f", command, x_of(c, i), PLOT_SIZE * (1 - y / c->top));
}

/* The interval as a band, the mean as a line; a k without a value is passed over. */
static void put_curve(struct buf *b, const struct curves *c, int model)
{
    bool any = false;

    buf_printf(b, "<path class=\"band m%d\" d=\"", colour(model));
    for (int i = 0; i < c->n; i++)
        if (!isnan(value_at(c, model, i))) {
            put_point(b, c, any ? 'L' : 'M', i, value_at(c, model, i) + half_at(c, model, i));
            any = true;
        }
    for (int i = c->n - 1; i >= 0; i--)
        if (!isnan(value_at(c, model, i)))
            put_point(b, c, 'L', i, value_at(c, model, i) - half_at(c, model, i));
    buf_printf(b, "%s\"/>\n<path class=\"line m%d\" d=\"", any ? "Z" : "", colour(model));
    any = false;
    for (int i = 0; i < c->n; i++)
        if (!isnan(value_at(c, model, i))) {
            put_point(b, c, any ? 'L' : 'M', i, value_at(c, model, i));
            any = true;
        }
    buf_puts(b, "\"/>\n");
}

/* For each k a strip that reaches half-way to its neighbours. */
static void put_strips(struct buf *b, const struct curves *c)
{
    double from = 0;

    for (int i = 0; i < c->n; i++) {
        double to = i + 1 < c->n ? (x_of(c, i) + x_of(c, i + 1)) / 2 : PLOT_SIZE;

        plot_open_strip(b, from, to);
        buf_printf(b, "k = %d", c->p->plan->k[c->at[i]]);
        for (int model = 0; model < c->p->n; model++) {
            char text[RANK_NUMBER];

            buf_printf(b, "\n%c: %s", letter(model), rank_number(value_at(c, model, i), text));
        }
        plot_close_strip(b);
        from = to;
    }
}

/* Round ks up to the largest, at which the axis ends. */
static void k_ticks(struct plot_ticks *x, int most)
{
    double top = (double)plot_count_ticks(x, most);

    for (int i = 0; i < x->n; i++)
        x->at[i] *= top / most;
    while (x->at[x->n - 1] > 1)
        x->n--;
}

static void put_chart(struct buf *b, struct curves *c)
{
    const char *name = c->p->plan->metrics[c->m]->name;
    AUTO_FREE char *label = xasprintf("%s by the length of the list", name);
    struct plot_ticks x = {0}, y = {0};
    double most = 0;

    for (int model = 0; model < c->p->n; model++)
        for (int i = 0; i < c->n; i++)
            if (!isnan(value_at(c, model, i)))
                most = MAX(most, value_at(c, model, i) + half_at(c, model, i));
    c->top = plot_real_ticks(&y, most > 0 ? most : 1);
    k_ticks(&x, rank_k_shown(c->p->plan));
    buf_printf(b, "<figure>\n<figcaption>%s@k</figcaption>\n", name);
    plot_open(b, &y, "curve", label);
    plot_put_grid(b, &x, &y);
    for (int model = 0; model < c->p->n; model++)
        put_curve(b, c, model);
    put_strips(b, c);
    buf_puts(b, "</svg>\n");
    plot_put_axes(b, &x, &y);
    buf_puts(b, "</div>\n</figure>\n");
}

static void put_curve_table(struct buf *b, const struct curves *all)
{
    AUTO(buf) columns = {0};

    buf_puts(&columns, "metric");
    for (int model = 0; model < all->p->n; model++)
        buf_printf(&columns, "|%c", letter(model));
    page_open_details(b, all->p->n > 1 ? buf_str(&columns) : "metric|mean");
    for (int m = 0; m < all->p->plan->n_metrics_shown; m++) {
        struct curves c = *all;

        c.m = m;
        for (int i = 0; i < c.n; i++) {
            open_row(b, c.p->plan, m, c.at[i]);
            for (int model = 0; model < c.p->n; model++)
                put_mean_cell(b, value_at(&c, model, i),
                              half_at(&c, model, i) > 0 ? half_at(&c, model, i) : (double)NAN);
            buf_puts(b, "</tr>\n");
        }
    }
    page_close_details(b);
}

static void put_curves(struct buf *b, const struct eval_page *p)
{
    struct curves c = {.p = p};

    c.n = sorted_ks(p->plan, c.at);
    page_open_card(b, "by-length", "By the length of the list");
    put_legend(b, p);
    buf_puts(b, "<p class=\"lead\">Over users known from train, with the 95&nbsp;% interval around "
                "means.</p>\n<div class=\"figures\">\n");
    for (c.m = 0; c.m < p->plan->n_metrics_shown; c.m++)
        put_chart(b, &c);
    buf_puts(b, "</div>\n");
    put_curve_table(b, &c);
    page_close_card(b);
}

/* ---- groups ---- */

/* The metric that groups are drawn by: the first of hits. (A widened plan has one.) */
static int drawn_metric(const struct eval_page *p)
{
    int m = 0;

    while (!p->plan->metrics[m]->hits)
        m++;
    return m;
}

static void put_group_bar(struct buf *b, const struct eval_page *p, int model, int by, int group,
                          int v, double top)
{
    const struct group_means *g = &p->models[model].groups[by];
    double value = g->means[group].value[v], half = g->means[group].half[v];
    double low = MAX(value - half, 0) / top, high = (value + half) / top;

    buf_printf(b, "<li%s><span class=\"what\">", isnan(value) ? " class=\"none\"" : "");
    html_put_text(b, g->groups.label[group]);
    if (p->n > 1)
        buf_printf(b, " <span class=\"soft\">%c</span>", letter(model));
    buf_puts(b, "</span><span class=\"n\">");
    put_mean(b, value, half);
    buf_puts(b, "</span><span class=\"share\">");
    html_put_int(b, g->means[group].n_users);
    buf_puts(b, "</span><span class=\"track\" aria-hidden=\"true\">");
    if (!isnan(value))
        buf_printf(b, "<i class=\"bar m%d\" style=\"left:0;width:%.2f%%\"></i>", colour(model),
                   100 * value / top);
    if (!isnan(value) && !isnan(half))
        buf_printf(b, "<i class=\"whisker\" style=\"left:%.2f%%;width:%.2f%%\"></i>", 100 * low,
                   100 * (high - low));
    buf_puts(b, "</span></li>\n");
}

static double most_of_groups(const struct eval_page *p, int by, int v)
{
    double most = 0;

    for (int model = 0; model < p->n; model++) {
        const struct group_means *g = &p->models[model].groups[by];

        for (int i = 0; i < g->groups.n; i++) {
            double half = isnan(g->means[i].half[v]) ? 0 : g->means[i].half[v];

            if (!isnan(g->means[i].value[v]))
                most = MAX(most, g->means[i].value[v] + half);
        }
    }
    return most > 0 ? most : 1;
}

/* Nothing is to be seen where all are in one group. */
static int n_groups_used(const struct group_means *g)
{
    int n = 0;

    for (int i = 0; i < g->groups.n; i++)
        n += g->means[i].n_users > 0;
    return n;
}

static void put_grouping(struct buf *b, const struct eval_page *p, int by, int v)
{
    const struct group_means *g = &p->models[0].groups[by];
    double top = most_of_groups(p, by, v);

    buf_printf(b, "<h3>%s</h3>\n<ul class=\"bars means\">\n", g->by->title);
    for (int i = 0; i < g->groups.n; i++)
        for (int model = 0; model < p->n; model++)
            put_group_bar(b, p, model, by, i, v, top);
    buf_puts(b, "</ul>\n");
}

static void put_groups(struct buf *b, const struct eval_page *p)
{
    int m = drawn_metric(p), j = last_k(p->plan);

    page_open_card(b, "groups", "Groups");
    put_legend(b, p);
    buf_printf(
        b,
        "<p class=\"lead\">%s@%d, the mean ± half of its 95&nbsp;%% interval, and users. Where "
        "items are grouped, only those of the group are to be found.</p>\n",
        p->plan->metrics[m]->name, p->plan->k[j]);
    for (int by = 0; by < p->n_groups; by++)
        if (n_groups_used(&p->models[0].groups[by]) > 1)
            put_grouping(b, p, by, m * p->plan->n_k + j);
    page_close_card(b);
}

/* ---- what is listed ---- */

static void put_listed(struct buf *b, const struct eval_page *p)
{
    page_open_card(b, "listed", "What is listed");
    buf_puts(b, "<p class=\"lead\">Coverage: the share of the catalogue that is in some list. "
                "Gini: how uneven the lists share it out, 0 even, 1 one item alone. Popularity: "
                "train rows of what is listed. Novelty: −log2 of the share of users who have it."
                "</p>\n");
    open_means(b, p, true);
    for (int m = 0; m < p->plan->n_metrics; m++)
        if (!p->plan->metrics[m]->hits)
            put_means_row(b, p, m, last_k(p->plan));
    page_close_wide_table(b);
    page_close_card(b);
}

static void put_examples(struct buf *b, const struct eval_page *p)
{
    page_open_card(b, "examples", "Single users");
    buf_printf(b,
               "<p class=\"lead\">Of known users with %d or more items held out, those with the "
               "highest and the lowest NDCG@%d%s. What is both listed and held out is "
               "<span class=\"found\">marked</span>.</p>\n",
               EXAMPLES_LEAST, rank_k_shown(p->plan), p->n > 1 ? " by A" : "");
    examples_put(b, p->examples, p->h, p->users, p->titles);
    page_close_card(b);
}

/* ---- the page ---- */

bool eval_page_write(const char *path, const struct eval_page *p, struct err *err)
{
    AUTO(buf) b = {0};

    page_open(&b, p->title);
    put_head(&b, p);
    put_means(&b, p);
    put_curves(&b, p);
    put_groups(&b, p);
    put_listed(&b, p);
    put_examples(&b, p);
    page_close(&b);
    return page_write(path, &b, err);
}
