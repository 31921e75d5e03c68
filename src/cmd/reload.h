/* reload.h - another model for a server that runs: found and made in a thread of its own, and put
 * in the old one's place while requests are answered. One that isn't right is refused, and the old
 * one stays. */
#ifndef KINDRED_RELOAD_H
#define KINDRED_RELOAD_H

#include "serve/api.h"

struct reload_plan {
    struct serving *serving;
    struct api *api; /* is told how it went */
    int n_workers;
    double watch_s; /* between two looks at where the model is from; 0: only when asked */

    /* Open what is there now; what: to be freed, tells one from another, and where it's from. */
    bool (*open)(void *context, struct catalog *out, struct keys **keys, char **what,
                 struct err *err);
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
