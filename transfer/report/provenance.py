"""Where a model comes from: the commit, parameters and digests that leave the house with it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.runtime.files import ROOT, md5_of, sha256_of

CODE = ("stages", "transfer", "dvc.yaml")
REASONS = {  # by what git says
    "single revision": "nothing was committed yet",
    "not a git repository": "the project is in no git repository",
}


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
    """The commit checked out as `revision`, with `-dirty` if tracked code or parameters differ from it.

    None where there is no commit or git fails; `revision_reason` is then a sentence that says why.
    """
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()
        entries = _git(root, "ls-tree", "-r", "-z", "HEAD", "--", *CODE, params.name).split("\0")[:-1]
        committed = {name: about.split()[2] for about, name in (entry.split("\t", 1) for entry in entries)}
        if not any(name.startswith("transfer/") for name in committed):
            return _none("the project is a copy inside another git repository")
        # Contents are compared, not git's index: in an experiment's temporary folder it can miss a change.
        there = [name for name in committed if (root / name).is_file()]
        digests = dict(zip(there, _git(root, "hash-object", "--", *there).split(), strict=True))
    except OSError as error:
        return _none(f"git did not start ({error.strerror})")
    except subprocess.CalledProcessError as error:
        line = next(iter(error.stderr.strip().splitlines()), "git failed").removeprefix("fatal: ")
        return _none(next((reason for told, reason in REASONS.items() if told in line), f"git failed ({line})"))
    is_same = digests == committed and params.name in committed and params.resolve() == root / params.name
    return {"revision": commit if is_same else f"{commit}-dirty"}


def _none(reason: str) -> dict[str, str | None]:
    return {"revision": None, "revision_reason": reason}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, "LC_ALL": "C"},  # so that its messages are English
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return done.stdout
