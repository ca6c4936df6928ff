"""Hard examples: batches that hold only classes which the model confuses with each other."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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
