-- The rows of a JSONL file (fates.sql).
--
-- fields   a struct of all names that are looked for: those of ids JSON, the others VARCHAR
-- user_names, item_names, time_names, rating_names   which of these stand for what, by preference
--
-- A line that isn't a JSON object comes as a row of NULLs. Times are read as text, so that a list or
-- a truth value isn't taken for a number. Blank lines are no rows.

SELECT user_id, item_id, ms AS timestamp, rating,
       fate(malformed, user_id, item_id, time_text, ms, rating) AS fate
FROM (
    SELECT json_id(user_json) AS user_id,
           json_id(item_json) AS item_id,
           time_text,
           time_of(time_text, is_seconds) AS ms,
           rating_of(rating_text) AS rating,
           coalesce(user_json, item_json, time_text, rating_text) IS NULL AS malformed
    FROM (
        SELECT CAST(coalesce(*COLUMNS(lambda c: list_contains(getvariable('user_names'), c))) AS VARCHAR)
                   AS user_json,
               CAST(coalesce(*COLUMNS(lambda c: list_contains(getvariable('item_names'), c))) AS VARCHAR)
                   AS item_json,
               coalesce(*COLUMNS(lambda c: list_contains(getvariable('time_names'), c))) AS time_text,
               coalesce(*COLUMNS(lambda c: list_contains(getvariable('rating_names'), c)))
                   AS rating_text,
               list_contains(getvariable('time_names'), 'unixReviewTime')
                   AND unixReviewTime IS NOT NULL
                   AND NOT (list_contains(getvariable('time_names'), 'timestamp')
                            AND timestamp IS NOT NULL) AS is_seconds
        FROM read_json(getvariable('input'), format = 'newline_delimited', ignore_errors = true,
                       columns = getvariable('fields'), compression = getvariable('compression'),
                       maximum_object_size = 33554432)));
