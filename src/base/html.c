#include "base/html.h"

void html_put_text(struct buf *b, const char *text)
{
    static const char special[] = "&<>\"'";
    static const char *const escaped[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

    for (;;) {
        size_t n = strcspn(text, special);

        buf_put(b, text, n);
        text += n;
        if (!*text)
            return;
        buf_puts(b, escaped[strchr(special, *text++) - special]);
    }
}

void html_put_int(struct buf *b, int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
            buf_putc(b, ',');
        buf_putc(b, digits[i]);
    }
}

void html_put_share(struct buf *b, double share)
{
    if (share > 0 && share < 0.0005)
        buf_puts(b, "&lt; 0.1 %");
    else if (share == 0 || share == 1)
        buf_puts(b, share == 0 ? "0 %" : "100 %");
    else
        buf_printf(b, "%.1f %%", 100 * share);
}
