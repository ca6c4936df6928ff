"""Deterministic algorithms on request, and one line where memory does not suffice."""

import warnings

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from transfer.devices.device import choose_algorithms, fitting_in_memory
from transfer.runtime.errors import DeviceError
from transfer.training.state import seed_step

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture(autouse=True)
def _as_before():
    yield
    choose_algorithms(CUDA, False)


def write_twice_to_one_place() -> None:
    """What no device does deterministically."""
    torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_what_is_not_deterministic_warns_if_it_should_be():
    choose_algorithms(CUDA, True)
    with pytest.warns(UserWarning, match="does not have a deterministic implementation"):
        write_twice_to_one_place()
    choose_algorithms(CUDA, False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_twice_to_one_place()


def test_on_the_cpu_nothing_is_chosen_since_its_algorithms_are_deterministic():
    choose_algorithms(CPU, True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_memory_that_does_not_suffice_is_one_line_with_batch_and_size():
    with pytest.raises(DeviceError) as caught, fitting_in_memory(250, "images of 224 px"):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 MiB")
    assert "250 images of 224 px" in str(caught.value)
    assert "resize.size_px" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), fitting_in_memory(1, "images"):
        _ = 1 / 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_two_trainings_on_cuda_end_with_the_same_bits():
    choose_algorithms(CUDA, True)
    pixels, target = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32, device="cuda").reshape(-1, 1, 8, 8)
    labels = torch.tensor(target, device="cuda")

    def trained() -> list[bytes]:
        seed_step(0, 0)
        layers = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.MaxPool2d(3, 2, 1), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(256, 10)).cuda()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(50):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        return [tensor.cpu().numpy().tobytes() for tensor in model.state_dict().values()]

    assert trained() == trained()
