-- Recommendations by name: what the source recommended() gives in indices, in its order.

CREATE TABLE user_names AS
SELECT user_idx, user_id FROM read_parquet(getvariable('users_file'));

CREATE TABLE item_names AS
SELECT item_idx, item_id FROM read_parquet(getvariable('items_file'));

CREATE VIEW recommendations AS
SELECT u.user_id, i.item_id, r.rank, r.score
FROM recommended() r
JOIN user_names u ON u.user_idx = r.user_idx
JOIN item_names i ON i.item_idx = r.item_idx;
