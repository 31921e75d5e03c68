#include "eval/examples.h"

#include "base/html.h"
#include "base/page.h"

/* ---- who ---- */

static int64_t n_held_out(const struct heldout *h, int32_t user)
{
    return h->offsets[user + 1] - h->offsets[user];
}

/* Whether a comes before b among the best (sign 1) or the worst (sign -1). */
static bool before(const struct heldout *h, const struct example *a, const struct example *b,
                   int sign)
{
    int64_t n_a = n_held_out(h, a->user), n_b = n_held_out(h, b->user);

    if (a->ndcg != b->ndcg)
        return sign > 0 ? a->ndcg > b->ndcg : a->ndcg < b->ndcg;
    return n_a != n_b ? n_a > n_b : a->user < b->user;
}

/* Keep the first EXAMPLES_EACH in order; returns how many there are. */
static int keep(const struct heldout *h, struct example *first, int n, const struct example *e,
                int sign)
{
    int at = n;

    while (at && before(h, e, &first[at - 1], sign))
        at--;
    if (at == EXAMPLES_EACH)
        return n;
    n = MIN(n + 1, EXAMPLES_EACH);
    memmove(first + at + 1, first + at, (size_t)(n - 1 - at) * sizeof *first);
    first[at] = *e;
    return n;
}

static bool is_among(const struct example *first, int n, int32_t user)
{
    for (int i = 0; i < n; i++)
        if (first[i].user == user)
            return true;
    return false;
}

static int choose(const struct ranking *r, int k, int sign, const struct examples *so_far,
                  struct example *out)
{
    const struct metric *ndcg = metric_named("ndcg");
    int n = 0;

    for (int32_t i = 0; i < r->h->n_users; i++) {
        struct example e = {.user = i};

        if (!r->h->n_train[i] || n_held_out(r->h, i) < EXAMPLES_LEAST ||
            is_among(so_far->users, so_far->n, i))
            continue;
        e.ndcg = ranking_value(r, i, ndcg, k);
        n = keep(r->h, out, n, &e, sign);
    }
    return n;
}

/* ---- their lists ---- */

static void list(struct example *e, const struct ranking *r, struct topk *t, int k)
{
    struct query q = query_of_user(r->h->history, r->h->users[e->user]);
    struct hit hits[EXAMPLES_LIST];

    if (!t->m->ops->serves(t->m, &q))
        return;
    topk_find(t, &q, 1, k, !r->plan->include_seen, hits, &e->n_list);
    for (int i = 0; i < e->n_list; i++)
        e->list[i] = hits[i].item;
}

void examples_find(const struct ranking *r, const struct model *m, struct examples *out)
{
    int k = rank_k_shown(r->plan);
    struct topk t;

    *out = (struct examples){.k = MIN(k, EXAMPLES_LIST)};
    out->n = out->n_best = choose(r, k, 1, out, out->users);
    out->n += choose(r, k, -1, out, out->users + out->n_best);
    topk_init(&t, m, 1);
    for (int i = 0; i < out->n; i++)
        list(&out->users[i], r, &t, out->k);
    topk_release(&t);
}

/* ---- on a page ---- */

static bool holds(const int32_t *items, int64_t n, int32_t item)
{
    for (int64_t i = 0; i < n; i++)
        if (items[i] == item)
            return true;
    return false;
}

/* The first of n items, `shown` of them; those that are among (n_marked) marked ones are marked. */
static void put_items(struct buf *b, const char *what, const char *tag, const int32_t *items,
                      int shown, int64_t n, const int32_t *marked, int64_t n_marked,
                      const struct ids *titles)
{

    buf_printf(b, "<div><h4>%s</h4>\n<%s>\n", what, tag);
    for (int i = 0; i < shown; i++) {
        buf_puts(b, holds(marked, n_marked, items[i]) ? "<li class=\"found\">" : "<li>");
        html_put_text(b, ids_get(titles, items[i]));
        buf_puts(b, "</li>\n");
    }
    buf_printf(b, "</%s>\n", tag);
    if (n > shown)
        buf_printf(b, "<p class=\"axis\">and %lld more</p>\n", (long long)(n - shown));
    buf_puts(b, "</div>\n");
}

/* Of (n) held-out items those that the list holds come first; returns how many are given. */
static int found_first(const struct example *e, const int32_t *items, int64_t n,
                       int32_t out[EXAMPLES_LIST])
{
    int n_out = 0;

    for (int found = 1; found >= 0; found--)
        for (int64_t i = 0; i < n && n_out < EXAMPLES_LIST; i++)
            if (holds(e->list, e->n_list, items[i]) == (found == 1))
                out[n_out++] = items[i];
    return n_out;
}

static void put_example(struct buf *b, const struct example *e, const struct heldout *h,
                        const struct ids *users, const struct ids *titles)
{
    const int32_t *held_out = h->items + h->offsets[e->user];
    struct query q = query_of_user(h->history, h->users[e->user]);
    int32_t last[EXAMPLES_LIST], first[EXAMPLES_LIST];
    int n_last = MIN(q.n_history, EXAMPLES_LIST);
    int64_t n = n_held_out(h, e->user);
    int n_first = found_first(e, held_out, n, first);

    for (int i = 0; i < n_last; i++)
        last[i] = q.history[q.n_history - 1 - i];
    buf_puts(b, "<details class=\"example\">\n<summary>");
    html_put_text(b, ids_get(users, h->users[e->user]));
    buf_printf(b, " <span>NDCG %.3f, %lld held out, %d taken before</span></summary>\n<div>\n",
               e->ndcg, (long long)n, q.n_history);
    put_items(b, "Taken before, the last first", "ul", last, n_last, q.n_history, NULL, 0, titles);
    if (e->n_list)
        put_items(b, "The list", "ol", e->list, e->n_list, e->n_list, held_out, n, titles);
    else
        buf_puts(b, "<div><h4>The list</h4><p>none: the model can't serve this user</p></div>\n");
    put_items(b, "Held out", "ul", first, n_first, n, e->list, e->n_list, titles);
    buf_puts(b, "</div>\n</details>\n");
}

void examples_put(struct buf *b, const struct examples *e, const struct heldout *h,
                  const struct ids *users, const struct ids *titles)
{
    for (int i = 0; i < e->n; i++) {
        if (i == 0 || i == e->n_best)
            buf_printf(b, "<h3>%s</h3>\n", i < e->n_best ? "Best lists" : "Worst lists");
        put_example(b, &e->users[i], h, users, titles);
    }
}
