-- One cut in time for all users, so that rows of one time never fall on both sides: train is before
-- the time of the row train_end when all are sorted by time (from 0), test from that of the row
-- val_end on. (A row past the end has no time: all rows are before it.)

CREATE TABLE by_time AS SELECT timestamp FROM kept ORDER BY timestamp;

SET VARIABLE cut1 = coalesce(
    (SELECT timestamp FROM by_time WHERE rowid = getvariable('train_end')), 9223372036854775807);
SET VARIABLE cut2 = coalesce(
    (SELECT timestamp FROM by_time WHERE rowid = getvariable('val_end')), 9223372036854775807);

DROP TABLE by_time;

CREATE VIEW labelled AS
SELECT *,
       CASE WHEN timestamp < getvariable('cut1') THEN 'train'
            WHEN timestamp < getvariable('cut2') THEN 'val'
            ELSE 'test' END AS part
FROM kept;
