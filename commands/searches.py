"""Files of experiments/: what all experiments of an ablation or a sweep have in common."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.overrides import merge, read_recipe
from transfer.runtime.errors import ParameterError


def laid_over(overrides: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Nested overrides with others on top, which may name keys of their own."""
    merged = dict(overrides)
    for key, value in more.items():
        old = merged.get(key)
        merged[key] = laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class Search(BaseModel):
    """`base` is laid over `recipe`, if one is named; every experiment runs up to `stage`, and is called `name`-…."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    recipe: str | None = None
    base: dict[str, Any] = {}
    stage: str

    def parameters(self, more: dict[str, Any]) -> dict[str, Any]:
        """Overrides of params.yaml for one experiment."""
        under = read_recipe(self.recipe) if self.recipe else {}
        return laid_over(laid_over(under, self.base), more)


S = TypeVar("S", bound=Search)


def read_search(kind: type[S], root: Path, path: Path) -> S:
    """Read a search. Raises ParameterError naming the file and the first wrong key, also one that params.yaml lacks."""
    try:
        search = kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    check_keys(path, root, search.parameters({}))
    return search


def check_keys(path: Path, root: Path, overrides: dict[str, Any]) -> None:
    """Raise ParameterError if params.yaml has no such parameters, which DVC would add to it."""
    try:
        merge(yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")), overrides)
    except KeyError as error:
        raise ParameterError(f"{path}: params.yaml has no parameter {error.args[0]!r}") from None
