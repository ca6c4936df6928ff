"""Whatever a recipe, a search or a user gives arrives unchanged in params.yaml through DVC's own `-S`."""

import math
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands.overrides import flat, merge, quoted_set_param, set_params, users_set_params
from commands.recipe import passed_on
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import read_mapping


def through_dvc(arguments: list[str]) -> Any:
    """What `group.x` becomes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text("group:\n  x: equal  # a comment\n  y: {bird: 2}\n", encoding="utf-8")
        assert set(arguments[::2]) == {"-S"}
        apply_overrides(path, to_path_overrides(arguments[1::2])["params.yaml"])
        return read_mapping(path)["group"]["x"]


ODD = (
    r"""az AZ 09 _-+.,:;/\|?!&=~#%@$*^<>(){}[]'"` \t\n grüße 猫 🐈 ${ no yes null true 1e-05 010 .5 1_0 ~ f(a,b) ???x"""
)
# No command line can hold a NUL or half of a surrogate pair, and YAML has no place for other control characters.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n")
TEXTS = st.text(CHARACTERS) | st.lists(st.sampled_from([*ODD, *ODD.split(" "), "\\", "${", "'"])).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS.filter(lambda text: text != "???")
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:=,(){}\[\]\\/ $%*@?|+-]{0,5}[A-Za-z_]", fullmatch=True)
LISTS = st.recursive(SCALARS, st.lists, max_leaves=6)
VALUES = LISTS | st.dictionaries(KEYS.filter(lambda key: "${" not in key), LISTS)


@settings(max_examples=500, deadline=None)
@given(VALUES)
@example(1e-05)
@example("1e-05")
@example("/data/my files (1)/a?x=1&y=~,'b'\"")
@example("\\${x} \\\\${ \\'")
@example([["cat", "fire truck"], [], [None, True, "true"]])
@example({"fire truck": 1.5, "a:b": {}})
def test_a_value_arrives_unchanged(value: Any) -> None:
    assert repr(through_dvc(set_params({"group.x": value}))) == repr(value)


@settings(max_examples=200, deadline=None)
@given(TEXTS.filter(lambda text: text[:1] not in ("[", "{", "'", '"', "$") and "\\" not in text and "${" not in text))
@example("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz")
@example("s3://bucket/a,b?x=1&y=2")
@example("/data/my files (1)/Käse")
def test_a_text_of_a_user_is_taken_literally_unless_it_is_a_value_to_dvc(text: str) -> None:
    found = through_dvc(quoted_set_param(f"group.x={text}"))
    assert not isinstance(found, str) or found.strip() == text.strip()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-05),
        ("null", None),
        ("[64, 32]", [64, 32]),
        ("[fire truck,Käse]", ["fire truck", "Käse"]),
        ("{cat: 1.5,fire truck:2}", {"cat": 1.5, "fire truck": 2}),
        ("'a, b'", "a, b"),
        ("[x", "[x"),
        ("", ""),
    ],
)
def test_values_of_a_user_keep_their_kind(text: str, value: Any) -> None:
    assert through_dvc(quoted_set_param(f"group.x={text}")) == value
    assert through_dvc(quoted_set_param(f"params.yaml:group.x={text}")) == value


def test_a_later_mapping_wins_over_an_earlier_one() -> None:
    earlier = set_params({"group.x": {"cat": 1.5}})
    assert through_dvc([*earlier, *quoted_set_param("group.x={dog:2}")]) == {"dog": 2}
    assert through_dvc([*earlier, *quoted_set_param("group.x=equal")]) == "equal"
    assert through_dvc([*earlier, *quoted_set_param("+group.x={dog:2}")]) == {"cat": 1.5, "dog": 2}


@pytest.mark.parametrize(("key", "value"), [("Käse", 1), ("1", 1), ("true", 1), ("", 1), ("猫", {"x": 1})])
def test_a_mapping_that_dvc_takes_no_key_of_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=r"^group\.x: .* cannot pass the key .*; write it into params\.yaml"):
        set_params({"group.x": {key: value}})


def test_what_no_set_param_can_be_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'\?\?\?'.* cannot pass this text"):
        set_params({"group.x": "???"})
    with pytest.raises(ParameterError, match="not of the form key=value"):
        quoted_set_param("group.x")


PARAMETERS = {"seed": 0, "train": {"lr": 0.1, "head": {"hidden": [4]}, "weights": "equal"}}


def test_overrides_are_laid_over_parameters() -> None:
    overrides = {"train": {"weights": {"cat": 1.5}, "head": {"hidden": []}}}
    assert flat(PARAMETERS, overrides) == {"train.weights": {"cat": 1.5}, "train.head.hidden": []}
    assert merge(PARAMETERS, overrides)["train"] == {"lr": 0.1, "head": {"hidden": []}, "weights": {"cat": 1.5}}
    assert PARAMETERS["train"]["head"] == {"hidden": [4]}
    assert math.isclose(merge(PARAMETERS, {})["train"]["lr"], 0.1)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"train": {"lrr": 1}}, r"^params\.yaml has no parameter train\.lrr; did you mean train\.lr\?$"),
        ({"train": {"head": {"hiden": 1}}}, r"parameter train\.head\.hiden; did you mean train\.head\.hidden\?$"),
        ({"zzz": 1}, r"^params\.yaml has no parameter zzz$"),
        ({"train": {"head": 3}}, r"^train\.head = 3: is a group of parameters"),
    ],
)
def test_overrides_of_what_is_not_there_are_refused(overrides: dict, line: str) -> None:
    with pytest.raises(ParameterError, match=line):
        merge(PARAMETERS, overrides)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("train.lrr=1", "train.lr"),
        ("trian.lr=1", "train.lr"),
        ("lr=1", "train.lr"),
        ("head.hidden=[4]", "train.head.hidden"),
        ("train.head.hiden=[4]", "train.head.hidden"),
        ("Train.lr=1", "train.lr"),
        ("sed=1", "seed"),
    ],
)
def test_a_misspelt_name_is_refused_before_dvc_sees_it_with_what_was_meant(given: str, meant: str) -> None:
    with pytest.raises(ParameterError, match=rf"^params\.yaml has no parameter .*; did you mean {re.escape(meant)}\?$"):
        users_set_params([given], PARAMETERS)


@pytest.mark.parametrize(
    "given",
    ["+train.new=1", "~seed", "other.yaml:x=1", "train.head.hidden[0]=8", "train.weights.cat=2", "train.lr=1,2"],
)
def test_what_dvc_takes_is_left_to_it(given: str) -> None:
    assert users_set_params([given], PARAMETERS) == quoted_set_param(given)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("train={lr: 3}", {"train.lr": 3}),
        ("train={lr:1e-5,head:{hidden:[]}}", {"train.lr": 1e-05, "train.head.hidden": []}),
        ("params.yaml:train.head={hidden: [8, 4]}", {"train.head.hidden": [8, 4]}),
        ('train={weights: "a, b"}', {"train.weights": "a, b"}),
    ],
)
def test_a_mapping_for_a_group_changes_what_it_names_and_nothing_else(given: str, changed: dict[str, Any]) -> None:
    assert users_set_params([given], PARAMETERS) == set_params(changed)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("train=3", r"^train = 3: is a group of parameters; name one of them$"),
        ("train=null", r"^train = null: is a group"),
        ("train.head=", r"^train\.head = : is a group"),
        ("train=[1,2]", r"^train = \[1,2\]: is a group"),
        ("train=1,2", r"^train = 1,2: is a group"),
        ("train={lrr: 3}", r"no parameter train\.lrr; did you mean train\.lr\?$"),
        ("train={head: 3}", r"^train\.head = 3: is a group"),
        ("train", r"^train = : is a group"),
        ("=3", r"^-S =3: names no parameter; write -S NAME=VALUE$"),
        ("", r"^-S : names no parameter"),
    ],
)
def test_what_would_replace_a_group_is_refused(given: str, line: str) -> None:
    with pytest.raises(ParameterError, match=line):
        users_set_params([given], PARAMETERS)


def test_a_parameter_that_holds_a_mapping_is_replaced_whole() -> None:
    parameters = {"train": {"fine_tune": {"class_weights": {"dog": 2}, "lr": 1}}}
    given = "train.fine_tune.class_weights={cat: 1.5}"
    for arguments in (users_set_params([given], parameters), users_set_params([f"params.yaml:{given}"], parameters)):
        assert arguments[-1].endswith("class_weights={cat:1.5}")
    assert merge(parameters, {"train": {"fine_tune": {"class_weights": {"cat": 1.5}}}}) == {
        "train": {"fine_tune": {"class_weights": {"cat": 1.5}, "lr": 1}}
    }


def test_a_change_without_its_option_is_refused_with_what_to_type() -> None:
    assert passed_on(["train.lr=0.1"], ["--queue", "fine_tune"]) == ["-S", "train.lr=0.1", "--queue", "fine_tune"]
    with pytest.raises(ParameterError, match=r'^seed=1: .* ARGS="-S seed=1 -S train.lr=2"$'):
        passed_on(["a=1"], ["seed=1", "train.lr=2", "--queue"])
