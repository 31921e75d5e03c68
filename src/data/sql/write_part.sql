-- One part of the dataset as Parquet, in the order of `labelled`: `part`, to the file `output`.

COPY (SELECT user_idx, item_idx, timestamp, rating
      FROM labelled WHERE part = getvariable('part'))
TO (getvariable('output')) (FORMAT parquet);
