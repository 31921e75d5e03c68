/* interrupt.h - SIGINT and SIGTERM as a flag that long work looks at. */
#ifndef KINDRED_INTERRUPT_H
#define KINDRED_INTERRUPT_H

#include "base/err.h"

/* From here on the first SIGINT or SIGTERM only raises the flag; a second one ends the program. */
void interrupt_catch(void);

/* The signal that came, or 0. Safe from any thread. */
int interrupt_signal(void);

/* As if that signal had come: it came to another process of the same run. */
void interrupt_note(int signal);

/* Returns true while no signal came; else false, with ERR_INTERRUPTED. */
NODISCARD bool interrupt_check(struct err *err);

#endif
