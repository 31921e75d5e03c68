/* progress.h - how far long work has come, on stderr.
 *
 * A bar with rate and time left when stderr is a terminal; a line every five seconds otherwise;
 * none after progress_quiet(). Work shorter than half a second shows nothing at all. */
#ifndef KINDRED_PROGRESS_H
#define KINDRED_PROGRESS_H

#include "base/base.h"

struct progress {
    const char *what, *unit; /* "train", "epochs" */
    int64_t total;           /* 0: not known, so neither bar nor time left */
    double start, last_shown;
    bool shown;
};

/* For the whole program: no progress from here on. */
void progress_quiet(void);

void progress_init(struct progress *p, const char *what, const char *unit, int64_t total);

/* From one thread at a time; cheap enough for once a block of work. `note` may be NULL. */
void progress_update(struct progress *p, int64_t done, const char *note);

/* Takes the bar away. */
void progress_release(struct progress *p);

/* Wipe a bar that stands on the terminal's line, before other text is written there. */
void progress_clear(void);

#endif
