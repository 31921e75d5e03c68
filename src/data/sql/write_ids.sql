-- The ids behind the indices as Parquet.

COPY (SELECT CAST(rowid AS INTEGER) AS user_idx, user_id FROM users ORDER BY rowid)
TO (getvariable('users_output')) (FORMAT parquet);

COPY (SELECT CAST(rowid AS INTEGER) AS item_idx, item_id, CAST(NULL AS VARCHAR) AS title
      FROM items ORDER BY rowid)
TO (getvariable('items_output')) (FORMAT parquet);
