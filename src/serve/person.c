#include "serve/person.h"

#include "base/digest.h"

bool is_served(const struct served *s, const struct query *q)
{
    return s->catalog.model->ops->serves(s->catalog.model, q);
}

const char *const role_names[MODELS] = {"main", "canary"};

struct call call_for(const struct call *call, const char *user_id)
{
    struct call own = *call;
    char hex[DIGEST_HEX];

    if (!call->canary)
        return own;
    digest_bytes(user_id, strlen(user_id), hex);
    hex[8] = '\0';
    if ((double)strtoul(hex, NULL, 16) < call->api->canary_part * 0x1p32) {
        own.role = MODEL_CANARY;
        own.served = call->canary;
        own.room = &call->canary->rooms[call->worker];
    }
    return own;
}

void put_role(const struct call *call, struct json_out *o)
{
    if (call->canary)
        json_put_str(o, "served_by", role_names[call->role]);
}

void person_release(struct person *p)
{
    free(p->history);
}

/* Behind the user's history, those of the n items that aren't in it. */
static void join_history(struct person *p, const int32_t *items, int32_t n)
{
    int32_t n_before = p->q.n_history, at = n_before;

    p->history = xmalloc((size_t)(n_before + n), sizeof *p->history);
    if (n_before)
        memcpy(p->history, p->q.history, (size_t)n_before * sizeof *p->history);
    for (int32_t k = 0; k < n; k++) {
        int32_t h = 0;

        while (h < n_before && p->q.history[h] != items[k])
            h++;
        if (h == n_before)
            p->history[at++] = items[k];
    }
    p->q.history = p->history;
    p->q.n_history = at;
}

void person_find(struct person *p, const struct call *call, const char *id)
{
    const struct served *s = call->served;
    int32_t user = ids_find(&s->catalog.users, id), n, known;
    AUTO_FREE int32_t *items = NULL;

    *p = (struct person){.q.user = -1};
    if (user >= 0)
        p->q = query_of_user(&s->catalog.seen, user);
    n = taken_items(feedback_taken(call->api->feedback), id, &s->catalog.items, &items);
    if (n == 0)
        return;
    known = p->q.n_history;
    join_history(p, items, n);
    if (p->q.n_history > known)
        p->q.user = -1;
    if (!is_served(s, &p->q))
        p->q.user = user;
}

bool person_is_known(const struct served *s, const struct person *p)
{
    return (p->q.user >= 0 || p->q.n_history) && is_served(s, &p->q);
}
