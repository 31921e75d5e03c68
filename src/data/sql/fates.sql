-- What the readers share. Each is a query over one file, in its order, whose rows are
--     user_id, item_id   VARCHAR as they stood there, NULL where there was none
--     timestamp          milliseconds since 1970, or NULL
--     rating             FLOAT, or NULL
--     fate               INTEGER, enum fate of ingest.h: the first reason that applies why the row doesn't count
--
-- They look at: input, compression (the file; 'gzip', 'zstd' or 'uncompressed'), has_times, min_rating
-- (or NULL), after, before.

-- Milliseconds, or NULL outside the years 1970 to 9999 (so for infinity and NaN).
CREATE MACRO in_range(ms) AS
    CASE WHEN ms >= 0 AND ms < 253402300800000 THEN CAST(floor(ms) AS BIGINT) END;

-- A time below 1e11 is in seconds; in milliseconds that would be a day in 1973.
CREATE MACRO milliseconds(t, is_seconds) AS
    CASE WHEN is_seconds OR abs(t) < 1e11 THEN t * 1000 ELSE t END;

-- A text as a number; DuckDB would take 1_000 for one too.
CREATE MACRO number_of(text) AS
    CASE WHEN NOT contains(text, '_') THEN TRY_CAST(text AS DOUBLE) END;

-- 2015-09-04, 2015-09-04T12:30:05+02:00, 09 4, 2015; in UTC where no zone is said.
CREATE MACRO date_of(text) AS
    CASE WHEN regexp_matches(text, '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}')
         THEN TRY_CAST(text AS TIMESTAMPTZ)
         ELSE CAST(try_strptime(text, '%m %d, %Y') AS TIMESTAMPTZ) END;

CREATE MACRO time_of(text, is_seconds) AS
    CASE WHEN number_of(text) IS NOT NULL THEN in_range(milliseconds(number_of(text), is_seconds))
         WHEN date_of(text) >= TIMESTAMPTZ '1970-01-01 00:00:00+00'
         THEN in_range(epoch_ms(date_of(text))) END;

-- A rating that is no number is none.
CREATE MACRO rating_of(text) AS
    CASE WHEN isfinite(CAST(number_of(text) AS DOUBLE)) AND abs(number_of(text)) <= 3.4028234e38
         THEN CAST(number_of(text) AS FLOAT) END;

CREATE MACRO fate(malformed, user_id, item_id, time_text, ms, rating) AS
    CASE WHEN malformed THEN 1
         WHEN coalesce(user_id, '') = '' OR coalesce(item_id, '') = ''
              OR (getvariable('has_times') AND coalesce(time_text, '') = '') THEN 2
         WHEN getvariable('has_times') AND ms IS NULL THEN 3
         WHEN getvariable('min_rating') IS NOT NULL
              AND NOT coalesce(rating >= getvariable('min_rating'), false) THEN 4
         WHEN ms < getvariable('after') OR ms >= getvariable('before') THEN 5
         ELSE 0 END;

-- A quoted field of a table without its quotes.
CREATE MACRO unquoted(field) AS
    CASE WHEN length(field) >= 2 AND starts_with(field, '"') AND ends_with(field, '"')
         THEN replace(field[2:-2], '""', '"') ELSE field END;
