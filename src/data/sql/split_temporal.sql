-- One cut in time for all users, so that rows of one time never fall on both sides: train is before
-- the time of row floor(n * train_ratio) when all n are sorted by time (from 0), test from that of row
-- floor(n * until_val) on, where until_val is the sum of the ratios. (A row past the end has no time: all
-- rows are before it.)

CREATE TABLE by_time AS SELECT timestamp FROM kept ORDER BY timestamp;

SET VARIABLE cut1 = coalesce(
    (SELECT timestamp FROM by_time
     WHERE rowid = CAST(floor((SELECT count(*) FROM kept) * getvariable('train_ratio')) AS BIGINT)),
    9223372036854775807);
SET VARIABLE cut2 = coalesce(
    (SELECT timestamp FROM by_time
     WHERE rowid = CAST(floor((SELECT count(*) FROM kept) * getvariable('until_val')) AS BIGINT)),
    9223372036854775807);

DROP TABLE by_time;

CREATE VIEW labelled AS
SELECT *,
       CASE WHEN timestamp < getvariable('cut1') THEN 'train'
            WHEN timestamp < getvariable('cut2') THEN 'val'
            ELSE 'test' END AS part
FROM kept;
