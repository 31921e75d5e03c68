#include "track/origin.h"

#include "base/file.h"

#include <pwd.h>
#include <unistd.h>

char *origin_user(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    const char *name = getenv("LOGNAME");

    if (entry && *entry->pw_name)
        name = entry->pw_name;
    return xstrdup(name && *name ? name : "unknown");
}

char *origin_host(void)
{
    char name[256] = {0};

    return xstrdup(gethostname(name, sizeof name - 1) ? "unknown" : name);
}

/* ---- git's files ---- */

/* The first line, to be freed; NULL: there is no such file. */
static char *first_line(const char *path)
{
    AUTO(buf) text = {0};
    struct err ignored;

    if (!file_read(path, 1 << 20, &text, &ignored))
        return NULL;
    return xstrndup(buf_str(&text), strcspn(buf_str(&text), "\r\n"));
}

static char *first_line_in(const char *dir, const char *name)
{
    AUTO_FREE char *path = path_join(dir, name);

    return first_line(path);
}

/* The folder with HEAD, in this folder or one above: .git, or what a file .git names. */
static char *git_dir(void)
{
    AUTO_FREE char *at = realpath(".", NULL);

    while (at && *at) {
        AUTO_FREE char *git = path_join(at, ".git"), *named = first_line(git);

        if (named && !strncmp(named, "gitdir: ", 8))
            return named[8] == '/' ? xstrdup(named + 8) : path_join(at, named + 8);
        if (file_exists(git))
            return xstrdup(git);
        *strrchr(at, '/') = '\0';
    }
    return NULL;
}

/* In packed-refs: "COMMIT refs/heads/main" */
static char *packed(const char *dir, const char *ref)
{
    AUTO_FREE char *path = path_join(dir, "packed-refs");
    AUTO(buf) text = {0};
    struct err ignored;
    size_t n = strlen(ref);

    if (!file_read(path, 64 << 20, &text, &ignored))
        return NULL;
    for (const char *line = buf_str(&text); *line; line += strcspn(line, "\n") + 1) {
        const char *name = line + strcspn(line, " \n");

        if (*name == ' ' && !strncmp(name + 1, ref, n) && strchr("\r\n", name[1 + n]))
            return xstrndup(line, (size_t)(name - line));
        if (!line[strcspn(line, "\n")])
            break;
    }
    return NULL;
}

/* A worktree has the branches of its main folder. */
static char *resolve(const char *dir, const char *ref)
{
    AUTO_FREE char *above = first_line_in(dir, "commondir"), *common = NULL;
    char *commit = first_line_in(dir, ref);

    if (commit)
        return commit;
    common = !above ? xstrdup(dir) : *above == '/' ? xstrdup(above) : path_join(dir, above);
    commit = first_line_in(common, ref);
    return commit ? commit : packed(common, ref);
}

char *origin_commit(void)
{
    AUTO_FREE char *dir = git_dir(), *head = dir ? first_line_in(dir, "HEAD") : NULL;

    if (!head)
        return NULL;
    return strncmp(head, "ref: ", 5) ? xstrdup(head) : resolve(dir, head + 5);
}
