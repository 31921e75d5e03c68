-- Append the lines of a JSONL file to `raw`.
--
-- input, compression   the file; 'gzip' or 'uncompressed'
-- fields               a struct of all names that are looked for, each VARCHAR: order is preference
-- user_names, item_names, time_names, rating_names   which of these stand for what
--
-- A line that isn't a JSON object comes as a row of NULLs. Everything is read as text, so that a time
-- that is a list or a truth value isn't taken for a number. Blank lines are no rows.

INSERT INTO raw
SELECT user_id,
       item_id,
       valid_row_time(user_id, item_id, time_text, is_seconds),
       TRY_CAST(rating AS FLOAT)
FROM (
    SELECT coalesce(*COLUMNS(lambda c: list_contains(getvariable('user_names'), c))) AS user_id,
           coalesce(*COLUMNS(lambda c: list_contains(getvariable('item_names'), c))) AS item_id,
           coalesce(*COLUMNS(lambda c: list_contains(getvariable('time_names'), c))) AS time_text,
           coalesce(*COLUMNS(lambda c: list_contains(getvariable('rating_names'), c))) AS rating,
           list_contains(getvariable('time_names'), 'unixReviewTime') AND unixReviewTime IS NOT NULL
               AND NOT (list_contains(getvariable('time_names'), 'timestamp')
                        AND timestamp IS NOT NULL) AS is_seconds
    FROM read_json(getvariable('input'), format = 'newline_delimited', ignore_errors = true,
                   columns = getvariable('fields'), compression = getvariable('compression'))
);
