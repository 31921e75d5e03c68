-- users, items: the kept ids in the order of their bytes, so that rowid is the index; `number` is the
-- one that the dictionaries gave.

CREATE TABLE users AS
SELECT d.user_id, CAST(d.rowid AS INTEGER) AS number
FROM user_dict d JOIN kept_users() k ON d.rowid = k.number
ORDER BY d.user_id;

CREATE TABLE items AS
SELECT d.item_id, CAST(d.rowid AS INTEGER) AS number
FROM item_dict d JOIN kept_items() k ON d.rowid = k.number
ORDER BY d.item_id;

DROP TABLE user_dict;
DROP TABLE item_dict;
