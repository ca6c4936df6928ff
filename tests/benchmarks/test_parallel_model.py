"""The arithmetic of the scaling model, against rows that were worked out by hand."""

from dataclasses import replace

import pytest

from benchmarks.parallel_model import GPUS, Assumed, all_reduced_s, row, step_s, table

# Figures that are easy to follow: 100 images in 0.1 s, 100 MB of gradients, 1 MB of features a GPU.
ROUND = Assumed(
    rate=1000,
    batch=100,
    backward_share=0.5,
    overlap=0.5,
    parameters=25_000_000,
    features=5000,
    norms=50,
    machine=8,
    nvlink=100e9,
    network=10e9,
    latency_nvlink_s=20e-6,
    latency_network_s=100e-6,
)


def test_a_ring_of_eight_moves_seven_eighths_twice() -> None:
    assert all_reduced_s(ROUND, 8, 100e6) == pytest.approx(2 * 7 / 8 * 100e6 / 100e9)


def test_eight_gpus_worked_out_by_hand() -> None:
    """Gradients take 1.75 ms beside a backward pass of 25 ms that can hide them: nothing is left of them.

    Features: 8 MB; gathered 7/8 × 8 MB at 100 GB/s = 0.07 ms, summed backwards twice that. Batch normalisation: 100
    collectives of 20 µs = 2 ms. In all 100 + 0.21 + 2 ms for 800 images.
    """
    assert step_s(ROUND, 8) == pytest.approx(0.10221)
    found = row(replace(ROUND, image_bytes=1_000_000), 8)
    assert found["images/s"] == pytest.approx(800 / 0.10221)
    assert found["of ideal"] == pytest.approx(0.1 / 0.10221)
    assert found["of ideal, frozen"] == pytest.approx(0.1 / 0.10021)
    assert found["ImageNet epoch, s"] == pytest.approx(1_281_167 * 0.10221 / 800)
    assert found["GB/s read a machine"] == pytest.approx(800 / 0.10221 / 1000)


def test_sixteen_gpus_on_two_machines_with_a_slow_network_worked_out_by_hand() -> None:
    """Gradients: 1.75 ms within, 2 × 1/2 × 100 MB at 1 GB/s = 100 ms across, of which 25 ms are hidden: 76.75 ms late.

    Features: 16 MB; 7/8 at 100 GB/s and 1/2 at 1 GB/s are 0.14 + 8 ms, three times. Batch normalisation: 10 ms.
    """
    assert step_s(replace(ROUND, network=1e9), 16) == pytest.approx(0.1 + 0.07675 + 3 * 0.00814 + 0.01)


def test_one_gpu_is_the_rate_that_was_put_in() -> None:
    assert row(ROUND, 1)["images/s"] == pytest.approx(1000)
    assert row(ROUND, 1)["of ideal"] == 1


def test_the_table_has_a_row_for_each_number_of_gpus() -> None:
    lines = table(ROUND).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {gpus}" for gpus in GPUS]
    assert lines[2].startswith("| 1 | 1,000 | 100.0% | 1,000 | 100.0% | 1,281 |")
