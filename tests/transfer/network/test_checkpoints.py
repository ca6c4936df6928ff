"""Every form in which a network's tensors are found in files: wrapped, prefixed, averaged, beside other things."""

import argparse
import datetime
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from tests.transfer.network.test_weights import (
    ARCHITECTURE,
    assert_same,
    full_state,
    prefixed,
    save_legacy,
    save_zip,
    without,
)
from transfer.network.weights import read_state_dict


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return full_state()


def emptied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda state: state,
    "of 2017": lambda state: without(state, "num_batches_tracked"),
    "data parallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled inside": lambda state: {name.replace("stage2.", "stage2._orig_mod."): state[name] for name in state},
    "ema beside net": lambda state: {"net": {"conv1.0.weight": torch.zeros(1)}, "ema": state},
    "net": lambda state: {"net": state, "acc": 91.2},
    "nested prefixes": lambda state: prefixed(state, "module._orig_mod.model.backbone."),
    "beside a projection": lambda state: {**prefixed(state, "backbone."), "projection.weight": torch.ones(2)},
    "a training script's": lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
    "wrapped and parallel": lambda state: {"state_dict": prefixed(state, "module."), "epoch": 3},
    "teacher": lambda state: {"student": {}, "teacher": prefixed(state, "backbone.")},
    "averaged": lambda state: {
        "model": emptied(state),
        "model_ema": {"n_averaged": torch.tensor(9), **prefixed(state, "module.")},
    },
    "21 classes": lambda state: {**state, "fc.weight": torch.ones(21, 1024), "fc.bias": torch.ones(21)},
    "no classifier": lambda state: without(state, "fc.weight", "fc.bias"),
    "doubles": lambda state: {name: tensor.double() for name, tensor in state.items()},
    "beside counters": lambda state: {"epoch": 3, "arch": "shufflenet", "best": torch.tensor(0.9), **state},
    "averaged and wrapped": lambda state: {"ema": {"decay": 0.999, "module": state}},
    "shadow": lambda state: {"ema": {"decay": 0.999, "shadow": state}, "optimizer": {"state": {0: torch.ones(2)}}},
    "average of parameters alone": lambda state: {"model": state, "ema": {"shadow": without(state, *STATISTICS)}},
    "nested": lambda state: {"model": {"backbone": state, "head": {"weight": torch.ones(2, 2)}}},
    "flat average": lambda state: {**emptied(prefixed(state, "model.")), **prefixed(state, "ema_model.")},
    "momentum contrast": lambda state: {
        "state_dict": {**prefixed(state, "module.encoder_q."), **emptied(prefixed(state, "module.encoder_k."))}
    },
    "classifier of another name": lambda state: {
        **without(state, "fc.weight", "fc.bias"),
        "head.weight": torch.ones(21, 7),
        "head.bias": torch.ones(21),
    },
}
for wrapper in ("model_state_dict", "model_state", "params", "params_ema", "weights", "network", "net", "anything"):
    FORMS[f"wrapped in {wrapper}"] = lambda state, wrapper=wrapper: {wrapper: state, "optimizer": {"lr": 0.1}}
for prefix in ("net.", "encoder.", "network.", "encoder_q.", "ema_model.", "any.thing."):
    FORMS[f"under {prefix}"] = lambda state, prefix=prefix: prefixed(state, prefix)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_the_same_weights_are_read_from_every_form(tmp_path: Path, state: dict[str, Tensor], save, form: str) -> None:
    save(FORMS[form](state), tmp_path / "weights.pth")
    assert_same(read_state_dict(tmp_path / "weights.pth", ARCHITECTURE), state)


def test_what_is_taken_of_a_file_is_printed(tmp_path: Path, state: dict[str, Tensor], capsys) -> None:
    path = tmp_path / "weights.pth"
    save_zip(state, path)
    read_state_dict(path, ARCHITECTURE)
    assert capsys.readouterr().out == ""
    for form, says in (
        ("averaged", "'model_ema', the tensors under module. rather than 'model'"),
        ("flat average", "the tensors under ema_model. rather than the tensors under model."),
        ("shadow", "'ema.shadow'"),
        ("average of parameters alone", "'model'"),
    ):
        save_zip(FORMS[form](state), path)
        read_state_dict(path, ARCHITECTURE)
        assert capsys.readouterr().out == f"{path}: taking {says}\n"


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_plain_data_beside_the_tensors_is_read_over(tmp_path: Path, state: dict[str, Tensor], save) -> None:
    now = datetime.datetime.now(datetime.UTC)
    beside = {
        "numbers": [np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True), np.dtype("float16")],
        "folders": [tmp_path, PureWindowsPath("C:/runs"), argparse.Namespace(out=tmp_path)],
        "times": [now, now.date(), datetime.timedelta(3)],
        "history": defaultdict(list, loss=[0.1]),
        "order": OrderedDict(a=1),
    }
    save({"model": state, **beside}, tmp_path / "weights.pth")
    assert_same(read_state_dict(tmp_path / "weights.pth", ARCHITECTURE), state)


@pytest.mark.parametrize(("prefix", "classes"), [("", 1000), ("module.", 9)])
def test_names_of_other_code_are_left_to_the_library(tmp_path: Path, prefix: str, classes: int) -> None:
    """Facebook's ConvNeXt, of whose names timm knows the new ones, beside a smaller dictionary."""
    state = timm.create_model("convnext_atto", num_classes=classes).state_dict()
    changes = {
        r"^head\.norm": "norm",
        r"^head\.fc": "head",
        r"^stem": "downsample_layers.0",
        r"^stages\.(\d)\.downsample": r"downsample_layers.\1",
        r"^stages\.(\d)\.blocks": r"stages.\1",
        "conv_dw": "dwconv",
        r"mlp\.fc": "pwconv",
    }
    old = {}
    for name, tensor in state.items():
        renamed = name
        for pattern, new in changes.items():
            renamed = re.sub(pattern, new, renamed)
        old[renamed] = tensor
    torch.save({"model": prefixed(old, prefix), "criterion": {"ema": torch.ones(2)}}, tmp_path / "old.pth")
    found = read_state_dict(tmp_path / "old.pth", "timm/convnext_atto", 32)
    assert [name for name in found if not torch.equal(found[name], state[name])] == []
