/* cmd.h - what all commands share. A command is one file here that ends in a `const struct cmd
 * cmd_NAME`, and a row in main.c.
 *
 * To add a command:
 *   1. src/cmd/NAME.c with its option list, a function that runs it, and cmd_NAME at the end;
 *   2. its declaration here, its row in main.c, its file in meson.build;
 *   3. tests/cli/test_NAME.py.
 *
 * Results go to stdout, talk to stderr. Errors are returned; main.c prints them. */
#ifndef KINDRED_CMD_H
#define KINDRED_CMD_H

#include "base/err.h"
#include "base/opt.h"

struct cmd {
    const char *name;
    const char *summary; /* one line, lower case */
    const char *usage;   /* what follows its name there; NULL: [options] */
    const char *about;   /* paragraphs under the usage line in the help */

    /* argv: what follows the command's name, NULL at its end. */
    bool (*run)(const char *const *argv, struct err *err);

    /* Started by a launcher, all its ranks work on it together; else it runs alone or not at all.
     */
    bool ranks;
};

extern const struct cmd cmd_generate, cmd_preprocess, cmd_train, cmd_evaluate, cmd_baselines,
    cmd_ping, cmd_promote, cmd_recommend, cmd_serve, cmd_sweep, cmd_track;

/* The table, and the names alone, both with NULL at the end. */
extern const struct cmd *const commands[];
const char *const *command_names(void);

enum cmd_next {
    CMD_GO,   /* options are in place: do the work */
    CMD_DONE, /* help was asked for and printed */
    CMD_FAILED,
};

/* Parse argv into the groups of `opts`, to which the common options (config, quiet, log-level,
 * log, help) are added here, and act on those. flags: OPT_ENV or 0. */
enum cmd_next cmd_parse(const struct cmd *c, struct opt_set *opts, const char *const *argv,
                        unsigned flags, struct err *err);

/* A first look: fill what the groups know and leave the rest alone. For commands whose further
 * groups depend on an option's value. Returns true if --help stands on the line. */
bool cmd_peek(const struct cmd *c, struct opt_set *opts, const char *const *argv, unsigned flags);

/* What --config named, after cmd_parse; NULL: nothing. */
const char *cmd_config_path(void);

/* Whether train has such an option (as in C: embedding_dim) for that model, and knows the model. */
bool train_has_option(const char *model, const char *name);

/* Whether preprocess has such an option, of one value. */
bool preprocess_has_option(const char *name);

/* For what ranks don't share yet: ERR_USAGE unless this process is alone. */
NODISCARD bool cmd_check_alone(struct err *err);

/* Write the finished JSON document to `path` ("-" is stdout); nothing when path is NULL. */
NODISCARD bool cmd_write_json(const struct json_out *json, const char *path, struct err *err);

#endif
