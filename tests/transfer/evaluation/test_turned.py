"""turned: a quarter turn is exact, and answers of the other group are counted for each group."""

import numpy as np
import pytest

from transfer.evaluation.scores import wilson_interval
from transfer.evaluation.turned import taken_for_the_other_group, turned

CAT, SHIP, DOG, TRUCK = range(4)


def test_a_quarter_turn_is_numpys() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    assert np.array_equal(turned(image, 90), np.rot90(image))
    assert not np.array_equal(turned(image), image)


def test_a_model_that_takes_every_turned_thing_for_an_animal_is_found_out() -> None:
    labels = np.array([CAT, DOG, DOG, SHIP, SHIP, SHIP, TRUCK])
    upright = np.array([CAT, CAT, DOG, SHIP, TRUCK, SHIP, CAT])  # errors within a group do not count
    everything_a_cat = np.full(len(labels), CAT)
    found = taken_for_the_other_group(labels, {"upright": upright, "turned": everything_a_cat}, [SHIP, TRUCK])
    assert (found["upright"]["rigid"], found["upright"]["organic"]) == (0.25, 0)
    assert (found["turned"]["rigid"], found["turned"]["organic"]) == (1, 0)
    assert (found["upright"]["rigid_ci_low"], found["upright"]["rigid_ci_high"]) == wilson_interval(1, 4)


@pytest.mark.parametrize("rigid", [[], [CAT, SHIP, DOG, TRUCK]])
def test_one_group_alone_has_nothing_to_compare(rigid: list[int]) -> None:
    labels = np.array([CAT, SHIP])
    assert taken_for_the_other_group(labels, {"upright": labels}, rigid) == {}
