/* The option parser: every source, every kind, and what each fault says. */
#include "test.h"

#include "base/file.h"
#include "base/opt.h"

#define SAMPLE_OPTIONS(X, S)                                                                       \
    X(S, opt_text, config, NULL, 0, 0, "FILE", "options")                                          \
    X(S, int, epochs, 10, 1, 1000, "N", "passes")                                                  \
    X(S, double, lr, 0.05, 0, 10, "RATE", "learning rate")                                         \
    X(S, int64_t, max_rows, 0, 0, 1e15, "N", "rows")                                               \
    X(S, bool, seen, true, 0, 0, NULL, "leave out what was seen")                                  \
    X(S, bool, resume, false, 0, 0, NULL, "go on")                                                 \
    X(S, opt_text, split, "temporal", 0, 0, "temporal|leave-one-out", "how to split")              \
    X(S, struct opt_list, input, {0}, 0, 0, "FILE", "files to read")
OPT_DEFINE(sample, SAMPLE_OPTIONS);

#define NEEDED_OPTIONS(X, S) X(S, opt_text, output, NULL, 1, 0, "FILE", "where to write")
OPT_DEFINE(needed, NEEDED_OPTIONS);

static const char *const all_commands[] = {"train", "serve", NULL};

static bool parse(struct opt_set *s, struct sample *v, const char *const *argv, unsigned flags,
                  struct err *err)
{
    OPT_ADD(s, "Options", sample, v);
    return opt_parse(s, argv, "train", all_commands, flags, err);
}

static void every_kind_is_read(void **)
{
    const char *const argv[] = {"--epochs",   "7",          "--lr=0.5", "--no-seen",     "--resume",
                                "--max-rows", "5000000000", "--split",  "leave-one-out", "--input",
                                "a",          "b",          NULL};
    AUTO(opt_set) s = {0};
    struct err err = {0};
    struct sample v;

    assert_ok(parse(&s, &v, argv, 0, &err), err);
    assert_int_equal(v.epochs, 7);
    assert_true(v.lr == 0.5);
    assert_false(v.seen);
    assert_true(v.resume);
    assert_true(v.max_rows == 5000000000);
    assert_string_equal(v.split, "leave-one-out");
    assert_int_equal(v.input.n, 2);
    assert_string_equal(v.input.items[1], "b");
}

static void nothing_given_leaves_the_defaults(void **)
{
    const char *const argv[] = {NULL};
    AUTO(opt_set) s = {0};
    struct err err = {0};
    struct sample v;

    assert_ok(parse(&s, &v, argv, 0, &err), err);
    assert_memory_equal(&v, &sample_default, sizeof v);
}

static void assert_words(const struct opt_list *list, const char *const *want)
{
    int n = 0;

    for (; want[n]; n++) {
        assert_true(n < list->n);
        assert_string_equal(list->items[n], want[n]);
    }
    assert_int_equal(list->n, n);
}

static void a_list_given_again_goes_on(void **)
{
    const char *const argv[] = {"--input",   "a",       "b", "--epochs", "2",
                                "--input=c", "--input", "d", NULL};
    AUTO(opt_set) s = {0};
    struct err err = {0};
    struct sample v;

    assert_ok(parse(&s, &v, argv, 0, &err), err);
    assert_words(&v.input, (const char *const[]){"a", "b", "c", "d", NULL});
}

/* Each line that is refused, and a part of what is said about it. */
static const struct {
    const char *argv[4], *says;
} refused[] = {
    {{"--epoch", "3"}, "did you mean '--epochs'?"},
    {{"--splti", "x"}, "did you mean '--split'?"},
    {{"--xyzzyx"}, "no option '--xyzzyx'"},
    {{"--epochs"}, "--epochs needs a value"},
    {{"--epochs", "--resume"}, "--epochs needs a value"},
    {{"--epochs", "x"}, "'x' is not a whole number"},
    {{"--epochs", "3.5"}, "'3.5' is not a whole number"},
    {{"--epochs", ""}, "'' is not a whole number"},
    {{"--epochs", "0"}, "0 is outside 1..1000"},
    {{"--epochs", "99999999999999999999"}, "is not a whole number"},
    {{"--lr", "nan"}, "'nan' is not a number"},
    {{"--lr", "-1"}, "-1 is outside 0..10"},
    {{"--split", "temp"}, "'temp' is none of temporal|leave-one-out"},
    {{"--split="}, "'' is none of"},
    {{"--resume=maybe"}, "neither true nor false"},
    {{"--no-epochs"}, "no option '--no-epochs'"},
    {{"stray"}, "unexpected argument 'stray'"},
};

static void faults_name_the_option_and_what_would_be_right(void **)
{
    for (int i = 0; i < ARRAY_LEN(refused); i++) {
        AUTO(opt_set) s = {0};
        struct err err = {0};
        struct sample v;

        assert_false(parse(&s, &v, refused[i].argv, 0, &err));
        assert_int_equal(err.kind, ERR_USAGE);
        assert_contains(err.msg, refused[i].says);
    }
}

static void what_must_be_given_is_missed(void **)
{
    const char *const none[] = {NULL}, *const given[] = {"--output", "x", NULL};
    struct needed v;

    for (int i = 0; i < 2; i++) {
        AUTO(opt_set) s = {0};
        struct err err = {0};

        OPT_ADD(&s, "Options", needed, &v);
        assert_int_equal(opt_parse(&s, i ? given : none, "train", all_commands, 0, &err), i);
        if (!i)
            assert_contains(err.msg, "--output FILE is needed");
    }
}

/* Parse with a config file of this text; the caller's argv comes after --config. */
static bool parse_with_config(struct sample *v, const char *text, const char *extra,
                              struct err *err, struct opt_set *s)
{
    AUTO_FREE char *path = temp_path("config.yaml");
    const char *argv[] = {"--config", path, extra, NULL};
    bool ok;

    assert_ok(file_write(path, text, strlen(text), err), *err);
    ok = parse(s, v, argv, 0, err);
    unlink(path);
    return ok;
}

static void a_list_of_the_command_line_or_the_section_takes_the_place_of_one_before(void **)
{
    static const char text[] = "input: [x, y]\ntrain:\n  input: [z]\n";

    for (int given = 0; given < 2; given++) {
        AUTO(opt_set) s = {0};
        struct err err = {0};
        struct sample v;

        assert_ok(parse_with_config(&v, text, given ? "--input=a" : NULL, &err, &s), err);
        assert_words(&v.input, (const char *const[]){given ? "a" : "z", NULL});
    }
}

static void the_command_line_wins_over_the_file_and_the_section_over_the_top(void **)
{
    AUTO(opt_set) s = {0};
    struct err err = {0};
    struct sample v;
    const char *text = "epochs: 3\nlr: 0.25\nmax-rows: 9\nsplit: leave-one-out\n"
                       "train:\n  lr: 0.125\n  input: [x, y, z]\nserve:\n  port: 1\n";

    assert_ok(parse_with_config(&v, text, "--epochs=4", &err, &s), err);
    assert_int_equal(v.epochs, 4);
    assert_true(v.lr == 0.125);
    assert_true(v.max_rows == 9);
    assert_string_equal(v.split, "leave-one-out");
    assert_int_equal(v.input.n, 3);
    assert_string_equal(v.input.items[2], "z");
}

static const struct {
    const char *text, *says;
} bad_files[] = {
    {"epochs: 3\nepoch: 4\n", ":2: no option 'epoch'; did you mean 'epochs'?"},
    {"epochs: 3\nepochs: 4\n", ":2:1: 'epochs' stands twice"},
    {"epochs: [1, 2]\n", ":1: epochs takes one value, not 2"},
    {"epochs: many\n", ":1: epochs: 'many' is not a whole number"},
    {"trian:\n  lr: 1\n", ":2: no command 'trian'"},
    {"train:\n  deep:\n    lr: 1\n", "sections do not nest"},
    {"epochs: [1\n", "not YAML"},
    {"- a\n", "expected 'option: value' lines"},
    {"lr: 1\n  epochs: 2\n", "not YAML"},
};

static void faults_of_a_config_file_name_its_line(void **)
{
    for (int i = 0; i < ARRAY_LEN(bad_files); i++) {
        AUTO(opt_set) s = {0};
        struct err err = {0};
        struct sample v;

        assert_false(parse_with_config(&v, bad_files[i].text, NULL, &err, &s));
        assert_int_equal(err.kind, ERR_USAGE);
        assert_contains(err.msg, bad_files[i].says);
    }
}

static void the_environment_stands_between_file_and_command_line(void **)
{
    const char *const argv[] = {"--lr", "2", NULL};
    AUTO(opt_set) s = {0}, without = {0};
    struct err err = {0};
    struct sample v;

    setenv("KINDRED_EPOCHS", "33", 1);
    setenv("KINDRED_LR", "3", 1);
    assert_ok(parse(&s, &v, argv, OPT_ENV, &err), err);
    assert_int_equal(v.epochs, 33);
    assert_true(v.lr == 2);
    assert_ok(parse(&without, &v, argv, 0, &err), err);
    assert_int_equal(v.epochs, 10);
    unsetenv("KINDRED_EPOCHS");
    unsetenv("KINDRED_LR");
}

static void a_lenient_look_passes_over_what_it_does_not_know(void **)
{
    const char *const argv[] = {"--embedding-dim", "8", "--epochs", "2", "--no-bias", NULL};
    AUTO(opt_set) s = {0};
    struct err err = {0};
    struct sample v;

    assert_ok(parse(&s, &v, argv, OPT_LENIENT, &err), err);
    assert_int_equal(v.epochs, 2);
}

static void values_are_recorded_as_json(void **)
{
    const char *const argv[] = {"--input", "a\"b", NULL};
    AUTO(opt_set) s = {0};
    AUTO(json_out) out = {0};
    struct err err = {0};
    struct sample v;

    assert_ok(parse(&s, &v, argv, 0, &err), err);
    json_open(&out, NULL, '{');
    opt_write_json(&s.groups[0], &out);
    json_close(&out, '}');
    assert_string_equal(out.buf.data,
                        "{\"config\":null,\"epochs\":10,\"lr\":0.05,\"max_rows\":0,\"seen\":true,"
                        "\"resume\":false,\"split\":\"temporal\",\"input\":[\"a\\\"b\"]}");
}

static void help_wraps_at_eighty_columns(void **)
{
    AUTO_FREE char *text = NULL;
    AUTO(opt_set) s = {0};
    struct sample v;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    OPT_ADD(&s, "Options", sample, &v);
    opt_help(&s, f);
    fclose(f);
    assert_contains(text, "  --epochs N                passes (default 10)\n");
    assert_contains(text, "  --no-seen                 leave out what was seen\n");
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 80);
}

static void lists_of_numbers_are_checked(void **)
{
    struct err err = {0};
    int k[3];

    assert_int_equal(opt_int_list("--k", "10,20", 1, 100, k, 3, &err), 2);
    assert_int_equal(k[1], 20);
    static const char *const bad[] = {"", "10,", ",10", "0", "101", "1,2,3,4", "ten"};
    for (int i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(opt_int_list("--k", bad[i], 1, 100, k, 3, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_given_again_goes_on),
        cmocka_unit_test(a_list_of_the_command_line_or_the_section_takes_the_place_of_one_before),
        cmocka_unit_test(every_kind_is_read),
        cmocka_unit_test(nothing_given_leaves_the_defaults),
        cmocka_unit_test(faults_name_the_option_and_what_would_be_right),
        cmocka_unit_test(what_must_be_given_is_missed),
        cmocka_unit_test(the_command_line_wins_over_the_file_and_the_section_over_the_top),
        cmocka_unit_test(faults_of_a_config_file_name_its_line),
        cmocka_unit_test(the_environment_stands_between_file_and_command_line),
        cmocka_unit_test(a_lenient_look_passes_over_what_it_does_not_know),
        cmocka_unit_test(values_are_recorded_as_json),
        cmocka_unit_test(help_wraps_at_eighty_columns),
        cmocka_unit_test(lists_of_numbers_are_checked),
    };

    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
