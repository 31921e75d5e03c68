/* timestamp.h - the times that stand in files of reviews, as milliseconds since 1970. */
#ifndef KINDRED_TIMESTAMP_H
#define KINDRED_TIMESTAMP_H

#include "base/base.h"

/* Milliseconds of each. */
#define MS_SECOND 1000LL
#define MS_MINUTE (60 * MS_SECOND)
#define MS_HOUR   (60 * MS_MINUTE)
#define MS_DAY    (24 * MS_HOUR)
#define MS_WEEK   (7 * MS_DAY)

/* Text as a number, blanks around it apart: decimal, with or without fraction and exponent.
 * Infinite where it's larger than a double. */
NODISCARD bool number_parse(const char *text, size_t n, double *out);

/* Any of these, within the years 1970 to 9999, rounded down:
 *   - a number: seconds where always_seconds, or below 1e11 (in milliseconds that would be a day in
 *     1973); else milliseconds;
 *   - a date as in ISO 8601: 2015-09-04, 2015-09-04 12:30:05.25, 2015-09-04T12:30:05Z, ...+02:00;
 *   - month, day, year as in Amazon's reviewTime: 09 4, 2015;
 * in UTC where no zone is said. */
NODISCARD bool timestamp_parse(const char *text, size_t n, bool always_seconds, int64_t *ms);

#endif
