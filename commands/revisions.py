"""Files of a git revision or a DVC experiment, read without checking it out."""

import subprocess
from pathlib import Path

WORKSPACE = "workspace"


def git(root: Path, *arguments: str) -> str:
    """What a git command prints. Exits with git's own line if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {(done.stderr.strip().splitlines() or ['git failed'])[-1]}")
    return done.stdout


def experiments(root: Path) -> dict[str, str]:
    """Commit of each DVC experiment by name; DVC keeps them as refs/exps/<aa>/<base>/<name>."""
    listed = git(root, "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps/*/*/*")
    return dict(line.split(" ") for line in listed.splitlines())


def resolve(root: Path, name: str) -> str:
    """The commit of an experiment, branch, tag or commit. Exits with one line if there is none of that name."""
    if name == WORKSPACE:
        return name
    if (known := experiments(root)).get(name):
        return known[name]
    command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"error: {name}: no such experiment or revision; `dvc exp list --all` and `git branch` list what there is"
        )
    return done.stdout.strip()


def read(root: Path, revision: str, path: str) -> str | None:
    """A file's text in a revision or the workspace, or None if it is not there."""
    if revision == WORKSPACE:
        file = root / path
        return file.read_text(encoding="utf-8") if file.is_file() else None
    command = ["git", "show", f"{revision}:{path}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout


def listed(root: Path, revision: str, folder: str) -> list[str]:
    """Paths of the files right in a folder of a revision or the workspace; none if it is not there."""
    if revision == WORKSPACE:
        return sorted(f"{folder}/{path.name}" for path in (root / folder).glob("*") if path.is_file())
    return git(root, "ls-tree", "-z", "--name-only", revision, f"{folder}/").split("\0")[:-1]
