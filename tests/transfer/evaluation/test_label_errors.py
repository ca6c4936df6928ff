"""Label errors: planted ones are found and nothing else, thresholds by a loop, no suspects at all."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tests.splits import split_of
from transfer.evaluation.label_errors import (
    SUSPECT_COLUMNS,
    class_thresholds,
    cross_validated,
    suspect_rows,
    suspects,
)

CLASSES = ("cat", "dog", "ship")


def good_model(images: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) between 90 and 99.9 % for the true labels (N,)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, images)
    sure = generator.uniform(0.9, 0.999, images)
    rest = generator.dirichlet([1, 1], images) * (1 - sure)[:, None]
    probabilities = np.zeros((images, 3))
    for i, label in enumerate(labels):
        probabilities[i, label] = sure[i]
        probabilities[i, [other for other in range(3) if other != label]] = rest[i]
    return probabilities, labels


def test_planted_label_errors_are_found_and_nothing_else():
    probabilities, truth = good_model()
    usual = [probabilities[truth == label, label].mean() for label in range(3)]
    clear = [
        i
        for i in range(600)
        if probabilities[i].max() > usual[truth[i]] + 0.03 and probabilities[i, (truth[i] + 1) % 3] < 0.01
    ][:10]
    labels = truth.copy()
    labels[clear] = (truth[clear] + 1) % 3
    places, suggested = suspects(probabilities, labels)
    assert sorted(places) == clear
    np.testing.assert_array_equal(suggested, truth[places])
    given = probabilities[places, labels[places]]
    assert (np.diff(given) >= 0).all()  # the least probable label first


def test_thresholds_by_a_loop():
    probabilities, labels = good_model(50)
    slow = [np.mean([probabilities[i, k] for i in range(50) if labels[i] == k]) for k in range(3)]
    np.testing.assert_allclose(class_thresholds(probabilities, labels), slow)


def test_the_suggestion_is_a_class_above_its_own_threshold():
    """Dogs are usually at 30 %, so 40 % is much; ships at 95 %, so 55 % is little."""
    probabilities = np.array([[0.98, 0.01, 0.01], [0.6, 0.3, 0.1], [0.03, 0.02, 0.95], [0.005, 0.4, 0.595]])
    places, suggested = suspects(probabilities, np.array([0, 1, 2, 0]))
    assert places.tolist() == [3]
    assert suggested.tolist() == [1]


def test_an_unsure_or_merely_wrong_answer_is_not_suspected():
    probabilities = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9], [0.02, 0.95, 0.03]])
    places, suggested = suspects(probabilities, np.array([0, 1, 2, 0]))
    assert len(places) == len(suggested) == 0


def test_one_class_has_nothing_to_suggest():
    places, _ = suspects(np.ones((4, 1)), np.zeros(4, int))
    assert len(places) == 0


def test_rows_name_classes_and_positions():
    split: Any = split_of(np.zeros((2, 1, 1, 3), np.uint8), [2, 0], CLASSES, [70, 80])
    probabilities = np.array([[0.2, 0.7, 0.1], [0.005, 0.005, 0.99]])
    (row,) = suspect_rows(probabilities, split, np.array([1]), np.array([2]))
    assert tuple(row) == SUSPECT_COLUMNS
    assert row == {
        "position": 80,
        "name": "",
        "label": "cat",
        "suggested": "ship",
        "given_probability": 0.005,
        "suggested_probability": 0.99,
    }


def test_cross_validation_finds_labels_that_were_changed():
    """40 of 1,797 handwritten digits get the label of the next one; chance would put one in the list."""
    pixels, labels = load_digits(return_X_y=True)
    changed = np.random.default_rng(0).choice(len(labels), 40, replace=False)
    given = labels.copy()
    given[changed] = (labels[changed] + 1) % 10
    probabilities = cross_validated(pixels, given, folds=5, seed=0)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    places, suggested = suspects(probabilities, given)
    found = np.isin(places, changed)
    assert found.sum() >= 10  # those below 1 % only
    assert found.mean() >= 0.8
    assert (suggested[found] == labels[places[found]]).mean() > 0.9


def test_images_of_a_class_with_fewer_images_than_folds_are_not_judged():
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    rare = np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:3]])
    pixels, labels = pixels[rare], labels[rare]
    probabilities = cross_validated(pixels, labels, folds=5, seed=0)
    np.testing.assert_array_equal(probabilities[labels == 1], np.eye(3)[[1, 1, 1]])
    judged = labels != 1
    assert (probabilities[judged].argmax(1) == labels[judged]).mean() > 0.99
    assert (probabilities[judged].max(1) < 1).all()
    np.testing.assert_allclose(probabilities.sum(1), 1)
