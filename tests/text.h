/* text.h - files of text, for tests. */
#ifndef TEST_TEXT_H
#define TEST_TEXT_H

#include "test.h"

#include "base/file.h"
#include "data/packed.h"

/* Write DIR/NAME, packed as the name says. Its path is to be freed. */
static inline char *put_text(const char *dir, const char *name, const char *text)
{
    char *path = path_join(dir, name);
    struct err err = {0};
    AUTO(text_out) out = {0};

    assert_ok(text_out_open(&out, path, &err), err);
    assert_ok(text_out_write(&out, text, strlen(text), &err), err);
    assert_ok(text_out_commit(&out, &err), err);
    return path;
}

#endif
