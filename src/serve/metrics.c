/* metrics.c - GET /metrics, in Prometheus' text format. */
#include "serve/routes.h"

#include "base/clock.h"
#include "base/memory.h"

static uint64_t sum(const struct api *a, size_t offset)
{
    uint64_t n = 0;

    for (int w = 0; w < a->n_workers; w++)
        n += atomic_load_explicit((const _Atomic uint64_t *)((const char *)&a->traffic[w] + offset),
                                  memory_order_relaxed);
    return n;
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_answers(const struct api *a, struct buf *b)
{
    head(b, "kindred_requests_total", "counter", "Requests by route and status.");
    for (int i = 0; i < n_routes; i++)
        for (int s = 0; s < STATUSES; s++) {
            uint64_t n = sum(a, offsetof(struct traffic, answers[i][s]));
            char status[16];

            snprintf(status, sizeof status, "%d", counted_statuses[s]);
            if (n)
                buf_printf(
                    b, "kindred_requests_total{method=\"%s\",route=\"%s\",status=\"%s\"} %llu\n",
                    route_table[i].method, route_table[i].path,
                    counted_statuses[s] ? status : "other", (unsigned long long)n);
        }
}

static void put_refusals(const struct api *a, struct buf *b)
{
    head(b, "kindred_refusals_total", "counter",
         "What was no request that a route could take, by status; 0: TLS handshakes.");
    for (int k = 0; k < REFUSALS; k++)
        buf_printf(b, "kindred_refusals_total{status=\"%d\"} %llu\n", counted_refusals[k],
                   (unsigned long long)sum(a, offsetof(struct traffic, refusals[k])));
}

static void put_latency(const struct api *a, int route, struct buf *b)
{
    uint64_t below = 0;

    for (int k = 0; k <= LATENCY_BUCKETS; k++) {
        char bound[24] = "+Inf";

        below += sum(a, offsetof(struct traffic, within[route][k]));
        if (k < LATENCY_BUCKETS)
            snprintf(bound, sizeof bound, "%g", latency_bounds[k]);
        buf_printf(b, "kindred_request_seconds_bucket{route=\"%s\",le=\"%s\"} %llu\n",
                   route_table[route].path, bound, (unsigned long long)below);
    }
    buf_printf(b, "kindred_request_seconds_sum{route=\"%s\"} %.9f\n", route_table[route].path,
               1e-9 * (double)sum(a, offsetof(struct traffic, nanoseconds[route])));
    buf_printf(b, "kindred_request_seconds_count{route=\"%s\"} %llu\n", route_table[route].path,
               (unsigned long long)below);
}

static void put_gauge(struct buf *b, const char *name, const char *type, const char *help, double x)
{
    head(b, name, type, help);
    buf_printf(b, "%s %.17g\n", name, x);
}

/* A label's text. */
static void put_label(struct buf *b, const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            buf_printf(b, "\\%c", *text);
        else if (*text == '\n')
            buf_puts(b, "\\n");
        else
            buf_putc(b, *text);
}

static void put_info(const struct served *s, enum model_role role, struct buf *b)
{
    buf_printf(b, "kindred_model_info{served_by=\"%s\",model=\"%s\",dataset=\"%.12s\",source=\"",
               role_names[role], s->catalog.model->ops->name, s->catalog.model->digest);
    put_label(b, s->source);
    buf_puts(b, "\"} 1\n");
}

static void put_models(const struct call *call, struct buf *b)
{
    const struct served *const served[MODELS] = {call->served, call->canary};

    head(b, "kindred_model_info", "gauge", "The models that are served.");
    for (int m = 0; m < MODELS; m++)
        if (served[m])
            put_info(served[m], m, b);
    head(b, "kindred_model_age_seconds", "gauge", "Since the model was loaded.");
    for (int m = 0; m < MODELS; m++)
        if (served[m])
            buf_printf(b, "kindred_model_age_seconds{served_by=\"%s\"} %.17g\n", role_names[m],
                       (double)(clock_epoch_ms() - served[m]->loaded_ms) / 1000);
}

static void put_lists(const struct call *call, const char *name, const char *help, size_t offset,
                      struct buf *b)
{
    head(b, name, "counter", help);
    for (int m = 0; m < MODELS; m++)
        if (m == MODEL_MAIN || call->canary)
            buf_printf(b, "%s{served_by=\"%s\"} %llu\n", name, role_names[m],
                       (unsigned long long)sum(call->api, offset + (size_t)m * sizeof(uint64_t)));
}

static void put_feedback(struct feedback *f, struct buf *b)
{
    struct feedback_counts counts = feedback_counts(f);

    put_gauge(b, "kindred_feedback_events_total", "counter", "Events that are on disk.",
              (double)counts.events);
    put_gauge(b, "kindred_feedback_writes_total", "counter", "Times that events were written.",
              (double)counts.writes);
    put_gauge(b, "kindred_feedback_failed_writes_total", "counter",
              "Times that events couldn't be written.", (double)counts.failed_writes);
}

void route_metrics(const struct call *call, struct http_reply *r)
{
    const struct api *a = call->api;
    const struct http *http = atomic_load(&a->http);
    struct buf *b = &r->body.buf;

    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    put_answers(a, b);
    put_refusals(a, b);
    head(b, "kindred_request_seconds", "histogram", "From a request's last byte to its answer.");
    for (int i = 0; i < n_routes; i++)
        put_latency(a, i, b);
    put_gauge(b, "kindred_connections", "gauge", "Connections that are open.",
              http ? http_connections(http) : 0);
    put_gauge(b, "kindred_requests_in_flight", "gauge",
              "Requests that wait for their answers, this one too.",
              1 + (double)sum(a, offsetof(struct traffic, put_off)) -
                  (double)sum(a, offsetof(struct traffic, answered)));
    put_lists(call, "kindred_lists_total", "Users' lists that were asked for.",
              offsetof(struct traffic, lists), b);
    put_lists(call, "kindred_fallbacks_total", "Lists that aren't the user's own.",
              offsetof(struct traffic, fallbacks), b);
    put_gauge(b, "kindred_lists_together_total", "counter",
              "Lists that were searched for together with others.",
              (double)sum(a, offsetof(struct traffic, together)));
    put_models(call, b);
    put_gauge(b, "kindred_reloads_total", "counter", "Models that were put in another's place.",
              (double)atomic_load(&a->reloads));
    put_gauge(b, "kindred_failed_reloads_total", "counter", "Models that were refused.",
              (double)atomic_load(&a->failed_reloads));
    if (a->feedback)
        put_feedback(a->feedback, b);
    put_gauge(b, "kindred_uptime_seconds", "gauge", "Since the server started.",
              (double)(clock_epoch_ms() - a->started_ms) / 1000);
    put_gauge(b, "kindred_peak_memory_bytes", "gauge", "The most that was resident.",
              (double)memory_peak());
}
