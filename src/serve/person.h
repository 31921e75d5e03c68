/* person.h - for whom a list is: a user as far as dataset and feedback know, and the model that
 * serves that user. */
#ifndef KINDRED_PERSON_H
#define KINDRED_PERSON_H

#include "serve/routes.h"

/* The call with the model that this user is served by. */
struct call call_for(const struct call *call, const char *user_id);

/* Whose model's answer it is, where there are two. */
void put_role(const struct call *call, struct json_out *o);

bool is_served(const struct served *s, const struct query *q);

/* To be released. */
struct person {
    struct query q;
    int32_t *history; /* its own; NULL: the dataset's */
};

/* Who has taken more since the dataset was made is ranked for by the whole history, where the model
 * can do that. */
void person_find(struct person *p, const struct call *call, const char *id);
void person_release(struct person *p);

/* Whether the model has something to say to the person; nobody at all is served by none. */
bool person_is_known(const struct served *s, const struct person *p);

#endif
