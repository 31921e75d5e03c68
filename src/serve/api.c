#include "serve/api.h"

#include "model/topk.h"
#include "serve/body.h"

/* A request in the hands of a route. The catalog is looked up once, so that a request sees one
 * model from start to end. */
struct call {
    const struct catalog *catalog;
    const struct http_request *request;
};

/* GET /health
 * 200 {"status": "healthy", "model_loaded": true, "model": "mf", "users": 9, "items": 9, ...} */
static void health(const struct call *call, struct http_reply *r)
{
    const struct catalog *c = call->catalog;
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

struct recommend_body {
    struct body_text user_id;
    int64_t top_k;
    bool exclude_seen;
};

#define AT(field) .name = #field, .offset = offsetof(struct recommend_body, field)

static const struct field recommend_fields[] = {
    {AT(user_id), .kind = FIELD_TEXT, .required = true},
    {AT(top_k), .kind = FIELD_INT, .lo = 1, .hi = TOPK_MAX},
    {AT(exclude_seen), .kind = FIELD_BOOL},
};

static void put_list(const struct call *call, const char *user_id, const struct hit *hits, int n,
                     struct json_out *o)
{
    json_open(o, NULL, '{');
    json_put_str(o, "user_id", user_id);
    json_open(o, "recommendations", '[');
    for (int i = 0; i < n; i++)
        json_put_str(o, NULL, ids_get(&call->catalog->items, hits[i].item));
    json_close(o, ']');
    json_open(o, "scores", '[');
    for (int i = 0; i < n; i++)
        json_put_float(o, NULL, hits[i].score);
    json_close(o, ']');
    json_put_str(o, "model", call->catalog->model->ops->name);
    json_close(o, '}');
}

static void unknown_user(const char *user_id, struct http_reply *r)
{
    AUTO(buf) detail = {0};

    buf_printf(&detail, "User '%s' not found", user_id);
    http_reply_detail(r, 404, detail.data);
}

/* POST /recommend {"user_id": "A1", "top_k": 10, "exclude_seen": true}
 * 200 {"user_id": "A1", "recommendations": ["B7", ...], "scores": [2.5, ...], "model": "mf"}, best
 *     first; fewer than top_k where there are no more
 * 404 a user that the dataset doesn't hold, or that the model can say nothing about */
static void recommend(const struct call *call, struct http_reply *r)
{
    AUTO(json_doc) doc = {0};
    struct recommend_body body = {.top_k = 10, .exclude_seen = true};
    const struct catalog *c = call->catalog;
    struct hit hits[TOPK_MAX];
    struct topk topk;
    struct query q;
    int32_t user;
    int n;

    if (!body_read(call->request, recommend_fields, ARRAY_LEN(recommend_fields), &doc, &body, r))
        return;
    user = ids_find(&c->users, body.user_id.at);
    if (user < 0) {
        unknown_user(body.user_id.at, r);
        return;
    }
    q = query_of_user(&c->seen, user);
    if (!c->model->ops->serves(c->model, &q)) {
        unknown_user(body.user_id.at, r);
        return;
    }
    topk_init(&topk, c->model, 1);
    topk_find(&topk, &q, 1, (int)body.top_k, body.exclude_seen, hits, &n);
    topk_release(&topk);
    put_list(call, body.user_id.at, hits, n, &r->body);
}

static const struct {
    const char *method, *path;
    void (*handle)(const struct call *call, struct http_reply *r);
} routes[] = {
    {"GET", "/health", health},
    {"POST", "/recommend", recommend},
};

/* Whether a request of this method takes the route; HEAD is GET without a body, which the server
 * leaves out by itself. */
static bool takes(const char *route_method, const char *method)
{
    return !strcmp(route_method, method) ||
           (!strcmp(method, "HEAD") && !strcmp(route_method, "GET"));
}

static void allow(struct http_reply *r, const char *method)
{
    buf_puts(&r->headers, r->headers.len ? ", " : "Allow: ");
    buf_puts(&r->headers, method);
    if (!strcmp(method, "GET"))
        buf_puts(&r->headers, ", HEAD");
}

void api_handle(void *api, int worker, const struct http_request *q, struct http_reply *r)
{
    const struct call call = {((const struct api *)api)->catalog, q};

    (void)worker;
    for (int i = 0; i < ARRAY_LEN(routes); i++) {
        if (q->path.len != strlen(routes[i].path) ||
            memcmp(q->path.at, routes[i].path, q->path.len) != 0)
            continue;
        if (takes(routes[i].method, q->method)) {
            buf_clear(&r->headers); /* another row's Allow */
            routes[i].handle(&call, r);
            return;
        }
        allow(r, routes[i].method);
    }
    if (r->headers.len == 0) {
        http_reply_detail(r, 404, "Not Found");
        return;
    }
    buf_puts(&r->headers, "\r\n");
    http_reply_detail(r, 405, "Method Not Allowed");
}
