"""Resizing: pixels equal cv2.resize for each interpolation, bounded memory, whole files only."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from transfer.data.resize import INTERPOLATIONS, resize_to_file

FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


@pytest.mark.parametrize("interpolation", FLAGS)
@pytest.mark.parametrize("size_px", [20, 32, 96])
def test_pixels_are_those_of_opencv(tmp_path, interpolation: str, size_px: int):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    resize_to_file(images, size_px, interpolation, tmp_path / "cache.npy")
    cache = np.load(tmp_path / "cache.npy", mmap_mode="r")
    expected = np.stack([cv2.resize(image, (size_px, size_px), interpolation=FLAGS[interpolation]) for image in images])
    assert cache.dtype == np.uint8
    np.testing.assert_array_equal(cache, expected)


def test_every_interpolation_that_params_offer_is_tested():
    assert set(INTERPOLATIONS) == set(FLAGS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_stays_under_400_mb_for_a_cache_that_is_larger(tmp_path):
    """2,000 images of 320 pixels are 614 MB on disk; the child reports the most memory it held."""
    program = (
        "import sys; from pathlib import Path; import numpy as np; from transfer.data.resize import resize_to_file;"
        "images = np.zeros((2000, 32, 32, 3), np.uint8); resize_to_file(images, 320, 'cubic', Path(sys.argv[1]));"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    path = tmp_path / "cache.npy"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 600e6
    assert int(done.stdout) * 1024 < 400e6


def test_a_full_disk_leaves_the_old_cache_and_nothing_half_written(tmp_path):
    path = tmp_path / "cache.npy"
    path.write_bytes(b"old")
    program = (
        "import resource, signal, sys; from pathlib import Path; import numpy as np;"
        "from transfer.data.resize import resize_to_file; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "resize_to_file(np.zeros((50, 32, 32, 3), np.uint8), 64, 'cubic', Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
