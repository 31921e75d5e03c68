-- The ids behind the indices as Parquet, with what is known of the items.

COPY (SELECT CAST(rowid AS INTEGER) AS user_idx, user_id FROM users ORDER BY rowid)
TO (getvariable('users_output')) (FORMAT parquet);

COPY (SELECT CAST(items.rowid AS INTEGER) AS item_idx, item_id, title, price, main_category,
             categories, store, image
      FROM items LEFT JOIN item_meta ON item_meta.item_idx = items.rowid ORDER BY items.rowid)
TO (getvariable('items_output')) (FORMAT parquet);
