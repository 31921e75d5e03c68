/* delivery.h - from a run's journal into the store, each line once: how far it is stands beside the
 * journal, and what was on its way when the process ended is looked for before it's made again. */
#ifndef KINDRED_DELIVERY_H
#define KINDRED_DELIVERY_H

#include "base/buf.h"
#include "base/err.h"

struct delivery;

/* Of the run in that folder. ERR_IO, ERR_DATA. */
NODISCARD bool delivery_open(struct delivery **out, const char *run_dir, struct err *err);
void delivery_close(struct delivery *d);

/* Send what the journal has by now. ERR_IO: not now; ERR_DATA: the store doesn't take this run. A
 * single line that it doesn't take is set aside, in refused.jsonl, with the reason; a warning says
 * so. */
NODISCARD bool delivery_go(struct delivery *d, struct err *err);

/* Whether the run's end has been sent too. */
bool delivery_is_whole(const struct delivery *d);

/* The store asks to be left alone for so many seconds; 0: it doesn't. */
double delivery_wait(const struct delivery *d);

/* Where a browser finds the run; nothing while it isn't there. */
void delivery_show(const struct delivery *d, struct buf *link);

/* The run is whole: remove its folder, but for what was set aside. */
void delivery_forget(const struct delivery *d);

#endif
