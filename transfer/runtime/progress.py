"""How far a long piece of work is: a bar on a terminal, nothing in a file or on a terminal that cannot draw one."""

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

COLUMNS, ROWS = 80, 24  # of a terminal that does not say how many it has


class Progress(tqdm):
    """tqdm by a clock that is never set back: a jump of the wall clock stops no bar and gives no negative time.

    `hidden` is for processes that share a terminal with the one that shows the bar.
    """

    monitor_interval = 0  # tqdm's thread reads the wall clock; with miniters each update looks at the time itself

    def __init__(self, iterable: Iterable[Any] | None = None, *, hidden: bool = False, **options: Any) -> None:
        columns, rows = _size_of_terminal()
        hidden = hidden or os.environ.get("TERM") == "dumb"
        shape = {"ncols": columns - 1, "nrows": rows - 1}
        super().__init__(iterable, disable=hidden or None, miniters=1, **shape, **options)
        if not self.disable:
            self._time = time.monotonic
            self.start_t = self.last_print_t = time.monotonic()


def _size_of_terminal() -> tuple[int, int]:
    """Columns and rows; those of a container or a serial line may be 0."""
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return COLUMNS, ROWS
    return columns or COLUMNS, rows or ROWS
