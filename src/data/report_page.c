#include "data/report_page.h"

#include "base/html.h"
#include "base/page.h"
#include "data/chart.h"

/* One bar of a list: a label, from where to where it goes (0 to 1), a count and its share. */
static void put_bar(struct buf *b, const char *label, const char *class, double from, double to,
                    int64_t n, double share)
{
    buf_printf(b, "<li%s><span class=\"what\">", n ? "" : " class=\"none\"");
    html_put_text(b, label);
    buf_puts(b, "</span><span class=\"n\">");
    html_put_int(b, n);
    buf_puts(b, "</span><span class=\"share\">");
    html_put_share(b, share);
    buf_puts(b, "</span>");
    page_put_track(b, class, from, to);
    buf_puts(b, "</li>\n");
}

static double ratio(int64_t a, int64_t b)
{
    return b ? (double)a / (double)b : 0;
}

/* ---- the head ---- */

static void put_tile(struct buf *b, const char *what, int64_t n)
{
    buf_puts(b, "<div><dd>");
    html_put_int(b, n);
    buf_printf(b, "</dd><dt>%s</dt></div>\n", what);
}

static void put_tiles(struct buf *b, const struct summary *s)
{
    double cells = (double)s->users.n * (double)s->items.n;

    buf_puts(b, "<dl class=\"tiles\">\n");
    put_tile(b, "rows kept", s->n_rows);
    put_tile(b, "users", s->users.n);
    put_tile(b, "items", s->items.n);
    buf_printf(b, "<div><dd>%.3g %%</dd><dt>of all pairs of the two</dt></div>\n",
               100 * (double)s->n_rows / cells);
    buf_puts(b, "</dl>\n");
}

static void put_head(struct buf *b, const struct report_page *p)
{
    const struct summary *s = p->summary;
    char first[CHART_DATE_MAX], last[CHART_DATE_MAX];

    page_open_header(b, "Dataset", p->title);
    if (s->has_times) {
        chart_date(s, s->first_time, first);
        chart_date(s, s->last_time, last);
        buf_printf(b, "<p class=\"lead\">%s to %s</p>\n", first, last);
    }
    put_tiles(b, s);
    buf_puts(b, "</header>\n");
}

/* ---- rows over time ---- */

static void put_parts(struct buf *b, const struct summary *s)
{
    buf_puts(b, "<ul class=\"legend\">\n");
    for (int p = 0; p < DATASET_PARTS; p++) {
        buf_printf(b, "<li class=\"%s\">%s <b>", dataset_parts[p], dataset_parts[p]);
        html_put_int(b, s->n_part[p]);
        buf_puts(b, "</b> <span>");
        html_put_share(b, ratio(s->n_part[p], s->n_rows));
        buf_puts(b, "</span></li>\n");
    }
    buf_puts(b, "</ul>\n");
}

static void put_time_table(struct buf *b, const struct summary *s)
{
    page_open_details(b, "from|train|val|test");
    for (int i = 0; i < s->n_bins; i++) {
        char date[CHART_DATE_MAX];

        chart_date(s, s->bins_start + i * s->bin_ms, date);
        buf_printf(b, "<tr><th scope=\"row\">%s</th>", date);
        for (int p = 0; p < DATASET_PARTS; p++)
            page_put_cell(b, s->bins[i][p]);
        buf_puts(b, "</tr>\n");
    }
    page_close_details(b);
}

static void put_time(struct buf *b, const struct summary *s)
{
    page_open_card(b, "over-time", s->has_times ? "Rows over time" : "Parts");
    put_parts(b, s);
    if (s->has_times) {
        buf_puts(b, "<p class=\"axis\">rows per ");
        chart_put_bin(b, s);
        buf_puts(b, "</p>\n");
        chart_over_time(b, s);
        put_time_table(b, s);
    }
    page_close_card(b);
}

/* ---- the long tail ---- */

static void put_tail_words(struct buf *b, const struct summary *s)
{
    buf_puts(b, "<p class=\"lead\">The top 1 % of the items have ");
    html_put_share(b, s->items.top1);
    buf_puts(b, " of the rows, the top 10 % ");
    html_put_share(b, s->items.top10);
    buf_puts(b, ".</p>\n");
}

static void put_tail_row(struct buf *b, const char *name, const struct summary_tail *t)
{
    buf_printf(b, "<tr><th scope=\"row\">%s</th>", name);
    page_put_cell(b, t->min);
    page_put_cell(b, t->median);
    buf_printf(b, "<td>%.1f</td>", t->mean);
    page_put_cell(b, t->p90);
    page_put_cell(b, t->p99);
    page_put_cell(b, t->max);
    buf_printf(b, "<td>%.2f</td></tr>\n", t->gini);
}

static void put_point_table(struct buf *b, const struct summary *s)
{
    page_open_details(b, "of|rank|rows");
    for (int k = 0; k < 2; k++) {
        const struct summary_tail *t = k ? &s->users : &s->items;

        for (int i = 0; i < t->n_points; i++) {
            buf_printf(b, "<tr><th scope=\"row\">%s</th>", k ? "users" : "items");
            page_put_cell(b, t->points[i].rank);
            page_put_cell(b, t->points[i].n_rows);
            buf_puts(b, "</tr>\n");
        }
    }
    page_close_details(b);
}

static void put_tails(struct buf *b, const struct summary *s)
{
    page_open_card(b, "long-tail", "The long tail");
    put_tail_words(b, s);
    buf_puts(b, "<ul class=\"legend\">\n<li class=\"items\">items</li>\n"
                "<li class=\"users\">users</li>\n</ul>\n<p class=\"axis\">rows</p>\n");
    chart_tails(b, s);
    buf_puts(b, "<p class=\"axis right\">rank, the most rows first</p>\n");
    page_open_wide_table(b, "rows per|min|median|mean|90 %|99 %|max|Gini");
    put_tail_row(b, "item", &s->items);
    put_tail_row(b, "user", &s->users);
    page_close_wide_table(b);
    put_point_table(b, s);
    page_close_card(b);
}

/* ---- the funnel ---- */

/* Each reason's bar ends where that of the one before began: what is left of it is what is left. */
static void put_funnel(struct buf *b, const struct report_page *p)
{
    int64_t all = p->funnel[0].n, left = all;

    page_open_card(b, "funnel", "What was kept, and what was not");
    buf_puts(b, "<ul class=\"bars\">\n");
    for (int i = 0; i < p->n_funnel; i++) {
        const struct report_step *step = p->funnel + i;
        bool dropped = i > 0 && i < p->n_funnel - 1;
        double to = dropped ? ratio(left, all) : ratio(step->n, all);

        left -= dropped ? step->n : 0;
        put_bar(b, step->what,
                dropped ? "dropped"
                : i     ? "kept"
                        : "all",
                dropped ? ratio(left, all) : 0, to, step->n, ratio(step->n, all));
    }
    buf_puts(b, "</ul>\n");
    page_close_card(b);
}

/* ---- ratings and facts ---- */

static void put_ratings(struct buf *b, const struct summary *s)
{
    int64_t most = 0, all = 0;

    for (int i = 0; i < s->n_ratings; i++) {
        most = MAX(most, s->ratings[i].n);
        all += s->ratings[i].n;
    }
    page_open_card(b, "ratings", "Ratings");
    buf_puts(b, "<ul class=\"bars narrow\">\n");
    for (int i = s->n_ratings - 1; i >= 0; i--) {
        const struct summary_rating *r = s->ratings + i;
        AUTO_FREE char *label =
            r->from == r->to ? xasprintf("%g", r->from) : xasprintf("%g to %g", r->from, r->to);

        put_bar(b, label, "rating", 0, ratio(r->n, most), r->n, ratio(r->n, all));
    }
    buf_puts(b, "</ul>\n");
    page_close_card(b);
}

static void put_facts(struct buf *b, const struct report_page *p)
{
    page_open_card(b, "facts", "How it was made");
    buf_puts(b, "<dl class=\"facts\">\n");
    for (int i = 0; i < p->n_facts; i++) {
        buf_puts(b, "<div><dt>");
        html_put_text(b, p->facts[i].name);
        buf_puts(b, "</dt><dd>");
        html_put_text(b, p->facts[i].text);
        buf_puts(b, "</dd></div>\n");
    }
    buf_puts(b, "</dl>\n");
    page_close_card(b);
}

/* ---- the page ---- */

static void put_page(struct buf *b, const struct report_page *p)
{
    page_open(b, p->title);
    put_head(b, p);
    put_time(b, p->summary);
    put_tails(b, p->summary);
    put_funnel(b, p);
    if (p->summary->n_ratings)
        put_ratings(b, p->summary);
    put_facts(b, p);
    page_close(b);
}

bool report_page_write(const char *path, const struct report_page *p, struct err *err)
{
    AUTO(buf) page = {0};

    put_page(&page, p);
    return page_write(path, &page, err);
}
