#include "data/timestamp.h"

#include <ctype.h>
#include <math.h>
#include <time.h>

enum { TEXT_MAX = 400 }; /* no number or date is longer */

static const double ms_end = 253402300800000; /* the start of the year 10000 */

/* ---- numbers ---- */

static const char *skip_digits(const char *c)
{
    while (*c >= '0' && *c <= '9')
        c++;
    return c;
}

/* The end of the decimal number that begins there; NULL where none does. strtod alone would take
 * hexadecimal, "inf" and "nan" too. */
static const char *decimal_end(const char *c)
{
    const char *digits = c += *c == '-' || *c == '+', *exponent;

    c = skip_digits(c);
    if (c == digits)
        return NULL;
    if (*c == '.')
        c = skip_digits(c + 1);
    if (*c != 'e' && *c != 'E')
        return c;
    digits = c + 1 + (c[1] == '-' || c[1] == '+');
    exponent = skip_digits(digits);
    return exponent > digits ? exponent : NULL;
}

bool number_parse(const char *text, size_t n, double *out)
{
    char copy[TEXT_MAX + 1];
    const char *end;
    int64_t whole = 0;
    size_t i = 0;

    for (; i < n && i < 15 && text[i] >= '0' && text[i] <= '9'; i++)
        whole = whole * 10 + (text[i] - '0');
    if (i == n && n > 0) { /* nearly all: a short whole number, which a double holds exactly */
        *out = (double)whole;
        return true;
    }
    for (; n > 0 && isspace((unsigned char)*text); text++)
        n--;
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    if (n > TEXT_MAX)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    end = decimal_end(copy);
    *out = strtod(copy, NULL);
    return end == copy + n;
}

/* ---- dates ---- */

/* Seconds since 1970, or -1 for a day that isn't in the calendar. */
static int64_t seconds_of(int year, int month, int day)
{
    struct tm t = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    time_t seconds = timegm(&t); /* brings the 30th of February to the 1st of March */

    return t.tm_mon == month - 1 && t.tm_mday == day ? (int64_t)seconds : -1;
}

/* Exactly n digits. */
static bool take_digits(const char **c, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, ++*c) {
        if (**c < '0' || **c > '9')
            return false;
        *out = *out * 10 + (**c - '0');
    }
    return true;
}

static bool take(const char **c, char what)
{
    return **c == what ? ++*c, true : false;
}

/* Digits after a point, as milliseconds; the rest is dropped. */
static int take_fraction(const char **c)
{
    int ms = 0, unit = 100;

    for (; **c >= '0' && **c <= '9'; ++*c, unit /= 10)
        ms += (**c - '0') * unit;
    return ms;
}

/* "12:30[:05[.25]]" in milliseconds; -1: it isn't. */
static int64_t take_clock(const char **c)
{
    int hour, minute, second = 0, ms = 0;

    if (!take_digits(c, 2, &hour) || !take(c, ':') || !take_digits(c, 2, &minute))
        return -1;
    if (take(c, ':')) {
        if (!take_digits(c, 2, &second))
            return -1;
        if (take(c, '.'))
            ms = take_fraction(c);
    }
    return hour > 23 || minute > 59 || second > 59
               ? -1
               : ((hour * 60 + minute) * 60 + second) * 1000 + ms;
}

/* "Z", "+02:00", "-0530", "+02" or nothing: how far ahead of UTC, in milliseconds. */
static bool take_zone(const char **c, int64_t *ahead)
{
    bool behind = **c == '-';
    int hours, minutes = 0;

    *ahead = 0;
    if (!**c || take(c, 'Z'))
        return true;
    if (!take(c, '+') && !take(c, '-'))
        return false;
    if (!take_digits(c, 2, &hours) || (**c && (take(c, ':'), !take_digits(c, 2, &minutes))))
        return false;
    *ahead = (hours * 60 + minutes) * INT64_C(60000) * (behind ? -1 : 1);
    return true;
}

static bool iso_parse(const char *c, int64_t *ms)
{
    int year, month, day;
    int64_t seconds, clock = 0, ahead = 0;

    if (!take_digits(&c, 4, &year) || !take(&c, '-') || !take_digits(&c, 2, &month) ||
        !take(&c, '-') || !take_digits(&c, 2, &day))
        return false;
    seconds = seconds_of(year, month, day);
    if (take(&c, 'T') || take(&c, ' ')) {
        clock = take_clock(&c);
        if (!take_zone(&c, &ahead))
            return false;
    }
    *ms = seconds * 1000 + clock - ahead;
    return seconds >= 0 && clock >= 0 && !*c;
}

static bool month_day_year_parse(const char *text, int64_t *ms)
{
    int month, day, year, end = 0;

    if (sscanf(text, "%2d %2d, %4d%n", &month, &day, &year, &end) != 3 || text[end])
        return false;
    *ms = seconds_of(year, month, day) * 1000;
    return true;
}

bool timestamp_parse(const char *text, size_t n, bool always_seconds, int64_t *ms)
{
    char copy[TEXT_MAX + 1];
    double number;

    if (number_parse(text, n, &number)) {
        number *= always_seconds || fabs(number) < 1e11 ? 1000 : 1;
        if (!(number >= 0 && number < ms_end))
            return false;
        *ms = (int64_t)floor(number);
        return true;
    }
    if (n > TEXT_MAX)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return (iso_parse(copy, ms) || month_day_year_parse(copy, ms)) && *ms >= 0 &&
           (double)*ms < ms_end;
}
