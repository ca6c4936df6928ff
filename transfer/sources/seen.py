"""Which images an earlier run has seen whole, by their content, so that these are not decoded again to be checked."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays
from transfer.runtime.kept import INDEX, digest, fingerprint, keep, kept
from transfer.runtime.parameters import Group
from transfer.sources.decode import check_whole

Size = tuple[int, int]  # height and width in pixels, as shown
FOLDER = "seen"


class SeenImages:
    """The sizes of whole images by their digests: those that `state` remembers, and those that were checked since."""

    def __init__(self, state: Path | None = None) -> None:
        self._state, self._made_by = state, fingerprint(Group()) if state else ""
        self._before: dict[bytes, Size] = {}
        self._now: dict[bytes, Size] = {}
        for folder, digests in kept(state, self._made_by) if state else ():
            with suppress(DataError), open_arrays(folder / INDEX, "sizes") as arrays:  # damaged: checked anew
                self._before.update(zip(digests, map(tuple, arrays["sizes"].tolist()), strict=True))

    def check(self, encoded: bytes) -> Size:
        """The size of an image, which is decoded if it is not known yet. Raises DamagedImageError."""
        name = digest(np.frombuffer(encoded, np.uint8))
        size = self._before.get(name) or check_whole(encoded)
        self._now[name] = size
        return size

    def remember(self) -> None:
        """Keep in `state` what was checked or known in this run."""
        if self._state:
            sizes = np.array([*self._now.values()], np.int32).reshape(-1, 2)
            keep(self._state / FOLDER, self._made_by, [*self._now], sizes=sizes)
