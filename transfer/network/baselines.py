"""What a frozen backbone's features are worth before anything is trained on them: scikit-learn's judgement."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

NEIGHBOURS = (1, 5, 10, 20, 50)
# Inverse strengths of the L2 penalty, on standardised features; each fit goes on from the one before.
PENALTIES = (0.0001, 0.001, 0.01, 0.1)
STEPS = 100


@dataclass(frozen=True)
class Baseline:
    """The best accuracy on the validation split, and the value that gave it."""

    accuracy: float
    chosen: float


def nearest_neighbours(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> Baseline:
    """Vote of the training images nearest by cosine, each with its similarity; how many vote is chosen.

    Features (N, F), labels (N,).
    """
    most = min(max(NEIGHBOURS), len(train))
    distances, places = NearestNeighbors(n_neighbors=most, metric="cosine").fit(train).kneighbors(val)
    votes = np.eye(labels.max() + 1)[labels[places]] * (1 - distances)[..., None]  # (N, most, classes)
    totals = votes.cumsum(1)
    counts = [count for count in NEIGHBOURS if count <= most]
    accuracies = [float((totals[:, count - 1].argmax(1) == val_labels).mean()) for count in counts]
    best = int(np.argmax(accuracies))
    return Baseline(accuracies[best], counts[best])


def linear_probe(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> Baseline:
    """Logistic regression on standardised features (N, F), at most STEPS steps each; its penalty is chosen."""
    scaler = StandardScaler().fit(train)
    train, val = (np.asarray(scaler.transform(features)) for features in (train, val))
    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    accuracies = []
    # One thread: the matrices are narrow, and threads that wait for each other took 20 times as long on a busy machine.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in PENALTIES:
            model.set_params(C=penalty).fit(train, labels)
            accuracies.append(float(model.score(val, val_labels)))
    best = int(np.argmax(accuracies))
    return Baseline(accuracies[best], PENALTIES[best])
