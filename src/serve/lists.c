/* lists.c - POST /recommend, /recommend/batch and /recommend/session: lists of items.
 *
 * A request whose list takes long is answered at the end of the loop's turn, together with those
 * that came in the same one: a block of items is then read once for all. */
#include "serve/person.h"

enum { USERS_A_BATCH = 1000 };

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

/* Which items the texts name; what isn't known is passed over. To be freed. */
static int32_t *find_items(const struct served *s, const struct body_texts *texts, int *n)
{
    int32_t *out = xmalloc((size_t)MAX(texts->n, 1), sizeof *out);

    *n = 0;
    for (int i = 0; i < texts->n; i++) {
        int32_t item = ids_find(&s->catalog.items, body_texts_at(texts, i).at);

        if (item >= 0)
            out[(*n)++] = item;
    }
    return out;
}

enum fallback { FALLBACK_NONE, FALLBACK_POPULAR, FALLBACK_HISTORY };

static const char *const fallbacks[] = {"none", "popular", "history", NULL};

/* What may be asked of a list. */
struct list_body {
    struct body_text user_id;
    struct body_texts user_ids, items, exclude, categories, history;
    int64_t top_k;
    bool exclude_seen, with_items;
    int fallback;
};

#define AT(field) .name = #field, .offset = offsetof(struct list_body, field)
#define TOP_K                                                                                      \
    {                                                                                              \
        AT(top_k), .kind = FIELD_INT, .lo = 1, .hi = TOPK_MAX, .by_default = "10",                 \
                   .about = "how many items; fewer come where there are no more"                   \
    }
#define FLAG(field, def, text)                                                                     \
    {                                                                                              \
        AT(field), .kind = FIELD_BOOL, .by_default = def, .about = text                            \
    }
#define TEXTS(field, most, text)                                                                   \
    {                                                                                              \
        AT(field), .kind = FIELD_TEXTS, .hi = most, .by_default = "[]", .about = text              \
    }
#define EXCLUDE      TEXTS(exclude, 10000, "items that are not to be listed")
#define CATEGORIES   TEXTS(categories, 100, "only items of any of these categories")
#define WITH_ITEMS   FLAG(with_items, "false", "title, price and so on of each item too")
#define EXCLUDE_SEEN FLAG(exclude_seen, "true", "leave out what the user has taken")

const struct field recommend_fields[8] = {
    {AT(user_id), .kind = FIELD_TEXT, .required = true, .about = "whom to recommend to"},
    TOP_K,
    EXCLUDE_SEEN,
    EXCLUDE,
    CATEGORIES,
    WITH_ITEMS,
    {AT(fallback), .kind = FIELD_CHOICE, .choices = fallbacks, .by_default = "\"none\"",
     .about = "what an unknown user gets: 404; what most users took; or what goes with `history`"},
    TEXTS(history, 1000, "items that an unknown user has taken, for fallback \"history\""),
};

const struct field batch_fields[5] = {
    {AT(user_ids), .kind = FIELD_TEXTS, .required = true, .lo = 1, .hi = USERS_A_BATCH,
     .about = "whom to recommend to"},
    TOP_K,
    EXCLUDE_SEEN,
    EXCLUDE,
    CATEGORIES,
};

const struct field session_fields[6] = {
    {AT(items), .kind = FIELD_TEXTS, .required = true, .lo = 1, .hi = 1000,
     .about = "what was taken in the session, the oldest first"},
    TOP_K,
    FLAG(exclude_seen, "true", "leave out the session's items"),
    EXCLUDE,
    CATEGORIES,
    WITH_ITEMS,
};

/* What of a body concerns any list: to be released. */
struct constraints {
    int32_t *exclude;
    int n_exclude;
    uint64_t *among; /* NULL: all items */
};

static void constraints_release(struct constraints *c)
{
    free(c->exclude);
    free(c->among);
}

static void constraints_read(struct constraints *c, const struct served *s,
                             const struct list_body *b)
{
    c->exclude = find_items(s, &b->exclude, &c->n_exclude);
    c->among = NULL;
    if (!b->categories.n)
        return;
    c->among = xcalloc((size_t)s->catalog.items.n / 64 + 1, sizeof *c->among);
    for (int i = 0; i < b->categories.n; i++)
        served_add_category(s, body_texts_at(&b->categories, i).at, c->among);
}

static struct finder_query query_of(const struct list_body *b, const struct constraints *c,
                                    struct query q)
{
    return (struct finder_query){.q = q,
                                 .k = (int)b->top_k,
                                 .exclude_seen = b->exclude_seen,
                                 .exclude = c->exclude,
                                 .n_exclude = c->n_exclude,
                                 .among = c->among};
}

/* What most users took; q: for what is left out. */
static int popular(const struct call *call, const struct finder_query *q, struct hit *hits)
{
    const struct served *s = call->served;
    int n = 0;

    finder_mark(call->room, q, true);
    for (int32_t i = 0; i < s->catalog.items.n && n < q->k; i++)
        if (finder_lists(call->room, q, s->popular[i]))
            hits[n++] = (struct hit){s->popular[i], (float)s->counts[s->popular[i]]};
    finder_mark(call->room, q, false);
    return n;
}

/* ---- one user ---- */

/* A request for a user's list: to be released. */
struct asked {
    struct call call; /* with the user's model */
    struct json_doc doc;
    struct list_body body;
    struct constraints constraints;
    struct person person;
    int32_t *history; /* the body's, in place of the user's; or NULL */
    struct finder_query q;
    enum fallback which;

    /* Where it's gathered. */
    struct asked *next;
    struct http_later *later;
    struct hit *hits; /* (top_k) */
    int n;
};

static void asked_release(struct asked *a)
{
    json_doc_release(&a->doc);
    constraints_release(&a->constraints);
    person_release(&a->person);
    free(a->history);
    free(a->hits);
}

/* False: it's told. */
static bool asked_read(struct asked *a, const struct call *call, struct http_reply *r)
{
    a->body = (struct list_body){.top_k = 10, .exclude_seen = true};
    if (!body_read(call->request, recommend_fields, ARRAY_LEN(recommend_fields), &a->doc, &a->body,
                   r))
        return false;
    a->call = call_for(call, a->body.user_id.at);
    add(&call->traffic->lists[a->call.role], 1);
    constraints_read(&a->constraints, a->call.served, &a->body);
    person_find(&a->person, &a->call, a->body.user_id.at);
    a->q = query_of(&a->body, &a->constraints, a->person.q);
    return true;
}

/* Find out what there is for the user: a search, a->which saying whose; or false, what is popular,
 * if that is wanted. */
static bool has_search(struct asked *a)
{
    const struct served *s = a->call.served;
    struct query own = {.user = -1};

    a->which = FALLBACK_NONE;
    if (person_is_known(s, &a->person))
        return true;
    a->which = a->body.fallback;
    if (a->which == FALLBACK_NONE)
        return false;
    add(&a->call.traffic->fallbacks[a->call.role], 1);
    if (a->which == FALLBACK_HISTORY) {
        own.history = a->history = find_items(s, &a->body.history, &own.n_history);
        if (own.n_history && is_served(s, &own)) {
            a->q.q = own;
            return true;
        }
    }
    a->which = FALLBACK_POPULAR;
    return false;
}

static void put_list(const struct asked *a, const struct hit *hits, int n, struct json_out *o)
{
    const struct served *s = a->call.served;

    json_open(o, NULL, '{');
    json_put_str(o, "user_id", a->body.user_id.at);
    put_hits(s, "recommendations", hits, n, o);
    json_put_str(o, "model", s->catalog.model->ops->name);
    put_role(&a->call, o);
    if (a->which != FALLBACK_NONE)
        json_put_str(o, "fallback", fallbacks[a->which]);
    if (a->body.with_items)
        put_items(s, hits, n, o);
    json_close(o, '}');
}

/* False: it had better be answered at once. */
static bool gather(struct asked *a, struct http_reply *r)
{
    struct gathered *g = a->call.gathered;
    struct http_later *later = finder_was_long(a->call.room) ? http_reply_later(r) : NULL;
    struct asked *kept;

    if (!later)
        return false;
    kept = xmalloc(1, sizeof *kept);
    *kept = *a;
    *a = (struct asked){0};
    kept->later = later;
    kept->hits = xmalloc((size_t)kept->q.k, sizeof *kept->hits);
    kept->next = NULL;
    *g->end = kept;
    g->end = &kept->next;
    g->n++;
    return true;
}

void route_recommend(const struct call *call, struct http_reply *r)
{
    AUTO(asked) a = {0};
    struct hit hits[TOPK_MAX];
    int n;

    if (!asked_read(&a, call, r))
        return;
    if (has_search(&a)) {
        if (gather(&a, r))
            return;
        n = finder_find(a.call.served->finder, a.call.room, &a.q, hits);
    } else if (a.which == FALLBACK_NONE) {
        not_found("User", a.body.user_id.at, r);
        return;
    } else {
        n = popular(&a.call, &a.q, hits);
    }
    put_list(&a, hits, n, &r->body);
}

/* ---- those of a turn ---- */

/* Search for up to FINDER_QUERIES of them that the model of that role serves; what is done has
 * n >= 0. Returns how many. */
static int search_some(struct asked *first, enum model_role role)
{
    struct finder_query q[FINDER_QUERIES];
    struct asked *of[FINDER_QUERIES];
    struct hit *lists[FINDER_QUERIES];
    int n_hits[FINDER_QUERIES], n = 0;

    for (struct asked *a = first; a && n < FINDER_QUERIES; a = a->next)
        if (a->call.role == role && a->n < 0) {
            of[n] = a;
            q[n] = a->q;
            lists[n++] = a->hits;
        }
    if (n)
        finder_find_many(of[0]->call.served->finder, of[0]->call.room, q, n, lists, n_hits);
    for (int k = 0; k < n; k++)
        of[k]->n = n_hits[k];
    if (n > 1)
        add(&of[0]->call.traffic->together, (uint64_t)n);
    return n;
}

void lists_answer(struct gathered *g)
{
    struct asked *first = g->first, *next;

    *g = (struct gathered){.end = &g->first};
    for (struct asked *a = first; a; a = a->next)
        a->n = -1;
    for (int role = 0; role < MODELS; role++)
        while (search_some(first, role))
            ;
    for (struct asked *a = first; a; a = next) {
        next = a->next;
        put_list(a, a->hits, a->n, &http_later_reply(a->later)->body);
        http_later_send_here(a->later);
        asked_release(a);
        free(a);
    }
}

/* ---- many users ---- */

/* One user of a batch. */
struct member {
    struct call call;
    struct person person;
    struct hit *hits;
    int n; /* < 0: not known */
};

/* Search for those whom the model of that role serves, together. */
static void find_members(struct member *members, int count, enum model_role role,
                         const struct list_body *b, const struct constraints *c)
{
    struct finder_query q[FINDER_QUERIES];
    struct hit *lists[FINDER_QUERIES];
    int of[FINDER_QUERIES], n_hits[FINDER_QUERIES], n = 0;

    for (int i = 0; i < count; i++) {
        struct member *m = &members[i];

        if (m->call.role != role || !person_is_known(m->call.served, &m->person))
            continue;
        q[n] = query_of(b, &c[role], m->person.q);
        lists[n] = m->hits;
        of[n++] = i;
    }
    if (n)
        finder_find_many(members[of[0]].call.served->finder, members[of[0]].call.room, q, n, lists,
                         n_hits);
    for (int k = 0; k < n; k++)
        members[of[k]].n = n_hits[k];
}

static void put_member(const struct member *m, const char *user_id, struct json_out *o)
{
    json_open(o, NULL, '{');
    json_put_str(o, "user_id", user_id);
    json_put_bool(o, "known", m->n >= 0);
    put_hits(m->call.served, "recommendations", m->hits, MAX(m->n, 0), o);
    put_role(&m->call, o);
    json_close(o, '}');
}

/* c (MODELS): what concerns all lists, by each model's items */
static void put_lists(const struct call *call, const struct list_body *b,
                      const struct constraints *c, int first, int count, struct http_reply *r)
{
    AUTO_FREE struct hit *hits = xmalloc((size_t)(count * b->top_k), sizeof *hits);
    struct member members[FINDER_QUERIES];

    for (int i = 0; i < count; i++) {
        struct member *m = &members[i];
        const char *id = body_texts_at(&b->user_ids, first + i).at;

        *m = (struct member){.call = call_for(call, id), .hits = hits + i * b->top_k, .n = -1};
        person_find(&m->person, &m->call, id);
        add(&call->traffic->lists[m->call.role], 1);
    }
    for (int role = 0; role < MODELS; role++)
        find_members(members, count, role, b, c);
    for (int i = 0; i < count; i++) {
        put_member(&members[i], body_texts_at(&b->user_ids, first + i).at, &r->body);
        person_release(&members[i].person);
    }
}

void route_batch(const struct call *call, struct http_reply *r)
{
    struct list_body b = {.top_k = 10, .exclude_seen = true};
    AUTO(json_doc) doc = {0};
    struct constraints c[MODELS] = {0};

    if (!body_read(call->request, batch_fields, ARRAY_LEN(batch_fields), &doc, &b, r))
        return;
    constraints_read(&c[MODEL_MAIN], call->served, &b);
    if (call->canary)
        constraints_read(&c[MODEL_CANARY], call->canary, &b);
    json_open(&r->body, NULL, '{');
    json_open(&r->body, "results", '[');
    for (int i = 0; i < b.user_ids.n; i += FINDER_QUERIES)
        put_lists(call, &b, c, i, MIN(FINDER_QUERIES, b.user_ids.n - i), r);
    json_close(&r->body, ']');
    json_put_str(&r->body, "model", call->served->catalog.model->ops->name);
    json_close(&r->body, '}');
    for (int m = 0; m < MODELS; m++)
        constraints_release(&c[m]);
}

void route_session(const struct call *call, struct http_reply *r)
{
    struct list_body b = {.top_k = 10, .exclude_seen = true};
    const struct served *s = call->served;
    AUTO(json_doc) doc = {0};
    AUTO(constraints) c = {0};
    AUTO_FREE int32_t *history = NULL;
    struct hit hits[TOPK_MAX];
    struct finder_query q;
    struct query own = {.user = -1};
    int n;

    if (!body_read(call->request, session_fields, ARRAY_LEN(session_fields), &doc, &b, r))
        return;
    constraints_read(&c, s, &b);
    own.history = history = find_items(s, &b.items, &own.n_history);
    if (!own.n_history || !is_served(s, &own)) {
        http_reply_detail(r, 404,
                          own.n_history ? "The model has nothing to say to these items"
                                        : "None of the items is known");
        return;
    }
    q = query_of(&b, &c, own);
    n = finder_find(s->finder, call->room, &q, hits);
    json_open(&r->body, NULL, '{');
    json_put_int(&r->body, "known_items", own.n_history);
    put_hits(s, "recommendations", hits, n, &r->body);
    json_put_str(&r->body, "model", s->catalog.model->ops->name);
    if (b.with_items)
        put_items(s, hits, n, &r->body);
    json_close(&r->body, '}');
}
