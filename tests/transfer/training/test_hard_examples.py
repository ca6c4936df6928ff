"""Hard batches: how many, of which classes, from when on, and what never comes into them."""

import torch

from transfer.training.hard_examples import shuffled, with_hard_batches

LABELS = torch.arange(1000) % 10
SUSPECTS = torch.arange(1000) % 20 == 3  # half of class 3
SIZE = 10
CLUSTERS = [[3, 5], [1, 9]]


def epoch_of(number: int, share: float = 0.3, seed: int = 0, clusters: list[list[int]] = CLUSTERS) -> torch.Tensor:
    order = with_hard_batches(LABELS, clusters, SIZE, share, 2, SUSPECTS)
    return order(number, torch.Generator().manual_seed(seed)).view(-1, SIZE)


def hard(batches: torch.Tensor) -> list[set[int]]:
    """Classes of the batches that hold one cluster only; by chance one in 10^7 does."""
    kinds = [set(LABELS[batch].tolist()) for batch in batches]
    return [kind for kind in kinds if any(kind <= set(cluster) for cluster in CLUSTERS)]


def test_the_share_is_met_and_clusters_take_turns():
    found = hard(epoch_of(2))
    assert len(found) == 30
    assert sum(kind <= {3, 5} for kind in found) == sum(kind <= {1, 9} for kind in found) == 15
    assert set().union(*found) == {1, 3, 5, 9}


def test_before_the_given_epoch_order_is_that_of_plain_training():
    expected = shuffled(1000)(1, torch.Generator().manual_seed(0)).view(-1, SIZE)
    assert torch.equal(epoch_of(1), expected)
    assert hard(expected) == []


def test_the_other_batches_stay_as_they_were():
    plain = shuffled(1000)(2, torch.Generator().manual_seed(0)).view(-1, SIZE)
    assert int((epoch_of(2) == plain).all(1).sum()) == 70


def test_suspects_never_come_into_a_hard_batch():
    batches = list(epoch_of(2, share=1.0))
    assert len(hard(torch.stack(batches))) == 100
    assert not SUSPECTS[torch.cat(batches)].any()


def test_a_hard_batch_repeats_no_image_while_there_are_enough():
    assert all(len(set(batch.tolist())) == SIZE for batch in epoch_of(3, share=1.0))


def test_a_cluster_smaller_than_a_batch_repeats_its_images():
    few = torch.tensor([0, 1, 2, *([3] * 47)])
    order = with_hard_batches(few, [[0, 1]], SIZE, 1.0, 1, torch.zeros(50, dtype=torch.bool))
    assert set(order(1, torch.Generator().manual_seed(0)).tolist()) == {0, 1}


def test_no_cluster_means_plain_training():
    assert torch.equal(epoch_of(2, clusters=[]), epoch_of(2, share=0.0))
