/* registry.h - models by name and version, or alias, in the store that runs are tracked in. */
#ifndef KINDRED_REGISTRY_H
#define KINDRED_REGISTRY_H

#include "base/err.h"

struct registry;

/* uri: http://, https:// or sqlite:///FILE. Calls are tried again for some seconds while nobody
 * answers. ERR_IO: nobody answers; ERR_DATA: it isn't there, or refused. */
NODISCARD bool registry_open(struct registry **out, const char *uri, struct err *err);
void registry_close(struct registry *r);

enum { REGISTRY_VERSION = 24 };

/* Whether MLflow takes it as a name of a model, or as an alias. */
bool registry_is_name(const char *name);
bool registry_is_alias(const char *alias);

/* "models:/NAME@ALIAS" or "models:/NAME/VERSION" in parts, to be freed; the one that isn't there is
 * NULL. ERR_USAGE. */
struct registry_ref {
    char *name, *alias, *version;
};
NODISCARD bool registry_ref_parse(struct registry_ref *ref, const char *uri, struct err *err);
void registry_ref_release(struct registry_ref *ref);

/* Which version the alias is of; "": there is no such model, or alias. */
NODISCARD bool registry_find(struct registry *r, const char *name, const char *alias,
                             char version[static REGISTRY_VERSION], struct err *err);

/* Fill the version in, of a reference by alias. ERR_DATA: there is none. */
NODISCARD bool registry_resolve(struct registry *r, struct registry_ref *ref, struct err *err);

/* One of the version's artefacts as the file `to`. */
NODISCARD bool registry_fetch(struct registry *r, const char *name, const char *version,
                              const char *as, const char *to, struct err *err);

NODISCARD bool registry_set_alias(struct registry *r, const char *name, const char *alias,
                                  const char *version, struct err *err);
NODISCARD bool registry_tag(struct registry *r, const char *name, const char *version,
                            const char *key, const char *value, struct err *err);

#endif
