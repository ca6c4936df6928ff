"""Confusion: clusters that are there to see and none by chance, verdicts on expected pairs, no errors at all."""

import warnings
from itertools import combinations

import numpy as np
import pytest

from transfer.data.classes import CLUSTER_COLUMNS, cluster_rows, clusters
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
    assert [(set(row["classes"].split(", ")), row["errors"]) for row in turned] == [
        ({"cat", "dog"}, 35),
        ({"ship", "truck"}, 16),
    ]


def test_rates_count_and_not_the_size_of_a_class():
    """A hundred times as many cats: their errors are no closer ties."""
    many = COUNTS.copy()
    many[0] *= 100
    assert {row["classes"] for row in cluster_rows(many, CLASSES)} == {"cat, dog", "ship, truck"}


# Of a recorded run of 2026-11-22: ResNet-18 at 96 pixels on the 10,000 test images of CIFAR-10.
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_COUNTS = np.array(
    [
        [928, 6, 7, 2, 3, 0, 0, 5, 35, 14],
        [5, 948, 0, 0, 0, 0, 1, 0, 3, 43],
        [24, 0, 898, 13, 18, 12, 24, 9, 1, 1],
        [8, 0, 25, 803, 23, 92, 27, 15, 2, 5],
        [6, 0, 19, 14, 894, 13, 17, 36, 1, 0],
        [3, 0, 14, 74, 19, 859, 10, 20, 0, 1],
        [4, 1, 12, 16, 3, 1, 959, 1, 2, 1],
        [11, 1, 15, 8, 20, 18, 3, 923, 0, 1],
        [25, 11, 3, 2, 0, 0, 0, 0, 953, 6],
        [9, 33, 1, 3, 0, 0, 2, 0, 11, 941],
    ]
)


def test_on_cifar_the_pairs_that_people_name_come_out():
    rows = cluster_rows(CIFAR_COUNTS, CIFAR)
    found = [row["classes"] for row in rows]
    assert found[:4] == ["cat, dog", "automobile, truck", "airplane, ship", "deer, horse"]
    assert all(1 < row["excess_ci_low"] < row["excess"] < row["excess_ci_high"] for row in rows)


def test_errors_that_fall_evenly_seldom_make_a_cluster():
    """Five of a hundred times at most, over all 45 pairs together."""
    generator = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(400):
        errors = np.array([generator.multinomial(60, [1 / 9] * 9) for _ in range(10)])
        counts = np.array([np.insert(row, label, 940) for label, row in enumerate(errors)])
        false_alarms += bool(clusters(counts))
    assert false_alarms <= 30  # 5 % of 400 are 20


def test_three_classes_of_which_every_two_are_confused_are_one_cluster_and_a_class_may_be_in_two():
    counts = np.diag([900] * 8)
    for a, b in ((0, 1), (1, 2), (0, 2), (2, 3)):
        counts[a, b] = counts[b, a] = 60
    assert clusters(counts) == [[0, 1, 2], [2, 3]]


def test_few_errors_make_no_cluster():
    counts = np.diag([10, 10, 10, 10])
    counts[0, 1] = 2
    assert clusters(counts) == []


@pytest.mark.parametrize("classes", [3, 10])
def test_a_pair_with_nearly_all_errors_is_a_cluster_however_many_classes_there_are(classes: int):
    counts = np.diag([900] * classes)
    counts[0, 1] = counts[1, 0] = 100
    counts[2, 0] = 1
    assert clusters(counts) == [[0, 1]]


def test_pairs_are_ranked_with_their_share_and_interval():
    rows = pairs(COUNTS, CLASSES, [])
    assert [(row["pair"], row["errors"]) for row in rows[:2]] == [("cat / dog", 35), ("ship / truck", 16)]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row["errors"] for row in rows) == 54
    assert min(row["errors"] for row in rows) == 1
    assert (rows[0]["share_ci_low"], rows[0]["share_ci_high"]) == wilson_interval(35, 54)
    assert {(row["expected"], row["verdict"]) for row in rows} == {("false", "")}
    assert tuple(rows[0]) == PAIR_COLUMNS


def test_expectations_are_confirmed_refuted_or_undecided():
    """Against the median pair: of six pairs with 60, 20, 20, 20, 12 and 1 errors it has 20."""
    counts = np.diag([100] * 4)
    for (first, second), errors in zip(combinations(range(4), 2), (60, 20, 20, 20, 12, 1), strict=True):
        counts[first, second] = errors
    rows = pairs(counts, CLASSES[:4], [[1, 0], [2, 0], [2, 3], [1, 3]])
    verdicts = {row["pair"]: row["verdict"] for row in rows if row["expected"] == "true"}
    assert verdicts == {
        "cat / dog": "confirmed",
        "cat / ship": "undecided",
        "dog / truck": "undecided",
        "ship / truck": "refuted",
    }
    assert {row["median_share"] for row in rows} == {20 / 133}


def test_an_expected_pair_without_errors_is_told():
    rows = pairs(np.array([[9, 1, 0], [0, 9, 0], [0, 0, 9]]), CLASSES[:3], [[1, 2]])
    assert (rows[-1]["first"], rows[-1]["second"], rows[-1]["errors"]) == (CLASSES[1], CLASSES[2], 0)


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
    assert cluster_rows(counts, CLASSES[:2]) == []
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


@pytest.mark.parametrize("errors", [1, 3])
def test_a_few_errors_decide_nothing(errors: int):
    counts = np.diag(np.full(10, 100))
    counts[3, 5] = errors
    (row,) = pairs(counts, [str(label) for label in range(10)], [[3, 5]])
    assert row["verdict"] == "undecided"
