/* events.c - POST /feedback. */
#include "serve/routes.h"

#include "base/clock.h"

enum { EVENTS_MAX = 1000 };

struct event {
    struct body_text user_id, item_id;
    int64_t timestamp;
};

struct events {
    struct body_objects events;
};

/* Times that preprocess can't take for seconds. */
#define FIRST_MS 100000000000
#define LAST_MS  253402300799999

static const struct field event_fields[] = {
    {.name = "user_id",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct event, user_id),
     .required = true,
     .lo = 1,
     .about = "who took it; it may be somebody new"},
    {.name = "item_id",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct event, item_id),
     .required = true,
     .lo = 1,
     .about = "what was taken; what the model doesn't know is kept for the next one"},
    {.name = "timestamp",
     .kind = FIELD_INT,
     .offset = offsetof(struct event, timestamp),
     .lo = FIRST_MS,
     .hi = LAST_MS,
     .about = "when, in milliseconds since 1970; when it came, if it's left out"},
};

const struct field events_fields[1] = {
    {.name = "events",
     .kind = FIELD_OBJECTS,
     .offset = offsetof(struct events, events),
     .required = true,
     .lo = 1,
     .hi = EVENTS_MAX,
     .members = event_fields,
     .n_members = ARRAY_LEN(event_fields),
     .members_size = sizeof(struct event),
     .about = "what users took"},
};

static struct feedback_event event_at(const struct events *body, int i)
{
    struct event e = {.timestamp = clock_epoch_ms()};

    body_objects_at(&events_fields[0], &body->events, i, &e);
    return (struct feedback_event){e.user_id.at, e.item_id.at, e.timestamp};
}

static void post(struct feedback *f, const struct events *body, struct http_reply *r)
{
    AUTO_FREE struct feedback_event *events = xmalloc((size_t)body->events.n, sizeof *events);
    struct http_later *later = http_reply_later(r);

    for (int i = 0; i < body->events.n; i++)
        events[i] = event_at(body, i);
    if (!later || feedback_post(f, events, body->events.n, later))
        return;
    buf_puts(&http_later_reply(later)->headers, "Retry-After: 1\r\n");
    http_reply_detail(http_later_reply(later), 503, "Too many events are waiting to be written");
    http_later_send(later);
}

void route_feedback(const struct call *call, struct http_reply *r)
{
    struct events body = {0};
    AUTO(json_doc) doc = {0};

    if (!body_read(call->request, events_fields, ARRAY_LEN(events_fields), &doc, &body, r))
        return;
    if (call->api->feedback)
        post(call->api->feedback, &body, r);
    else
        http_reply_detail(r, 404, "This server keeps no events: it was started without --feedback");
}
