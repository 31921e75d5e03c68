-- The rows of a JSONL file, in its order, as the text that stood there: user_id, item_id (as JSON, so that
-- a text can be told from a list or a truth value), time, rating, is_seconds.
--
-- fields   a struct of all names that are looked for: those of ids JSON, the others VARCHAR
-- user_names, item_names, time_names, rating_names   which of these stand for what, by preference
--
-- line_bytes   of the longest line that is read; the reader's buffers are multiples of it
--
-- A line that isn't a JSON object comes as a row of NULLs. Blank lines are no rows.

SELECT CAST(coalesce(*COLUMNS(lambda c: list_contains(getvariable('user_names'), c))) AS VARCHAR)
           AS user_id,
       CAST(coalesce(*COLUMNS(lambda c: list_contains(getvariable('item_names'), c))) AS VARCHAR)
           AS item_id,
       coalesce(*COLUMNS(lambda c: list_contains(getvariable('time_names'), c))) AS time,
       coalesce(*COLUMNS(lambda c: list_contains(getvariable('rating_names'), c))) AS rating,
       list_contains(getvariable('time_names'), 'unixReviewTime') AND unixReviewTime IS NOT NULL
           AND NOT (list_contains(getvariable('time_names'), 'timestamp') AND timestamp IS NOT NULL)
           AS is_seconds
FROM read_json(getvariable('input'), format = 'newline_delimited', ignore_errors = true,
               columns = getvariable('fields'), compression = getvariable('compression'),
               maximum_object_size = getvariable('line_bytes'));
