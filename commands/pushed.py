"""Fail if an output that dvc.lock names is not in the DVC remote: `python -m commands.pushed`; needs no data here."""

import sys
from pathlib import Path

from dvc.repo import Repo

from commands.ending import exit_with
from commands.fresh import LOCK, recorded_stages
from commands.verify import recorded_outputs
from transfer.runtime.errors import DataError


def not_in_remote(root: Path) -> list[str]:
    """Outputs of dvc.lock that the default remote lacks. Raises DataError if there is no remote, or no record."""
    recorded_stages(root / LOCK)
    with Repo(str(root)) as repo:
        name = repo.config["core"].get("remote")
        if not name:  # DVC would say of all outputs that they are not there
            raise DataError("no DVC remote; `dvc remote add --default NAME URL` names one (docs/runners.md)")
        try:
            return sorted(repo.data_status(not_in_remote=True, remote_refresh=True)["not_in_remote"])
        except Exception as error:  # of any kind: each storage has errors of its own
            raise DataError(f"DVC remote {name}: {error}; check its address and credentials") from None


def main(root: Path) -> int:
    missing = not_in_remote(root)
    outputs = recorded_outputs(root / LOCK)
    for path in missing:
        stage = outputs[Path(path)][0] if Path(path) in outputs else "?"
        print(f"not in the remote: {path} of stage {stage}", file=sys.stderr)
    if missing:
        print("error: outputs are not in the DVC remote; run `dvc push --run-cache` where they are", file=sys.stderr)
        return 1
    print("all outputs that dvc.lock names are in the DVC remote")
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(Path()))
