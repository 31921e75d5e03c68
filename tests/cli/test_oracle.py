"""The reference itself, against values worked out by hand."""

import math

import pytest

import oracle
from oracle import Row


def rows(*triples):
    return [Row(user, item, time, None) for user, item, time in triples]


def test_the_earliest_of_repeats_is_kept_and_of_equal_times_the_first():
    repeats = [Row("u", "i", 5, 1.0), Row("u", "i", 3, 2.0), Row("u", "j", 4, 3.0), Row("u", "i", 3, 4.0)]
    assert oracle.without_repeats(repeats) == [repeats[1], repeats[2]]


def test_the_filter_goes_on_until_nothing_falls():
    square = rows(("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("b", "y", 1))
    tail = rows(("b", "z", 1), ("c", "z", 1))  # c falls first, then z
    assert oracle.k_core(square + tail, 2, 2) == square
    assert oracle.k_core(tail, 2, 2) == []


def test_a_temporal_cut_keeps_equal_times_together():
    times = [0, 1, 2, 3, 4, 5, 6, 6, 6, 9]  # row 7 has time 6: val starts there; row 8 as well
    assert oracle.temporal(rows(*(("u", str(n), t) for n, t in enumerate(times)))) == (
        ["train"] * 6 + ["test"] * 4)


def test_leave_one_out_takes_the_last_two_of_users_with_three():
    own = rows(("a", "x", 9), ("a", "y", 1), ("b", "x", 1), ("a", "z", 9), ("b", "y", 2))
    assert oracle.leave_one_out(own) == ["val", "train", "train", "test", "train"]


def test_ids_are_numbered_by_their_bytes():
    assert list(oracle.numbered(["é", "a", "B", "10", "9", "😀"])) == ["10", "9", "B", "a", "é", "😀"]


@pytest.mark.parametrize("time, unix, want", [
    (1472688000, False, 1472688000000),
    (1472688000.5, False, 1472688000500),
    (1627679830425, False, 1627679830425),
    (100000000000, False, 100000000000),
    (100000000000, True, 100000000000000),
    (99999999999, False, 99999999999000),
])
def test_small_times_are_seconds(time, unix, want):
    assert oracle.milliseconds(time, unix) == want


def test_equal_scores_are_ranked_by_index_and_masked_items_left_out():
    assert oracle.ranking([1, 2, 1, 2, 0], masked={3}) == [1, 0, 2, 4]


@pytest.mark.parametrize("ranked, relevant, k, want", [
    ([7, 1, 2], {7}, 3, {"recall": 1, "precision": 1 / 3, "hit": 1, "ndcg": 1, "map": 1, "mrr": 1}),
    ([1, 7, 2], {7}, 3, {"recall": 1, "ndcg": 1 / math.log2(3), "map": 0.5, "mrr": 0.5}),
    ([1, 2, 7], {7}, 2, {"recall": 0, "precision": 0, "hit": 0, "ndcg": 0, "map": 0, "mrr": 0}),
    ([1, 5, 9, 3], {1, 3, 4}, 4, {"recall": 2 / 3, "precision": 0.5, "map": (1 + 2 / 4) / 3, "ndcg": (
        (1 + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4)))}),
    ([1, 5], {1, 5, 3}, 2, {"recall": 2 / 3, "ndcg": 1, "map": 1}),  # the ideal is cut at k
])
def test_metrics_are_those_of_the_formulas(ranked, relevant, k, want):
    got = oracle.metrics(ranked, relevant, [k])
    assert {name: got[f"{name}_at_{k}"] for name in want} == pytest.approx(want, abs=1e-12)


def test_a_user_whom_the_model_cannot_serve_counts_as_nothing_in_all_users_only():
    data = oracle.Dataset(["a", "b"], ["x", "y"], {
        "train": [(0, 0, 1, None)], "val": [], "test": [(0, 1, 2, None), (1, 1, 2, None)]})
    got = oracle.evaluate(data, "test", lambda user: [1, 0] if user == 0 else None, [1])
    assert (got["users"], got["users_without_train"], got["recall_at_1"]) == (1, 1, 1.0)
    assert (got["all_users"]["users"], got["all_users"]["recall_at_1"]) == (2, 0.5)
    seen = oracle.evaluate(data, "test", lambda user: [1, 0], [1], include_seen=True)
    assert seen["recall_at_1"] == 0.0
