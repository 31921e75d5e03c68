/* routes.h - the routes, and what is counted of them: between api.c, which calls them, and the
 * files that have them. */
#ifndef KINDRED_ROUTES_H
#define KINDRED_ROUTES_H

#include "serve/api.h"
#include "serve/body.h"
#include "serve/feedback.h"

#include <pthread.h>

/* Requests for lists that one worker's turn has gathered, to be searched for together. */
struct asked;
struct gathered {
    struct asked *first, **end;
    int n;
};

/* A request in the hands of a route: it sees the same models from start to end. */
struct call {
    struct api *api;
    struct served *served;
    struct finder_room *room;
    struct gathered *gathered;
    enum model_role role;  /* whose `served` is */
    struct served *canary; /* the other model; NULL: there is none */
    int worker;
    const struct http_request *request;
    const char *id; /* what stands in the path for "{id}" */
    struct traffic *traffic;
};

enum { GIVES_202 = 1, GIVES_404 = 2, GIVES_503 = 4 };

struct route {
    const char *method, *path; /* "/items/{id}" */
    void (*handle)(const struct call *call, struct http_reply *r);
    const char *summary; /* NULL: a page, which is no part of the API */
    enum needs { NEEDS_KEY, NEEDS_NOTHING, NEEDS_ADMIN } needs; /* where there are keys */
    const struct field *fields; /* (n_fields) of the body, or for GET of the query */
    int n_fields;

    /* For the API's document: the answer, by its name in page/schemas.json (NULL: plain text); and
     * which answers there may be beside 200, 401 and the like, and 422. */
    const char *answer;
    unsigned gives;
};

extern const struct route route_table[];
extern const int n_routes;

enum { ROUTES_MAX = 24, LATENCY_BUCKETS = 12, STATUSES = 11 };

extern const char *const role_names[MODELS];
enum { REFUSALS = 9 };
extern const int counted_refusals[REFUSALS];         /* 0: a TLS handshake */
extern const int counted_statuses[STATUSES];         /* 0: any other */
extern const double latency_bounds[LATENCY_BUCKETS]; /* s */

/* One worker's numbers; others only read them. */
struct traffic {
    _Alignas(64) _Atomic uint64_t answers[ROUTES_MAX][STATUSES];
    _Atomic uint64_t within[ROUTES_MAX][LATENCY_BUCKETS + 1]; /* the last: longer than all */
    _Atomic uint64_t nanoseconds[ROUTES_MAX];
    _Atomic uint64_t lists[MODELS], fallbacks[MODELS];
    _Atomic uint64_t refusals[REFUSALS], together;
    _Atomic uint64_t put_off, answered; /* requests whose answers come later; how many came */
    uint64_t n_ids;                     /* of requests that came without one */
};

/* What a worker has in hand. */
struct hands {
    _Alignas(64) struct gathered gathered;
    struct served *held[MODELS]; /* while requests are gathered; NULL: nothing */
};

struct api {
    struct serving *serving, *canary; /* canary NULL: there is none */
    double canary_part;
    int n_workers;
    struct traffic *traffic; /* (n_workers) */
    struct hands *hands;     /* (n_workers) */
    const struct http *_Atomic http;
    int64_t started_ms;
    int log; /* a file; -1: none */
    const char *origins;
    struct feedback *feedback;         /* NULL: events aren't kept */
    void (*ask_reload)(void *context); /* NULL: nobody does */
    void *reload_context;
    _Atomic int64_t reloads, failed_reloads;
    pthread_mutex_t lock;     /* of what follows */
    char *last_error[MODELS]; /* of the last reload; NULL: it went well */
};

/* What several of them tell: an item's metadata as members, behind those that stand there; a list's
 * items and scores, under that key and "scores"; and "items", all that is known of them. */
void not_found(const char *what, const char *id, struct http_reply *r);
void put_meta(const struct served *s, int32_t item, struct json_out *o);
void put_hits(const struct served *s, const char *key, const struct hit *hits, int n,
              struct json_out *o);
void put_items(const struct served *s, const struct hit *hits, int n, struct json_out *o);

/* lists.c */
extern const struct field recommend_fields[8], batch_fields[5], session_fields[6];
void route_recommend(const struct call *call, struct http_reply *r);
void route_batch(const struct call *call, struct http_reply *r);
void route_session(const struct call *call, struct http_reply *r);

/* Answer what was gathered. */
void lists_answer(struct gathered *g);

/* metrics.c, openapi.c, events.c, pages.c */
void route_metrics(const struct call *call, struct http_reply *r);
void route_openapi(const struct call *call, struct http_reply *r);
void route_feedback(const struct call *call, struct http_reply *r);
void route_index(const struct call *call, struct http_reply *r);
void route_docs(const struct call *call, struct http_reply *r);
void route_docs_file(const struct call *call, struct http_reply *r);
extern const struct field events_fields[1];

#endif
