"""What a stage keeps of its last outputs in the state folder, so that for a larger data set it computes the new images
alone."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, open_arrays, sha256_of, whole, write_arrays
from transfer.runtime.parameters import Group

INDEX = "index.npz"
DIGEST_BYTES = 32


def fingerprint(parameters: Group, inputs: Sequence[Path] = ()) -> str:
    """A name for all that a result depends on: parameters, input files, libraries, this repository's imported code."""
    libraries = [f"{name} {version(name)}" for name in ("torch", "opencv-python-headless", "pillow")]
    total = hashlib.sha256(f"{parameters.model_dump_json()} {libraries}".encode())
    code = sorted({Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))})
    files = [file for path in inputs for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for path in [*files, *(path for path in code if path.is_relative_to(ROOT) and ".venv" not in path.parts)]:
        total.update(sha256_of(path).encode())
    return total.hexdigest()[:16]


def digest(content: np.ndarray) -> bytes:
    """SHA-256 of an array's bytes: the name of an image by its content."""
    return hashlib.sha256(np.ascontiguousarray(content).data).digest()


def keep(
    folder: Path, made_by: str, digests: Sequence[bytes], files: Sequence[Path] = (), **arrays: np.ndarray
) -> None:
    """Link a run's files, or copy them, into `folder`, and write arrays into its index.

    Row i of each was made from the image named `digests[i]`.

    On a disk without room nothing is kept.
    """
    with suppress(OSError), whole(folder) as partial:
        partial.mkdir()
        for file in files:
            try:
                os.link(file, partial / file.name)
            except OSError:
                shutil.copyfile(file, partial / file.name)
        names = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        write_arrays(partial / INDEX, digests=names, made_by=np.array(made_by), **arrays)


def kept(state: Path, made_by: str) -> Iterator[tuple[Path, list[bytes]]]:
    """Folders of `state` in which `keep` left what the same fingerprint made, and the digests of their rows."""
    for index in sorted(state.glob(f"*/{INDEX}")):
        with suppress(DataError), open_arrays(index, "digests", "made_by") as arrays:  # damaged: computed anew
            if str(arrays["made_by"]) == made_by:
                yield index.parent, [row.tobytes() for row in arrays["digests"]]
