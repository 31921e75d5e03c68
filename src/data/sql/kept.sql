-- users, items: the ids in the order of their bytes, so that rowid is the index. kept: the rows by user,
-- part, time and input; n counts them from 0.

CREATE TABLE users AS FROM kept_users();
CREATE TABLE items AS FROM kept_items();
CREATE TABLE kept_in_order AS FROM kept_rows();
CREATE VIEW kept AS SELECT *, rowid AS n FROM kept_in_order;
