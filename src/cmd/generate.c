#include "cmd/cmd.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "data/generate.h"

#define GENERATE_OPTIONS(X, S)                                                                     \
    X(S, opt_text, output, NULL, 1, 0, "FILE", "where they go; .gz or .zst: packed; - is stdout")  \
    X(S, int, users, 20000, 1, 1000000000, "N", "users, at most")                                  \
    X(S, int, items, 5000, 1, 1000000000, "N", "items, at most")                                   \
    X(S, int64_t, reviews, 200000, 1, 1e12, "N", "reviews, exactly")                               \
    X(S, int64_t, seed, 1, 0, 9e15, "N", "other seeds give other reviews")                         \
    X(S, int, threads, 0, 0, 1024, "N", "0: all cores")

OPT_DEFINE(generate_opts, GENERATE_OPTIONS);

/* The output's folder may not be there yet. */
static bool make_folder(const char *output, struct err *err)
{
    AUTO_FREE char *dir = path_dir(output);

    if (!strcmp(output, "-") || dir_create(dir, err))
        return true;
    return err_wrap(err, "cannot create '%s'", output);
}

static bool generate_run(const char *const *argv, struct err *err)
{
    double start = clock_seconds();
    AUTO(opt_set) set = {0};
    struct generate_options o;
    struct generate_opts v;
    enum cmd_next next;

    OPT_ADD(&set, "Options", generate_opts, &v);
    next = cmd_parse(&cmd_generate, &set, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    o = (struct generate_options){v.output,  v.users,          v.items,
                                  v.reviews, (uint64_t)v.seed, v.threads};
    if (!make_folder(v.output, err) || !generate(&o, err))
        return false;
    log_info("generate.done", "output=\"%s\" reviews=%lld seconds=%.2f", v.output,
             (long long)v.reviews, clock_seconds() - start);
    return true;
}

const struct cmd cmd_generate = {
    .name = "generate",
    .summary = "make-believe reviews to try things on",
    .about =
        "Writes reviews in the form of Amazon Reviews 2023 from which something can be learned: "
        "users\n"
        "have tastes, a few items are popular, and items appear and fade. The same seed gives the\n"
        "same bytes, on any number of threads.",
    .run = generate_run,
};
