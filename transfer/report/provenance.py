"""Where a model comes from: the commit, parameters and digests that leave the house with it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.runtime.files import ROOT, md5_of, sha256_of

CODE = ("stages", "transfer", "dvc.yaml")


def provenance(model: Path, metrics: Path, parameters: Mapping[str, Any], params: Path) -> dict[str, Any]:
    """What provenance.json of the package says; `params` is the file that the parameters came from."""
    return {
        **revision(params),
        "model_md5": md5_of(model),
        "model_sha256": sha256_of(model),
        "parameters": dict(parameters),
        "metrics": {path.name: sha256_of(path) for path in sorted(metrics.glob("*.json"))},
    }


def revision(params: Path, root: Path = ROOT) -> dict[str, str | None]:
    """The commit checked out as `revision`, with `-dirty` if code or parameters differ from it.

    None where there is no commit or git fails; `revision_reason` then says which.
    """
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()
        if not _git(root, "ls-tree", "HEAD", "--", "transfer"):
            return {"revision": None, "revision_reason": "a copy of the project inside another repository"}
        # Contents are compared, not git's index: in an experiment's temporary folder `git status` can miss a change.
        changed = _git(root, "diff", "--name-only", "--ignore-submodules", "HEAD", "--", *CODE)
        committed = _git(root, "rev-parse", f"HEAD:./{params.name}").strip()
        same = (
            params.resolve().parent == root
            and committed == _git(root, "hash-object", "--", str(params.resolve())).strip()
        )
    except FileNotFoundError:
        return {"revision": None, "revision_reason": "git is not installed"}
    except subprocess.CalledProcessError as error:
        line = next(iter(error.stderr.strip().splitlines()), "git failed")
        return {"revision": None, "revision_reason": line.removeprefix("fatal: ")}
    return {"revision": commit if same and not changed else f"{commit}-dirty"}


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout
