-- A user's last row is test, the one before val; a user with fewer than 3 rows is all train. Rows of
-- one time keep the input's order, in which `kept` has them.

CREATE TABLE last_rows AS
SELECT user_idx, max(n) AS last, count(*) AS rows FROM kept GROUP BY user_idx;

CREATE TABLE labelled AS
SELECT kept.*,
       CASE WHEN rows < 3 THEN 'train'
            WHEN n = last THEN 'test'
            WHEN n = last - 1 THEN 'val'
            ELSE 'train' END AS part
FROM kept JOIN last_rows USING (user_idx) ORDER BY n;
