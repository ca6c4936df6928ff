"""With as many threads as before a stage gives the same bytes, and with another number the same answers.

torch adds up in another order with another number of threads, in training always, so not even the last bits of the
weights are promised then.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch

from stages import embed, evaluate, fine_tune, grad_cam, train_head
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.data.features import load_features
from transfer.runtime.files import open_arrays

pytestmark = pytest.mark.slow  # five stages, several times


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def outputs_with(arena: Arena, threads: int, stage: ModuleType, run: str) -> dict[str, bytes]:
    """The bytes of all outputs of the stage, written to the folder `run`."""
    torch.set_num_threads(threads)
    written = outputs_in(run, stage)
    arena.run(stage, **{**FILES[stage], **written})
    return {
        f"{option}/{path}": content
        for option, name in written.items()
        for path, content in files_in(arena.file(name)).items()
    }


@pytest.mark.parametrize("stage", [embed, train_head, fine_tune, evaluate, grad_cam])
def test_two_threads_give_the_same_bytes_every_time(arena: Arena, stage: ModuleType) -> None:
    assert outputs_with(arena, 2, stage, "first") == outputs_with(arena, 2, stage, "second")


def test_one_thread_and_two_give_the_same_features_but_for_rounding(arena: Arena) -> None:
    for threads in (1, 2):
        outputs_with(arena, threads, embed, str(threads))
    for split in ("train", "val"):
        one, two = (load_features(arena.file(f"{threads}/data/features/{split}.npz")) for threads in (1, 2))
        np.testing.assert_allclose(one.plain, two.plain, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(one.mirrored, two.mirrored, rtol=1e-4, atol=1e-4)


def test_one_thread_and_two_give_the_same_answers(arena: Arena) -> None:
    answers = []
    for threads in (1, 2):
        outputs_with(arena, threads, evaluate, str(threads))
        with open_arrays(arena.file(f"{threads}/data/predictions.npz"), "predicted", "probabilities") as arrays:
            answers.append((arrays["predicted"], arrays["probabilities"]))
    (one, one_probabilities), (two, two_probabilities) = answers
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one_probabilities, two_probabilities, atol=1e-5)
