"""The pipeline's scripts. They start without what takes half of an import's time and gives a stage nothing.

dvc.yaml does not name this file, because no result depends on it.
"""

import gc
import importlib
import sys
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands for torch's compiler until somebody needs it.

    torchvision imports it, a quarter of a stage's start, for one function that no classifier calls.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import's own questions
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        if name == "is_compile_supported":
            return lambda device: importlib.import_module(COMPILER).is_compile_supported(device)
        return getattr(importlib.import_module(COMPILER), name)


gc.disable()  # `transfer.runtime.command.run` turns it on again
sys.modules.setdefault(COMPILER, _Later(COMPILER))
