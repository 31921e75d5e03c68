-- Append the JSONL file `input` (of that `compression`) to item_meta: the first line of each item that
-- has no row there yet. Sets lines_read and bad_lines: those that have no id.
--
-- A line of an item that wasn't kept leaves a number and an empty list, so that what is held of the
-- file is the kept items' part. A whole line is read and taken apart here: a field of another type
-- than expected then costs itself, not its line.

CREATE TABLE item_lines AS
SELECT CASE WHEN id IS NULL THEN -1 ELSE CAST(items.rowid AS INTEGER) END AS item_idx,
       CASE WHEN items.rowid IS NOT NULL
            THEN [{'title': json_text(line, '$.title'),
                   'price': json_price(json_extract(line, '$.price')),
                   'main_category': json_text(line, '$.main_category'),
                   'categories': json_texts(json_extract(line, '$.categories')),
                   'store': json_text(line, '$.store'),
                   'image': json_image(json_extract(line, '$.images[0]'))}]
       END AS found
FROM (SELECT line, coalesce(json_id(CAST(ids[1] AS VARCHAR)), json_id(CAST(ids[2] AS VARCHAR)),
                            json_id(CAST(ids[3] AS VARCHAR))) AS id
      FROM (SELECT json AS line,
                   json_extract(json, ['$.parent_asin', '$.asin', '$.item_id']) AS ids
            FROM read_ndjson_objects(getvariable('input'), ignore_errors = true,
                                     compression = getvariable('compression'))))
LEFT JOIN items ON id = items.item_id;

SET VARIABLE lines_read = (SELECT count(*) FROM item_lines);
SET VARIABLE bad_lines = (SELECT count(*) FROM item_lines WHERE item_idx = -1);

INSERT INTO item_meta
SELECT item_idx, unnest(found[1])
FROM item_lines
WHERE rowid IN (SELECT min(rowid) FROM item_lines
                WHERE item_idx >= 0 AND item_idx NOT IN (SELECT item_idx FROM item_meta)
                GROUP BY item_idx)
ORDER BY item_idx;

DROP TABLE item_lines;
