"""Record what a stage opens, imports and takes for parameters; installed as a `sitecustomize` of its process.

In a process started as `python -m stages.NAME ...` an audit hook (PEP 578) notes every file of the working
directory that is opened or renamed to. At exit the notes go to a JSON file in the folder $TRACES. Programs
other than stages are left alone. What native code opens behind Python's back is not seen; the one such
reader of this pipeline, safetensors, is told on.
"""

import atexit
import json
import os
import sys
from pathlib import Path


def parameter_names(model: type, prefix: str = "") -> list[str]:
    """Dotted names that a model reads; a group of which other stages read keys stands for its own keys."""
    from transfer.runtime.parameters import SharedGroup

    names = []
    for name, field in model.model_fields.items():
        group = field.annotation
        shared = isinstance(group, type) and issubclass(group, SharedGroup)
        names += parameter_names(group, f"{prefix}{name}.") if shared else [f"{prefix}{name}"]
    return names


class Recorder:
    """Paths, relative to the working directory at the start, that were read and written."""

    def __init__(self) -> None:
        self.root = Path.cwd()
        self.reads: set[str] = set()
        self.writes: set[str] = set()

    def hook(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _mode, flags = arguments
            if not isinstance(path, int) and not Path(os.fsdecode(path)).is_dir():  # opened only to be flushed
                self.note(self.writes if flags & (os.O_WRONLY | os.O_RDWR) else self.reads, path)
        elif event in ("os.rename", "os.link", "os.symlink"):
            self.note(self.writes, arguments[1])

    def note(self, paths: set[str], path: object) -> None:
        if (inside := self.inside(path)) is not None:
            paths.add(inside)

    def inside(self, path: object) -> str | None:
        """The path relative to the root, or None if it is a descriptor or lies elsewhere."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        relative = os.path.relpath(os.fsdecode(path), self.root)
        return None if relative.startswith("..") else relative

    def modules(self) -> list[str]:
        """Source files of the root's own modules that were imported, however deep."""
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        # torch's own namespaces name files that are not there.
        return sorted({inside for file in files if file and (inside := self.inside(file)) and Path(file).is_file()})

    def save(self) -> None:
        trace = {
            "command": sys.orig_argv,
            "reads": sorted(self.reads),
            "writes": sorted(self.writes),
            "modules": self.modules(),
            "parameters": parameter_names(vars(sys.modules["__main__"])["Parameters"]),
        }
        folder = Path(os.environ["TRACES"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{os.getpid()}.json").write_text(json.dumps(trace), encoding="utf-8")


def tell_on_safetensors(recorder: Recorder) -> None:
    import safetensors

    plain_open = safetensors.safe_open

    def told_open(filename: str | os.PathLike, *arguments, **options):
        recorder.note(recorder.reads, filename)
        return plain_open(filename, *arguments, **options)

    safetensors.safe_open = told_open


if sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2].startswith("stages."):
    recorder = Recorder()
    tell_on_safetensors(recorder)
    sys.addaudithook(recorder.hook)
    atexit.register(recorder.save)
