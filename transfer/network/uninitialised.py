"""Networks whose weights will be replaced, built without drawing any."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

# Of Tensor's methods those with which initialisations end.
VALUE_SETTING = {"uniform_", "normal_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_"}


class Uninitialised(TorchFunctionMode):
    """Leaves parameters as they come, without random values: these take most of the time of building a network."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {**(kwargs or {})}
        first = args[0] if args else given.get("tensor")
        by_init = getattr(func, "__module__", "") == "torch.nn.init"
        if isinstance(first, nn.Parameter) and (by_init or getattr(func, "__name__", "") in VALUE_SETTING):
            return first
        return func(*args, **given)
