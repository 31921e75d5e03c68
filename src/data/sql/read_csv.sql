-- Append the lines of a CSV file to `raw`.
--
-- input, compression            the file; 'gzip' or 'uncompressed'
-- skip                          line ends up to the header's first one
-- delimiter, n_columns          as the header has them
-- quoted_field                  regular expression of a delimiter and the field after it
-- user_at, item_at, time_at, rating_at   columns counted from 1; rating_at may be 0
-- is_seconds                    whatever the size of the time
--
-- Each line is read as one text and taken apart here: a stray quote then costs its own line at most,
-- and each line keeps its row. A line that has quotes is read as a quoted one if that gives the
-- header's number of columns, else as a plain one. Lines of invalid UTF-8 go to reject_errors.
-- A \r and a \n each end a line, so that both kinds of files, and mixtures, are read alike; the blank
-- lines in between are dropped.

DROP TABLE IF EXISTS reject_errors;
DROP TABLE IF EXISTS reject_scans;

INSERT INTO raw
SELECT user_id,
       item_id,
       valid_row_time(user_id, item_id, time_text, getvariable('is_seconds')),
       TRY_CAST(rating AS FLOAT)
FROM (
    SELECT CASE WHEN fits THEN unquoted(f[getvariable('user_at')]) END AS user_id,
           CASE WHEN fits THEN unquoted(f[getvariable('item_at')]) END AS item_id,
           unquoted(f[getvariable('time_at')]) AS time_text,
           unquoted(f[getvariable('rating_at')]) AS rating
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
                FROM read_csv(getvariable('input'), auto_detect = false, header = false,
                              skip = getvariable('skip'), delim = E'\x1e\x1f', quote = '',
                              escape = '', columns = {'line': 'VARCHAR'},
                              max_line_size = 16777216, buffer_size = 33554432,
                              compression = getvariable('compression'),
                              strict_mode = false, new_line = '\n',
                              ignore_errors = true, store_rejects = true, rejects_limit = 0)
                WHERE line IS NOT NULL))
);
