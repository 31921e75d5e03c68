#include "cmd/cmd.h"

#include "cmd/package.h"
#include "cmd/report.h"
#include "cmd/tracking.h"
#include "base/log.h"
#include "eval/compare.h"
#include "model/store.h"
#include "model/translated.h"

#include <math.h>

#define PROMOTE_OPTIONS(X, S)                                                                      \
    X(S, opt_text, from, "challenger", 1, 0, "ALIAS", "of the version that is to be called so")    \
    X(S, opt_text, to, "champion", 1, 0, "ALIAS", "what it is to be called")                       \
    X(S, opt_text, data_dir, "data/processed", 1, 0, "DIR",                                        \
      "the dataset that both are ranked on, whatever they were trained on")                        \
    X(S, opt_text, split, "test", 0, 0, "test|val", "which held-out rows to look for")             \
    X(S, int, threads, 0, 0, 1024, "N", "threads; 0 is one for each processor")                    \
    X(S, opt_text, tracking_uri, NULL, 0, 0, "URI",                                                \
      "of the registry: http://, https:// or sqlite:///FILE (default what MLFLOW_REGISTRY_URI, "   \
      "else MLFLOW_TRACKING_URI says, else ./mlflow.db)")                                          \
    X(S, opt_text, cache_dir, ".kindred/models", 1, 0, "DIR", "where models of the registry go")   \
    X(S, opt_text, json, NULL, 0, 0, "FILE", "write what was decided there; - is stdout")

struct promote_opts {
    PROMOTE_OPTIONS(OPT_FIELD, promote_opts)
    struct opt_list conditions;
};

static const struct promote_opts promote_opts_default = {
    PROMOTE_OPTIONS(OPT_DEFAULT, promote_opts)};
static const struct opt promote_opts_table[] = {PROMOTE_OPTIONS(OPT_ROW, promote_opts) OPT_ROW_AS(
    promote_opts, struct opt_list, conditions, if, 0, 0, "CONDITION",
    "such as 'ndcg_at_20 > champion' or 'recall_at_10 >= 0.05'; of several, all "
    "must hold; with none, the alias moves unasked"){0}};

/* ---- conditions ---- */

/* "ndcg_at_20 > champion" */
struct condition {
    const char *text;
    int value;         /* of the plan's: the metric */
    bool or_equal;     /* >= */
    bool to_the_other; /* compared with the version that is called so now; else with a number */
    double number;
    bool holds;
};

enum { CONDITIONS_MAX = 16, NAME_MAX_LENGTH = 32, VERSIONS = 2, FROM = 0, TO = 1 };

struct version {
    char number[REGISTRY_VERSION]; /* "": there is none */
    struct catalog catalog;
    struct model *translated; /* NULL: it's of the dataset itself */
    struct ranking ranking;
    struct outcome outcome;
};

struct promotion {
    const struct promote_opts *o;
    const char *name; /* of the registered model */
    char *uri;
    struct registry *registry;
    struct condition conditions[CONDITIONS_MAX];
    int n;
    struct report report;
    struct dataset d;
    struct heldout h;
    struct ids users, items; /* of the dataset; read where a version is of another */
    struct version versions[VERSIONS];
    struct rank_means difference;
};

static void promotion_release(struct promotion *p)
{
    for (int i = 0; i < VERSIONS; i++) {
        struct version *v = &p->versions[i];

        ranking_release(&v->ranking);
        outcome_release(&v->outcome);
        model_free(v->translated);
        catalog_release(&v->catalog);
    }
    ids_release(&p->users);
    ids_release(&p->items);
    heldout_release(&p->h);
    dataset_release(&p->d);
    registry_close(p->registry);
    free(p->uri);
}

/* The parts of a condition, without spaces. */
struct words {
    char metric[NAME_MAX_LENGTH], k[NAME_MAX_LENGTH], op[3], than[128];
};

static bool split_words(const char *text, struct words *w)
{
    const char *at = strstr(text, "_at_");
    char rest[8] = "";

    return at && at - text < NAME_MAX_LENGTH &&
           sscanf(text, " %31[a-z_]%31[0-9] %2[>=] %127s %7s", w->metric, w->k, w->op, w->than,
                  rest) == 4 &&
           (!strcmp(w->op, ">") || !strcmp(w->op, ">="));
}

static bool read_condition(struct promotion *p, const char *text, struct words *w, struct err *err)
{
    struct condition *c = &p->conditions[p->n];
    char *end;

    if (p->n == CONDITIONS_MAX)
        return err_set(err, ERR_USAGE, "--if: more than %d conditions", CONDITIONS_MAX);
    if (!split_words(text, w))
        return err_set(err, ERR_USAGE,
                       "--if '%s': a condition is METRIC_at_K > %s, or >= a number, such as "
                       "'ndcg_at_20 > %s'",
                       text, p->o->to, p->o->to);
    w->metric[strlen(w->metric) - strlen("_at_")] = '\0';
    *c = (struct condition){.text = text, .or_equal = w->op[1] == '='};
    c->number = strtod(w->than, &end);
    c->to_the_other = !strcmp(w->than, p->o->to);
    if (!c->to_the_other && (*end || !isfinite(c->number)))
        return err_set(err, ERR_USAGE,
                       "--if '%s': '%s' is neither a number nor '%s', what --to says", text,
                       w->than, p->o->to);
    p->n++;
    return true;
}

/* "a,b" and one more, once. */
static void add_word(struct buf *list, const char *word)
{
    AUTO_FREE char *in = xasprintf(",%s,", buf_str(list)), *one = xasprintf(",%s,", word);

    if (!strstr(in, one))
        buf_printf(list, ",%s", word);
}

static int find_value(const struct rank_plan *plan, const struct words *w)
{
    for (int v = 0; v < rank_n_values(plan); v++)
        if (!strcmp(plan->metrics[v / plan->n_k]->name, w->metric) &&
            plan->k[v % plan->n_k] == atoi(w->k))
            return v;
    return -1;
}

static bool read_conditions(struct promotion *p, struct err *err)
{
    struct words words[CONDITIONS_MAX + 1];
    AUTO(buf) wanted = {0}, ks = {0};

    buf_puts(&wanted, "recall,ndcg");
    buf_puts(&ks, "10,20");
    for (int i = 0; i < p->o->conditions.n; i++) {
        if (!read_condition(p, p->o->conditions.items[i], &words[i], err))
            return false;
        add_word(&wanted, words[i].metric);
        add_word(&ks, words[i].k);
    }
    if (!rank_plan_parse(&p->report.plan, buf_str(&wanted), buf_str(&ks), err))
        return err_wrap(err, "--if");
    p->report.plan.threads = p->o->threads;
    p->report.held_out = !strcmp(p->o->split, "val") ? DATASET_VAL : DATASET_TEST;
    for (int i = 0; i < p->n; i++)
        p->conditions[i].value = find_value(&p->report.plan, &words[i]);
    return true;
}

/* ---- both on the same data ---- */

/* Which of `to` each of `from` is, by name. */
static int32_t *match(const struct ids *from, const struct ids *to)
{
    int32_t *out = xmalloc((size_t)MAX(from->n, 1), sizeof *out);

    for (int32_t i = 0; i < from->n; i++)
        out[i] = ids_find(to, ids_get(from, i));
    return out;
}

static bool translate(struct promotion *p, struct version *v, struct err *err)
{
    const char *dir = p->o->data_dir;

    if (!p->users.offsets &&
        (!ids_open(&p->users, dir, "user", err) || !ids_open(&p->items, dir, "item", err)))
        return false;
    v->translated =
        model_translated(v->catalog.model, match(&p->users, &v->catalog.users), p->d.n_users,
                         match(&p->items, &v->catalog.items), p->d.n_items, p->d.digest);
    return true;
}

static bool measure(struct promotion *p, struct version *v, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    bool same;

    if (!package_fetch(p->registry, p->uri, p->name, v->number, p->o->cache_dir, &dir, err) ||
        !package_open(&v->catalog, dir, err))
        return false;
    same = !strcmp(v->catalog.model->digest, p->d.digest);
    if (!same && !translate(p, v, err))
        return false;
    return report_measure(&p->report, same ? v->catalog.model : v->translated, &p->h, &v->ranking,
                          &v->outcome, err);
}

static bool measure_both(struct promotion *p, struct err *err)
{
    struct version *from = &p->versions[FROM], *to = &p->versions[TO];

    if (!dataset_open(&p->d, p->o->data_dir, report_parts(p->report.held_out), err) ||
        !heldout_make(&p->h, &p->d, p->report.held_out, p->o->threads, err) ||
        !measure(p, from, err) || (*to->number && !measure(p, to, err)))
        return false;
    if (*to->number)
        compare_to(&to->ranking, &from->ranking, &to->outcome.result.known,
                   &from->outcome.result.known, &p->difference);
    return true;
}

static bool judge(struct promotion *p)
{
    bool all = true;

    for (int i = 0; i < p->n; i++) {
        struct condition *c = &p->conditions[i];
        bool vacant = c->to_the_other && !*p->versions[TO].number;
        double value = p->versions[FROM].outcome.result.known.value[c->value];
        double than =
            c->to_the_other ? p->versions[TO].outcome.result.known.value[c->value] : c->number;

        c->holds = vacant || (c->or_equal ? value >= than : value > than);
        all = all && c->holds;
    }
    return all;
}

/* ---- what is told ---- */

static void print_values(const struct promotion *p)
{
    const struct rank_plan *plan = &p->report.plan;
    const struct version *from = &p->versions[FROM], *to = &p->versions[TO];

    printf("%s of %s, %d known users\n", p->o->split, p->o->data_dir,
           from->outcome.result.known.n_users);
    printf("%-16s  %12s  %12s  %s\n", "", p->o->from, *to->number ? p->o->to : "", "difference");
    for (int v = 0; v < rank_n_values(plan); v++) {
        AUTO_FREE char *name = rank_value_name(plan, v / plan->n_k, v % plan->n_k);
        char a[RANK_NUMBER], b[RANK_NUMBER], d[RANK_NUMBER], half[RANK_NUMBER];

        printf("%-16s  %12s", name, rank_number(from->outcome.result.known.value[v], a));
        if (*to->number)
            printf("  %12s  %s +-%s", rank_number(to->outcome.result.known.value[v], b),
                   rank_number(p->difference.value[v], d),
                   rank_number(p->difference.half[v], half));
        printf("\n");
    }
}

/* "ndcg_at_20 > champion: 0.1234, champion 0.1200" */
static void put_condition(const struct promotion *p, const struct condition *c, struct buf *out)
{
    char a[RANK_NUMBER], b[RANK_NUMBER];

    buf_printf(out, "%s: %s", c->text,
               rank_number(p->versions[FROM].outcome.result.known.value[c->value], a));
    if (c->to_the_other && *p->versions[TO].number)
        buf_printf(out, ", %s %s", p->o->to,
                   rank_number(p->versions[TO].outcome.result.known.value[c->value], b));
    else if (c->to_the_other)
        buf_printf(out, ", no %s yet", p->o->to);
}

static void print_decision(const struct promotion *p, bool promoted)
{
    const struct version *from = &p->versions[FROM], *to = &p->versions[TO];

    if (p->n)
        print_values(p);
    for (int i = 0; i < p->n; i++) {
        AUTO(buf) text = {0};

        put_condition(p, &p->conditions[i], &text);
        printf("%s  %s\n", p->conditions[i].holds ? "holds" : "fails", buf_str(&text));
    }
    if (promoted)
        printf("%s of '%s' is version %s now%s%s\n", p->o->to, p->name, from->number,
               *to->number ? ", and was " : "", to->number);
    else
        printf("not promoted: %s of '%s' stays version %s\n", p->o->to, p->name,
               *to->number ? to->number : "none");
}

static void put_version(const struct promotion *p, int i, const char *key, struct json_out *json)
{
    const struct version *v = &p->versions[i];

    if (!*v->number) {
        json_put_str(json, key, NULL);
        return;
    }
    json_open(json, key, '{');
    json_put_str(json, "alias", i == FROM ? p->o->from : p->o->to);
    json_put_str(json, "version", v->number);
    if (p->n) {
        json_put_str(json, "dataset_digest", v->catalog.model->digest);
        rank_write_intervals(&p->report.plan, &v->outcome.result.known, json);
    }
    json_close(json, '}');
}

static bool write_json(const struct promotion *p, bool promoted, struct err *err)
{
    AUTO(json_out) json = {.pretty = true};

    json_open(&json, NULL, '{');
    json_put_str(&json, "name", p->name);
    json_put_bool(&json, "promoted", promoted);
    put_version(p, FROM, "from", &json);
    put_version(p, TO, "to", &json);
    json_put_str(&json, "split", p->n ? p->o->split : NULL);
    json_put_str(&json, "digest", p->n ? p->d.digest : NULL);
    json_open(&json, "conditions", '[');
    for (int i = 0; i < p->n; i++) {
        json_open(&json, NULL, '{');
        json_put_str(&json, "condition", p->conditions[i].text);
        json_put_bool(&json, "holds", p->conditions[i].holds);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return cmd_write_json(&json, p->o->json, err);
}

/* ---- the command ---- */

static bool find_versions(struct promotion *p, struct err *err)
{
    const char *const aliases[VERSIONS] = {p->o->from, p->o->to};

    for (int i = 0; i < VERSIONS; i++)
        if (!registry_find(p->registry, p->name, aliases[i], p->versions[i].number, err))
            return false;
    return *p->versions[FROM].number ||
           err_set(err, ERR_DATA,
                   "the registry has no model '%s' of which a version is called '%s'", p->name,
                   p->o->from);
}

/* The reason stays with the version. */
static bool move(const struct promotion *p, struct err *err)
{
    const char *version = p->versions[FROM].number;
    AUTO(buf) why = {0};

    for (int i = 0; i < p->n; i++) {
        buf_puts(&why, i ? "; " : "");
        put_condition(p, &p->conditions[i], &why);
    }
    if (p->n)
        buf_printf(&why, "; %s of dataset %.12s", p->o->split, p->d.digest);
    return registry_tag(p->registry, p->name, version, "kindred.promoted",
                        p->n ? buf_str(&why) : "unasked", err) &&
           registry_set_alias(p->registry, p->name, p->o->to, version, err);
}

static bool promote(const struct promote_opts *o, const char *name, struct err *err)
{
    AUTO(promotion) p = {.o = o, .name = name, .uri = tracking_registry_uri(o->tracking_uri)};
    bool promoted;

    if (!read_conditions(&p, err) || !registry_open(&p.registry, p.uri, err) ||
        !find_versions(&p, err))
        return false;
    if (!strcmp(p.versions[FROM].number, p.versions[TO].number)) {
        p.n = 0; /* nothing was asked */
        if (!o->json || strcmp(o->json, "-"))
            printf("%s of '%s' is version %s already\n", o->to, name, p.versions[TO].number);
        return write_json(&p, false, err);
    }
    if (p.n && !measure_both(&p, err))
        return false;
    promoted = judge(&p);
    if (promoted && !move(&p, err))
        return false;
    if (!o->json || strcmp(o->json, "-"))
        print_decision(&p, promoted);
    return write_json(&p, promoted, err);
}

static bool check(const struct promote_opts *o, const char *name, struct err *err)
{
    if (!registry_is_name(name))
        return err_set(err, ERR_USAGE, "'%s' is no name of a registered model", name);
    if (!registry_is_alias(o->from) || !registry_is_alias(o->to))
        return err_set(err, ERR_USAGE, "--from and --to are aliases: letters, digits, _ and -");
    return true;
}

static bool run(const char *const *argv, struct err *err)
{
    bool named = argv[0] && argv[0][0] != '-';
    AUTO(opt_set) opts = {0};
    struct promote_opts o;
    enum cmd_next next;

    OPT_ADD(&opts, "Options", promote_opts, &o);
    next = cmd_parse(&cmd_promote, &opts, argv + named, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!named)
        return err_set(err, ERR_USAGE, "say which: 'kindred promote NAME', a registered model");
    return check(&o, argv[0], err) && promote(&o, argv[0], err);
}

const struct cmd cmd_promote = {
    .name = "promote",
    .summary = "move an alias of a registered model to a version that proves better",
    .usage = "NAME [options]",
    .about =
        "Ranks the version that is called --from and the one that is called --to on the same\n"
        "held-out rows of --data-dir, and calls the first so as well if all conditions hold;\n"
        "else it says which one fails, and exits with 0 all the same. A version that was trained\n"
        "on other data is ranked by the names of its users and items: whom or what it doesn't\n"
        "know, it can't serve or list. While no version is called --to, conditions to it hold.",
    .run = run,
};
