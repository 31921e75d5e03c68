/* outdir: what a reader finds in the folder before, after, and where it can't change as a whole. */
#include "test.h"

#include "base/file.h"
#include "data/outdir.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *const names[] = {"data", "seal"};
static char *base, *folder;

static int set_up(void **)
{
    struct err err;

    base = temp_path("outdir");
    folder = path_join(base, "out");
    return dir_create(base, &err) ? 0 : -1;
}

static int tear_down(void **)
{
    dir_remove(folder);
    dir_remove(base);
    free(base);
    free(folder);
    return 0;
}

static void put_file(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = path_join(dir, name);
    struct err err = {0};

    assert_ok(file_write(path, text, strlen(text), &err), err);
}

static void assert_file(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = path_join(dir, name);
    struct err err = {0};
    AUTO(buf) got = {0};

    if (!text) {
        assert_false(file_exists(path));
        return;
    }
    assert_ok(file_read(path, 100, &got, &err), err);
    assert_string_equal(buf_str(&got), text);
}

static void begin(struct outdir *o, const char *text)
{
    struct err err = {0};

    assert_ok(outdir_open(o, folder, names, 2, &err), err);
    put_file(o->tmp, "data", text);
    put_file(o->tmp, "seal", text);
}

static void write_folder(const char *text)
{
    AUTO(outdir) o = {0};
    struct err err = {0};

    begin(&o, text);
    assert_ok(outdir_commit(&o, &err), err);
}

static void a_folder_appears_with_its_parents(void **)
{
    write_folder("1");
    assert_file(folder, "data", "1");
    assert_file(folder, "seal", "1");
}

static void a_second_one_takes_its_place_and_spares_what_isnt_ours(void **)
{
    AUTO_FREE char *sub = path_join(folder, "sub");
    struct stat before, after;

    write_folder("1");
    put_file(folder, "notes", "mine");
    assert_int_equal(mkdir(sub, 0777), 0);
    put_file(sub, "deep", "mine too");
    assert_int_equal(stat(folder, &before), 0);
    write_folder("2");
    assert_int_equal(stat(folder, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino); /* it did change as a whole */
    assert_file(folder, "data", "2");
    assert_file(folder, "seal", "2");
    assert_file(folder, "notes", "mine");
    assert_file(sub, "deep", "mine too");
    dir_remove(sub);
    assert_int_equal(rmdir(base), -1);
    assert_int_equal(errno, ENOTEMPTY);
}

static void without_commit_nothing_is_left(void **)
{
    AUTO_FREE char *tmp = NULL;

    write_folder("1");
    {
        AUTO(outdir) o = {0};

        begin(&o, "2");
        assert_file(folder, "data", "1");
        tmp = xstrdup(o.tmp);
        assert_true(file_exists(tmp));
    }
    assert_false(file_exists(tmp));
    assert_file(folder, "data", "1");
}

static void the_working_folder_is_written_file_by_file(void **)
{
    char was[4096];
    struct stat before, after;

    write_folder("1");
    put_file(folder, "notes", "mine");
    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(stat(folder, &before), 0);
    assert_int_equal(chdir(folder), 0);
    write_folder("2");
    assert_int_equal(chdir(was), 0);
    assert_int_equal(stat(folder, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_file(folder, "data", "2");
    assert_file(folder, "seal", "2");
    assert_file(folder, "notes", "mine");
}

static void a_link_stays_a_link(void **)
{
    AUTO_FREE char *real = path_join(base, "real");
    struct stat st;

    dir_remove(folder);
    assert_int_equal(mkdir(real, 0777), 0);
    assert_int_equal(symlink("real", folder), 0);
    write_folder("1");
    write_folder("2");
    assert_int_equal(lstat(folder, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_file(real, "data", "2");
    unlink(folder);
    dir_remove(real);
}

/* Leave a temporary folder as a killed run would; returns its path. */
static char *killed_run(void)
{
    AUTO_FREE char *prefix = xasprintf("%s.tmp-", folder);
    pid_t pid = fork();
    char *tmp;
    int status;

    if (pid == 0) {
        struct outdir o = {0};

        begin(&o, "half");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    tmp = xasprintf("%s%ld", prefix, (long)pid);
    assert_true(file_exists(tmp));
    return tmp;
}

static void the_next_run_clears_what_a_killed_one_left(void **)
{
    AUTO_FREE char *tmp = NULL;

    write_folder("1");
    tmp = killed_run();
    assert_file(folder, "data", "1");
    put_file(tmp, "notes", "not ours: it was killed before this moved over");
    write_folder("2");
    assert_false(file_exists(tmp));
    assert_file(folder, "data", "2");
    assert_file(folder, "notes", "not ours: it was killed before this moved over");
}

static void what_a_running_process_writes_is_left_alone(void **)
{
    AUTO_FREE char *tmp = xasprintf("%s.tmp-%ld", folder, (long)getppid());

    assert_int_equal(mkdir(tmp, 0777), 0);
    write_folder("1");
    assert_true(file_exists(tmp));
    rmdir(tmp);
}

static void a_file_in_the_way_is_named(void **)
{
    AUTO(outdir) o = {0};
    AUTO(outdir) below = {0};
    AUTO_FREE char *deeper = path_join(folder, "deeper");
    struct err err = {0};

    dir_remove(folder);
    put_file(base, "out", "mine");
    assert_false(outdir_open(&o, folder, names, 2, &err));
    assert_contains(err.msg, folder);
    assert_false(outdir_open(&below, deeper, names, 2, &err));
    assert_contains(err.msg, folder);
    assert_file(base, "out", "mine");
    unlink(folder);
}

static void folders_on_the_way_go_again_with_what_failed(void **)
{
    AUTO_FREE char *a = path_join(base, "a"), *deep = path_join(a, "b//c/");
    struct err err = {0};
    AUTO(outdir) o = {0};

    assert_ok(outdir_open(&o, deep, names, 2, &err), err);
    assert_true(file_exists(a));
    outdir_release(&o);
    assert_false(file_exists(a));
    assert_true(file_exists(base));
    assert_ok(outdir_open(&o, deep, names, 2, &err), err);
    put_file(o.tmp, "data", "x");
    put_file(o.tmp, "seal", "x");
    assert_ok(outdir_commit(&o, &err), err);
    outdir_release(&o);
    assert_true(file_exists(deep));
    for (const char *const *dir = (const char *const[]){"b/c", "b", "", NULL}; *dir; dir++) {
        AUTO_FREE char *path = path_join(a, *dir);

        dir_remove(path);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_folder_appears_with_its_parents),
        TEST(a_second_one_takes_its_place_and_spares_what_isnt_ours),
        TEST(without_commit_nothing_is_left),
        TEST(the_working_folder_is_written_file_by_file),
        TEST(a_link_stays_a_link),
        TEST(the_next_run_clears_what_a_killed_one_left),
        TEST(what_a_running_process_writes_is_left_alone),
        TEST(a_file_in_the_way_is_named),
        TEST(folders_on_the_way_go_again_with_what_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
