-- The rows of a file whose lines are a user and its items in order of time, a row an item, in the file's
-- order; of a line with a user alone, one without an item. Columns as in read_csv.sql.

DROP TABLE IF EXISTS reject_errors;
DROP TABLE IF EXISTS reject_scans;

SELECT f[1] AS user_id, unnest(CASE WHEN len(f) > 1 THEN f[2:] ELSE [NULL] END) AS item_id,
       CAST(NULL AS VARCHAR) AS time, CAST(NULL AS VARCHAR) AS rating, false AS is_seconds
FROM (SELECT string_split_regex(trim(line, E' \t'), '[ \t]+') AS f
      FROM text_lines(0)
      WHERE trim(line, E' \t') <> '');
