-- One part of the dataset as Parquet: `part`, to the file `output`.

COPY (SELECT user_idx, item_idx, timestamp, rating
      FROM labelled WHERE part = getvariable('part') ORDER BY n)
TO (getvariable('output')) (FORMAT parquet);
