"""Resizing: pixels equal cv2.resize for each interpolation, bounded memory, whole files only."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from transfer.data.resize import INTERPOLATIONS, open_resized, resized
from transfer.data.resizing import save_resized
from transfer.data.splits import Split
from transfer.sources.images import pixel_set

FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


PROGRAM = (
    "import sys; from pathlib import Path; import numpy as np; from tests.transfer.data.test_resize import split_of;"
    "from transfer.data.resizing import save_resized;"
    "save = lambda images, size: save_resized(Path(sys.argv[1]), split_of(images), size, 'cubic', 'crop');"
)


def split_of(images: np.ndarray) -> Split:
    count = len(images)
    whole = pixel_set(images, np.zeros(count), ("a", "b"), ["train"] * count)
    return Split(**vars(whole), positions=np.arange(count))


@pytest.mark.parametrize("interpolation", FLAGS)
@pytest.mark.parametrize("size_px", [32, 96])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_square_images_are_enlarged_as_opencv_does(tmp_path, interpolation: str, size_px: int, aspect: str):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    save_resized(tmp_path / "made", split_of(images), size_px, interpolation, aspect)
    made = open_resized(tmp_path / "made")
    expected = np.stack([cv2.resize(image, (size_px, size_px), interpolation=FLAGS[interpolation]) for image in images])
    np.testing.assert_array_equal(made.pixels, expected)
    np.testing.assert_array_equal(made.images, images)
    assert made.original


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (90, 30), (30, 90), (40, 200), (1, 50)])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_a_photograph_keeps_its_proportions_unless_it_is_asked_to_lose_them(shape: tuple[int, int], aspect: str):
    """A gradient along each axis: its slope says by how much the axis was scaled, its ends what is shown."""
    rows, columns = (np.linspace(0, 254, side) for side in shape)
    image = np.stack(np.broadcast_arrays(rows[:, None], columns[None], 128), axis=2).round().astype(np.uint8)
    small = resized(image, 64, "linear", aspect)
    assert small.shape == (64, 64, 3)
    short, long = min(shape), max(shape)
    shown = {"crop": (short / shape[0], short / shape[1]), "stretch": (1, 1), "pad": (1, 1)}[aspect]
    inside = (small[..., 2] == 128).any(1), (small[..., 2] == 128).any(0)
    filled = tuple(max(round(64 * side / long), 1) if aspect == "pad" else 64 for side in shape)
    assert tuple(map(int, (inside[0].sum(), inside[1].sum()))) == filled
    for axis in (0, 1):
        if shape[axis] > 1 and filled[axis] > 8:
            values = small[inside[0]][:, inside[1]][..., axis].mean(1 - axis)
            assert values[-1] - values[0] == pytest.approx(254 * shown[axis], abs=254 * shown[axis] / 8 + 254 / 32)


def test_reducing_averages_so_that_fine_patterns_do_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resized(stripes, 64, "cubic", "crop")
    assert np.abs(small.astype(int) - 127.5).max() <= 1


def test_every_interpolation_that_params_offer_is_tested():
    assert set(INTERPOLATIONS) == set(FLAGS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_stays_under_400_mb_for_a_cache_that_is_larger(tmp_path):
    """2,000 images of 320 pixels are 614 MB on disk; the child reports the most memory it held."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM + "save(np.zeros((2000, 32, 32, 3), np.uint8), 320);"
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])",
            str(tmp_path / "made"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "made/pixels.npy").stat().st_size > 600e6
    assert int(done.stdout) * 1024 < 400e6


def test_a_full_disk_leaves_the_old_folder_and_nothing_half_written(tmp_path):
    save_resized(tmp_path / "made", split_of(np.zeros((2, 32, 32, 3), np.uint8)), 8, "cubic", "crop")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    program = PROGRAM + (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "save(np.zeros((50, 32, 32, 3), np.uint8), 64)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "made")], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert len(open_resized(tmp_path / "made").labels) == 2
