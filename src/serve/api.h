/* api.h - what the server answers: one table of routes, each a function from request to reply.
 *
 * To add a route: its function and its row in api.c. 404, 405 with Allow, and HEAD come with the
 * table. Errors are FastAPI's: {"detail": ...}. */
#ifndef KINDRED_API_H
#define KINDRED_API_H

#include "serve/catalog.h"
#include "serve/http.h"

struct api {
    const struct catalog *catalog;
};

/* An http_handler; its context is a struct api. Safe from any thread. */
void api_handle(void *api, int worker, const struct http_request *q, struct http_reply *r);

#endif
