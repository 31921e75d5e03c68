/* library.h - libraries that are loaded when they're needed, and needn't be there until then. */
#ifndef KINDRED_LIBRARY_H
#define KINDRED_LIBRARY_H

#include "base/err.h"

/* A function by its name there, and the pointer to it. */
struct library_call {
    const char *name;
    void *pointer;
};

/* Load the library and find its calls, a NULL name at the end. ERR_IO: it isn't there, or has not
 * all of them; `lack` says what needs it and what to install. */
NODISCARD bool library_load(const char *file, const struct library_call *calls, const char *lack,
                            struct err *err);

#endif
