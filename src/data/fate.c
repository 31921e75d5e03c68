#include "data/fate.h"

#include "base/json.h"
#include "data/timestamp.h"

#include <float.h>
#include <math.h>

/* A JSON string with escapes in it. Returns what to free. */
static char *unescape(struct duck_string json, struct duck_string *out)
{
    AUTO(json_doc) doc = {0};
    struct err ignored;
    char *text;

    *out = (struct duck_string){0};
    if (!json_parse(&doc, json.bytes, json.len, &ignored)) /* it has a NUL */
        return NULL;
    text = xstrdup(json_text(doc.root));
    *out = (struct duck_string){text, json_text_len(doc.root)};
    return text;
}

static bool is_whole_number(struct duck_string s)
{
    size_t i = s.len > 1 && s.bytes[0] == '-';

    for (; i < s.len; i++)
        if (s.bytes[i] < '0' || s.bytes[i] > '9')
            return false;
    return s.len > 0;
}

/* The id that a JSON value is; none for what is neither text nor a whole number. */
static char *id_of_json(struct duck_string json, struct duck_string *out)
{
    bool is_text = json.len >= 2 && json.bytes[0] == '"';

    if (is_text && memchr(json.bytes, '\\', json.len))
        return unescape(json, out);
    if (is_text)
        *out = (struct duck_string){json.bytes + 1, json.len - 2};
    else
        *out = is_whole_number(json) ? json : (struct duck_string){0};
    return NULL;
}

static float rating_of(struct duck_string text)
{
    double x;

    return text.bytes && number_parse(text.bytes, text.len, &x) && fabs(x) <= (double)FLT_MAX
               ? (float)x
               : NAN;
}

/* There is an id, and no NUL in it: what reads it later ends there. */
static bool is_id(struct duck_string id)
{
    return id.bytes && id.len > 0 && !memchr(id.bytes, '\0', id.len);
}

enum fate fate_of(const struct fate_rules *rules, const struct fate_texts *t, struct fate_row *row)
{
    *row = (struct fate_row){.user = t->user, .item = t->item, .rating = rating_of(t->rating)};
    if (rules->nulls_are_malformed && !t->user.bytes && !t->item.bytes && !t->time.bytes &&
        !t->rating.bytes)
        return FATE_MALFORMED;
    if (rules->is_json) {
        row->owned_user = id_of_json(t->user, &row->user);
        row->owned_item = id_of_json(t->item, &row->item);
    }
    if (!is_id(row->user) || !is_id(row->item) || (rules->has_times && t->time.len == 0))
        return FATE_MISSING_FIELD;
    if (rules->has_times && !timestamp_parse(t->time.bytes, t->time.len, t->is_seconds, &row->time))
        return FATE_OUT_OF_RANGE;
    if (!isnan(rules->min_rating) && !((double)row->rating >= rules->min_rating))
        return FATE_BELOW_MIN_RATING;
    if (rules->has_times && (row->time < rules->after || row->time >= rules->before))
        return FATE_OUTSIDE_DATES;
    return FATE_VALID;
}
