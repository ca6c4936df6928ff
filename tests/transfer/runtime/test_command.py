"""What a wrong parameter gets: one line with key, value and what is allowed; and what right ones become."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from tests.fuzz import STAGES
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import Group, check_parameters, load_parameters

ROOT = Path(__file__).resolve().parents[3]


class Inner(Group):
    elsewhere = ("theirs",)
    lr: float = Field(gt=0)
    hidden: tuple[int, ...]


class Parameters(Group):
    seed: int
    train: Inner


TRAIN = {"lr": 0.1, "hidden": [4], "theirs": 5}
GOOD = {"seed": 1, "train": TRAIN, "another_stage": {"x": 1}}


def with_train(**changes: object) -> dict:
    return {**GOOD, "train": {**TRAIN, **changes}}


@pytest.mark.parametrize("written", [1e-05, "1e-05", "1e-5", "0.00001"])
def test_a_number_written_as_text_arrives_as_a_number(written):
    assert check_parameters(Parameters, with_train(lr=written)).train.lr == 1e-05


def test_keys_of_other_stages_are_left_alone():
    assert check_parameters(Parameters, GOOD).train.hidden == (4,)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (with_train(lr="abc"), r"^train\.lr = 'abc': .*valid number"),
        (with_train(lr=-1), r"^train\.lr = -1: .*greater than 0"),
        (with_train(lr=float("nan")), r"^train\.lr = nan: .*finite"),
        (with_train(lr=float("inf")), r"^train\.lr = inf: .*finite"),
        (with_train(lr=None), r"^train\.lr = None: .*valid number"),
        (with_train(hidden=[4, "wide"]), r"^train\.hidden\.1 = 'wide': .*valid integer"),
        (with_train(lrr=1), r"^train\.lrr = 1: unknown parameter; did you mean lr\?"),
        ({**GOOD, "train": {"hidden": []}}, r"^train\.lr: missing; add it to params\.yaml"),
        ({"seed": 1}, r"^train: missing"),
        (with_train(**{"a\nb": 1}), r"^train\.a b = 1: unknown parameter"),
        ({**GOOD, "train": 3}, r"^train = 3: "),
        ({**GOOD, "seed": 1.5}, r"^seed = 1\.5: .*integer"),
        ({**with_train(lr=-1), "seed": "x"}, r"^seed = 'x': .* \(and 1 more\)$"),
    ],
)
def test_a_wrong_parameter_is_named_in_one_line(content: dict, line: str):
    with pytest.raises(ParameterError, match=line) as caught:
        check_parameters(Parameters, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1", "not readable as YAML"),
        ("a: 2026-13-01", "not readable as YAML .*month"),
        ("a: !!int x", "not readable as YAML"),
        ("a: !!timestamp x", "not readable as YAML"),
        ("a: " + "9" * 5000, "not readable as YAML .*4300 digits"),
        ("[" * 1000, "not readable as YAML .*recursion"),
        ("- 1", "holds no parameters"),
        ("", "holds no parameters"),
    ],
)
def test_a_parameter_file_that_is_none_is_named(tmp_path, text: str, line: str):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=line) as caught:
        load_parameters(Parameters, path)
    assert "\n" not in str(caught.value)


def test_a_value_too_long_to_show_is_cut(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "seed": "x" * 5000}))
    with pytest.raises(ParameterError, match=r"^seed = 'x{199}\.\.\.: .*valid integer"):
        load_parameters(Parameters, path)
    path.write_text("seed: [0x" + "f" * 5000 + "]\ntrain: {lr: 1, hidden: []}\n")
    with pytest.raises(ParameterError, match=r"^seed = a number too long to show: .*valid integer"):
        load_parameters(Parameters, path)


def test_a_missing_parameter_file_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"params\.yaml: no such file"):
        load_parameters(Parameters, tmp_path / "params.yaml")


GIVEN = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 0.5, 1e-300, float("nan"), float("inf")])
PLAIN = st.none() | st.booleans() | NUMBERS | st.text() | st.dates() | st.binary(max_size=4) | NUMBERS.map(str)
ANYTHING = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner), max_leaves=5)


def places_in(group: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys, groups included."""
    for key, value in group.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places_in(value, (*above, key))


def replaced(group: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    first, *rest = place
    return {**group, first: replaced(group[first], tuple(rest), value) if rest else value}


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(list(places_in(GIVEN))), value=ANYTHING, stage=st.sampled_from(STAGES))
def test_any_value_of_any_parameter_is_taken_for_good_or_refused_in_one_line(
    place: tuple[str, ...], value: object, stage: Any
) -> None:
    try:
        taken = check_parameters(stage.Parameters, replaced(GIVEN, place, value))
    except ParameterError as error:
        line = str(error)
    else:
        assert check_parameters(stage.Parameters, taken.model_dump()) == taken
        return
    assert len(line.splitlines()) == 1
    assert place[0] in line


def test_every_parameter_in_the_file_has_a_comment_above_it_or_its_group():
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    groups = [i for i, line in enumerate(lines) if line.endswith(":") and not line.startswith("#")]
    uncommented = [
        lines[i] for i in groups if lines[i].strip() != "train:" and not lines[i - 1].lstrip().startswith("#")
    ]
    assert uncommented == []
    assert "{" not in "".join(line for line in lines if not line.lstrip().startswith("#"))
    assert isinstance(yaml.safe_load("\n".join(lines)), dict)


STAGE_THAT_WAITS = """
import time

from transfer.runtime.command import run
from transfer.runtime.parameters import Group


class Parameters(Group):
    pass


def main(parameters, files):
    print("at work", flush=True)
    time.sleep(60)


run(main, Parameters)
"""
STAGE_TOO_LARGE = STAGE_THAT_WAITS.replace("time.sleep(60)", "bytearray(1 << 62)")


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    (folder / "waits.py").write_text(script, encoding="utf-8")
    (folder / "params.yaml").write_text("{}", encoding="utf-8")
    command = [sys.executable, "waits.py", "--state", "state"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs, such as these tests, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_stage_with_its_status_in_one_line(tmp_path: Path, number: signal.Signals, status: int):
    with start(tmp_path, STAGE_THAT_WAITS) as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == status
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_memory_that_does_not_suffice_is_one_line(tmp_path: Path):
    with start(tmp_path, STAGE_TOO_LARGE) as process:
        _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told.startswith("error: waits: out of memory")
    assert told.count("\n") == 1
