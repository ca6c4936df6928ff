"""Findings that chance alone makes: how often, of simulated runs in which nothing is wrong."""

import numpy as np

from tests.transfer.report.healthy_run import changed, scores
from transfer.data.classes import confusion_counts
from transfer.evaluation.scores import f1_interval, f1_of
from transfer.report.findings import weak_classes


def test_among_a_hundred_equal_classes_none_is_called_weak() -> None:
    """20 images each, right in 85 of 100 cases: by single intervals nine of ten such runs would have a weak class."""
    rng, labels, called = np.random.default_rng(0), np.repeat(np.arange(100), 20), 0
    for _ in range(20):
        predicted = np.where(rng.random(2000) < 0.85, labels, (labels + rng.integers(1, 100, 2000)) % 100)
        counts = confusion_counts(labels, predicted, 100)
        found = {}
        for label, f1 in enumerate(f1_of(counts)):
            hits = int(counts[label, label])
            ends = f1_interval(hits, int(counts[label].sum() + counts[:, label].sum()) - hits)
            found[str(label)] = scores(float(f1), *ends)
        figures = {"evaluate.per_class": found, "evaluate.macro_f1": float(f1_of(counts).mean())}
        called += any(weak_classes(changed(figures)))
    assert called <= 1
