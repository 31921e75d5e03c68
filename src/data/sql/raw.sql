-- raw: a row for each line of the input, in its order (rowid counts them from 0); a bad line has no
-- timestamp.

CREATE TABLE raw (user_id VARCHAR, item_id VARCHAR, timestamp BIGINT, rating FLOAT);

-- Milliseconds since 1970, or NULL outside the years 1970 to 9999 (so for infinity and NaN).
-- A time below 1e11 is in seconds; in milliseconds that would be a day in 1973.
CREATE MACRO milliseconds(t, is_seconds) AS
    CASE WHEN is_seconds OR abs(t) < 1e11 THEN t * 1000 ELSE t END;

CREATE MACRO valid_time(ms) AS
    CASE WHEN ms >= 0 AND ms < 253402300800000 THEN CAST(floor(ms) AS BIGINT) END;

-- What the readers hand over: text as it stood in the line, NULL where there was none.
CREATE MACRO valid_row_time(user_id, item_id, time_text, is_seconds) AS
    CASE WHEN user_id <> '' AND item_id <> ''
         THEN valid_time(milliseconds(TRY_CAST(time_text AS DOUBLE), is_seconds)) END;

-- A quoted field of a CSV without its quotes.
CREATE MACRO unquoted(field) AS
    CASE WHEN length(field) >= 2 AND starts_with(field, '"') AND ends_with(field, '"')
         THEN replace(field[2:-2], '""', '"') ELSE field END;
