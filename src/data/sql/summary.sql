-- What summary.c reads of the labelled rows; each view is read once.
--
-- bin_ms, bin_origin   of summary_bins: width of a bin, and a time at which one starts

CREATE VIEW summary_parts AS
SELECT part = 'train' AS is_train, part = 'val' AS is_val, timestamp FROM labelled;

-- First and last time of each part; of an empty part the last is before the first.
CREATE VIEW summary_times AS
SELECT coalesce(min(timestamp) FILTER (is_train), 9223372036854775807) AS first_train,
       coalesce(max(timestamp) FILTER (is_train), -1) AS last_train,
       coalesce(min(timestamp) FILTER (is_val), 9223372036854775807) AS first_val,
       coalesce(max(timestamp) FILTER (is_val), -1) AS last_val,
       coalesce(min(timestamp) FILTER (NOT is_train AND NOT is_val), 9223372036854775807)
           AS first_test,
       coalesce(max(timestamp) FILTER (NOT is_train AND NOT is_val), -1) AS last_test
FROM summary_parts;

-- Rows by part for each bin that has any; bins are counted from bin_origin.
CREATE VIEW summary_bins AS
SELECT CAST(floor((timestamp - CAST(getvariable('bin_origin') AS BIGINT))
                  / CAST(getvariable('bin_ms') AS BIGINT)) AS BIGINT) AS bin,
       count(*) FILTER (is_train) AS train,
       count(*) FILTER (is_val) AS val,
       count(*) FILTER (NOT is_train AND NOT is_val) AS test
FROM summary_parts
GROUP BY bin;

CREATE VIEW summary_sizes AS
SELECT count(*) FILTER (is_train) AS train,
       count(*) FILTER (is_val) AS val,
       count(*) FILTER (NOT is_train AND NOT is_val) AS test
FROM summary_parts;

-- How many users have so many rows; the same of items.
CREATE VIEW summary_users AS
SELECT n_rows, count(*) AS n
FROM (SELECT count(*) AS n_rows FROM labelled GROUP BY user_idx)
GROUP BY n_rows
ORDER BY n_rows;

CREATE VIEW summary_items AS
SELECT n_rows, count(*) AS n
FROM (SELECT count(*) AS n_rows FROM labelled GROUP BY item_idx)
GROUP BY n_rows
ORDER BY n_rows;

CREATE VIEW summary_ratings AS
SELECT rating, count(*) AS n
FROM labelled
WHERE isfinite(rating)
GROUP BY rating
ORDER BY rating;
