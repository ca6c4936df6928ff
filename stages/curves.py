"""Log a phase's epochs with DVCLive, and say what the phase ended with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvclive.live import Live

from transfer.files import whole
from transfer.training import Epoch, Fitted


@contextmanager
def logged_curves(folder: Path, first_epoch: int) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that logs an epoch; `folder` gets DVCLive's TSV files, whole, when the body ends.

    Epochs count from `first_epoch`, so that the second phase goes on where the first stopped.
    """
    with whole(folder) as partial:
        # dvc.yaml declares plots and metrics by hand; nothing here may rewrite it.
        with Live(str(partial), dvcyaml=None, save_dvc_exp=False, report=None) as live:
            live.step = first_epoch

            def log(epoch: Epoch) -> None:
                for split, values in as_metrics(epoch).items():
                    for name, value in values.items():
                        live.log_metric(f"{split}/{name}", value)
                live.next_step()

            yield log
        (partial / "metrics.json").unlink(missing_ok=True)  # the stage writes the best epoch's instead


def as_metrics(epoch: Epoch) -> dict[str, dict[str, float]]:
    return {
        "train": {"loss": epoch.train_loss, "accuracy": epoch.train_accuracy},
        "val": {"loss": epoch.val_loss, "accuracy": epoch.val_accuracy},
    }


def final_metrics(fitted: Fitted, first_epoch: int) -> dict[str, Any]:
    """The metrics of the epoch whose weights were kept, and which it was."""
    best = as_metrics(fitted.history[fitted.best]) if fitted.history else {}
    return {**best, "epochs": len(fitted.history), "best_epoch": first_epoch + fitted.best}
