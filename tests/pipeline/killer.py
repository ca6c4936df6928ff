"""Kill a stage at a given point of its writing; installed as a `sitecustomize` of its process.

In a process started as `python -m stages.NAME ...` with NAME as in $KILL_STAGE an audit hook (PEP 578) waits for
the file $KILL_FILE to be written for the time $KILL_COUNT, and there, as $KILL_POINT says:

- "before": SIGKILL before the first byte of its temporary sibling,
- "inside": the kernel ends the process (SIGXFSZ) as the sibling grows beyond $KILL_BYTES,
- "rename": SIGKILL when the sibling is complete and not yet renamed,
- "forget": SIGKILL when the folder of the file is about to be removed,
- "term": SIGTERM before the first byte, which the stage may answer as it likes.
"""

import os
import resource
import signal
import sys
from pathlib import Path


class Killer:
    def __init__(self) -> None:
        self.file, self.point = os.environ["KILL_FILE"], os.environ["KILL_POINT"]
        self.left = int(os.environ.get("KILL_COUNT", "1"))
        if self.point == "inside":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; only the main thread may change that

    def hook(self, event: str, arguments: tuple) -> None:
        # A write begins with the removal of what an earlier one left behind.
        if event == "os.remove" and self.point in ("before", "inside", "term"):
            self.meet(arguments[0], f".{self.file}.partial")
        elif event == "os.rename" and self.point == "rename":
            self.meet(arguments[1], self.file)
        elif event == "shutil.rmtree" and self.point == "forget":
            self.meet(arguments[0], self.file)

    def meet(self, path: object, name: str) -> None:
        if not isinstance(path, str | os.PathLike) or not Path(path).match(name):
            return
        self.left -= 1
        if self.left == 0:
            self.act()

    def act(self) -> None:
        if self.point == "inside":
            size = int(os.environ["KILL_BYTES"])
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        else:
            os.kill(os.getpid(), signal.SIGTERM if self.point == "term" else signal.SIGKILL)


if sys.orig_argv[1:3] == ["-m", f"stages.{os.environ['KILL_STAGE']}"]:
    sys.addaudithook(Killer().hook)
