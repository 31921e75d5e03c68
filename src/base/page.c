#include "base/page.h"

#include "base/file.h"
#include "base/html.h"

void page_open(struct buf *b, const char *title)
{
    buf_puts(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    html_put_text(b, title);
    buf_printf(b, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", page_style);
}

void page_close(struct buf *b)
{
    buf_puts(b, "</main>\n</body>\n</html>\n");
}

bool page_write(const char *path, const struct buf *page, struct err *err)
{
    AUTO_FREE char *dir = path_dir(path);

    return dir_create(dir, err) && file_write(path, page->data, page->len, err);
}

void page_open_header(struct buf *b, const char *what, const char *title)
{
    buf_printf(b, "<header>\n<p class=\"over\">%s</p>\n<h1>", what);
    html_put_text(b, title);
    buf_puts(b, "</h1>\n");
}

void page_open_card(struct buf *b, const char *id, const char *title)
{
    buf_printf(b, "<section class=\"card %s\" aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id,
               id, id, title);
}

void page_close_card(struct buf *b)
{
    buf_puts(b, "</section>\n");
}

void page_open_table(struct buf *b, const char *columns)
{
    buf_puts(b, "<table>\n<thead><tr>");
    while (*columns) {
        int n = (int)strcspn(columns, "|");

        buf_printf(b, "<th scope=\"col\">%.*s</th>", n, columns);
        columns += n + (columns[n] == '|');
    }
    buf_puts(b, "</tr></thead>\n<tbody>\n");
}

void page_close_table(struct buf *b)
{
    buf_puts(b, "</tbody>\n</table>\n");
}

void page_open_wide_table(struct buf *b, const char *columns)
{
    buf_puts(b, "<div class=\"scroll\" tabindex=\"0\">\n");
    page_open_table(b, columns);
}

void page_close_wide_table(struct buf *b)
{
    page_close_table(b);
    buf_puts(b, "</div>\n");
}

void page_open_details(struct buf *b, const char *columns)
{
    buf_puts(b, "<details>\n<summary>The numbers</summary>\n");
    page_open_wide_table(b, columns);
}

void page_close_details(struct buf *b)
{
    page_close_wide_table(b);
    buf_puts(b, "</details>\n");
}

void page_put_cell(struct buf *b, int64_t n)
{
    buf_puts(b, "<td>");
    html_put_int(b, n);
    buf_puts(b, "</td>");
}

void page_put_track(struct buf *b, const char *class, double from, double to)
{
    buf_printf(b,
               "<span class=\"track\" aria-hidden=\"true\"><i class=\"%s\" "
               "style=\"left:min(%.3f%%,100%% - 2px);width:%.3f%%\"></i></span>",
               class, 100 * from, 100 * (to - from));
}
