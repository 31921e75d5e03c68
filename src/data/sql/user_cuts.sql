-- For the splits that cut each user's rows by time. They fill the table cuts and label by cut_times():
-- `start` is the n of the user's first row, cut 1 stands at the time of the user's row a (from 0), cut 2
-- at that of row b; past the end there is no cut. Rows of one time are never apart; those of the user's
-- first time are always train, so that nobody is without.

CREATE TABLE cuts (user_idx INTEGER, start BIGINT, a BIGINT, b BIGINT);

CREATE MACRO cut_times() AS TABLE
SELECT user_idx,
       min(timestamp) AS first,
       coalesce(min(timestamp) FILTER (n - start >= a), 9223372036854775807) AS cut1,
       coalesce(min(timestamp) FILTER (n - start >= b), 9223372036854775807) AS cut2
FROM kept JOIN cuts USING (user_idx) GROUP BY user_idx;

CREATE MACRO part_of(t, first, cut1, cut2) AS
    CASE WHEN t = first OR t < cut1 THEN 'train'
         WHEN t < cut2 THEN 'val'
         ELSE 'test' END;
