"""With as many threads as before a stage gives the same bytes, and with another number the same answers.

torch adds up in another order with another number of threads, in training always, so not even the last bits of the
weights are promised then.
"""

import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import yaml

from stages import embed, evaluate, fine_tune, label_errors, train_head
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.data.features import load_features
from transfer.runtime.files import ROOT, open_arrays

MANY = 64  # more than there are cores
pytestmark = pytest.mark.slow  # a process for each run, or the number would stay with the tests that follow


def outputs_with(arena: Arena, threads: int, stage: ModuleType, run: str) -> dict[str, bytes]:
    """The bytes of all outputs of the stage, written to the folder `run` by a process of so many threads."""
    parameters = arena.file("params.yaml")
    parameters.write_text(yaml.safe_dump(arena.parameters, sort_keys=False), encoding="utf-8")
    written = outputs_in(run, stage)
    files = {**FILES[stage], **written}
    options = [f"--{option.replace('_', '-')}={arena.file(name)}" for option, name in files.items()]
    command = [sys.executable, "-m", stage.__name__, f"--params={parameters}", *options]
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "TRANSFER_STATE": str(arena.file(f"{run}/state"))}
    subprocess.run(command, cwd=ROOT, env=variables, check=True, timeout=300)
    return {
        f"{option}/{path}": content
        for option, name in written.items()
        for path, content in files_in(arena.file(name)).items()
    }


@pytest.mark.parametrize(("threads", "stage"), [(2, embed), (2, fine_tune), (MANY, train_head), (MANY, evaluate)])
def test_as_many_threads_give_the_same_bytes_every_time(arena: Arena, threads: int, stage: ModuleType) -> None:
    assert outputs_with(arena, threads, stage, "first") == outputs_with(arena, threads, stage, "second")


@pytest.mark.parametrize("more", [2, MANY])
def test_one_thread_and_more_give_the_same_features_but_for_rounding(arena: Arena, more: int) -> None:
    for threads in (1, more):
        outputs_with(arena, threads, embed, str(threads))
    for split in ("train", "val"):
        one, two = (load_features(arena.file(f"{threads}/data/features/{split}.npz")) for threads in (1, more))
        np.testing.assert_allclose(one.plain, two.plain, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(one.mirrored, two.mirrored, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("more", [2, MANY])
def test_one_thread_and_more_give_the_same_answers(arena: Arena, more: int) -> None:
    answers = []
    for threads in (1, more):
        outputs_with(arena, threads, evaluate, str(threads))
        with open_arrays(arena.file(f"{threads}/data/predictions.npz"), "predicted", "probabilities") as arrays:
            answers.append((arrays["predicted"], arrays["probabilities"]))
    (one, one_probabilities), (two, two_probabilities) = answers
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one_probabilities, two_probabilities, atol=1e-5)


@pytest.mark.parametrize("threads", [1, MANY])
def test_scikit_learn_and_blas_give_the_same_suspects(arena: Arena, threads: int) -> None:
    outputs_with(arena, threads, label_errors, "own")
    written = arena.file(outputs_in("own", label_errors)["suspects"])
    with (
        open_arrays(written, "places") as here,
        open_arrays(arena.file(FILES[label_errors]["suspects"]), "places") as there,
    ):
        np.testing.assert_array_equal(here["places"], there["places"])
