"""What a wrong parameter gets: one line with key, value and what is allowed; and what right ones become."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml as parse_yaml_of_dvc
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from stages import fine_tune, train_head
from tests.fuzz import STAGES
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import Group, SharedGroup, check_parameters, load_parameters, parse_yaml

ROOT = Path(__file__).resolve().parents[3]


class Inner(SharedGroup):
    lr: float = Field(gt=0)
    hidden: tuple[int, ...]


class Parameters(Group):
    seed: int
    train: Inner
    own: Group = Group()


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
        ({**GOOD, "own": {"x": 1}}, r"^own\.x = 1: unknown parameter$"),
        ({**GOOD, "train": {"hidden": []}}, r"^train\.lr: missing; add it to params\.yaml"),
        ({"seed": 1}, r"^train: missing; add it to params\.yaml"),
        ({"seed": 1, "trian": TRAIN}, r"^train: missing; did you write trian for it\?"),
        ({**GOOD, "train": {"hidden": [], "lrr": 1}}, r"^train\.lr: missing; did you write lrr for it\?"),
        ({**GOOD, "train": {"lr": 1, "theirs": 1}}, r"^train\.hidden: missing; add it to params\.yaml"),
        ({**GOOD, "own": {"a\nb": 1}}, r"^own\.a b = 1: unknown parameter"),
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
        ("a: 1\na: 2", 'not readable as YAML .line 2: found duplicate key "a"'),
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


# Scalars on which YAML 1.1, YAML 1.2 and Python disagree, and some on which they do not.
ODD = """
no yes on off No YES On n y true True TRUE false ~ null Null NULL none None nan .nan .NaN .inf -.inf +.inf inf
0 -0 +1 010 -010 0o10 0O10 08 0x1f 0X1F 0b11 1_000 1,000 _1 1_ 1:30 1:30:00 190:20:30 0.0 -0.0 00.5 .5 -.5 +.5 5.
1.e3 1e5 1E5 1e+5 1e-5 1e-05 1.0e-05 -1e-05 1e400 1e-400 1.5e 0.1.2 1..2 12e03 685_230.15 685.230_15e+03 0x1.8p3 
123456789012345678901234567890
2020-01-01 2020-1-1 2001-12-14t21:59:43.10-05:00 2001-12-15T02:59:43Z 12:30:45 - -- --- ... = << ! !!str !!str\u00a01
'' "" '010' "no" "1e-05" '~' "\\u00e9" "\\t" 'it''s' [] {}
[no,1e-05] {a:1} 
&a *a a#b a:b a=b ?a | > % %a @ @a `a
fire-truck grüße 猫 🐈 \u2028 \u00a0 $5 ${x} a\\b /data/x C:\\x https://x.org/~y/z.tar.gz
s3://b/k?x=1&y=2 resnet50 1st 1/3 50%
"""


def read_by(parse: Callable[[str], Any], text: str) -> str:
    try:
        return repr(parse(text))
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("scalar", ODD.split())
def test_a_scalar_is_what_dvc_makes_of_it(scalar: str, tmp_path: Path):
    text = f"other: 0\nvalue: {scalar}\n"
    ours = read_by(parse_yaml, text)
    dvcs = read_by(lambda text: parse_yaml_of_dvc(text, "params.yaml"), text)
    if dvcs == "YAMLFileCorruptedError":
        assert ours.endswith("Error")
        return
    assert ours == dvcs
    if scalar == "${x}":  # DVC's `-S` takes it for a reference to another parameter
        return
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    apply_overrides(path, ["other=1"])
    assert read_by(parse_yaml, path.read_text(encoding="utf-8")) == ours.replace("'other': 0", "'other': 1")


def test_a_misspelt_parameter_of_a_shared_group_is_refused():
    given = {**GIVEN, "train": {**GIVEN["train"], "lrr": 1}}
    with pytest.raises(ParameterError, match=r"^train\.lrr = 1: unknown parameter; did you mean lr\?"):
        check_parameters(fine_tune.Parameters, given)
    assert check_parameters(train_head.Parameters, given).train.deterministic


def test_any_parameter_with_two_letters_swapped_is_named_with_what_was_meant():
    stages = {name: [stage for stage in STAGES if name in stage.Parameters.model_fields] for name in GIVEN}
    for place in places_in(GIVEN):
        *above, name = place
        swapped = name[:-2] + name[-1] + name[-2]
        if len(name) < 4 or swapped == name:
            continue
        group: Any = GIVEN
        for part in above:
            group = group[part]
        wrong = {swapped if key == name else key: value for key, value in group.items()}
        content = replaced(GIVEN, tuple(above), wrong) if above else wrong
        lines = [line for stage in stages[place[0]] if (line := refusal(stage, content))]
        assert any(swapped in line for line in lines), (place, lines)


def refusal(stage: Any, content: dict[str, Any]) -> str:
    try:
        check_parameters(stage.Parameters, content)
    except ParameterError as error:
        return str(error)
    return ""


def test_every_parameter_in_the_file_has_a_comment_above_it_or_its_group():
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    groups = [i for i, line in enumerate(lines) if line.endswith(":") and not line.startswith("#")]
    uncommented = [
        lines[i] for i in groups if lines[i].strip() != "train:" and not lines[i - 1].lstrip().startswith("#")
    ]
    assert uncommented == []
    assert "{" not in "".join(line for line in lines if not line.lstrip().startswith("#"))
    assert isinstance(yaml.safe_load("\n".join(lines)), dict)
