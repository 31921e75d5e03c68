/* feedback.h - what users take while they are served: in a file that survives what the server
 * doesn't, and in memory.
 *
 * The file has a line of JSON for each event, in the form that `kindred preprocess` reads. An event
 * is there, on disk, before it's acknowledged: a thread writes all that waits, flushes it once, and
 * answers. A line without its end was never acknowledged, and is cut off at the next start. */
#ifndef KINDRED_FEEDBACK_H
#define KINDRED_FEEDBACK_H

#include "serve/http.h"
#include "serve/taken.h"

struct feedback_event {
    const char *user, *item;
    int64_t ms;
};

struct feedback;

/* Open the log, or begin it, and take in what it holds. ERR_IO: it can't be opened, or another
 * server has it. */
NODISCARD bool feedback_open(struct feedback **out, const char *path, struct err *err);
void feedback_close(struct feedback *f); /* no request may be waiting */

/* What users took, as far as it's on disk. */
struct taken *feedback_taken(struct feedback *f);

/* Write n events, copied; `later` then becomes the answer, 202, or 503 where they couldn't be
 * written, in which case none of them is. False: too many requests wait, and `later` is the
 * caller's. From any thread. */
NODISCARD bool feedback_post(struct feedback *f, const struct feedback_event *events, int n,
                             struct http_later *later);

struct feedback_counts {
    int64_t events, writes, failed_writes; /* since the start; of the events, what is on disk */
};

struct feedback_counts feedback_counts(struct feedback *f);

#endif
