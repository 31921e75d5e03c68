/* The page: whole HTML whatever the dataset, with every number, that needs nothing from outside. */
#include "test.h"

#include "base/file.h"
#include "base/html.h"
#include "data/report_page.h"

static char *dir, *path;

static int set_up(void **)
{
    dir = temp_path("report");
    path = path_join(dir, "page.html");
    return 0;
}

static int tear_down(void **)
{
    dir_remove(dir);
    free(path);
    free(dir);
    return 0;
}

/* Rows that a query gives as (user, item, time, rating, part). */
static void summarize(const char *rows, bool has_times, struct summary *s)
{
    AUTO_FREE char *sql =
        xasprintf("CREATE VIEW labelled AS SELECT CAST(u AS INTEGER) AS user_idx,"
                  " CAST(i AS INTEGER) AS item_idx, CAST(t AS BIGINT) AS timestamp,"
                  " CAST(r AS FLOAT) AS rating, 0 AS n, part FROM (%s) x(u, i, t, r, part)",
                  rows);
    AUTO(duck) d = {0};
    struct err err = {0};

    assert_ok(duck_open(&d, NULL, &err), err);
    assert_ok(duck_exec(&d, sql, &err), err);
    assert_ok(summary_collect(&d, has_times, s, &err), err);
}

static void write_page(const struct report_page *p, struct buf *html)
{
    struct err err = {0};

    assert_ok(report_page_write(path, p, &err), err);
    assert_ok(file_read(path, 10000000, html, &err), err);
}

/* ---- is it well formed? ---- */

static bool is_void(const char *tag)
{
    return !strcmp(tag, "meta") || !strcmp(tag, "!doctype");
}

/* Each tag that opens is closed by its own name, in turn; every & begins an entity. */
static void assert_well_formed(const char *html)
{
    char open[64][16], tag[16];
    int depth = 0;

    for (const char *c = html; *c; c++) {
        size_t n;

        if (*c == '&') {
            n = strspn(c + 1, "abcdefghijklmnopqrstuvwxyz#0123456789");
            assert_in_range(n, 2, 5);
            assert_int_equal(c[1 + n], ';');
        }
        if (*c != '<')
            continue;
        n = strcspn(c + 1, " >/\n") + (c[1] == '/' ? 1 + strcspn(c + 2, ">") : 0);
        assert_in_range(n, 1, sizeof tag - 1);
        snprintf(tag, sizeof tag, "%.*s", (int)n, c + 1);
        c += strcspn(c, ">");
        assert_int_equal(*c, '>');
        if (tag[0] == '/') {
            assert_true(depth > 0);
            assert_string_equal(tag + 1, open[--depth]);
        } else if (!is_void(tag) && c[-1] != '/') {
            assert_true(depth < ARRAY_LEN(open));
            snprintf(open[depth++], sizeof tag, "%s", tag);
        }
    }
    assert_int_equal(depth, 0);
}

static void assert_needs_nothing(const char *html)
{
    static const char *const outside[] = {"http:",   "https:", "//",   "url(",
                                          "@import", "<link",  "<img", "<script"};

    for (int i = 0; i < ARRAY_LEN(outside); i++)
        if (strstr(html, outside[i]))
            fail_msg("'%s' is in the page", outside[i]);
}

/* ---- tests ---- */

static const struct report_step funnel[] = {
    {"lines read", 1234567}, {"malformed", 7}, {"out of range", 0}, {"kept", 1234560}};
static const struct report_fact facts[] = {{"min_user", "5"}, {"digest", "0ddaba"}};

static struct report_page page_of(const struct summary *s)
{
    return (struct report_page){"data/x", funnel, ARRAY_LEN(funnel), facts, ARRAY_LEN(facts), s};
}

static void a_page_is_whole_whatever_the_dataset(void **)
{
    static const char *const datasets[] = {
        "SELECT 0, 0, 0, NULL, 'train'",
        "SELECT 0, 0, 253402300799999, 1e30, 'test'",
        "SELECT range, range % 7, range, 5, 'train' FROM range(100)",
        "SELECT range % 90, 0, range * 1000000000, range / 7, ['train', 'val', 'test'][1 + range "
        "// "
        "34] FROM range(100)",
        "SELECT range % 90, hash(range) % 70, 1e12 + range * 900, -range, "
        "['train', 'val', 'test'][1 + range % 3] FROM range(10000)",
        "SELECT range // 50, range % 50, range * 2534023007, NULL, "
        "['train', 'test'][1 + range // 90000] FROM range(100000)",
    };

    for (int i = 0; i < ARRAY_LEN(datasets); i++)
        for (int has_times = 0; has_times < 2; has_times++) {
            AUTO(buf) html = {0};
            struct summary s;
            struct report_page p;

            summarize(datasets[i], has_times, &s);
            p = page_of(&s);
            write_page(&p, &html);
            assert_well_formed(buf_str(&html));
            assert_needs_nothing(buf_str(&html));
            assert_null(strstr(buf_str(&html), "nan"));
            assert_null(strstr(buf_str(&html), ":inf"));
            assert_int_equal(strstr(buf_str(&html), "Rows over time") != NULL, has_times);
            assert_int_equal(strstr(buf_str(&html), ">Ratings<") != NULL, s.n_ratings > 0);
        }
}

static void every_number_of_the_funnel_and_of_the_bins_is_there(void **)
{
    AUTO(buf) html = {0};
    struct summary s;
    struct report_page p;

    summarize("SELECT range % 90, range % 70, range * 1e8, range % 3, "
              "['train', 'val', 'test'][1 + range // 4000] FROM range(12000)",
              true, &s);
    p = page_of(&s);
    write_page(&p, &html);
    for (int i = 0; i < ARRAY_LEN(funnel); i++) {
        AUTO(buf) want = {0};

        buf_printf(&want, "%s</span><span class=\"n\">", funnel[i].what);
        html_put_int(&want, funnel[i].n);
        buf_puts(&want, "</span>");
        assert_contains(buf_str(&html), buf_str(&want));
    }
    for (int i = 0; i < s.n_bins; i++) {
        AUTO(buf) want = {0};

        for (int part = 0; part < DATASET_PARTS; part++) {
            buf_puts(&want, "<td>");
            html_put_int(&want, s.bins[i][part]);
            buf_puts(&want, "</td>");
        }
        assert_contains(buf_str(&html), buf_str(&want));
    }
    assert_contains(buf_str(&html), "<b>4,000</b> <span>33.3 %</span>");
    assert_contains(buf_str(&html), "val from 4 Sep 1982");  /* 4000e8 ms */
    assert_contains(buf_str(&html), "test from 9 May 1995"); /* 8000e8 ms */
    assert_contains(buf_str(&html), "<dt>digest</dt><dd>0ddaba</dd>");
}

static void text_from_outside_stays_text(void **)
{
    static const char evil[] = "</title><script>\"'&amp;";
    static const char want[] = "&lt;/title&gt;&lt;script&gt;&quot;&#39;&amp;amp;";
    const struct report_step steps[] = {{evil, 3}, {evil, 2}, {evil, 1}};
    const struct report_fact fact = {evil, evil};
    AUTO(buf) html = {0};
    struct summary s;
    int n = 0;

    summarize("SELECT 0, 0, 0, NULL, 'train'", true, &s);
    write_page(&(struct report_page){evil, steps, 3, &fact, 1, &s}, &html);
    assert_well_formed(buf_str(&html));
    assert_needs_nothing(buf_str(&html));
    for (const char *c = buf_str(&html); (c = strstr(c, want)); c++)
        n++;
    assert_int_equal(n, 2 + 3 + 2); /* title and heading, funnel, fact */
}

static void numbers_are_written_for_people(void **)
{
    static const struct {
        int64_t n;
        const char *want;
    } ints[] = {{0, "0"},
                {999, "999"},
                {1000, "1,000"},
                {-1, "-1"},
                {-999999, "-999,999"},
                {1234567, "1,234,567"},
                {INT64_MIN, "-9,223,372,036,854,775,808"}};
    static const struct {
        double share;
        const char *want;
    } shares[] = {{0, "0 %"}, {1, "100 %"}, {0.342, "34.2 %"}, {0.0004, "&lt; 0.1 %"}};

    for (int i = 0; i < ARRAY_LEN(ints); i++) {
        AUTO(buf) b = {0};

        html_put_int(&b, ints[i].n);
        assert_string_equal(buf_str(&b), ints[i].want);
    }
    for (int i = 0; i < ARRAY_LEN(shares); i++) {
        AUTO(buf) b = {0};

        html_put_share(&b, shares[i].share);
        assert_string_equal(buf_str(&b), shares[i].want);
    }
}

static void a_page_that_cannot_be_written_is_named(void **)
{
    AUTO_FREE char *below = xasprintf("%s/page.html", path); /* a file where a folder is needed */
    struct err err = {0};
    struct summary s;
    struct report_page p;

    summarize("SELECT 0, 0, 0, NULL, 'train'", false, &s);
    p = page_of(&s);
    assert_ok(report_page_write(path, &p, &err), err);
    assert_false(report_page_write(below, &p, &err));
    assert_int_equal(err.kind, ERR_IO);
    assert_contains(err.msg, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_whole_whatever_the_dataset),
        cmocka_unit_test(every_number_of_the_funnel_and_of_the_bins_is_there),
        cmocka_unit_test(text_from_outside_stays_text),
        cmocka_unit_test(numbers_are_written_for_people),
        cmocka_unit_test(a_page_that_cannot_be_written_is_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
