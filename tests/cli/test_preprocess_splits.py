"""preprocess: what every split must hold to, whichever the program has; and parts that are given."""

import pytest

import helpers
import oracle
from helpers import assert_agrees

SEED = 3
OVER_ALL_TIME = ("temporal",)  # one cut for everybody
KEEPS_TIES = ("temporal", "ratio", "random")


@pytest.fixture(scope="module")
def parts_of(preprocessed):
    """parts_of(input, split): its parts, with ids for indices."""

    def run(path, split):
        dataset = helpers.read_dataset(preprocessed(path, "--split", split, "--seed", SEED))
        users, items = dataset.users, dataset.items
        return {part: [oracle.Row(users[user], items[item], *rest) for user, item, *rest in rows]
                for part, rows in dataset.parts.items()}

    return run


@pytest.fixture(params=["made", "reviews"])
def source(request):
    return request.getfixturevalue(request.param)


def times_by_user(rows):
    times = {}
    for row in rows:
        times.setdefault(row.user, []).append(row.time)
    return times


# Every split


def test_every_kept_row_is_in_one_part(parts_of, source, split):
    kept, *_ = oracle.core(oracle.first_of_repeats(helpers.read_once(source).rows), 5, 5)
    parts = parts_of(source, split)
    assert sorted(row for rows in parts.values() for row in rows) == sorted(kept)
    assert parts["train"]


def test_nothing_held_out_is_earlier_than_what_is_trained_on(parts_of, source, split):
    parts = parts_of(source, split)
    if split in OVER_ALL_TIME:
        train, val, test = ({row.time for row in parts[part]} for part in oracle.PARTS)
        assert max(train) < min(val) <= max(val) < min(test)
    times = {part: times_by_user(rows) for part, rows in parts.items()}
    for before, after in ("train", "val"), ("train", "test"), ("val", "test"):
        for user in times[before].keys() & times[after].keys():
            assert max(times[before][user]) <= min(times[after][user]), (user, before, after)


def test_rows_of_one_time_are_never_parted(parts_of, source, split):
    if split not in KEEPS_TIES:
        pytest.skip(f"{split} takes a user's last row, whatever its time")
    part_of = {}  # a time's, or each user's own
    for part, rows in parts_of(source, split).items():
        for row in rows:
            whose = "everybody" if split in OVER_ALL_TIME else row.user
            assert part_of.setdefault((whose, row.time), part) == part


def test_any_number_of_threads_writes_the_same_bytes(preprocess, made, split):
    one, *others = (helpers.parquet_digests(preprocess(made, "--split", split, "--seed", SEED, "--threads", n,
                                                       output=f"{n}")) for n in (1, 2, 4))
    assert one and others == [one, one]


@pytest.mark.parametrize("split", ["leave-one-out", "ratio", "random"])
def test_no_user_is_held_out_altogether(parts_of, source, split):
    parts = parts_of(source, split)
    held_out = {row.user for part in ("val", "test") for row in parts[part]}
    assert held_out <= {row.user for row in parts["train"]}


# random


def test_the_seed_alone_decides_what_random_draws(preprocess, made):
    def digests(seed, output):
        return helpers.parquet_digests(preprocess(made, "--split", "random", "--seed", seed, output=output))

    first = digests(1, "a")
    assert digests(1, "b") == first
    other = digests(2, "c")
    assert other["train.parquet"] != first["train.parquet"] and other["test.parquet"] != first["test.parquet"]
    assert other["users.parquet"] == first["users.parquet"]


@pytest.mark.parametrize("split", ["ratio", "random"])
def test_the_parts_have_about_their_shares(preprocess, tmp_path, split):
    rows = [oracle.Row(f"u{u}", f"i{(u + n) % 50}", 1_600_000_000_000 + n, 5.0) for u in range(400)
            for n in range(25)]
    path = helpers.write_jsonl(tmp_path / "in.jsonl", rows)  # no ties, which would move the shares
    stats = helpers.read_stats(preprocess(path, "--split", split, "--seed", SEED, "--train-ratio", 0.6,
                                          "--val-ratio", 0.2))
    shares = [stats[f"{part}_size"] / len(rows) for part in oracle.PARTS]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.02)  # 4 standard deviations


# Given parts


@pytest.fixture
def give(kindred, tmp_path):
    """give(part=[paths], ..., options=[]): a run on given parts, checked against the reference."""

    def run(options=(), how=None, bounds=None, **paths):
        args = [arg for part, own in paths.items() for arg in (f"--{part}", *own)]
        kindred.ok("preprocess", *args, "--output-dir", tmp_path / "processed", *options)
        raws = {part: oracle.read(*paths.get(part, ()), **(how or {})) for part in oracle.PARTS}
        assert_agrees(tmp_path / "processed", oracle.preprocess_given(raws, **(bounds or {})))
        return helpers.read_stats(tmp_path / "processed")

    return run


@pytest.fixture
def three(tmp_path):
    """part -> its file: JSONL, CSV and Parquet."""
    rows = helpers.made_csv_rows()
    return {"train": [helpers.write_jsonl(tmp_path / "a.jsonl", rows[:900])],
            "val": [helpers.write_csv(tmp_path / "b.csv", rows[900:1200])],
            "test": [helpers.write_parquet(tmp_path / "c.parquet", rows[1200:])]}


def test_the_split_of_gowalla_is_kept_as_it_is(give, real):
    stats = give(train=[real("gowalla/train.txt")], test=[real("gowalla/test.txt")])
    want = {"num_users": 29858, "num_items": 40981, "train_size": 810128, "val_size": 0, "test_size": 217242,
            "split_strategy": "given", "has_times": False, "min_user": 1, "min_item": 1}
    assert {name: stats[name] for name in want} == want


def test_parts_of_any_form_are_kept_as_they_are(give, three):
    give(**three)


def test_bounds_and_repeats_hold_for_given_parts_too(give, three):
    stats = give(["--min-rating", 1.5, "--after", "2020-10-01", "--repeats", "last"],
                 bounds={"min_rating": 1.5, "after": "2020-10-01", "repeats": "last"}, **three)
    assert stats["below_min_rating"] and stats["outside_dates"] and stats["repeated"]


def test_a_part_may_have_several_files_and_only_train_is_needed(give, three):
    give(train=three["train"] + three["test"] + three["val"])


def test_places_go_on_from_part_to_part_where_there_are_no_times(give, three):
    give(["--no-times"], how={"has_times": False}, **three)


def test_a_part_may_come_from_stdin(kindred, three, tmp_path):
    kindred.ok("preprocess", "--train", *three["train"], "--test", "-", "--output-dir", tmp_path / "processed",
               piped=three["test"][0].read_bytes())
    raws = {part: oracle.read(*(three[part] if part != "val" else ())) for part in oracle.PARTS}
    assert_agrees(tmp_path / "processed", oracle.preprocess_given(raws))


def test_bad_lines_of_all_parts_are_counted_together(give, three):
    for part, faults in ("train", [b"x"]), ("val", [b"u,,5,3", b"u,i,soon,3"]):
        path = three[part][0]
        path.write_bytes(path.read_bytes() + b"\n".join(faults) + b"\n")
    stats = give(**three)
    assert [stats[fate] for fate in oracle.BAD] == [1, 1, 1]


def test_a_given_part_that_is_not_there_is_named(kindred, three, tmp_path):
    line = kindred.fails(1, "preprocess", "--train", *three["train"], "--test", tmp_path / "nonesuch.csv",
                         "--output-dir", tmp_path / "out")
    assert "nonesuch.csv" in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options, named", [
    (["--input", "a.jsonl", "--train", "b.jsonl"], ["--input", "--train"]),
    (["--input", "a.jsonl", "--test", "b.jsonl"], ["--test", "--train"]),
    (["--val", "b.jsonl"], ["--val", "--train"]),
    (["--test", "b.jsonl"], ["--test", "--train"]),
    (["--train", "a.jsonl", "--split", "ratio"], ["--train", "--split"]),
    (["--train", "a.jsonl", "--min-user", "3"], ["--train", "--min-user"]),
    (["--train", "a.jsonl", "--min-item", "1"], ["--train", "--min-item"]),
    (["--train", "a.jsonl", "--train-ratio", "0.8"], ["--train", "--train-ratio"]),
    (["--train", "a.jsonl", "--val-ratio", "0.1"], ["--train", "--val-ratio"]),
    ([], ["--input", "--train"]),
])
def test_options_that_do_not_go_together_are_named(kindred, tmp_path, options, named):
    line = kindred.fails(2, "preprocess", *options, cwd=tmp_path)
    assert all(name in line for name in named)
    assert not list(tmp_path.iterdir())
