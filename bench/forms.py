"""Write reviews in other forms. Run in the benchmark's environment (bench/peers/requirements.txt).

usage: forms.py REVIEWS.jsonl OUTPUT.csv|.parquet|.gz|.zst

CSV has user, item, rating and time, as Amazon publishes it; Parquet has all columns. The packed ones are for machines
without gzip or zstd.
"""

import shutil
import sys

import polars as pl
import pyarrow

COLUMNS = {"rating": pl.Float64, "title": pl.String, "text": pl.String, "images": pl.List(pl.String),
           "asin": pl.String, "parent_asin": pl.String, "user_id": pl.String, "timestamp": pl.Int64,
           "helpful_vote": pl.Int64, "verified_purchase": pl.Boolean}


def pack(source, output, compression):
    with open(source, "rb") as text, pyarrow.CompressedOutputStream(output, compression) as packed:
        shutil.copyfileobj(text, packed, 1 << 20)


def main(source, output):
    lines = pl.scan_ndjson(source, schema=COLUMNS)
    form = output.rsplit(".", 1)[-1]
    if form == "csv":
        lines.select("user_id", "parent_asin", "rating", "timestamp").sink_csv(output)
    elif form == "parquet":
        lines.sink_parquet(output, compression="snappy")
    else:
        pack(source, output, {"gz": "gzip", "zst": "zstd"}[form])


if __name__ == "__main__":
    main(*sys.argv[1:])
