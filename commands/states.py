"""List the states of unfinished runs, and with `--remove` delete them: `python -m commands.states [--remove]`.

A state that a process is at work on stays.
"""

import argparse
import shutil
import time
from pathlib import Path

from commands.entry_point import exit_with
from transfer.runtime.errors import TrainingError
from transfer.training.state import STATE_FILE, only_one


def main(folder: Path, remove: bool) -> int:
    """Print a line for each state, and delete it if asked to."""
    states = sorted(folder.rglob(STATE_FILE))
    for state in states:
        about = state.stat()
        saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(about.st_mtime))
        try:
            with only_one(state.parent):
                if remove:
                    shutil.rmtree(state.parent)
            done = "removed" if remove else "kept"
        except TrainingError as error:
            done = f"kept ({error})"
        print(f"{state.parent}  {about.st_size / 1e6:.0f} MB  saved {saved}  {done}")
    if not states:
        print(f"{folder}: no state of an unfinished run")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.states", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("state"), help="folder of states (default %(default)s)")
    parser.add_argument("--remove", action="store_true", help="delete them")
    arguments = parser.parse_args()
    exit_with(lambda: main(arguments.state, arguments.remove))
