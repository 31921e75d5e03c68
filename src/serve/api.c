#include "serve/routes.h"

#include "base/clock.h"

#include <strings.h>
#include <unistd.h>

const int counted_refusals[REFUSALS] = {400, 408, 413, 417, 431, 501, 503, 505, 0};
const int counted_statuses[STATUSES] = {200, 202, 304, 400, 401, 403, 404, 422, 429, 503, 0};
const double latency_bounds[LATENCY_BUCKETS] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
                                                0.001,   0.0025,   0.005,   0.01,   0.1,     1};

struct api *api_new(struct serving *serving, int n_workers)
{
    struct api *a = xcalloc(1, sizeof *a);

    a->serving = serving;
    a->n_workers = n_workers;
    a->traffic = xaligned((size_t)n_workers, sizeof *a->traffic);
    memset(a->traffic, 0, (size_t)n_workers * sizeof *a->traffic);
    a->hands = xaligned((size_t)n_workers, sizeof *a->hands);
    memset(a->hands, 0, (size_t)n_workers * sizeof *a->hands);
    for (int w = 0; w < n_workers; w++)
        a->hands[w].gathered.end = &a->hands[w].gathered.first;
    a->started_ms = clock_epoch_ms();
    a->log = -1;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    for (int m = 0; m < MODELS; m++)
        free(a->last_error[m]);
    free(a->traffic);
    free(a->hands);
    free(a);
}

void api_set_canary(struct api *a, struct serving *canary, double part)
{
    a->canary = canary;
    a->canary_part = part;
}

void api_set_http(struct api *a, const struct http *http)
{
    atomic_store(&a->http, http);
}

void api_set_log(struct api *a, int file)
{
    a->log = file;
}

void api_set_origins(struct api *a, const char *origins)
{
    a->origins = origins;
}

void api_set_feedback(struct api *a, struct feedback *f)
{
    a->feedback = f;
}

void api_set_reload(struct api *a, void (*ask)(void *context), void *context)
{
    a->ask_reload = ask;
    a->reload_context = context;
}

void api_note_reload(struct api *a, enum model_role role, const char *error)
{
    atomic_fetch_add(error ? &a->failed_reloads : &a->reloads, 1);
    pthread_mutex_lock(&a->lock);
    free(a->last_error[role]);
    a->last_error[role] = error ? xstrdup(error) : NULL;
    pthread_mutex_unlock(&a->lock);
}

/* ---- which route ---- */

/* Whether the path is the pattern's, "/items/{id}/similar"; id: what stands for "{id}". */
static bool matches(const char *pattern, struct http_text path, struct http_text *id)
{
    const char *at = path.at, *end = path.at + path.len;

    while (*pattern) {
        if (*pattern == '{') {
            const char *stop = at;

            while (stop < end && *stop != '/')
                stop++;
            if (stop == at)
                return false;
            *id = (struct http_text){at, (size_t)(stop - at)};
            pattern = strchr(pattern, '}') + 1;
            at = stop;
        } else if (at == end || *at++ != *pattern++) {
            return false;
        }
    }
    return at == end;
}

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

/* Which one; -1: none, and the reply is the answer. */
static int find_route(const struct http_request *q, struct http_text *id, struct http_reply *r)
{
    for (int i = 0; i < n_routes; i++) {
        if (!matches(route_table[i].path, q->path, id))
            continue;
        if (takes(route_table[i].method, q->method)) {
            buf_clear(&r->headers); /* another row's Allow */
            return i;
        }
        allow(r, route_table[i].method);
    }
    if (r->headers.len == 0) {
        http_reply_detail(r, 404, "Not Found");
        return -1;
    }
    buf_puts(&r->headers, "\r\n");
    http_reply_detail(r, 405, "Method Not Allowed");
    return -1;
}

/* ---- what is counted ---- */

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_relaxed); /* only this thread adds */
}

static void count(struct traffic *t, int route, int status, double seconds)
{
    int s = 0, b = 0;

    while (s < STATUSES - 1 && counted_statuses[s] != status)
        s++;
    while (b < LATENCY_BUCKETS && seconds > latency_bounds[b])
        b++;
    add(&t->answers[route][s], 1);
    add(&t->within[route][b], 1);
    add(&t->nanoseconds[route], (uint64_t)(seconds * 1e9));
}

/* ---- who asks ---- */

/* The reply is the answer where it's false. Without a file of keys anybody may ask, but not for
 * what takes an admin's. */
static bool is_let(const struct served *s, enum needs needs, const struct http_request *q,
                   struct http_reply *r)
{
    static const char scheme[] = "bearer ";
    const size_t skip = sizeof scheme - 1;
    bool is_bearer = q->authorization.len > skip && !strncasecmp(q->authorization.at, scheme, skip);
    enum key_answer answer;

    if (needs == NEEDS_NOTHING || (!s->keys && needs != NEEDS_ADMIN))
        return true;
    if (!s->keys) {
        http_reply_detail(r, 403, "This takes an admin's key, and the server has no keys");
        return false;
    }
    answer = is_bearer ? keys_ask(s->keys, q->authorization.at + skip, q->authorization.len - skip)
                       : KEY_UNKNOWN;
    if (answer == KEY_UNKNOWN) {
        buf_puts(&r->headers, "WWW-Authenticate: Bearer\r\n");
        http_reply_detail(r, 401, is_bearer ? "Invalid key" : "Not authenticated");
    } else if (answer == KEY_TOO_OFTEN) {
        buf_puts(&r->headers, "Retry-After: 1\r\n");
        http_reply_detail(r, 429, "Too many requests with this key");
    } else if (needs == NEEDS_ADMIN && answer != KEY_ADMIN) {
        http_reply_detail(r, 403, "This takes an admin's key");
    } else {
        return true;
    }
    return false;
}

/* ---- which request it was ---- */

static bool is_plain(struct http_text t)
{
    enum { MOST = 128 };

    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] <= ' ' || t.at[i] > '~')
            return false;
    return t.len > 0 && t.len <= MOST;
}

static void put_hex(struct buf *b, uint64_t n, int digits)
{
    while (digits--)
        buf_putc(b, "0123456789abcdef"[n >> (4 * digits) & 15]);
}

/* The caller's id, or one of our own; and the caller's trace. */
static void put_ids(struct api *a, int worker, const struct http_request *q, struct http_reply *r)
{
    uint64_t *n = &a->traffic[worker].n_ids;

    buf_puts(&r->headers, "X-Request-ID: ");
    if (is_plain(q->request_id)) {
        buf_put(&r->headers, q->request_id.at, q->request_id.len);
    } else {
        put_hex(&r->headers, (uint64_t)a->started_ms, 8);
        put_hex(&r->headers, (uint64_t)worker, 2);
        put_hex(&r->headers, (*n)++, 8);
    }
    buf_puts(&r->headers, "\r\n");
    if (!is_plain(q->traceparent))
        return;
    buf_puts(&r->headers, "traceparent: ");
    buf_put(&r->headers, q->traceparent.at, q->traceparent.len);
    buf_puts(&r->headers, "\r\n");
}

/* ---- pages of other origins (CORS) ---- */

static bool is_welcome(const struct api *a, struct http_text origin)
{
    const char *at = a->origins && is_plain(origin) ? a->origins : "";

    while (*at) {
        size_t n = strcspn(at, ",");

        if ((n == 1 && *at == '*') || (n == origin.len && !strncasecmp(at, origin.at, n)))
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* A browser's question whether its page may ask. */
static bool is_preflight(const struct api *a, const struct http_request *q)
{
    return !strcmp(q->method, "OPTIONS") && is_welcome(a, q->origin);
}

static void put_origin(const struct api *a, const struct http_request *q, struct http_reply *r)
{
    if (!is_welcome(a, q->origin))
        return;
    buf_puts(&r->headers, "Access-Control-Allow-Origin: ");
    buf_put(&r->headers, q->origin.at, q->origin.len);
    buf_puts(&r->headers, "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: X-Request-ID\r\n");
}

static void answer_preflight(struct http_reply *r)
{
    buf_puts(&r->headers, "Access-Control-Allow-Methods: GET, POST\r\n"
                          "Access-Control-Allow-Headers: Authorization, Content-Type, "
                          "X-Request-ID, traceparent\r\n"
                          "Access-Control-Max-Age: 600\r\n");
    r->content_type = "text/plain; charset=utf-8";
    buf_puts(&r->body.buf, "OK");
}

/* The id that put_ids wrote: the first of the headers. */
static struct http_text id_of(const struct http_reply *r)
{
    const char *at = strstr(buf_str(&r->headers), "X-Request-ID: ");

    at = at ? at + strlen("X-Request-ID: ") : "";
    return (struct http_text){at, strcspn(at, "\r")};
}

/* What is told of a request once its answer is there. */
struct account {
    struct api *api;
    int worker, route; /* route -1: none */
    double begun;
    struct http_request request;
};

static void begin_line(struct json_out *line)
{
    char now[CLOCK_ISO_MAX];

    clock_iso(clock_epoch_ms(), now);
    json_open(line, NULL, '{');
    json_put_str(line, "time", now);
}

/* One write a line: lines of several workers don't mix. */
static void end_line(const struct api *a, struct json_out *line, int worker)
{
    ssize_t written;

    json_put_int(line, "worker", worker);
    json_close(line, '}');
    buf_putc(&line->buf, '\n');
    written = write(a->log, line->buf.data, line->buf.len);
    (void)written; /* a full disk is no reason not to answer */
}

static void log_request(const struct account *of, const struct http_reply *r, double seconds)
{
    const struct api *a = of->api;
    const struct http_request *q = &of->request;
    AUTO(json_out) line = {0};
    struct http_text id = id_of(r);

    begin_line(&line);
    json_put_str(&line, "method", q->method);
    json_put_strn(&line, "path", q->path.at, q->path.len);
    json_put_int(&line, "status", r->status);
    json_put_int(&line, "bytes", (int64_t)r->body.buf.len);
    json_put_real(&line, "ms", (double)(int64_t)(seconds * 1e6) / 1000);
    json_put_strn(&line, "request_id", id.at, id.len);
    if (is_plain(q->traceparent))
        json_put_strn(&line, "traceparent", q->traceparent.at, q->traceparent.len);
    end_line(a, &line, of->worker);
}

static void tell(const struct account *of, const struct http_reply *r)
{
    double seconds = clock_seconds() - of->begun;

    if (of->route >= 0)
        count(&of->api->traffic[of->worker], of->route, r->status, seconds);
    if (of->api->log >= 0)
        log_request(of, r, seconds);
}

void api_refused(void *api, int worker, int status, const char *detail)
{
    struct api *a = api;
    AUTO(json_out) line = {0};
    int k = 0;

    while (k < REFUSALS - 1 && counted_refusals[k] != status)
        k++;
    add(&a->traffic[worker].refusals[k], 1);
    if (a->log < 0)
        return;
    begin_line(&line);
    json_put_int(&line, "status", status);
    json_put_str(&line, "refused", detail);
    end_line(a, &line, worker);
}

/* ---- answers that come later ---- */

static void copy_text(struct http_text *t)
{
    char *copy = xmalloc(t->len + 1, 1);

    if (t->len)
        memcpy(copy, t->at, t->len);
    t->at = copy;
}

static void tell_later(void *account, struct http_reply *r)
{
    struct account *of = account;

    add(&of->api->traffic[of->worker].answered, 1);
    tell(of, r);
    free((void *)(uintptr_t)of->request.path.at);
    free((void *)(uintptr_t)of->request.traceparent.at);
    free(of);
}

/* Methods' names are static; the rest of the request is gone by then. */
static void await(const struct account *now, struct http_later *later)
{
    struct account *of = xmalloc(1, sizeof *of);

    add(&now->api->traffic[now->worker].put_off, 1);
    *of = *now;
    of->request = (struct http_request){.method = now->request.method,
                                        .path = now->request.path,
                                        .traceparent = now->request.traceparent};
    copy_text(&of->request.path);
    copy_text(&of->request.traceparent);
    http_later_then(later, tell_later, of);
}

/* ---- */

/* What was held when the first request was gathered is held until all are answered. NULL: there is
 * no such model. */
static struct served *hold(struct api *a, int worker, enum model_role role)
{
    struct serving *of[MODELS] = {a->serving, a->canary};
    struct served **held = &a->hands[worker].held[role];

    if (!*held && of[role])
        *held = serving_hold(of[role], worker);
    return *held;
}

static void let_go(struct api *a, int worker)
{
    struct serving *of[MODELS] = {a->serving, a->canary};
    struct hands *h = &a->hands[worker];

    for (int m = 0; m < MODELS; m++)
        if (h->held[m])
            serving_let_go(of[m], worker);
    memset(h->held, 0, sizeof h->held);
}

static void call_route(const struct account *of, struct http_text id, struct http_reply *r)
{
    struct api *a = of->api;
    const struct route *route = &route_table[of->route];
    AUTO(buf) decoded = {0};
    struct served *s;

    if (id.len && !percent_decode(id, false, &decoded)) {
        http_reply_detail(r, 404, "Not Found");
        return;
    }
    s = hold(a, of->worker, MODEL_MAIN);
    if (is_let(s, route->needs, &of->request, r))
        route->handle(&(struct call){.api = a,
                                     .served = s,
                                     .room = &s->rooms[of->worker],
                                     .canary = hold(a, of->worker, MODEL_CANARY),
                                     .gathered = &a->hands[of->worker].gathered,
                                     .worker = of->worker,
                                     .request = &of->request,
                                     .id = buf_str(&decoded),
                                     .traffic = &a->traffic[of->worker]},
                      r);
    if (!a->hands[of->worker].gathered.n)
        let_go(a, of->worker);
}

bool api_turn_over(void *api, int worker)
{
    struct api *a = api;
    struct hands *h = &a->hands[worker];

    if (!h->gathered.n)
        return false;
    lists_answer(&h->gathered);
    if (!h->gathered.n)
        let_go(a, worker);
    return h->gathered.n;
}

void api_handle(void *api, int worker, const struct http_request *q, struct http_reply *r)
{
    struct api *a = api;
    struct http_text id = {0};
    struct account of = {a, worker, -1, clock_seconds(), *q};
    bool preflight = is_preflight(a, q);

    if (!preflight)
        of.route = find_route(q, &id, r);
    put_ids(a, worker, q, r);
    put_origin(a, q, r);
    if (preflight)
        answer_preflight(r);
    if (of.route >= 0)
        call_route(&of, id, r);
    if (r->later)
        await(&of, r->later);
    else
        tell(&of, r);
}
