-- A number for each user and item of a valid row: the rowid of its id. Which one is of no account; the
-- kept ones are numbered anew.

CREATE TABLE user_dict AS SELECT DISTINCT user_id FROM raw WHERE timestamp IS NOT NULL;
CREATE TABLE item_dict AS SELECT DISTINCT item_id FROM raw WHERE timestamp IS NOT NULL;
