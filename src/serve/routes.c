#include "serve/routes.h"

#include "base/clock.h"
#include "base/digest.h"

enum { LAST_ITEMS = 10, USERS_A_BATCH = 1000 };

/* ---- what several of them share ---- */

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static void not_found(const char *what, const char *id, struct http_reply *r)
{
    AUTO(buf) detail = {0};

    buf_printf(&detail, "%s '%s' not found", what, id);
    http_reply_detail(r, 404, buf_str(&detail));
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

/* The members of an item's metadata, behind those that stand there. */
static void put_meta(const struct served *s, int32_t item, struct json_out *o)
{
    static const char none[] = "{\"title\":null,\"price\":null,\"main_category\":null,"
                               "\"categories\":null,\"store\":null,\"image\":null}";
    const char *meta = ids_get(&s->catalog.item_meta, item);

    json_put_members(o, *meta ? meta : none);
}

static void put_hits(const struct served *s, const char *key, const struct hit *hits, int n,
                     struct json_out *o)
{
    json_open(o, key, '[');
    for (int i = 0; i < n; i++)
        json_put_str(o, NULL, ids_get(&s->catalog.items, hits[i].item));
    json_close(o, ']');
    json_open(o, "scores", '[');
    for (int i = 0; i < n; i++)
        json_put_float(o, NULL, hits[i].score);
    json_close(o, ']');
}

static void put_items(const struct served *s, const struct hit *hits, int n, struct json_out *o)
{
    json_open(o, "items", '[');
    for (int i = 0; i < n; i++) {
        json_open(o, NULL, '{');
        json_put_str(o, "item_id", ids_get(&s->catalog.items, hits[i].item));
        json_put_float(o, "score", hits[i].score);
        put_meta(s, hits[i].item, o);
        json_close(o, '}');
    }
    json_close(o, ']');
}

/* ---- lists ---- */

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

static const struct field recommend_fields[] = {
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

static const struct field batch_fields[] = {
    {AT(user_ids), .kind = FIELD_TEXTS, .required = true, .lo = 1, .hi = USERS_A_BATCH,
     .about = "whom to recommend to"},
    TOP_K,
    EXCLUDE_SEEN,
    EXCLUDE,
    CATEGORIES,
};

static const struct field session_fields[] = {
    {AT(items), .kind = FIELD_TEXTS, .required = true, .lo = 1, .hi = 1000,
     .about = "what was taken in the session, the oldest first"},
    TOP_K,
    FLAG(exclude_seen, "true", "leave out the session's items"),
    EXCLUDE,
    CATEGORIES,
    WITH_ITEMS,
};

static const struct field similar_fields[] = {TOP_K};

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

static bool is_served(const struct served *s, const struct query *q)
{
    return s->catalog.model->ops->serves(s->catalog.model, q);
}

const char *const role_names[MODELS] = {"main", "canary"};

/* The call with the model that this user is served by. */
static struct call call_for(const struct call *call, const char *user_id)
{
    struct call own = *call;
    char hex[DIGEST_HEX];

    if (!call->canary)
        return own;
    digest_bytes(user_id, strlen(user_id), hex);
    hex[8] = '\0';
    if ((double)strtoul(hex, NULL, 16) < call->api->canary_part * 0x1p32) {
        own.role = MODEL_CANARY;
        own.served = call->canary;
        own.room = &call->canary->rooms[call->worker];
    }
    return own;
}

static void put_role(const struct call *call, struct json_out *o)
{
    if (call->canary)
        json_put_str(o, "served_by", role_names[call->role]);
}

/* A user as far as dataset and feedback know: to be released. */
struct person {
    struct query q;
    int32_t *history; /* its own; NULL: the dataset's */
};

static void person_release(struct person *p)
{
    free(p->history);
}

/* Behind the user's history, those of the n items that aren't in it. */
static void join_history(struct person *p, const int32_t *items, int32_t n)
{
    int32_t n_before = p->q.n_history, at = n_before;

    p->history = xmalloc((size_t)(n_before + n), sizeof *p->history);
    if (n_before)
        memcpy(p->history, p->q.history, (size_t)n_before * sizeof *p->history);
    for (int32_t k = 0; k < n; k++) {
        int32_t h = 0;

        while (h < n_before && p->q.history[h] != items[k])
            h++;
        if (h == n_before)
            p->history[at++] = items[k];
    }
    p->q.history = p->history;
    p->q.n_history = at;
}

/* Who has taken more since the dataset was made is ranked for by the whole history, where the model
 * can do that. */
static void person_find(struct person *p, const struct call *call, const char *id)
{
    const struct served *s = call->served;
    int32_t user = ids_find(&s->catalog.users, id), n, known;
    AUTO_FREE int32_t *items = NULL;

    *p = (struct person){.q.user = -1};
    if (user >= 0)
        p->q = query_of_user(&s->catalog.seen, user);
    n = taken_items(feedback_taken(call->api->feedback), id, &s->catalog.items, &items);
    if (n == 0)
        return;
    known = p->q.n_history;
    join_history(p, items, n);
    if (p->q.n_history > known)
        p->q.user = -1;
    if (!is_served(s, &p->q))
        p->q.user = user;
}

/* Whether the model has something to say to the person; nobody at all is served by none. */
static bool is_known(const struct served *s, const struct person *p)
{
    return (p->q.user >= 0 || p->q.n_history) && is_served(s, &p->q);
}

/* The user's list, or what the request wants instead. Returns which it is; FALLBACK_NONE with
 * *n < 0: there is nothing. */
static enum fallback recommend_to(const struct call *call, const struct list_body *b,
                                  const struct constraints *c, struct hit *hits, int *n)
{
    const struct served *s = call->served;
    struct finder_query q;
    AUTO(person) person = {0};
    AUTO_FREE int32_t *history = NULL;

    add(&call->traffic->lists[call->role], 1);
    person_find(&person, call, b->user_id.at);
    q = query_of(b, c, person.q);
    if (is_known(s, &person)) {
        *n = finder_find(s->finder, call->room, &q, hits);
        return FALLBACK_NONE;
    }
    *n = -1;
    if (b->fallback == FALLBACK_NONE)
        return FALLBACK_NONE;
    add(&call->traffic->fallbacks[call->role], 1);
    if (b->fallback == FALLBACK_HISTORY) {
        struct query own = {.user = -1};

        own.history = history = find_items(s, &b->history, &own.n_history);
        if (own.n_history && is_served(s, &own)) {
            q.q = own;
            *n = finder_find(s->finder, call->room, &q, hits);
            return FALLBACK_HISTORY;
        }
    }
    *n = popular(call, &q, hits);
    return FALLBACK_POPULAR;
}

static void recommend(const struct call *call, struct http_reply *r)
{
    struct list_body b = {.top_k = 10, .exclude_seen = true};
    AUTO(json_doc) doc = {0};
    AUTO(constraints) c = {0};
    struct hit hits[TOPK_MAX];
    enum fallback which;
    struct call own;
    int n;

    if (!body_read(call->request, recommend_fields, ARRAY_LEN(recommend_fields), &doc, &b, r))
        return;
    own = call_for(call, b.user_id.at);
    constraints_read(&c, own.served, &b);
    which = recommend_to(&own, &b, &c, hits, &n);
    if (n < 0) {
        not_found("User", b.user_id.at, r);
        return;
    }
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "user_id", b.user_id.at);
    put_hits(own.served, "recommendations", hits, n, &r->body);
    json_put_str(&r->body, "model", own.served->catalog.model->ops->name);
    put_role(&own, &r->body);
    if (which != FALLBACK_NONE)
        json_put_str(&r->body, "fallback", fallbacks[which]);
    if (b.with_items)
        put_items(own.served, hits, n, &r->body);
    json_close(&r->body, '}');
}

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

        if (m->call.role != role || !is_known(m->call.served, &m->person))
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

static void recommend_batch(const struct call *call, struct http_reply *r)
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

static void recommend_session(const struct call *call, struct http_reply *r)
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

/* ---- items and users ---- */

static int32_t item_of(const struct call *call, struct http_reply *r)
{
    int32_t item = ids_find(&call->served->catalog.items, call->id);

    if (item < 0)
        not_found("Item", call->id, r);
    return item;
}

static void show_item(const struct call *call, struct http_reply *r)
{
    int32_t item = item_of(call, r);

    if (item < 0)
        return;
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "item_id", call->id);
    put_meta(call->served, item, &r->body);
    json_close(&r->body, '}');
}

static void similar(const struct call *call, struct http_reply *r)
{
    struct list_body b = {.top_k = 10};
    const struct served *s = call->served;
    AUTO(json_doc) doc = {0};
    int32_t item = item_of(call, r);
    struct hit hits[TOPK_MAX];
    int n;

    if (item < 0 ||
        !query_read(call->request, similar_fields, ARRAY_LEN(similar_fields), &doc, &b, r))
        return;
    n = served_similar(s, call->room, item, (int)b.top_k, hits);
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "item_id", call->id);
    put_hits(s, "similar", hits, n, &r->body);
    put_items(s, hits, n, &r->body);
    json_close(&r->body, '}');
}

static void show_user(const struct call *call, struct http_reply *r)
{
    struct call own = call_for(call, call->id);
    const struct served *s = own.served;
    AUTO(person) person = {0};
    const struct query *q = &person.q;

    person_find(&person, &own, call->id);
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "user_id", call->id);
    json_put_bool(&r->body, "known", is_known(s, &person));
    json_put_int(&r->body, "seen", q->n_history);
    json_open(&r->body, "last_items", '[');
    for (int32_t h = q->n_history - 1; h >= MAX(0, q->n_history - LAST_ITEMS); h--) {
        json_open(&r->body, NULL, '{');
        json_put_str(&r->body, "item_id", ids_get(&s->catalog.items, q->history[h]));
        put_meta(s, q->history[h], &r->body);
        json_close(&r->body, '}');
    }
    json_close(&r->body, ']');
    json_close(&r->body, '}');
}

struct users_query {
    bool any;
};

static const struct field users_fields[] = {{.name = "any",
                                             .kind = FIELD_BOOL,
                                             .offset = offsetof(struct users_query, any),
                                             .by_default = "false",
                                             .about = "some from anywhere, not the first ones"}};

/* Some whom the model knows, to try things on. */
static void list_users(const struct call *call, struct http_reply *r)
{
    enum { SHOWN = 50, TRIES = 1000 };
    const struct served *s = call->served;
    struct users_query asked = {0};
    AUTO(json_doc) doc = {0};
    int32_t n = s->catalog.users.n, at, shown = 0;

    if (!query_read(call->request, users_fields, ARRAY_LEN(users_fields), &doc, &asked, r))
        return;
    at = asked.any && n ? (int32_t)(clock_epoch_ms() % n) : 0;
    json_open(&r->body, NULL, '{');
    json_open(&r->body, "users", '[');
    for (int32_t k = 0; k < MIN(n, TRIES) && shown < SHOWN; k++) {
        int32_t user = (at + k) % n;
        struct query q = query_of_user(&s->catalog.seen, user);

        if (q.n_history && is_served(s, &q)) {
            json_put_str(&r->body, NULL, ids_get(&s->catalog.users, user));
            shown++;
        }
    }
    json_close(&r->body, ']');
    json_close(&r->body, '}');
}

/* ---- the server itself ---- */

static void health(const struct call *call, struct http_reply *r)
{
    const struct catalog *c = &call->served->catalog;
    struct json_out *o = &r->body;

    json_open(o, NULL, '{');
    json_put_str(o, "status", "healthy");
    json_put_bool(o, "model_loaded", true);
    json_put_str(o, "model", c->model->ops->name);
    json_put_int(o, "users", c->users.n);
    json_put_int(o, "items", c->items.n);
    json_put_str(o, "version", KINDRED_VERSION);
    json_close(o, '}');
}

static void put_status(const char *status, struct http_reply *r)
{
    json_open(&r->body, NULL, '{');
    json_put_str(&r->body, "status", status);
    json_close(&r->body, '}');
}

static void livez(const struct call *, struct http_reply *r)
{
    put_status("alive", r);
}

static void readyz(const struct call *call, struct http_reply *r)
{
    const struct http *http = atomic_load(&call->api->http);
    bool stops = http && http_is_stopping(http);

    r->status = stops ? 503 : 200;
    put_status(stops ? "draining" : "ready", r);
}

static void put_served(const struct call *call, const struct served *s, enum model_role role,
                       struct json_out *o)
{
    json_put_str(o, "model", s->catalog.model->ops->name);
    json_put_strn(o, "source", s->source, strcspn(s->source, "#"));
    json_put_str(o, "dataset_digest", s->catalog.model->digest);
    json_put_int(o, "users", s->catalog.users.n);
    json_put_int(o, "items", s->catalog.items.n);
    json_put_bool(o, "fast", finder_is_fast(s->finder));
    json_put_real(o, "age_seconds", (double)(clock_epoch_ms() - s->loaded_ms) / 1000);
    pthread_mutex_lock(&call->api->lock);
    json_put_str(o, "last_error", call->api->last_error[role]);
    pthread_mutex_unlock(&call->api->lock);
}

static void show_model(const struct call *call, struct http_reply *r)
{
    struct api *a = call->api;
    struct json_out *o = &r->body;

    json_open(o, NULL, '{');
    put_served(call, call->served, MODEL_MAIN, o);
    json_put_int(o, "reloads", atomic_load(&a->reloads));
    json_put_int(o, "failed_reloads", atomic_load(&a->failed_reloads));
    if (call->canary) {
        json_open(o, "canary", '{');
        put_served(call, call->canary, MODEL_CANARY, o);
        json_put_real(o, "percent", 100 * a->canary_part);
        json_close(o, '}');
    }
    json_close(o, '}');
}

static void reload_model(const struct call *call, struct http_reply *r)
{
    struct api *a = call->api;

    if (!a->ask_reload) {
        http_reply_detail(r, 503, "This server loads no other model");
        return;
    }
    a->ask_reload(a->reload_context);
    r->status = 202;
    put_status("accepted", r);
}

#define FIELDS(list) list, ARRAY_LEN(list)
#define NO_FIELDS    NULL, 0

const struct route route_table[] = {
    {"POST", "/recommend", recommend, "A user's best items", NEEDS_KEY, FIELDS(recommend_fields),
     "Recommendations", GIVES_404},
    {"POST", "/recommend/batch", recommend_batch, "The best items of many users", NEEDS_KEY,
     FIELDS(batch_fields), "Batch", 0},
    {"POST", "/recommend/session", recommend_session, "What goes with the items of a session",
     NEEDS_KEY, FIELDS(session_fields), "Session", GIVES_404},
    {"POST", "/feedback", route_feedback, "What users took: kept, and counted at once", NEEDS_KEY,
     FIELDS(events_fields), "Accepted", GIVES_202 | GIVES_404 | GIVES_503},
    {"GET", "/items/{id}", show_item, "What is known of an item", NEEDS_KEY, NO_FIELDS, "Item",
     GIVES_404},
    {"GET", "/items/{id}/similar", similar, "Items like this one", NEEDS_KEY,
     FIELDS(similar_fields), "Similar", GIVES_404},
    {"GET", "/users", list_users, "Some users, to try", NEEDS_KEY, FIELDS(users_fields), "Users",
     0},
    {"GET", "/users/{id}", show_user, "Whether a user is known, and what the user took last",
     NEEDS_KEY, NO_FIELDS, "User", 0},
    {"GET", "/health", health, "What is served", NEEDS_NOTHING, NO_FIELDS, "Health", 0},
    {"GET", "/livez", livez, "The process is alive", NEEDS_NOTHING, NO_FIELDS, "Status", 0},
    {"GET", "/readyz", readyz, "Whether requests are welcome", NEEDS_NOTHING, NO_FIELDS, "Status",
     GIVES_503},
    {"GET", "/model", show_model, "The model that is served, and its age", NEEDS_KEY, NO_FIELDS,
     "Model", 0},
    {"POST", "/model/reload", reload_model, "Look for another model, and serve it", NEEDS_ADMIN,
     NO_FIELDS, "Status", GIVES_202 | GIVES_503},
    {"GET", "/metrics", route_metrics, "Counts and latencies, for Prometheus", NEEDS_NOTHING,
     NO_FIELDS, NULL, 0},
    {"GET", "/openapi.json", route_openapi, "This API as an OpenAPI document", NEEDS_NOTHING,
     NO_FIELDS, "Document", 0},
    {"GET", "/", route_index, NULL, NEEDS_NOTHING, NO_FIELDS, NULL, 0},
    {"GET", "/docs", route_docs, NULL, NEEDS_NOTHING, NO_FIELDS, NULL, 0},
    {"GET", "/docs/{id}", route_docs_file, NULL, NEEDS_NOTHING, NO_FIELDS, NULL, 0},
};

const int n_routes = ARRAY_LEN(route_table);
static_assert(ARRAY_LEN(route_table) <= ROUTES_MAX, "tallies have room");
