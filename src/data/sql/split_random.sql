-- How many of a user's rows each part gets is drawn, as if each row drew its part by itself: x in [0, 1)
-- is train below train_ratio, val below until_val (the sum of the ratios), else test. The earliest rows
-- are then train, the latest test (user_cuts.sql).

INSERT INTO cuts
SELECT user_idx, min(n) AS start,
       count(*) FILTER (x < getvariable('train_ratio')) AS a,
       count(*) FILTER (x < getvariable('until_val')) AS b
FROM (SELECT user_idx, n,
             md5_number_lower(getvariable('seed') || ' ' || n) / 18446744073709551616.0 AS x
      FROM kept)
GROUP BY user_idx;

CREATE TABLE user_cuts AS FROM cut_times();

CREATE TABLE labelled AS
SELECT kept.*, part_of(timestamp, first, cut1, cut2) AS part
FROM kept JOIN user_cuts USING (user_idx) ORDER BY n;
