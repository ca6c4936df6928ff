"""`dvc exp run --temp` that runs only its own experiment: `python -m commands.own_experiment --name NAME …`.

DVC puts an experiment's parameters into a stash that all experiments of a repository share. Each process takes the
first that it finds there, and looks again when it is done; so of those that run at the same time one may take
another's. A stash for each process keeps them apart.
"""

import logging
import os
import sys

from dvc import cli
from dvc.repo import experiments
from dvc.repo.experiments.refs import TEMP_NAMESPACE


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message says more than that before the first run its outputs are not there yet."""
    return not str(record.msg).startswith("No file hash info found")


if __name__ == "__main__":
    for module in ("hashfile", "index"):
        logging.getLogger(f"dvc_data.{module}.checkout").addFilter(_is_news)
    experiments.WORKSPACE_STASH = f"{TEMP_NAMESPACE}/stash-{os.getpid()}"
    sys.exit(cli.main(["--wait-for-lock", "exp", "run", "--temp", *sys.argv[1:]]))
