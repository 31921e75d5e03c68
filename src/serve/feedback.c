#include "serve/feedback.h"

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAITING_MAX = 10000, LINE_MAX_BYTES = 1 << 20 };

/* A request that waits. */
struct post {
    struct post *next;
    struct http_later *later;
    struct buf lines, names; /* names: user and item of each event, each with its '\0' */
    int64_t *ms;             /* (n) */
    int n;
};

struct feedback {
    char *path;
    int file;
    int64_t size; /* of what is whole and on disk */
    bool broken;  /* what was written in part can't be taken back */
    struct taken *taken;
    pthread_t thread;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t change;
    struct post *first, **end;
    int n_waiting;
    bool over;
    struct feedback_counts counts;
};

/* ---- what is there ---- */

/* False: no event of ours. */
static bool take_line(struct feedback *f, const char *line, size_t n)
{
    AUTO(json_doc) doc = {0};
    struct err ignored;
    const char *user, *item;
    int64_t ms;

    if (n > LINE_MAX_BYTES || !json_parse(&doc, line, n, &ignored))
        return false;
    user = json_text(json_get(doc.root, "user_id"));
    item = json_text(json_get(doc.root, "parent_asin"));
    ms = json_int_or(json_get(doc.root, "timestamp"), -1);
    if (!user || !item || ms < 0)
        return false;
    taken_add(f->taken, user, item, ms);
    return true;
}

/* Returns the size of the whole lines. */
static int64_t take_lines(struct feedback *f, const struct mapped *m)
{
    const char *at = m->data, *end, *stop;
    int64_t n = 0, bad = 0;

    if (!at)
        return 0;
    end = at + m->size;
    while (at < end && (stop = memchr(at, '\n', (size_t)(end - at)))) {
        if (take_line(f, at, (size_t)(stop - at)))
            n++;
        else
            bad++;
        at = stop + 1;
    }
    if (n)
        log_info("feedback.replayed", "file=\"%s\" events=%lld", f->path, (long long)n);
    if (bad)
        log_warn("feedback.replayed", "file=\"%s\" lines=%lld; they are no events, and passed over",
                 f->path, (long long)bad);
    return at - m->data;
}

static bool cut(struct feedback *f)
{
    return ftruncate(f->file, f->size) == 0 && fdatasync(f->file) == 0;
}

static bool replay(struct feedback *f, struct err *err)
{
    struct mapped m = {0};
    int64_t torn;

    if (!file_map(&m, f->path, err))
        return false;
    f->size = take_lines(f, &m);
    torn = (int64_t)m.size - f->size;
    mapped_release(&m);
    if (torn == 0)
        return true;
    log_warn("feedback.torn", "file=\"%s\" bytes=%lld; the last line had no end, and is cut off",
             f->path, (long long)torn);
    return cut(f) || err_errno(err, "cut off the end of", f->path);
}

/* ---- writing ---- */

static bool write_all(int file, const char *bytes, size_t n)
{
    while (n) {
        ssize_t written = write(file, bytes, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

/* All or nothing; what is half there is taken back. */
static bool append(struct feedback *f, const struct buf *lines)
{
    int why;

    if (f->broken)
        return false;
    if (write_all(f->file, lines->data, lines->len) && fdatasync(f->file) == 0) {
        f->size += (int64_t)lines->len;
        return true;
    }
    why = errno;
    f->broken = !cut(f);
    log_warn("feedback.lost", "file=\"%s\" error=\"%s\"; %s", f->path, strerror(why),
             f->broken ? "no more is taken until the server is started anew"
                       : "these events were refused");
    return false;
}

static void take(struct feedback *f, const struct post *p)
{
    const char *at = p->names.data;

    for (int i = 0; i < p->n; i++) {
        const char *user = at, *item = user + strlen(user) + 1;

        at = item + strlen(item) + 1;
        taken_add(f->taken, user, item, p->ms[i]);
    }
}

static void post_free(struct post *p)
{
    buf_release(&p->lines);
    buf_release(&p->names);
    free(p->ms);
    free(p);
}

static void answer(struct post *p, bool written)
{
    struct http_reply *r = http_later_reply(p->later);

    if (written) {
        r->status = 202;
        json_open(&r->body, NULL, '{');
        json_put_int(&r->body, "accepted", p->n);
        json_close(&r->body, '}');
    } else {
        http_reply_detail(r, 503, "The events could not be written");
    }
    http_later_send(p->later);
    post_free(p);
}

/* One write, one flush. */
static void write_posts(struct feedback *f, struct post *posts)
{
    AUTO(buf) lines = {0};
    int64_t n = 0;
    bool written;

    for (const struct post *p = posts; p; p = p->next) {
        buf_put(&lines, p->lines.data, p->lines.len);
        n += p->n;
    }
    written = append(f, &lines);
    pthread_mutex_lock(&f->lock);
    f->counts.events += written ? n : 0;
    f->counts.writes += written;
    f->counts.failed_writes += !written;
    pthread_mutex_unlock(&f->lock);
    for (struct post *p = posts, *next; p; p = next) {
        next = p->next;
        if (written)
            take(f, p);
        answer(p, written);
    }
}

/* All that waits; NULL: it's over. */
static struct post *await_posts(struct feedback *f)
{
    struct post *posts;

    pthread_mutex_lock(&f->lock);
    while (!f->first && !f->over)
        pthread_cond_wait(&f->change, &f->lock);
    posts = f->first;
    f->first = NULL;
    f->end = &f->first;
    f->n_waiting = 0;
    pthread_mutex_unlock(&f->lock);
    return posts;
}

static void *work(void *feedback)
{
    struct feedback *f = feedback;
    struct post *posts;

    while ((posts = await_posts(f)))
        write_posts(f, posts);
    return NULL;
}

static void put_line(struct buf *lines, const struct feedback_event *e)
{
    struct json_out line = {.buf = *lines};

    json_open(&line, NULL, '{');
    json_put_str(&line, "user_id", e->user);
    json_put_str(&line, "parent_asin", e->item);
    json_put_int(&line, "timestamp", e->ms);
    json_close(&line, '}');
    buf_putc(&line.buf, '\n');
    *lines = line.buf;
}

static struct post *post_new(const struct feedback_event *events, int n, struct http_later *later)
{
    struct post *p = xcalloc(1, sizeof *p);

    p->later = later;
    p->n = n;
    p->ms = xmalloc((size_t)n, sizeof *p->ms);
    for (int i = 0; i < n; i++) {
        put_line(&p->lines, &events[i]);
        buf_put(&p->names, events[i].user, strlen(events[i].user) + 1);
        buf_put(&p->names, events[i].item, strlen(events[i].item) + 1);
        p->ms[i] = events[i].ms;
    }
    return p;
}

bool feedback_post(struct feedback *f, const struct feedback_event *events, int n,
                   struct http_later *later)
{
    struct post *p = post_new(events, n, later);
    bool full;

    pthread_mutex_lock(&f->lock);
    full = f->n_waiting == WAITING_MAX;
    if (!full) {
        *f->end = p;
        f->end = &p->next;
        f->n_waiting++;
        pthread_cond_signal(&f->change);
    }
    pthread_mutex_unlock(&f->lock);
    if (full)
        post_free(p);
    return !full;
}

/* ---- the whole ---- */

/* A file that is new is there after a crash only once its folder is on disk. */
static bool open_file(struct feedback *f, struct err *err)
{
    AUTO_FREE char *dir = path_dir(f->path);
    bool is_new = !file_exists(f->path);

    f->file = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (f->file < 0)
        return err_errno(err, "open", f->path);
    if (flock(f->file, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERR_IO,
                             "'%s' is written by another server: each needs a log of its own",
                             f->path)
                   : err_errno(err, "lock", f->path);
    return !is_new || dir_sync(dir, err);
}

static bool is_regular(int file)
{
    struct stat st;

    return fstat(file, &st) == 0 && S_ISREG(st.st_mode);
}

static void feedback_free(struct feedback *f)
{
    if (f->file >= 0)
        close(f->file);
    taken_free(f->taken);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->change);
    free(f->path);
    free(f);
}

bool feedback_open(struct feedback **out, const char *path, struct err *err)
{
    struct feedback *f = xcalloc(1, sizeof *f);
    bool ok;

    f->path = xstrdup(path);
    f->taken = taken_new();
    f->end = &f->first;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->change, NULL);
    ok = open_file(f, err);
    if (ok && !is_regular(f->file))
        ok = err_set(err, ERR_IO, "'%s' is no file: events need one that stays", path);
    ok = ok && replay(f, err);
    if (ok && !thread_start(&f->thread, work, f))
        ok = err_set(err, ERR_IO, "cannot start a thread to write '%s'", path);
    if (!ok) {
        feedback_free(f);
        return false;
    }
    *out = f;
    return true;
}

void feedback_close(struct feedback *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->over = true;
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    feedback_free(f);
}

struct taken *feedback_taken(struct feedback *f)
{
    return f ? f->taken : NULL;
}

struct feedback_counts feedback_counts(struct feedback *f)
{
    struct feedback_counts counts;

    pthread_mutex_lock(&f->lock);
    counts = f->counts;
    pthread_mutex_unlock(&f->lock);
    return counts;
}
