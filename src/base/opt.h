/* opt.h - options, each written once.
 *
 * A list of X rows, one a option, gives the struct's field, its default, the range check, --help,
 * the YAML key, the environment variable and what run.json records:
 *
 *     #define TRAIN_OPTIONS(X, S)                                                    \
 *         X(S, int, epochs, 10, 1, 1000000, "N", "passes over the training data")     \
 *         X(S, opt_text, model, "mf", 0, 0, "NAME", "which model to train")           \
 *         X(S, bool, resume, false, 0, 0, NULL, "go on from the last checkpoint")
 *     OPT_DEFINE(train_opts, TRAIN_OPTIONS);
 *
 * gives struct train_opts, train_opts_default and train_opts_table. Numbers lie within lo..hi; for
 * text and lists lo = 1 says that the option must be given. `arg` is the placeholder in the help;
 * with a `|` in it ("skip|fail") it is the list of the words allowed.
 *
 * Precedence: default < config file < environment (servers) < command line. */
#ifndef KINDRED_OPT_H
#define KINDRED_OPT_H

#include "base/err.h"
#include "base/json.h"

typedef const char *opt_text;

/* --input a b --input c: all that follows up to the next option, each time it's given. */
struct opt_list {
    const char **items;
    int n;
};

enum opt_kind { OPT_BOOL, OPT_INT, OPT_INT64, OPT_REAL, OPT_TEXT, OPT_LIST };

struct opt {
    const char *name; /* in C and YAML: memory_limit; on the command line: --memory-limit */
    enum opt_kind kind;
    size_t offset; /* in the struct of values */
    double lo, hi;
    const char *arg, *help;
};

#define OPT_KIND(type)                                                                             \
    _Generic((type){0}, bool                                                                       \
             : OPT_BOOL, int                                                                       \
             : OPT_INT, int64_t                                                                    \
             : OPT_INT64, double                                                                   \
             : OPT_REAL, opt_text                                                                  \
             : OPT_TEXT, struct opt_list                                                           \
             : OPT_LIST)
#define OPT_FIELD(S, type, name, def, lo, hi, arg, help)   type name;
#define OPT_DEFAULT(S, type, name, def, lo, hi, arg, help) .name = def,
#define OPT_ROW(S, type, name, def, lo, hi, arg, help)                                             \
    {#name, OPT_KIND(type), offsetof(struct S, name), lo, hi, arg, help},
/* For an option whose name is a word of C: its field is called otherwise. */
#define OPT_ROW_AS(S, type, field, name, lo, hi, arg, help)                                        \
    {#name, OPT_KIND(type), offsetof(struct S, field), lo, hi, arg, help},
#define OPT_STRUCT(TAG, LIST)                                                                      \
    struct TAG {                                                                                   \
        LIST(OPT_FIELD, TAG)                                                                       \
    }
#define OPT_TABLE(TAG, LIST)                                                                       \
    static const struct TAG TAG##_default = {LIST(OPT_DEFAULT, TAG)};                              \
    static const struct opt TAG##_table[] = {LIST(OPT_ROW, TAG){0}}
#define OPT_DEFINE(TAG, LIST)                                                                      \
    OPT_STRUCT(TAG, LIST);                                                                         \
    OPT_TABLE(TAG, LIST)

/* One table and the struct that it fills. A command has several: its own, the common ones, those of
 * the model that was named. */
struct opt_group {
    const char *title;       /* heading in the help */
    const struct opt *table; /* ends with a NULL name */
    const void *defaults;
    void *values; /* starts as a copy of `defaults` */
    size_t size;  /* of both */
};

enum { OPT_GROUPS_MAX = 24 };

struct opt_set {
    struct opt_group groups[OPT_GROUPS_MAX];
    int n;
    void **owned; /* text that came from config files, and arrays of lists */
    int n_owned;
    int line_from; /* from there on, arrays are of the command line: lists there are added to */
};

/* Add a group and set its values to the defaults. All memory stays the caller's. */
void opt_add(struct opt_set *s, const char *title, const struct opt *table, const void *defaults,
             void *values, size_t size);
#define OPT_ADD(set, title, TAG, values)                                                           \
    opt_add(set, title, TAG##_table, &TAG##_default, values, sizeof(struct TAG))

/* The option of that name (as in C: embedding_dim); NULL: the table has none. */
const struct opt *opt_in_table(const struct opt *table, const char *name);

enum {
    OPT_ENV = 1 << 0, /* KINDRED_NAME counts, between file and command line */
    OPT_LENIENT =
        1 << 1, /* leave alone what no table knows, and what must be given: a first look */
};

/* Fill the values from config file, environment and argv (NULL at its end). The config file is the
 * one that an option `config` names, if there is such an option; in it a top-level key is an option
 * of any command, or the name of a command with a mapping of its own below.
 *
 * command   whose section of the config file counts
 * commands  (NULL at its end) names of all commands: their sections are no unknown keys
 *
 * ERR_USAGE  names the option or the file and line, and the nearest name that exists. */
NODISCARD bool opt_parse(struct opt_set *s, const char *const *argv, const char *command,
                         const char *const *commands, unsigned flags, struct err *err);

/* All groups as help text, wrapped at 80 columns. */
void opt_help(const struct opt_set *s, FILE *out);

/* Whether the option may be that text: any, unless its `arg` lists words. */
bool opt_allows(const struct opt *o, const char *text);

/* Every option of the group as a member of the object that is open. */
void opt_write_json(const struct opt_group *g, struct json_out *out);

void opt_set_release(struct opt_set *s);

/* The nearest of `names` (NULL at its end), or NULL where none is near enough to be meant. */
const char *opt_suggest(const char *word, const char *const *names);

/* "10,20" -> numbers within lo..hi, at most max. Returns how many; -1 on a fault. */
int opt_int_list(const char *option, const char *text, int lo, int hi, int *out, int max,
                 struct err *err);

#endif
