#include "track/journal.h"

#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static bool make_id(char id[static JOURNAL_ID], struct err *err)
{
    unsigned char bytes[(JOURNAL_ID - 1) / 2];

    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return err_errno(err, "read", "random bytes");
    for (int i = 0; i < ARRAY_LEN(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

bool journal_create(struct journal *j, const char *dir, struct err *err)
{
    AUTO_FREE char *files = NULL;

    *j = (struct journal){.file = -1};
    if (!make_id(j->id, err))
        return false;
    j->dir = path_join(dir, j->id);
    j->path = path_join(j->dir, "journal.jsonl");
    files = path_join(j->dir, "files");
    if (!dir_create(files, err))
        return false;
    j->file = open(j->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (j->file < 0)
        return err_errno(err, "create", j->path);
    return flock(j->file, LOCK_EX | LOCK_NB) == 0 || err_errno(err, "lock", j->path);
}

void journal_close(struct journal *j)
{
    if (j->file >= 0)
        close(j->file);
    free(j->path);
    free(j->dir);
    *j = (struct journal){.file = -1};
}

/* One write a line: lines of several threads don't mix. */
void journal_add(struct journal *j, const struct json_out *line)
{
    AUTO(buf) text = {0};
    ssize_t n;

    buf_put(&text, line->buf.data, line->buf.len);
    buf_putc(&text, '\n');
    do
        n = write(j->file, text.data, text.len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)text.len && !j->broken) {
        j->broken = true;
        log_warn("track.lost", "journal=\"%s\" error=\"%s\"; the run goes on", j->path,
                 n < 0 ? strerror(errno) : "no room for a line");
    }
}

char *journal_keep(struct journal *j, const char *path, struct err *err)
{
    char *name = xasprintf("%d-%s", j->n_files++, path_name(path));
    AUTO_FREE char *under = xasprintf("files/%s", name), *to = path_join(j->dir, under);

    if (file_keep(path, to, err))
        return name;
    free(name);
    return NULL;
}

/* ---- reading ---- */

static bool take_line(const char *text, size_t n, const char *path, journal_line_fn *f,
                      void *context, struct err *err)
{
    struct json_doc doc = {0};
    struct err bad = {0};
    bool ok;

    if (!json_parse(&doc, text, n, &bad)) {
        log_warn("track.bad_line", "journal=\"%s\" error=\"%s\"; it's passed over", path, bad.msg);
        return true;
    }
    ok = f(context, doc.root, err);
    json_doc_release(&doc);
    return ok;
}

bool journal_each(const char *path, int64_t *at, journal_line_fn *f, void *context, struct err *err)
{
    FILE *in = fopen(path, "rb");
    char *line = NULL;
    size_t room = 0;
    bool ok = true;

    if (!in)
        return err_errno(err, "open", path);
    fseeko(in, (off_t)*at, SEEK_SET);
    for (ssize_t n; ok && (n = getline(&line, &room, in)) > 0 && line[n - 1] == '\n';) {
        ok = take_line(line, (size_t)n - 1, path, f, context, err);
        if (ok)
            *at += n;
    }
    free(line);
    fclose(in);
    return ok;
}

int journal_hold(const char *path)
{
    int file = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

    if (file >= 0 && flock(file, LOCK_EX | LOCK_NB)) {
        close(file);
        return -1;
    }
    return file;
}

/* ---- runs ---- */

struct found {
    char *dir;
    int64_t when; /* the folder's journal was last added to, ns */
};

static int by_age(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return x->when != y->when ? (x->when > y->when) - (x->when < y->when) : strcmp(x->dir, y->dir);
}

static int64_t age_of(const char *run_dir)
{
    AUTO_FREE char *journal = path_join(run_dir, "journal.jsonl");
    struct stat s;

    return stat(journal, &s) ? -1 : s.st_mtim.tv_sec * INT64_C(1000000000) + s.st_mtim.tv_nsec;
}

bool journal_each_run(const char *dir,
                      bool (*f)(void *context, const char *run_dir, struct err *err), void *context,
                      struct err *err)
{
    DIR *folder = opendir(dir);
    struct found *all = NULL;
    size_t n = 0;
    bool ok = true;

    if (!folder)
        return errno == ENOENT || err_errno(err, "open", dir);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct found run = {path_join(dir, entry->d_name), 0};

        run.when = age_of(run.dir);
        if (entry->d_name[0] == '.' || run.when < 0) {
            free(run.dir);
            continue;
        }
        all = xrealloc(all, n + 1, sizeof *all);
        all[n++] = run;
    }
    closedir(folder);
    if (n)
        qsort(all, n, sizeof *all, by_age);
    for (size_t i = 0; i < n; i++) {
        ok = ok && f(context, all[i].dir, err);
        free(all[i].dir);
    }
    free(all);
    return ok;
}
