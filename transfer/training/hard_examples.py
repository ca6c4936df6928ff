"""Hard examples: batches that hold only classes which the model confuses with each other."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from transfer.data.classes import class_labels

Order = Callable[[int, torch.Generator], Tensor]


def shuffled(count: int) -> Order:
    """Every item once, in an order drawn for each epoch."""
    return lambda _epoch, generator: torch.randperm(count, generator=generator)


def with_hard_batches(
    labels: Tensor,
    clusters: Sequence[Sequence[int]],
    batch_size: int,
    share: float,
    first_epoch: int,
    left_out: Tensor,
) -> Order:
    """As `shuffled`, but from `first_epoch` on (1 is the first) a `share` of the batches are of one cluster each.

    labels (N,) are class numbers, `clusters` classes that are confused with each other, taken in turn,
    `left_out` (N,) bool marks items, such as suspected label errors, that such a batch never takes. A cluster
    with fewer items than a batch repeats them. The images that a hard batch replaces are not seen in that epoch.
    """
    plain = shuffled(len(labels))
    members = [torch.nonzero(torch.isin(labels, torch.tensor(cluster)) & ~left_out).flatten() for cluster in clusters]
    members = [places for places in members if len(places)]

    def order(epoch: int, generator: torch.Generator) -> Tensor:
        places = plain(epoch, generator)
        if epoch < first_epoch or not members:
            return places
        batches = len(places) // batch_size
        chosen = torch.randperm(batches, generator=generator)[: round(share * batches)]
        for number, batch in enumerate(chosen.tolist()):
            cluster = members[number % len(members)]
            drawn = torch.cat([torch.randperm(len(cluster), generator=generator)] * -(-batch_size // len(cluster)))
            places[batch * batch_size : (batch + 1) * batch_size] = cluster[drawn[:batch_size]]
        return places

    return order


LOWEST_RECALL = 0.1  # a class that is never found weighs as much as one that is found in a tenth of the cases


def weights_from_recall(counts: np.ndarray) -> np.ndarray:
    """Weights (classes,) of mean 1, in inverse proportion to each class's recall in a confusion matrix (C, C)."""
    recall = counts.diagonal() / np.maximum(counts.sum(1), 1)
    weights = 1 / np.maximum(recall, LOWEST_RECALL)
    return weights / weights.mean()


def weights_by_name(weights: Mapping[str, float], classes: Sequence[str], parameter: str) -> np.ndarray:
    """Weights (classes,) given by class name, 1 for every other class. Raises ParameterError for an unknown name."""
    found = np.ones(len(classes))
    found[class_labels(list(weights), classes, parameter)] = list(weights.values())
    return found
