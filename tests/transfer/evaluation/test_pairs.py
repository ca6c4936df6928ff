"""Confusion: clusters that are there to see, modularity of networkx, verdicts on expected pairs, no errors at all."""

import warnings

import networkx
import numpy as np
import pytest

from transfer.data.classes import CLUSTER_COLUMNS, cluster_rows, modularity
from transfer.evaluation.pairs import PAIR_COLUMNS, pairs
from transfer.evaluation.scores import wilson_interval

CLASSES = ("cat", "dog", "ship", "truck", "bird")
#                  cat dog ship truck bird
COUNTS = np.array(
    [
        [80, 19, 0, 1, 0],
        [16, 83, 1, 0, 0],
        [0, 0, 91, 9, 0],
        [1, 0, 7, 92, 0],
        [0, 0, 0, 0, 100],
    ]
)


def test_two_obvious_clusters_are_found_and_ranked():
    rows = cluster_rows(COUNTS, CLASSES)
    assert [row["classes"] for row in rows] == ["cat, dog", "ship, truck"]  # a class of its own is no cluster
    assert [row["errors"] for row in rows] == [35, 16]
    assert [row["size"] for row in rows] == [2, 2]
    assert rows[0]["share_of_errors"] == pytest.approx(35 / 54)
    assert tuple(rows[0]) == CLUSTER_COLUMNS


def test_clusters_do_not_depend_on_the_order_of_classes():
    order = [4, 2, 0, 3, 1]
    turned = cluster_rows(COUNTS[np.ix_(order, order)], [CLASSES[label] for label in order])
    assert [(set(row["classes"].split()), row["errors"]) for row in turned] == [
        ({"cat", "dog"}, 35),
        ({"ship", "truck"}, 16),
    ]


def test_rates_count_and_not_the_size_of_a_class():
    """A hundred times as many cats: their errors are no closer ties."""
    many = COUNTS.copy()
    many[0] *= 100
    assert {row["classes"] for row in cluster_rows(many, CLASSES)} == {"cat, dog", "ship, truck"}


def test_classes_that_are_never_confused_stay_apart():
    counts = np.diag([10, 10, 10, 10])
    counts[0, 1] = 3
    assert [row["classes"] for row in cluster_rows(counts, CLASSES[:4])] == ["cat, dog"]


def test_the_cut_is_the_best_of_all_partitions_where_the_tree_offers_it():
    weights = COUNTS * (1 - np.eye(5))
    weights = weights + weights.T
    best = max(partitions(list(range(5))), key=lambda groups: modularity_of_networkx(weights, groups))
    assert sorted(map(tuple, best)) == [(0, 1), (2, 3), (4,)]


def partitions(labels: list[int]):
    if not labels:
        yield []
        return
    first, *rest = labels
    for groups in partitions(rest):
        yield [[first], *groups]
        for i, group in enumerate(groups):
            yield [*groups[:i], [first, *group], *groups[i + 1 :]]


def modularity_of_networkx(weights: np.ndarray, groups) -> float:
    return networkx.community.modularity(networkx.from_numpy_array(weights), groups)


def test_modularity_is_that_of_networkx():
    generator = np.random.default_rng(0)
    for _ in range(20):
        weights = np.triu(generator.random((7, 7)), 1)
        weights += weights.T
        members = np.unique(generator.integers(0, 3, 7), return_inverse=True)[1]
        groups = [set(np.flatnonzero(members == group).tolist()) for group in range(members.max() + 1)]
        assert modularity(weights, members) == pytest.approx(modularity_of_networkx(weights, groups))


def test_pairs_are_ranked_with_their_share_and_interval():
    rows = pairs(COUNTS, CLASSES, [])
    assert [(row["pair"], row["errors"]) for row in rows[:2]] == [("cat, dog", 35), ("ship, truck", 16)]
    assert sum(row["errors"] for row in rows) == 54
    assert min(row["errors"] for row in rows) == 1
    assert (rows[0]["share_ci_low"], rows[0]["share_ci_high"]) == wilson_interval(35, 54)
    assert {(row["expected"], row["verdict"]) for row in rows} == {("false", "")}
    assert tuple(rows[0]) == PAIR_COLUMNS


def test_expectations_are_confirmed_refuted_or_undecided():
    """An even spread over ten pairs is a tenth of the errors."""
    assert wilson_interval(35, 54)[0] > 0.1 > wilson_interval(0, 54)[1]
    counts = COUNTS.copy()
    counts[4, 2] = 6
    rows = pairs(counts, CLASSES, [[1, 0], [2, 4], [3, 4]])
    verdicts = {row["pair"]: row["verdict"] for row in rows if row["expected"] == "true"}
    assert verdicts == {"cat, dog": "confirmed", "ship bird": "undecided", "truck bird": "refuted"}
    assert rows[-1]["pair"] == "truck bird"  # told though it has no errors
    assert rows[-1]["errors"] == 0


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_no_errors_at_all(classes: int):
    counts = np.diag(np.full(classes, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cluster_rows(counts, CLASSES[:classes]) == []
        assert pairs(counts, CLASSES[:classes], []) == []
        rows = pairs(counts, CLASSES[:classes], [[1, 0]] if classes > 1 else [])
    assert [(row["share_of_errors"], row["verdict"]) for row in rows] == [("", "undecided")] * (classes > 1)


def test_two_classes_are_one_pair_of_which_nothing_can_be_said():
    counts = np.array([[5, 5], [3, 7]])
    assert [row["classes"] for row in cluster_rows(counts, CLASSES[:2])] in ([], ["cat, dog"])
    (row,) = pairs(counts, CLASSES[:2], [[0, 1]])
    assert row["share_of_errors"] == 1
    assert row["verdict"] == "undecided"


def test_all_predictions_one_class():
    counts = np.zeros((5, 5), int)
    counts[:, 0] = 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = cluster_rows(counts, CLASSES)
    assert sum(row["errors"] for row in rows) <= 40
    assert [row["errors"] for row in pairs(counts, CLASSES, [])] == [10] * 4
