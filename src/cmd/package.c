#include "cmd/package.h"

#include "base/clock.h"
#include "base/embedded.h"
#include "base/json.h"
#include "base/log.h"

#include <unistd.h>

extern const struct embedded package_scripts[];

#define MODEL   "data/model.safetensors"
#define CATALOG "data/catalog.safetensors"
#define LOADER  "code/kindred_pyfunc.py"

const char *const package_all[] = {"MLmodel",         MODEL, CATALOG, LOADER, "requirements.txt",
                                   "python_env.yaml", NULL};
const char *const package_record[] = {"MLmodel", NULL};

/* What is to be whole for the server. */
static const char *const checked[] = {MODEL, CATALOG};

/* ---- writing ---- */

static bool put_digests(const char *dir, struct json_out *json, struct err *err)
{
    json_open(json, "sha256", '{');
    for (int i = 0; i < ARRAY_LEN(checked); i++) {
        AUTO_FREE char *path = path_join(dir, checked[i]);
        char hex[DIGEST_HEX];

        if (!digest_file(path, hex, err))
            return false;
        json_put_str(json, checked[i], hex);
    }
    json_close(json, '}');
    return true;
}

static void put_python(struct json_out *json)
{
    json_open(json, "python_function", '{');
    json_put_str(json, "loader_module", "kindred_pyfunc");
    json_put_str(json, "code", "code");
    json_put_str(json, "data", "data");
    json_put_str(json, "python_version", "3.11.7");
    json_open(json, "env", '{');
    json_put_str(json, "virtualenv", "python_env.yaml");
    json_close(json, '}');
    json_close(json, '}');
}

/* Texts of JSON, as MLflow has them. */
static void put_signature(struct json_out *json)
{
    json_open(json, "signature", '{');
    json_put_str(json, "inputs",
                 "[{\"type\": \"string\", \"required\": true}]"); /* no name: lists go too */
    json_put_str(json, "outputs", NULL);
    json_put_str(json, "params",
                 "[{\"name\": \"top_k\", \"type\": \"integer\", \"default\": 10, \"shape\": null}, "
                 "{\"name\": \"exclude_seen\", \"type\": \"boolean\", \"default\": true, "
                 "\"shape\": null}]");
    json_close(json, '}');
}

static bool write_mlmodel(const char *dir, const struct model_ops *ops, const char *digest,
                          bool whole, struct err *err)
{
    AUTO_FREE char *path = path_join(dir, "MLmodel");
    AUTO(json_out) json = {.pretty = true};
    char now[CLOCK_ISO_MAX];

    clock_iso(clock_epoch_ms(), now);
    json_open(&json, NULL, '{');
    json_put_str(&json, "utc_time_created", now);
    json_open(&json, "flavors", '{');
    json_open(&json, "kindred", '{');
    json_put_str(&json, "model", ops->name);
    json_put_str(&json, "version", KINDRED_VERSION);
    json_put_str(&json, "dataset_digest", digest);
    if (whole && !put_digests(dir, &json, err))
        return false;
    json_close(&json, '}');
    if (whole)
        put_python(&json);
    json_close(&json, '}');
    if (whole)
        put_signature(&json);
    json_close(&json, '}');
    return file_write(path, json.buf.data, json.buf.len, err);
}

static bool write_text(const char *dir, const char *name, const char *text, struct err *err)
{
    AUTO_FREE char *path = path_join(dir, name);

    return file_write(path, text, strlen(text), err);
}

static bool write_parts(const char *dir, const char *model_path, const char *data_dir,
                        struct err *err)
{
    AUTO_FREE char *data = path_join(dir, "data"), *code = path_join(dir, "code");
    AUTO_FREE char *model = path_join(dir, MODEL), *names = path_join(dir, CATALOG);
    AUTO(catalog) c = {0};

    return dir_create(data, err) && dir_create(code, err) &&
           catalog_open(&c, NULL, model_path, data_dir, err) && catalog_save(&c, names, err) &&
           file_keep(model_path, model, err) &&
           write_text(dir, LOADER, package_scripts[0].text, err) &&
           write_text(dir, "requirements.txt", "mlflow\nnumpy\n", err) &&
           write_text(dir, "python_env.yaml",
                      "python: 3.11.7\nbuild_dependencies: [pip]\n"
                      "dependencies: [-r requirements.txt]\n",
                      err);
}

bool package_write(const char *dir, const struct model_ops *ops, const char *digest,
                   const char *model_path, const char *data_dir, bool whole, struct err *err)
{
    return dir_create(dir, err) && (!whole || write_parts(dir, model_path, data_dir, err)) &&
           write_mlmodel(dir, ops, digest, whole, err);
}

/* ---- reading ---- */

/* What the folder's MLmodel says of each file that is checked. */
static bool read_digests(const char *dir, char digests[ARRAY_LEN(checked)][DIGEST_HEX],
                         struct err *err)
{
    AUTO_FREE char *path = path_join(dir, "MLmodel");
    AUTO(buf) text = {0};
    AUTO(json_doc) doc = {0};
    struct err ignored;
    const struct json_t *said = NULL;

    if (!file_read(path, 1 << 20, &text, err))
        return false;
    if (json_parse(&doc, buf_str(&text), text.len, &ignored))
        said = json_get(json_get(json_get(doc.root, "flavors"), "kindred"), "sha256");
    for (int i = 0; i < ARRAY_LEN(checked); i++) {
        const char *digest = json_text(json_get(said, checked[i]));

        if (!digest || strlen(digest) != DIGEST_HEX - 1)
            return err_set(err, ERR_DATA,
                           "its MLmodel tells of no model with names of users and items: log it by "
                           "'kindred train --register NAME', or --log-model");
        memcpy(digests[i], digest, DIGEST_HEX);
    }
    return true;
}

/* Whether the files are those that MLmodel speaks of. */
static bool check(const char *dir, struct err *err)
{
    char digests[ARRAY_LEN(checked)][DIGEST_HEX];

    if (!read_digests(dir, digests, err))
        return false;
    for (int i = 0; i < ARRAY_LEN(checked); i++) {
        AUTO_FREE char *file = path_join(dir, checked[i]);
        char hex[DIGEST_HEX];

        if (!digest_file(file, hex, err))
            return false;
        if (strcmp(hex, digests[i]) != 0)
            return err_set(err, ERR_DATA, "%s isn't the file that MLmodel speaks of", checked[i]);
    }
    return true;
}

static bool fetch_file(struct registry *r, const char *name, const char *version, const char *dir,
                       const char *file, struct err *err)
{
    AUTO_FREE char *to = path_join(dir, file);

    return registry_fetch(r, name, version, file, to, err);
}

static bool fetch(struct registry *r, const char *name, const char *version, const char *dir,
                  struct err *err)
{
    AUTO_FREE char *data = path_join(dir, "data");
    char ignored[ARRAY_LEN(checked)][DIGEST_HEX];

    if (!dir_create(data, err) || !fetch_file(r, name, version, dir, "MLmodel", err))
        return false;
    if (!read_digests(dir, ignored, err))
        return err_wrap(err, "models:/%s/%s", name, version);
    for (int i = 0; i < ARRAY_LEN(checked); i++)
        if (!fetch_file(r, name, version, dir, checked[i], err))
            return false;
    return check(dir, err) || err_wrap(err, "models:/%s/%s", name, version);
}

/* CACHE/STORE-NAME/VERSION: versions don't change. */
static char *folder_of(const char *uri, const char *name, const char *version,
                       const char *cache_dir)
{
    AUTO_FREE char *key = xasprintf("%s %s", uri, name);
    char hex[DIGEST_HEX];

    digest_bytes(key, strlen(key), hex);
    return xasprintf("%s/%.16s/%s", cache_dir, hex, version);
}

bool package_fetch(struct registry *r, const char *uri, const char *name, const char *version,
                   const char *cache_dir, char **dir, struct err *err)
{
    struct err why = {0};

    *dir = folder_of(uri, name, version, cache_dir);
    if (check(*dir, &why)) {
        log_info("registry.cached", "model=models:/%s/%s dir=\"%s\"", name, version, *dir);
        return true;
    }
    if (!fetch(r, name, version, *dir, err))
        return false;
    log_info("registry.fetched", "model=models:/%s/%s dir=\"%s\"", name, version, *dir);
    return true;
}

bool package_open(struct catalog *c, const char *dir, struct err *err)
{
    AUTO_FREE char *model = path_join(dir, MODEL), *names = path_join(dir, CATALOG);

    return catalog_open_saved(c, model, names, err);
}
