-- text_lines(skip): the lines of the file `input` as they stand there, in its order, without the first
-- `skip`. A \r and a \n each end a line, so that both kinds of files, and mixtures, are read alike; what
-- is empty in between is NULL. line_bytes is the most of a line that is read. Lines of invalid UTF-8 go to reject_errors, which the reader drops first.

CREATE MACRO text_lines(skip_lines) AS TABLE
SELECT line
FROM read_csv(getvariable('input'), auto_detect = false, header = false, skip = skip_lines,
              delim = E'\x1e\x1f', quote = '', escape = '', columns = {'line': 'VARCHAR'},
              max_line_size = getvariable('line_bytes'),
              buffer_size = 2 * getvariable('line_bytes'),
              compression = getvariable('compression'), strict_mode = false, new_line = '\n',
              ignore_errors = true, store_rejects = true, rejects_limit = 0);

-- A quoted field of a table without its quotes.
CREATE MACRO unquoted(field) AS
    CASE WHEN length(field) >= 2 AND starts_with(field, '"') AND ends_with(field, '"')
         THEN replace(field[2:-2], '""', '"') ELSE field END;
