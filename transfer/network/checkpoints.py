"""Where in a training script's checkpoint the network's state dict is, and under which prefix."""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

DEEPEST = 3  # of dictionaries in dictionaries
# An average of the weights is taken before the weights themselves, as that is what training scripts evaluate.
AVERAGE = re.compile("(?<![a-z])(ema|teacher|averaged?|shadow)(?![a-z])")
COMPILED = "_orig_mod."  # by torch.compile, of a network or of any part of it
# Taken off names of other code, which tell nothing of where the network's own would begin.
PREFIXES = ("module.", "model.", "backbone.", "network.", "net.", "encoder_q.", "ema_model.")
# What classifiers are called that do not have the library's name.
HEADS = re.compile(r"(heads?|fc|classifier|linear|last_linear|logits|output)\.(\d+\.)*\w+")
COUNTS = "num_batches_tracked"  # which the oldest files lack, and copies of parameters alone


@dataclass(frozen=True)
class Candidate:
    """A dictionary in the checkpoint, the prefix of its tensors, and how many of the network's names it then has."""

    state: Mapping[str, Any]
    path: tuple[str, ...]
    prefix: str
    fitting: int

    @property
    def told(self) -> str:
        """What of the file it is, for the user."""
        wrapper = [repr(".".join(self.path))] if self.path else []
        return ", ".join([*wrapper, *([f"the tensors under {self.prefix}"] if self.prefix else [])])

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The larger the better."""
        return self.fitting, bool(AVERAGE.search(f"{'.'.join(self.path)} {self.prefix}")), len(self.state)


def find_state(content: Any, names: Collection[str]) -> tuple[Mapping[str, Tensor], str]:
    """The state dict in a file's content, under the network's own `names`, and what was chosen on the way to it.

    Empty if there is no dictionary of tensors.
    """
    wanted = {name for name in names if not name.endswith(COUNTS)}
    found = list(_candidates(content, wanted))
    best = max(found, key=lambda each: each.rank, default=None)
    if best is None:
        return {}, ""
    if 2 * best.fitting < len(wanted):  # names of other code, or of another network
        largest = max((each for each in found if not each.prefix), key=lambda each: (len(each.state), *each.rank[1:]))
        return _without_prefixes(largest, names)
    others = [each for each in found if each.fitting == best.fitting and each.told and each is not best]
    told = best.told + (f" rather than {others[0].told}" if others and best.told else "")
    state = _renamed(best.state, partial(_below, prefix=best.prefix))
    whole = all(name in state for name in wanted)
    spare = [name for name, tensor in state.items() if name not in names and _is_spare(name, tensor, whole)]
    return _renamed(state, lambda name: None if name in spare else name), told


def _candidates(content: Any, wanted: Collection[str], path: tuple[str, ...] = ()) -> Iterator[Candidate]:
    """Every dictionary of named tensors under each prefix that makes some of their names the network's."""
    if not isinstance(content, Mapping):
        return
    tensors = [name for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)]
    if tensors:
        state = _renamed(content, _uncompiled, set(tensors))
        prefixes = Counter({"": 0})
        for name in state:
            places = [0, *(found.end() for found in re.finditer("[.]", name))]
            prefixes.update(name[:place] for place in places if name[place:] in wanted)
        yield from (Candidate(state, path, prefix, count) for prefix, count in prefixes.items())
    if len(path) < DEEPEST:
        for name, value in content.items():
            if isinstance(name, str):
                yield from _candidates(value, wanted, (*path, name))


def _without_prefixes(found: Candidate, names: Collection[str]) -> tuple[Mapping[str, Tensor], str]:
    """The usual prefixes taken off; tensors without them, such as a loss's or a projection's, are not the network's."""
    state, taken = found.state, [found.told] if found.told else []
    own = tuple(prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in names))
    while prefix := next((start for start in own if any(name.startswith(start) for name in state)), None):
        taken.append(f"the tensors under {prefix}")
        state = _renamed(state, partial(_below, prefix=prefix))
    return state, ", ".join(taken)


def _is_spare(name: str, tensor: Tensor, whole: bool) -> bool:
    """Whether a tensor that the network lacks is a script's counter or, beside a whole network, a classifier's."""
    return (tensor.ndim == 0 and "." not in name) or (whole and HEADS.fullmatch(name) is not None)


def _uncompiled(name: str) -> str:
    return name.replace(COMPILED, "").removesuffix(COMPILED[:-1]).rstrip(".")


def _below(name: str, prefix: str) -> str | None:
    return name.removeprefix(prefix) if name.startswith(prefix) else "" if f"{name}." == prefix else None


def _renamed(
    state: Mapping[str, Any], rename: Callable[[str], str | None], only: Collection[str] | None = None
) -> OrderedDict[str, Any]:
    """The tensors (of `only` these names) whose new name is not None, under it, with the versions of their modules."""
    metadata = getattr(state, "_metadata", {})
    kept = state if only is None else {name: state[name] for name in state if name in only}
    content = OrderedDict((new, value) for name, value in kept.items() if (new := rename(name)))
    versions = {new: value for name, value in metadata.items() if (new := rename(name)) is not None}
    setattr(content, "_metadata", versions)  # noqa: B010
    return content
