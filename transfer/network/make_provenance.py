"""What a trainer writes into its model's file: the inputs, the parameters and code, and the git revision."""

import ast
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from transfer.network.provenance import Provenance, record_digest
from transfer.runtime.files import ROOT, md5_of
from transfer.runtime.parameters import Group


def read_provenance(stage: str, parameters: Group, inputs: Mapping[str, Path], params: Path) -> Provenance:
    """The provenance of what this process is about to make; `params` is the file that the parameters came from.

    `lock_sha256` is a digest of what DVC records of the stage in dvc.lock before it knows the outputs:
    the MD5 of each dependency, whatever its path, and the parameters.
    """
    digests = {name: md5_of(path) for name, path in inputs.items()}
    code = code_of(ROOT / "stages" / f"{stage}.py")
    locked = record_digest([*digests.values(), *map(md5_of, code)], parameters.model_dump())
    return Provenance(stage, digests, locked, read_revision([params, *code]))


def code_of(script: Path) -> list[Path]:
    """A script and the modules of this repository that it imports, all the way down.

    Read from the sources, since a process that runs several stages, such as a test, has imported more.
    """
    found: set[Path] = set()
    todo = [script]
    while todo:
        if (path := todo.pop()) in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            files = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
            todo += [file for file in files if file.is_file()]
    return sorted(found)


def read_revision(files: Sequence[Path]) -> str | None:
    """The commit checked out, with `-dirty` if one of the files differs from it; None where this code is in no commit.

    Contents are compared, not git's index: in an experiment's temporary folder `git status` misses a new value
    that is as long as the old one.
    """
    inside = sorted({path.resolve() for path in (Path(__file__), *files) if path.resolve().is_relative_to(ROOT)})
    names = [path.relative_to(ROOT).as_posix() for path in inside]
    try:
        revision = _git("rev-parse", "--verify", "HEAD^{commit}").strip()
        entries = (line.split("\t") for line in _git("ls-tree", "HEAD", "--", *names).splitlines())
        committed = {name: about.split()[2] for about, name in entries}
        there = dict(zip(names, _git("hash-object", "--", *names).split(), strict=True))
    except (OSError, subprocess.CalledProcessError):  # no git, or no commit
        return None
    if Path(__file__).resolve().relative_to(ROOT).as_posix() not in committed:  # a copy inside another repository
        return None
    same = committed == there and all(path.resolve() in inside for path in files)
    return revision if same else f"{revision}-dirty"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
