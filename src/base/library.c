#include "base/library.h"

#include <dlfcn.h>

bool library_load(const char *file, const struct library_call *calls, const char *lack,
                  struct err *err)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return err_set(err, ERR_IO, "%s or what holds '%s'", lack, file);
    for (; calls->name; calls++) {
        void *at = dlsym(library, calls->name);

        if (!at)
            return err_set(err, ERR_IO, "'%s' has no %s: %s, a newer one", file, calls->name, lack);
        memcpy(calls->pointer, &at, sizeof at);
    }
    return true;
}
