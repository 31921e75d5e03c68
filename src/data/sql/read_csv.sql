-- The rows of a delimited text file, in its order, as the text that stood there: user_id, item_id, time,
-- rating, is_seconds; all NULL where a line hasn't the header's number of columns.
--
-- skip                          line ends up to the header's first one
-- delimiter, n_columns          as the header has them
-- quoted_field                  regular expression of a delimiter and the field after it
-- user_at, item_at, time_at, rating_at   columns counted from 1; 0: none
-- is_seconds                    whatever the size of the time
--
-- Each line is read as one text (lines.sql) and taken apart here: a stray quote then costs its own
-- line at most, and each line keeps its row. A line that has quotes is read as a quoted one if that
-- gives the header's number of columns, else as a plain one. Blank lines are no rows.

DROP TABLE IF EXISTS reject_errors;
DROP TABLE IF EXISTS reject_scans;

SELECT CASE WHEN fits THEN unquoted(f[getvariable('user_at')]) END AS user_id,
       CASE WHEN fits THEN unquoted(f[getvariable('item_at')]) END AS item_id,
       CASE WHEN fits THEN unquoted(f[getvariable('time_at')]) END AS time,
       CASE WHEN fits THEN unquoted(f[getvariable('rating_at')]) END AS rating,
       getvariable('is_seconds') AS is_seconds
FROM (SELECT f, len(f) = getvariable('n_columns') AS fits
      FROM (SELECT CASE
                       WHEN NOT contains(line, '"')
                       THEN string_split(line, getvariable('delimiter'))
                       WHEN len(regexp_extract_all(getvariable('delimiter') || line,
                                getvariable('quoted_field'), 1)) = getvariable('n_columns')
                       THEN regexp_extract_all(getvariable('delimiter') || line,
                                getvariable('quoted_field'), 1)
                       ELSE string_split(line, getvariable('delimiter'))
                   END AS f
            FROM text_lines(getvariable('skip'))
            WHERE line >= '!' OR trim(line, E' \t') <> ''));
