-- The rows of a file whose lines are a user and its items in order of time (fates.sql), a row an item.
-- A line with a user alone is a row without an item.

DROP TABLE IF EXISTS reject_errors;
DROP TABLE IF EXISTS reject_scans;

SELECT user_id, item_id, CAST(0 AS BIGINT) AS timestamp, CAST(NULL AS FLOAT) AS rating,
       fate(false, user_id, item_id, NULL, NULL, NULL) AS fate
FROM (SELECT f[1] AS user_id, unnest(CASE WHEN len(f) > 1 THEN f[2:] ELSE [NULL] END) AS item_id
      FROM (SELECT string_split_regex(trim(line, E' \t'), '[ \t]+') AS f
            FROM text_lines(0)
            WHERE trim(line, E' \t') <> ''));
