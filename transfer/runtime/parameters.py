"""A stage's parameters: read from params.yaml, checked before any work, wrong ones told in one line."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from ruamel.yaml import YAML

from transfer.runtime.errors import ParameterError

LONGEST_SHOWN = 200
RESEMBLES = 0.75  # as trian does train; test_size and val_size do less


class Group(BaseModel):
    """A group of parameters: read-only, no unknown keys, no NaN, strings such as `1e-05` taken as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SharedGroup(Group):
    """A group of which other stages read keys too. Those are ignored, unless one resembles a key of this stage."""

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if key in cls.model_fields or _close(key, cls)}


P = TypeVar("P", bound=Group)


def parse_yaml(text: str) -> Any:
    """Read YAML 1.2 as DVC does: `no` is text, `010` is ten, `1e-05` is a number."""
    return YAML(typ="safe").load(text)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that maps names to values. Raises ParameterError naming the file."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path}: no such file; run from the root of the repository") from None
    except (MemoryError, OSError):
        raise
    except Exception as error:  # any kind: a 13th month, an integer of 5,000 digits, a thousand brackets ...
        mark = getattr(error, "problem_mark", None)
        told = " ".join(str(getattr(error, "problem", "") if mark else error).split())
        why = f"line {mark.line + 1}: {told}" if mark else told
        raise ParameterError(f"{path}: not readable as YAML ({why})") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path}: holds no parameters; it must map names to values")
    return content


def load_parameters(model: type[P], path: Path) -> P:
    """Read the model's groups from a YAML file. Raises ParameterError naming the first wrong key."""
    return check_parameters(model, read_mapping(path))


def check_parameters(model: type[P], content: dict[str, Any]) -> P:
    """Validate the model's top-level groups out of `content`, ignoring other stages' groups."""
    try:
        return model.model_validate({name: content[name] for name in model.model_fields if name in content})
    except ValidationError as error:
        raise ParameterError(_one_line(model, content, error)) from None


def told(model: type[Group]) -> str:
    """The groups of a model with their keys, a line for each."""
    groups = {name: field.annotation for name, field in model.model_fields.items()}
    return "\n".join(
        f"  {name}" + (f": {', '.join(of.model_fields)}" if isinstance(of, type) and issubclass(of, Group) else "")
        for name, of in groups.items()
    )


def _one_line(model: type[Group], content: dict[str, Any], error: ValidationError) -> str:
    first, *more = error.errors()
    # Members of a union add their own names to the place; parameters are what params.yaml can hold.
    key = " ".join(".".join(str(part) for part in first["loc"]).split())
    if first["type"] == "missing":
        written = _resembling(model, content, first["loc"])
        text = f"{key}: missing; " + (f"did you write {written[0]} for it?" if written else "add it to params.yaml")
    elif first["type"] == "extra_forbidden":
        close = _close(first["loc"][-1], _group_at(model, first["loc"]))
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


def _close(key: object, group: type[Group] | None) -> list[str]:
    return difflib.get_close_matches(str(key), group.model_fields, n=1) if group else []


def _resembling(model: type[Group], content: Any, place: tuple[int | str, ...]) -> list[str]:
    """A key beside a missing one that looks like it and that nobody knows."""
    for part in place[:-1]:
        content = content.get(part) if isinstance(content, dict) else None
    group = _group_at(model, place)
    unknown = [str(key) for key in content or {} if not group or key not in group.model_fields]
    return difflib.get_close_matches(str(place[-1]), unknown, n=1, cutoff=RESEMBLES)


def _group_at(model: type[Group], place: tuple[int | str, ...]) -> type[Group] | None:
    for part in place[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Group)):
            return None
        model = annotation
    return model
