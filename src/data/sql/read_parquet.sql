-- The rows of a Parquet file (fates.sql), whose columns stand as text in the view parquet_texts
-- (user_id, item_id, time_text, rating_text), NULL where there is none.
--
-- is_seconds   whatever the size of the time

SELECT user_id, item_id, ms AS timestamp, rating,
       fate(false, user_id, item_id, time_text, ms, rating) AS fate
FROM (SELECT user_id, item_id, time_text, time_of(time_text, getvariable('is_seconds')) AS ms,
             rating_of(rating_text) AS rating
      FROM parquet_texts);
