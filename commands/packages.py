"""The package of an experiment, tag or commit, from DVC's cache or a remote, without touching the workspace."""

import shutil
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from commands.revisions import WORKSPACE, git, resolve
from transfer.runtime.errors import DataError

PACKAGE = Path("models/classifier")


def fetched_package(revision: str, keep: Path) -> Path:
    """Its folder, in `keep`; that of the workspace as it is. Raises DataError if it cannot be had.

    Remotes are set up as they are here. The revision's default one is asked first, then the workspace's: it may be
    younger than the revision.
    """
    commit = resolve(Path(), revision)
    if commit == WORKSPACE:
        return PACKAGE
    inside = git(Path(), "rev-parse", "--show-prefix").strip()  # of the project, in a larger repository
    try:
        with Repo() as repo:
            remotes, default = dict(repo.config["remote"]), repo.config["core"].get("remote")
    except DvcException as error:
        raise DataError(str(error)) from None
    target = keep / "package"
    why = "`dvc push` it where it was made" if remotes else "`dvc remote add --default NAME ADDRESS` names one"
    for core in ({}, {"remote": default} if default else {}):
        try:
            config = {"core": core, "remote": remotes}
            Repo.get(".", f"{inside}{PACKAGE}", out=str(target), rev=commit, config=config)
            return target
        except Exception as error:  # of whatever kind the remote's client raises
            cause = error.__cause__ if isinstance(error, DataIndexDirError) else error
            if not isinstance(cause, FileNotFoundError):
                why = " ".join(str(cause).split())
        shutil.rmtree(target, ignore_errors=True)
    raise DataError(f"{PACKAGE} of {revision}: neither in DVC's cache nor in a remote: {why}")
