/* reload.h - another model for a server that runs: found and made in a thread of its own, and put
 * in the old one's place while requests are answered. One that isn't right is refused, and the old
 * one stays. */
#ifndef KINDRED_RELOAD_H
#define KINDRED_RELOAD_H

#include "serve/api.h"

/* All that a server has from files. */
struct opened {
    const struct catalog *before; /* what is there; NULL: nothing */
    struct catalog catalog;
    struct keys *keys;        /* NULL: anybody may ask */
    struct tls_identity *tls; /* NULL: no TLS */
    char *what;               /* tells one from another, and where the model is from */
};

void opened_release(struct opened *o);

struct reload_plan {
    struct serving *serving;
    struct api *api; /* is told how it went */
    enum model_role role;
    int n_workers;
    double watch_s; /* between two looks at where the model is from; 0: only when asked */

    bool (*open)(void *context, struct opened *out, struct err *err); /* what is there now */
    /* Put what isn't of the model in its place: takes out->tls over. */
    void (*place)(void *context, struct opened *out);
    /* What is there now, to be freed; NULL: it can't be known. */
    char *(*look)(void *context);
    void *context;
    const char *now; /* what is served at first */
};

struct reload;

/* NULL: there is no thread for it; a warning says so. */
struct reload *reload_start(const struct reload_plan *plan);
void reload_ask(void *reload); /* from any thread */
void reload_stop(struct reload *r);

#endif
