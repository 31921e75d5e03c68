/* api.h - what the server answers: one table of routes, each a function from request to reply.
 *
 * To add a route: its function in routes.c, its fields and its row in route_table. 404, 405 with
 * Allow, HEAD, its place in /openapi.json and its numbers in /metrics come with the table. Errors
 * are FastAPI's: {"detail": ...}. */
#ifndef KINDRED_API_H
#define KINDRED_API_H

#include "serve/http.h"
#include "serve/served.h"

#include <stdatomic.h>

struct api;

/* Which of two models: a canary is tried on some of the users. */
enum model_role { MODEL_MAIN, MODEL_CANARY, MODELS };

/* serving outlives it. */
struct api *api_new(struct serving *serving, int n_workers);
void api_free(struct api *a);

/* The model of those users of whom the first 32 bits of their id's SHA-256, as a part of 2^32, are
 * below `part`; it outlives the api. NULL: there is none. */
void api_set_canary(struct api *a, struct serving *canary, double part);

/* Once it's there: what /metrics tells of connections. */
void api_set_http(struct api *a, const struct http *http);

/* Write a line of JSON to that file for each request; -1: none. The file stays the caller's. */
void api_set_log(struct api *a, int file);

/* Which pages' scripts may ask, by their origins, separated by commas; "*": any. NULL: none but the
 * server's own. Borrowed. */
void api_set_origins(struct api *a, const char *origins);

/* Where POST /feedback writes, and what users took meanwhile; NULL: nowhere. Borrowed. */
struct feedback;
void api_set_feedback(struct api *a, struct feedback *f);

/* What POST /model/reload calls, if its key lets it; from any thread. */
void api_set_reload(struct api *a, void (*ask)(void *context), void *context);

/* How putting another model in its place went, for /model and /metrics. error: NULL, it went well;
 * copied. From any thread. */
void api_note_reload(struct api *a, enum model_role role, const char *error);

/* An http_config.turn_over: answers what the worker's turn has gathered. */
bool api_turn_over(void *api, int worker);

/* What http_config.refused is told. */
void api_refused(void *api, int worker, int status, const char *detail);

/* An http_handler; its context is a struct api. Each worker's calls from one thread. */
void api_handle(void *api, int worker, const struct http_request *q, struct http_reply *r);

#endif
