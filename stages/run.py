"""How every stage starts: read the command line, check the parameters, turn errors into one line.

A stage script holds a model of its parameters, a `main(parameters, files)` and a call of `run`.
"""

import argparse
import difflib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Never, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from transfer.errors import InterruptedRunError, ParameterError, PipelineError
from transfer.files import sha256_of

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SHOWN = 200


class Group(BaseModel):
    """A group of parameters: read-only, no unknown keys, no NaN, strings such as `1e-05` taken as numbers.

    `elsewhere` names keys of the same group in params.yaml that only other stages read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    elsewhere: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if key not in cls.elsewhere}
        return values


P = TypeVar("P", bound=Group)


def load_parameters(model: type[P], path: Path) -> P:
    """Read the model's groups from a YAML file. Raises ParameterError naming the first wrong key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path}: no such file; run from the root of the repository") from None
    except (MemoryError, OSError):
        raise
    except Exception as error:  # any kind: a 13th month, an integer of 5,000 digits, a thousand brackets ...
        raise ParameterError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path}: holds no parameters; it must map names to values")
    return check_parameters(model, content)


def check_parameters(model: type[P], content: dict[str, Any]) -> P:
    """Validate the model's top-level groups out of `content`, ignoring other stages' groups."""
    try:
        return model.model_validate({name: content[name] for name in model.model_fields if name in content})
    except ValidationError as error:
        raise ParameterError(_one_line(model, error)) from None


def _one_line(model: type[Group], error: ValidationError) -> str:
    first, *more = error.errors()
    # Members of a union add their own names to the place; parameters are what params.yaml can hold.
    key = " ".join(".".join(str(part) for part in first["loc"]).split())
    if first["type"] == "missing":
        text = f"{key}: missing; add it to params.yaml"
    elif first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(first["loc"][-1]), _siblings(model, first["loc"]), n=1)
        text = f"{key} = {_shown(first['input'])}: unknown parameter" + (f"; did you mean {close[0]}?" if close else "")
    else:
        text = f"{key} = {_shown(first['input'])}: {first['msg'].removeprefix('Value error, ')}"
    return text + (f" (and {len(more)} more)" if more else "")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return "a number too long to show"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _siblings(model: type[Group], place: tuple[int | str, ...]) -> list[str]:
    for part in place[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Group)):
            return []
        model = annotation
    return list(model.model_fields)


def run(
    main: Callable[[Any, argparse.Namespace], None],
    parameters: type[Group],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    several: Sequence[str] = (),
) -> Never:
    """Run a stage from the command line and exit: 0, 1 on an error told in one line, 128 + n on signal n.

    `inputs` and `outputs` become required options `--NAME PATH`, given to `main` as paths with
    `params` (the parameter file) and `state` (an ignored folder for what outlives a killed run).
    Each of `several` is an input `--NAME PATH ...` of any number of files, given as a list.
    """
    module = sys.modules["__main__"]
    name = Path(str(module.__file__)).stem
    parser = argparse.ArgumentParser(f"python -m stages.{name}", description=module.__doc__)
    for option in [*inputs, *outputs]:
        kind = "read" if option in inputs else "written"
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, required=True, help=f"file that is {kind}")
    for option in several:
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=Path, nargs="+", required=True, help="files that are read"
        )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters (default %(default)s)")
    parser.add_argument("--state", type=Path, required=True, help="folder for resume state and timings")
    files = parser.parse_args()
    # An experiment in a temporary workspace, which is deleted, keeps its state elsewhere.
    files.state = Path(os.environ.get("TRANSFER_STATE") or files.state)
    signal.signal(signal.SIGTERM, _raise_interrupted)
    started = time.monotonic()
    try:
        main(load_parameters(parameters, files.params), files)
        _note_time(files.state, f"{name} {getattr(files, outputs[0])}", time.monotonic() - started)
    except InterruptedRunError as error:
        _leave(str(error), 128 + error.signal_number)
    except KeyboardInterrupt:
        _leave(f"{name}: stopped", 128 + signal.SIGINT)
    except PipelineError as error:
        _leave(str(error), 1)
    except MemoryError as error:
        _leave(f"{name}: out of memory ({error}); use fewer images, or a smaller batch_size or resize.size_px", 1)
    except OSError as error:
        _leave(f"{error.filename or name}: {error.strerror or error}; check the path, the rights and the disk", 1)
    sys.exit(0)


def _raise_interrupted(number: int, _frame: object) -> Never:
    raise InterruptedRunError("stopped", number)


def _leave(message: str, status: int) -> Never:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


def _note_time(state: Path, what: str, seconds: float) -> None:
    state.mkdir(parents=True, exist_ok=True)
    with (state / "timings.tsv").open("a", encoding="utf-8") as stream:
        stream.write(f"{what}\t{seconds:.1f}\n")


def fingerprint(parameters: Group, inputs: Sequence[Path]) -> str:
    """A name for all that a result depends on: parameters, input files, torch, this repository's imported code."""
    total = hashlib.sha256(f"{parameters.model_dump_json()} torch {version('torch')}".encode())
    code = sorted({Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))})
    for path in [*inputs, *(path for path in code if path.is_relative_to(ROOT) and ".venv" not in path.parts)]:
        total.update(sha256_of(path).encode())
    return total.hexdigest()[:16]
