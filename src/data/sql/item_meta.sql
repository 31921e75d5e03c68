-- item_meta: what the META files say of the items, at most a row each; and how their values are read.
-- (json_extract, since the arrow of JSON would be taken for a lambda's in a macro.)

CREATE TABLE item_meta (item_idx INTEGER, title VARCHAR, price DOUBLE, main_category VARCHAR,
                        categories VARCHAR[], store VARCHAR, image VARCHAR);

-- The text at a path; NULL where there is another type.
CREATE MACRO json_text(value, path) AS
    CASE WHEN json_type(value, path) = 'VARCHAR' THEN json_extract_string(value, path) END;

-- Text or a whole number, and not empty; of its JSON as text.
CREATE MACRO json_id(json) AS
    CASE WHEN regexp_full_match(json, '-?[0-9]+') THEN json
         ELSE nullif(json_text(CAST(json AS JSON), '$'), '') END;

-- A number, or text such as 12.99 or $1,012.99.
CREATE MACRO json_price(value) AS
    CASE WHEN json_type(value) IN ('BIGINT', 'UBIGINT', 'DOUBLE')
              AND isfinite(TRY_CAST(value AS DOUBLE))
         THEN TRY_CAST(value AS DOUBLE)
         WHEN regexp_full_match(json_text(value, '$'),
                  '\s*\$?\s*([0-9]+|[0-9]{1,3}(,[0-9]{3})+)?(\.[0-9]+)?\s*')
         THEN TRY_CAST(regexp_replace(json_text(value, '$'), '[$,\s]', '', 'g') AS DOUBLE) END;

-- The texts of a list; NULL where it is none.
CREATE MACRO json_texts(value) AS
    CASE WHEN json_type(value) = 'ARRAY'
         THEN list_filter(json_extract_string(value, '$[*]'),
                          lambda text, i: json_type(value, '$[*]')[i] = 'VARCHAR') END;

-- The address of an image: of an object the first of these that it has, or text as it is.
CREATE MACRO json_image(value) AS
    coalesce(nullif(json_text(value, '$.large'), ''), nullif(json_text(value, '$.hi_res'), ''),
             nullif(json_text(value, '$.thumb'), ''), nullif(json_text(value, '$'), ''));
