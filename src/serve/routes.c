#include "serve/routes.h"

#include "base/clock.h"
#include "serve/person.h"

enum { LAST_ITEMS = 10 };

/* ---- what several of them share ---- */

void not_found(const char *what, const char *id, struct http_reply *r)
{
    AUTO(buf) detail = {0};

    buf_printf(&detail, "%s '%s' not found", what, id);
    http_reply_detail(r, 404, buf_str(&detail));
}

void put_meta(const struct served *s, int32_t item, struct json_out *o)
{
    static const char none[] = "{\"title\":null,\"price\":null,\"main_category\":null,"
                               "\"categories\":null,\"store\":null,\"image\":null}";
    const char *meta = ids_get(&s->catalog.item_meta, item);

    json_put_members(o, *meta ? meta : none);
}

void put_hits(const struct served *s, const char *key, const struct hit *hits, int n,
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

void put_items(const struct served *s, const struct hit *hits, int n, struct json_out *o)
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

struct similar_query {
    int64_t top_k;
};

static const struct field similar_fields[] = {{.name = "top_k",
                                               .kind = FIELD_INT,
                                               .offset = offsetof(struct similar_query, top_k),
                                               .lo = 1,
                                               .hi = TOPK_MAX,
                                               .by_default = "10",
                                               .about = "how many items"}};

static void similar(const struct call *call, struct http_reply *r)
{
    struct similar_query b = {.top_k = 10};
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
    json_put_bool(&r->body, "known", person_is_known(s, &person));
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

static void put_metrics(const char *metrics, struct json_out *o)
{
    if (!metrics) {
        json_put_null(o, "metrics");
        return;
    }
    json_open(o, "metrics", '{');
    json_put_members(o, metrics);
    json_close(o, '}');
}

static void put_served(const struct call *call, const struct served *s, enum model_role role,
                       struct json_out *o)
{
    json_put_str(o, "model", s->catalog.model->ops->name);
    json_put_str(o, "source", s->source);
    json_put_str(o, "dataset_digest", s->catalog.model->digest);
    json_put_int(o, "users", s->catalog.users.n);
    json_put_int(o, "items", s->catalog.items.n);
    put_metrics(s->catalog.model->metrics, o);
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
    {"POST", "/recommend", route_recommend, "A user's best items", NEEDS_KEY,
     FIELDS(recommend_fields), "Recommendations", GIVES_404},
    {"POST", "/recommend/batch", route_batch, "The best items of many users", NEEDS_KEY,
     FIELDS(batch_fields), "Batch", 0},
    {"POST", "/recommend/session", route_session, "What goes with the items of a session",
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
