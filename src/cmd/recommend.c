#include "cmd/cmd.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "comm/comm.h"
#include "data/recommendations.h"
#include "model/store.h"
#include "model/topk.h"

#include <omp.h>

#define RECOMMEND_OPTIONS(X, S)                                                                    \
    X(S, opt_text, model_path, "outputs/model.safetensors", 0, 0, "FILE", "the model")             \
    X(S, opt_text, data_dir, "data/processed", 0, 0, "DIR",                                        \
      "the dataset that the model was trained on")                                                 \
    X(S, opt_text, output, NULL, 1, 0, "FILE", "where to write: .csv, .jsonl or .parquet")         \
    X(S, int, top_k, 20, 1, TOPK_MAX, "K", "items for each user")                                  \
    X(S, opt_text, users, NULL, 0, 0, "FILE", "only for these users: a file with one id a line")   \
    X(S, int, threads, 0, 0, 1024, "N", "0: all cores")

OPT_DEFINE(recommend_opts, RECOMMEND_OPTIONS);

enum { USERS_A_BLOCK = 1024, USERS_FILE_MAX = 1 << 30 };

/* The users in their order, scored a block at a time; the database takes the rows as it writes
 * them. */
struct job {
    const struct model *m;
    const struct interactions *history; /* train and val */
    int32_t *users;                     /* (n_users) whom this rank serves, ascending */
    int32_t n_users;
    int k, threads;
    struct topk *topk; /* (threads) */
    struct progress progress;

    int32_t next_block;   /* first user of the block after this one */
    struct hit *hits;     /* (USERS_A_BLOCK, k) the block's lists */
    int *n_hits;          /* (USERS_A_BLOCK) */
    int32_t user, n_user; /* in the block: which list is next, of how many */
    int rank;             /* and which hit in it */
};

static void job_release(struct job *j)
{
    for (int i = 0; j->topk && i < j->threads; i++)
        topk_release(&j->topk[i]);
    free(j->topk);
    progress_release(&j->progress);
    free(j->users);
    free(j->hits);
    free(j->n_hits);
    *j = (struct job){0};
}

static void rank_block(struct job *j)
{
    const int32_t *users = j->users + j->next_block;
    int n = MIN(USERS_A_BLOCK, j->n_users - j->next_block);

#pragma omp parallel num_threads(j->threads)
    {
        struct topk *t = &j->topk[omp_get_thread_num()];

#pragma omp for schedule(dynamic)
        for (int first = 0; first < n; first += TOPK_QUERIES) {
            struct query q[TOPK_QUERIES];
            int count = MIN(TOPK_QUERIES, n - first);

            for (int i = 0; i < count; i++)
                q[i] = query_of_user(j->history, users[first + i]);
            topk_find(t, q, count, j->k, true, j->hits + (int64_t)first * j->k, j->n_hits + first);
        }
    }
    j->next_block += n;
    j->n_user = n;
    j->user = j->rank = 0;
    progress_update(&j->progress, j->next_block, NULL);
}

/* Move on to the next hit that is there; false at the end. */
static bool advance(struct job *j)
{
    for (;;) {
        if (j->user < j->n_user && j->rank < j->n_hits[j->user])
            return true;
        if (j->user < j->n_user) {
            j->user++;
            j->rank = 0;
        } else if (j->next_block < j->n_users) {
            rank_block(j);
        } else {
            return false;
        }
    }
}

static bool next_rows(void *context, int64_t at, void *const *columns, int64_t max, int64_t *n,
                      struct err *err)
{
    struct job *j = context;
    int32_t *user = columns[0], *item = columns[1], *rank = columns[2];
    float *score = columns[3];
    int64_t row = 0;

    if (at == 0)
        j->next_block = j->user = j->n_user = j->rank = 0;
    for (; row < max && advance(j); row++) {
        const struct hit *h = &j->hits[(int64_t)j->user * j->k + j->rank++];

        user[row] = j->users[j->next_block - j->n_user + j->user];
        item[row] = h->item;
        rank[row] = j->rank;
        score[row] = h->score;
    }
    *n = row;
    return interrupt_check(err);
}

/* Mark the users that the file names. */
static bool read_users(const char *path, const char *data_dir, bool *wanted, struct err *err)
{
    AUTO(ids) ids = {0};
    AUTO(buf) text = {0};
    char *line, *rest;
    int64_t number = 0;

    if (!ids_open(&ids, data_dir, "user", err) || !file_read(path, USERS_FILE_MAX, &text, err))
        return false;
    if (strlen(buf_str(&text)) != text.len)
        return err_set(err, ERR_DATA, "'%s' is not text: it holds a zero byte", path);
    for (rest = text.data; (line = strsep(&rest, "\n"));) {
        size_t n = strlen(line);
        int32_t user;

        number++;
        if (n && line[n - 1] == '\r')
            line[n - 1] = '\0';
        if (!*line)
            continue;
        user = ids_find(&ids, line);
        if (user < 0)
            return err_set(err, ERR_DATA, "%s:%lld: the dataset has no user '%s'", path,
                           (long long)number, line);
        wanted[user] = true;
    }
    return true;
}

/* Those of the wanted users (NULL: all) whom the model serves. */
static void choose_users(struct job *j, const bool *wanted)
{
    int32_t left_out = 0;

    j->users = xcalloc((size_t)j->m->n_users, sizeof *j->users);
    for (int32_t u = 0; u < j->m->n_users; u++) {
        struct query q = query_of_user(j->history, u);

        if (wanted && !wanted[u])
            continue;
        if (j->m->ops->serves(j->m, &q))
            j->users[j->n_users++] = u;
        else
            left_out++;
    }
    if (left_out && comm_rank() == 0)
        log_warn("recommend.users",
                 "left_out=%d; %s has learned nothing of users without train rows", left_out,
                 j->m->ops->name);
}

/* Of all users that are served, in their order, each rank has its part of N. */
static void keep_share(struct job *j)
{
    int64_t n = j->n_users;
    int32_t first = (int32_t)(n * comm_rank() / comm_size());
    int32_t end = (int32_t)(n * (comm_rank() + 1) / comm_size());

    j->n_users = end - first;
    memmove(j->users, j->users + first, (size_t)j->n_users * sizeof *j->users);
}

static void make_room(struct job *j)
{
    j->hits = xcalloc((size_t)USERS_A_BLOCK * (size_t)j->k, sizeof *j->hits);
    j->topk = xcalloc((size_t)j->threads, sizeof *j->topk);
    for (int i = 0; i < j->threads; i++)
        topk_init(&j->topk[i], j->m, TOPK_QUERIES);
    j->n_hits = xcalloc(USERS_A_BLOCK, sizeof *j->n_hits);
}

static bool write_lists(struct job *j, const char *data_dir, const char *path, struct err *err)
{
    struct duck_source source = {RECOMMENDATIONS_SOURCE, RECOMMENDATIONS_COLUMNS, 0, next_rows, j};
    AUTO_FREE char *part = recommendations_part(path, comm_rank(), comm_size());

    make_room(j);
    source.n_rows = (int64_t)j->n_users * j->k;
    progress_init(&j->progress, "recommend", "users", j->n_users);
    return recommendations_write(&source, data_dir, part, err);
}

/* Users to recommend for: of the dataset all, or those of a file. */
static bool open_users(struct job *j, const struct recommend_opts *o, struct dataset *d,
                       struct interactions *history, struct err *err)
{
    AUTO_FREE bool *wanted = NULL;

    if (!dataset_open(d, o->data_dir, 1u << DATASET_TRAIN | 1u << DATASET_VAL, err) ||
        !store_check(j->m, o->model_path, d, o->data_dir, err))
        return false;
    interactions_join(history, &d->part[DATASET_TRAIN], &d->part[DATASET_VAL], d->n_users);
    if (o->users) {
        wanted = xcalloc((size_t)d->n_users, sizeof *wanted);
        if (!read_users(o->users, o->data_dir, wanted, err))
            return false;
    }
    choose_users(j, wanted);
    return true;
}

static bool recommend(const struct recommend_opts *o, const struct model *m, struct err *err)
{
    AUTO(dataset) d = {0};
    AUTO(interactions) history = {0};
    AUTO(job)
    j = {.m = m,
         .history = &history,
         .k = o->top_k,
         .threads = o->threads ? o->threads : omp_get_max_threads()};
    int32_t n_users;

    if (!comm_all_agree(open_users(&j, o, &d, &history, err), err))
        return false;
    n_users = j.n_users;
    keep_share(&j);
    if (!comm_all_agree(write_lists(&j, o->data_dir, o->output, err), err) ||
        !comm_all_agree(recommendations_tidy(o->output, comm_size(), err), err))
        return false;
    if (comm_rank() == 0)
        log_info("recommend.done", "output=\"%s\" users=%d top_k=%d", o->output, n_users, j.k);
    return true;
}

static bool run(const char *const *argv, struct err *err)
{
    AUTO(opt_set) opts = {0};
    struct recommend_opts o;
    struct model *m;
    enum cmd_next next;
    bool ok;

    OPT_ADD(&opts, "Options", recommend_opts, &o);
    next = cmd_parse(&cmd_recommend, &opts, argv, 0, err);
    if (next != CMD_GO)
        return next == CMD_DONE;
    if (!recommendations_check(o.output, err))
        return false;
    m = store_load(o.model_path, err);
    ok = comm_all_agree(m != NULL, err) && recommend(&o, m, err);
    model_free(m);
    return ok;
}

const struct cmd cmd_recommend = {
    .name = "recommend",
    .summary = "write the best items for every user to a file",
    .about =
        "For each user all items are ranked, without those that the user had in train and val.\n"
        "The file gets user_id, item_id, rank (from 1) and score; users in the dataset's order.\n"
        "Users of whom the model has learned nothing are left out, and counted in a warning.\n"
        "Under mpirun each of N ranks writes the lists of its share of the users: list.csv "
        "becomes\n"
        "list-00000-of-0000N.csv and so on, each whole, which joined in order are what one "
        "process\n"
        "writes.",
    .run = run,
    .ranks = true,
};
