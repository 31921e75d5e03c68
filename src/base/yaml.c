#include "base/yaml.h"

#include <errno.h>
#include <yaml.h>

void yaml_release(struct yaml *y)
{
    for (int i = 0; i < y->n_texts; i++)
        free(y->texts[i]);
    free(y->texts);
    free(y->entries);
    *y = (struct yaml){0};
}

struct reader {
    struct yaml *y;
    yaml_document_t *doc;
    const char *path;
    struct err *err;
};

static void *keep(struct yaml *y, void *p)
{
    y->texts = xrealloc(y->texts, (size_t)y->n_texts + 1, sizeof *y->texts);
    return y->texts[y->n_texts++] = p;
}

static bool refuse(const struct reader *r, const yaml_node_t *at, const char *what)
{
    return err_set(r->err, ERR_USAGE, "%s:%zu:%zu: %s", r->path, at->start_mark.line + 1,
                   at->start_mark.column + 1, what);
}

static char *text_of(const struct reader *r, const yaml_node_t *n)
{
    return keep(r->y, xstrndup((const char *)n->data.scalar.value, n->data.scalar.length));
}

static bool read_values(const struct reader *r, const yaml_node_t *n, struct yaml_entry *e)
{
    int count;

    if (n->type == YAML_SCALAR_NODE) {
        e->values = keep(r->y, xcalloc(1, sizeof *e->values));
        e->values[0] = text_of(r, n);
        e->n_values = 1;
        return true;
    }
    count = (int)(n->data.sequence.items.top - n->data.sequence.items.start);
    e->values = keep(r->y, xcalloc((size_t)count, sizeof *e->values));
    for (int i = 0; i < count; i++) {
        yaml_node_t *item = yaml_document_get_node(r->doc, n->data.sequence.items.start[i]);

        if (item->type != YAML_SCALAR_NODE)
            return refuse(r, item, "a list holds plain values only");
        e->values[e->n_values++] = text_of(r, item);
    }
    return true;
}

/* "min: 1, max: 2" below a key of a section. */
static bool read_inner(const struct reader *r, const yaml_node_t *map, struct yaml_entry *e)
{
    int count = (int)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);

    e->is_mapping = true;
    e->values = keep(r->y, xcalloc((size_t)count * 2 + 1, sizeof *e->values));
    for (int i = 0; i < count; i++) {
        const yaml_node_pair_t *p = &map->data.mapping.pairs.start[i];
        yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
        yaml_node_t *value = yaml_document_get_node(r->doc, p->value);

        if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
            return refuse(r, value, "sections do not nest");
        e->values[e->n_values++] = text_of(r, key);
        e->values[e->n_values++] = text_of(r, value);
    }
    return true;
}

static bool is_twice(const struct yaml *y, const char *section, const char *key)
{
    for (int i = 0; i < y->n; i++) {
        const struct yaml_entry *e = &y->entries[i];
        bool same_section = section ? e->section && !strcmp(e->section, section) : !e->section;

        if (same_section && !strcmp(e->key, key))
            return true;
    }
    return false;
}

static bool read_mapping(const struct reader *r, const yaml_node_t *map, const char *section);

static bool read_pair(const struct reader *r, const yaml_node_pair_t *p, const char *section)
{
    yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
    yaml_node_t *value = yaml_document_get_node(r->doc, p->value);
    struct yaml_entry e = {.section = section};

    if (key->type != YAML_SCALAR_NODE)
        return refuse(r, key, "a key is a plain word");
    e.key = text_of(r, key);
    e.line = (int)key->start_mark.line + 1;
    e.column = (int)value->start_mark.column + 1;
    if (value->type == YAML_MAPPING_NODE && !section)
        return read_mapping(r, value, e.key);
    if (is_twice(r->y, section, e.key)) {
        AUTO_FREE char *what = xasprintf("'%s' stands twice", e.key);

        return refuse(r, key, what);
    }
    if (!(value->type == YAML_MAPPING_NODE ? read_inner(r, value, &e) : read_values(r, value, &e)))
        return false;
    r->y->entries = xrealloc(r->y->entries, (size_t)r->y->n + 1, sizeof e);
    r->y->entries[r->y->n++] = e;
    return true;
}

static bool read_mapping(const struct reader *r, const yaml_node_t *map, const char *section)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (!read_pair(r, p, section))
            return false;
    return true;
}

static bool read_document(struct yaml *y, yaml_parser_t *parser, const char *path, struct err *err)
{
    yaml_document_t doc;
    struct reader r = {y, &doc, path, err};
    yaml_node_t *root;
    bool ok = true;

    if (!yaml_parser_load(parser, &doc))
        return err_set(err, ERR_USAGE, "%s:%zu:%zu: not YAML: %s", path,
                       parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                       parser->problem ? parser->problem : "unreadable");
    root = yaml_document_get_root_node(&doc);
    if (root && root->type == YAML_MAPPING_NODE)
        ok = read_mapping(&r, root, NULL);
    else if (root)
        ok = refuse(&r, root, "expected 'option: value' lines");
    yaml_document_delete(&doc);
    return ok;
}

bool yaml_load(struct yaml *y, const char *path, struct err *err)
{
    yaml_parser_t parser;
    FILE *f = fopen(path, "rb");
    bool ok;

    if (!f)
        return err_errno(err, "open", path);
    if (!yaml_parser_initialize(&parser)) {
        fclose(f);
        return err_set(err, ERR_IO, "cannot start the YAML reader for '%s'", path);
    }
    yaml_parser_set_input_file(&parser, f);
    ok = read_document(y, &parser, path, err);
    yaml_parser_delete(&parser);
    fclose(f);
    return ok;
}
