"""Exit with 1 if the last evaluation misses the minimum viable accuracy: `python -m commands.gate`."""

import argparse
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.entry_point import exit_with
from transfer.runtime.errors import DataError
from transfer.runtime.parameters import Group, load_parameters

WEAKEST = 3


class Evaluate(Group, extra="ignore"):
    minimum_macro_f1: float = Field(ge=0, le=1)


class Parameters(Group):
    evaluate: Evaluate


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class ClassFigures(Strict):
    f1: float


class Metrics(Strict):
    macro_f1: float
    mva_met: bool
    per_class: dict[str, ClassFigures] = Field(min_length=1)


def read_metrics(path: Path) -> Metrics:
    """The figures of an evaluation. Raises DataError if the file is missing, damaged or lacks one of them."""
    try:
        return Metrics.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; run `dvc repro evaluate` first") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        what = f"{key}: {first['msg']}" if key else first["msg"]
        raise DataError(f"{path}: not the figures of an evaluation ({what}); run `dvc repro evaluate` again") from None


def check(metrics: Metrics, minimum: float) -> tuple[bool, str]:
    """Whether the minimum is met, and a sentence that says so. Raises DataError if another minimum was judged."""
    met = metrics.macro_f1 >= minimum
    if met != metrics.mva_met:
        raise DataError(
            f"evaluate.minimum_macro_f1 = {minimum}: the evaluation judged by another one; run `dvc repro evaluate`"
        )
    against = f"macro F1 {metrics.macro_f1:.4f}, evaluate.minimum_macro_f1 {minimum}"
    if met:
        return True, f"minimum viable accuracy met: {against}"
    ranked = sorted(metrics.per_class.items(), key=lambda item: item[1].f1)
    weakest = ", ".join(f"{name} {figures.f1:.4f}" for name, figures in ranked[:WEAKEST])
    return False, f"minimum viable accuracy missed: {against}; weakest classes by F1: {weakest}"


def main() -> int:
    parser = argparse.ArgumentParser("python -m commands.gate", description=__doc__)
    parser.add_argument("metrics", type=Path, nargs="?", default=Path("metrics/evaluate.json"), help="%(default)s")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters (default %(default)s)")
    arguments = parser.parse_args()
    minimum = load_parameters(Parameters, arguments.params).evaluate.minimum_macro_f1
    met, verdict = check(read_metrics(arguments.metrics), minimum)
    print(verdict, file=sys.stdout if met else sys.stderr)
    return 0 if met else 1


if __name__ == "__main__":
    exit_with(main)
