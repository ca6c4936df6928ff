"""Recipes, searches and the user's own `-S key=value`: overrides of params.yaml, quoted for `dvc exp run`."""

import difflib
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, TypeVar

from dvc.utils.hydra import to_hydra_overrides
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import OverrideParseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import parse_yaml, read_mapping

MAPPINGS = ("train.fine_tune.class_weights",)  # parameters that may hold one; any other mapping is a group
RECIPES = Path(__file__).resolve().parent.parent / "experiments/recipes"


def recipe_names() -> list[str]:
    """The names of experiments/recipes/."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """The nested overrides of a recipe. Raises ParameterError if there is no such recipe."""
    if name not in recipe_names():
        raise ParameterError(f"no recipe {name!r}; there are {', '.join(recipe_names())}")
    return read_mapping(RECIPES / f"{name}.yaml")


def flat(parameters: dict[str, Any], overrides: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested overrides by dotted name; a mapping is a value where params.yaml has no group of parameters.

    Raises ParameterError for a name that params.yaml lacks, and for a value in place of a group.
    """
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        name = f"{above}{key}"
        if key not in parameters:
            raise unknown_parameter(str(key), parameters, above)
        if not isinstance(parameters[key], dict) or name in MAPPINGS:
            found[name] = value
        elif isinstance(value, dict):
            found |= flat(parameters[key], value, f"{name}.")
        else:
            raise _in_place_of_a_group(name, repr(value))
    return found


def _in_place_of_a_group(name: str, value: str) -> ParameterError:
    return ParameterError(f"{name} = {value}: is a group of parameters; name one of them")


def unknown_parameter(name: str, parameters: dict[str, Any], above: str = "") -> ParameterError:
    """The error for a dotted name that a group lacks, with what may have been meant."""
    names = list(flat(parameters, parameters))
    meant = [known for known in names if known.endswith(f".{name}")] or difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {above}{meant[0]}?" if meant else ""
    return ParameterError(f"params.yaml has no parameter {above}{name}{hint}")


def merge(parameters: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Parameters with nested overrides laid over them. Raises what `flat` raises."""
    merged = deepcopy(parameters)
    for name, value in flat(parameters, overrides).items():
        *groups, last = name.split(".")
        reduce(getitem, groups, merged)[last] = value
    return merged


def set_params(values: dict[str, Any]) -> list[str]:
    """Values by dotted name as arguments for `dvc exp run`: ["-S", "train.lr=0.01", ...]."""
    return [part for name, value in values.items() for part in _set_param(name, value)]


def users_set_params(given: Sequence[str], parameters: dict[str, Any]) -> list[str]:
    """A user's `key=value` each, for `dvc exp run`; a mapping for a group is overrides of its parameters.

    Raises ParameterError for a name that params.yaml lacks, and for another value in place of a group.
    """
    return [part for each in given for part in _users_set_param(each, parameters)]


def _users_set_param(given: str, parameters: dict[str, Any]) -> list[str]:
    name, _, value = given.removeprefix("params.yaml:").partition("=")
    if not name:
        raise ParameterError(f"-S {given}: names no parameter; write -S NAME=VALUE")
    if ":" in name or name[:1] in ("+", "~"):  # another file, a new name, one to drop
        return quoted_set_param(given)
    inside: Any = parameters
    for part in re.split(r"[.\[\]]+", name):
        if isinstance(inside, dict) and part not in inside:
            raise unknown_parameter(name, parameters)
        inside = inside[part] if isinstance(inside, dict) else None
    if not isinstance(inside, dict) or name in MAPPINGS:
        return quoted_set_param(given)
    if (nested := _mapping_in(value)) is None:
        raise _in_place_of_a_group(name, value)
    return set_params(flat(inside, nested, f"{name}."))


def _mapping_in(text: str) -> dict[str, Any] | None:
    try:
        (parsed,) = to_hydra_overrides([f"x={text}"])
        found = None if parsed.is_sweep_override() else parsed.value()
    except OverrideParseException:
        found = _as_yaml(text)
    return found if isinstance(found, dict) else None


def quoted_set_param(given: str) -> list[str]:
    """A user's `key=value` as arguments for `dvc exp run`: text that Hydra's grammar has no place for is quoted."""
    name, equals, value = given.partition("=")
    try:
        (parsed,) = to_hydra_overrides([f"{name.rpartition(':')[2]}{equals}{value}"])  # FILE:key=value names a file
    except OverrideParseException:
        if not equals:
            raise ParameterError(f"-S {given}: not of the form key=value") from None
        return _set_param(name, _as_yaml(value) if value[0] in "[{" else value)
    if parsed.is_sweep_override():  # to Hydra, which takes a comma for two values to try
        return _set_param(name, value)
    if isinstance(parsed.value(), dict) and name[0] not in "+~":
        return _set_param(name, parsed.value())
    return ["-S", given]


def _as_yaml(text: str) -> Any:
    try:
        return parse_yaml(text)
    except Exception:
        return text


def _set_param(name: str, value: Any) -> list[str]:
    text = f"{name}={_quoted(name, value)}"
    if not isinstance(value, dict):
        return ["-S", text]
    return ["-S", f"{name}=null", "-S", text]  # DVC merges a mapping into the one that it finds


def _quoted(name: str, value: Any) -> str:
    """A value in Hydra's override grammar, which DVC parses `-S` by (OverrideLexer.g4 of hydra-core)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_quoted(name, member) for member in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quoted_key(name, key)}:{_quoted(name, member)}' for key, member in value.items())}}}"
    text = str(value)
    if text == "???":  # a value that is missing, to OmegaConf
        raise ParameterError(f"{name} = '???': `dvc exp run -S` cannot pass this text; write it into params.yaml")
    if "${" in text:  # an interpolation, to OmegaConf, unless it is escaped
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return QuotedString(text, Quote.single).with_quotes()


def _quoted_key(name: str, key: Any) -> str:
    text = re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", str(key))
    try:
        parsed: Any = to_hydra_overrides([f"x={{{text}:0}}"])[0].value()
    except OverrideParseException:
        parsed = {}
    if repr([*parsed]) != repr([key]):
        raise ParameterError(f"{name}: `dvc exp run -S` cannot pass the key {key!r}; write it into params.yaml")
    return text


class Search(BaseModel):
    """A file of experiments/: `base` is laid over `recipe`; all run up to `stage`, names begin with `name`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    recipe: str | None = None
    base: dict[str, Any] = {}
    stage: str

    def values(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What all experiments change of params.yaml's content, by dotted name."""
        recipe = read_recipe(self.recipe) if self.recipe else {}
        return flat(parameters, recipe) | flat(parameters, self.base)


S = TypeVar("S", bound=Search)


def read_search(kind: type[S], path: Path) -> S:
    """Read a search. Raises ParameterError naming the file and the first wrong key."""
    try:
        return kind.model_validate(read_mapping(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
