"""Files of a git revision or a DVC experiment, read without checking it out.

Paths are from the project's root, which may be a sub-directory of a larger git repository.
"""

import os
import subprocess
from pathlib import Path

from transfer.runtime.errors import DataError

WORKSPACE = "workspace"
LIST = "`dvc exp list --all` and `git branch --all` list what there is"
NO_GIT = "without git `dvc config --local core.no_scm true` lets `dvc repro` run, experiments do not"
START = "`git add --all && git commit -m start` makes one"
NO_REPOSITORY = f"not a git repository; `git init && git add --all && git commit -m start` makes it one; {NO_GIT}"
DEEPEN = "`git fetch --unshallow` (in actions/checkout: fetch-depth: 0) brings the rest"


def run_git(root: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git, whose messages are English. Raises DataError where git is not installed."""
    english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(["git", *arguments], cwd=root, env=english, input=stdin, capture_output=True, check=False)
    except FileNotFoundError as error:
        if error.filename != "git":
            raise
        raise DataError(f"git: no such program; install it; {NO_GIT}") from None


def git_bytes(root: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What a git command prints. Raises DataError with git's own reason if it fails."""
    done = run_git(root, *arguments, stdin=stdin)
    if b"not a git repository" in done.stderr:
        raise DataError(f"{root.resolve()}: {NO_REPOSITORY}")
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split()) or f"exit status {done.returncode}"
        raise DataError(f"git {arguments[0]}: {reason}; nothing was read, see what `git status` says here")
    return done.stdout


def git(root: Path, *arguments: str) -> str:
    """`git_bytes` as text."""
    return git_bytes(root, *arguments).decode()


def is_shallow(root: Path) -> bool:
    """Whether older commits were left out when this repository was cloned."""
    return git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def has_commits(root: Path) -> bool:
    """Whether anything was ever committed here."""
    return bool(git(root, "rev-list", "--all", "--max-count=1"))


def experiments(root: Path) -> dict[str, str]:
    """Commit of each DVC experiment by name; DVC keeps them as refs/exps/<aa>/<base>/<name>.

    Raises DataError where nothing was ever committed: DVC can run no experiment there.
    """
    found = git(root, "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps/*/*/*")
    if not found and not has_commits(root):
        raise DataError(f"{root.resolve()}: no commit yet; {START}")
    return dict(line.split(" ") for line in found.splitlines())


def resolve(root: Path, name: str) -> str:
    """The commit of an experiment, branch, tag or commit; WORKSPACE stays. Raises DataError if there is none."""
    if name == WORKSPACE:
        return name
    if (known := experiments(root)).get(name):
        return known[name]
    done = run_git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if done.returncode:
        way_out = f"this clone is shallow, and {DEEPEN}" if is_shallow(root) else LIST
        raise DataError(f"{name}: no such experiment or revision; {way_out}")
    return done.stdout.decode().strip()


def read_bytes(root: Path, revision: str, path: str) -> bytes | None:
    """A file's content in a revision or the workspace; None if there is no such file."""
    if revision == WORKSPACE:
        return (root / path).read_bytes() if (root / path).is_file() else None
    # Unlike `git show`, it tells a missing file from a git that fails.
    header, _, content = git_bytes(root, "cat-file", "--batch", stdin=f"{revision}:./{path}\n".encode()).partition(
        b"\n"
    )
    return content[:-1] if header.split()[1:2] == [b"blob"] else None


def read(root: Path, revision: str, path: str) -> str | None:
    """A file's text in a revision or the workspace; None if there is no such file."""
    content = read_bytes(root, revision, path)
    return None if content is None else content.decode()


def files_in(root: Path, revision: str, folder: str) -> list[str]:
    """Paths of all files in a folder of a revision or the workspace, at any depth; none if there is no such folder."""
    if revision == WORKSPACE:
        return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())
    return git(root, "ls-tree", "-r", "-z", "--name-only", revision, f"{folder}/").split("\0")[:-1]
