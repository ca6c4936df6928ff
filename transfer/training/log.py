"""Log a phase's epochs with DVCLive while it runs, and say what the phase ended with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvclive.live import Live

from transfer.devices.processes import is_first
from transfer.runtime.files import NOT_OFFERED, write_json, write_tsv
from transfer.training.plan import Epoch, Fitted

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


@contextmanager
def live_log(folder: Path, first_epoch: int) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that logs an epoch to `folder`, to be watched while the phase runs.

    Epochs count from `first_epoch`, so that the second phase goes on where the first stopped.
    """
    if not is_first():
        yield lambda _epoch: None
        return
    if (opened := _open(folder)) is None:
        yield lambda _epoch: None
        return
    with opened as live:
        live.step = first_epoch

        def log(epoch: Epoch) -> None:
            for split, values in as_metrics(epoch).items():
                for name, value in values.items():
                    live.log_metric(f"{split}/{name}", value)
            try:
                live.next_step()
            except OSError as error:
                if error.errno not in NOT_OFFERED:
                    raise
                live.step += 1  # what it could not flush, before it counted on, was a note for VS Code

        yield log


def _open(folder: Path) -> Live | None:
    """DVCLive's log, or None where it cannot be: it asks git for the last commit, and there may be none to name."""
    try:
        # dvc.yaml declares plots and metrics by hand; nothing here may rewrite it.
        return Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None)
    except OSError:  # a disk that is full or read-only stops the training too
        raise
    except Exception as error:
        print(f"note: no log of DVCLive to watch ({' '.join(str(error).split())})", file=sys.stderr)
        return None


def as_metrics(epoch: Epoch) -> dict[str, dict[str, float]]:
    return {
        "train": {"loss": epoch.train_loss, "accuracy": epoch.train_accuracy},
        "val": {"loss": epoch.val_loss, "accuracy": epoch.val_accuracy},
    }


def write_results(metrics: Path, curves: Path, fitted: Fitted, first_epoch: int, **about: str) -> None:
    """Write the metrics of the epoch whose weights were kept (JSON), and all epochs (TSV).

    A start that was validated is the row before the first epoch; nothing was trained there, so it has no such figures.
    """
    best: dict[str, Any] = as_metrics(fitted.history[fitted.best]) if fitted.best >= 0 else {}
    rows = [{"epoch": number, **vars(epoch)} for number, epoch in enumerate(fitted.history, first_epoch)]
    if fitted.start is not None:
        figures = dict(zip(("loss", "accuracy"), fitted.start, strict=True))
        best = best or {"val": figures}
        start = {"epoch": first_epoch - 1, **{f"val_{name}": value for name, value in figures.items()}}
        rows.insert(0, {**dict.fromkeys(COLUMNS, ""), **start})
    write_json(metrics, {**best, "epochs": len(fitted.history), "best_epoch": first_epoch + fitted.best, **about})
    write_tsv(curves, rows, COLUMNS)
