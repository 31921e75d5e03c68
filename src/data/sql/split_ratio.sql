-- Each user's last part: of m rows cut 1 is at row floor(m * train_ratio), cut 2 at row
-- floor(m * until_val), where until_val is the sum of the ratios (user_cuts.sql).

INSERT INTO cuts
SELECT user_idx, min(n) AS start,
       CAST(floor(count(*) * getvariable('train_ratio')) AS BIGINT) AS a,
       CAST(floor(count(*) * getvariable('until_val')) AS BIGINT) AS b
FROM kept GROUP BY user_idx;

CREATE TABLE user_cuts AS FROM cut_times();

CREATE TABLE labelled AS
SELECT kept.*, part_of(timestamp, first, cut1, cut2) AS part
FROM kept JOIN user_cuts USING (user_idx) ORDER BY n;
