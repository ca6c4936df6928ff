"""`make pr-report` on real git repositories: every case that a pull request can be in."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.utils.serialize import dump_yaml, load_yaml
from markdown_it import MarkdownIt

from commands.pr_report import LONGEST, main
from tests.commands.runs import RESIZED, digits, start, write_run
from tests.commands.toy import commit, git
from transfer.comparison.changes import recipe_of
from transfer.data.resizing import save_resized
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, write_json


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """main has 30 of 60 right, the branch `idea`, which is checked out, 48; main went on after it."""
    folder = start(tmp_path / "repository")
    write_run(folder, 30, 0.1)
    commit(folder, "Base: <b>30</b> of 60")
    git(folder, "checkout", "--quiet", "-b", "idea")
    write_run(folder, 48, 0.01)
    commit(folder, "Idea")
    git(folder, "checkout", "--quiet", "main")
    write_run(folder, 59, 0.5)
    commit(folder, "Main went on")
    git(folder, "checkout", "--quiet", "idea")
    return folder


def report(folder: Path, capsys: pytest.CaptureFixture[str], base: str = "main", head: str = "workspace") -> str:
    assert main(folder, base, head, None, None) == 0
    return capsys.readouterr().out


def rows(text: str, heading: str) -> list[list[str]]:
    """Rows of the tables in a section, as a Markdown renderer shows them."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(section)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)]
    return [[re.sub(r"</?code>", "", cell) for cell in row] for row in cells if row]


def dvc_diff(folder: Path, kind: str, start: str) -> dict[str, Any]:
    """What `dvc metrics diff` or `dvc params diff` finds, by dotted names: (old, new)."""

    def leaves(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        if {"old", "new"} <= nested.keys():
            return {prefix[1:]: (nested["old"], nested["new"])}
        return {name: pair for key, value in nested.items() for name, pair in leaves(value, f"{prefix}.{key}").items()}

    with Repo(str(folder)) as repo:
        files = getattr(repo, kind).diff(start, "workspace").get("diff", {})
    found = {}
    for path, changes in files.items():
        prefix = f"{Path(path).stem}." if kind == "metrics" else ""
        found |= {f"{prefix}{name}": pair for name, pair in leaves(changes).items()}
    return found


def test_a_change_is_judged_against_the_merge_base(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report(repository, capsys)
    verdict, gate, about = (line for line in text.splitlines()[1:7] if line)
    assert verdict.startswith("**Accuracy 50.0 → 80.0, +30.0 points, 95 % interval ")
    assert verdict.endswith(", McNemar p \\< 0.001: better.**")
    assert gate.startswith("**✅ Minimum viable accuracy met: macro F1 0.8000")
    assert gate.endswith("Before the change: missed.**")
    base = git(repository, "merge-base", "main", "idea").strip()
    assert about.startswith(f"Compared with {base[:7]} of ")
    assert about.endswith("(Base: \\<b\\>30\\</b\\> of 60), the merge base of main and workspace.")
    headings = re.findall("^## (.*)", text, flags=re.MULTILINE)
    order = [
        "Metrics",
        "Parameters",
        "Stages that ran",
        "Classes",
        "Learning curves",
        "Predictions that changed",
        "Pictures",
    ]
    assert headings == order
    assert rows(text, "Stages that ran") == [["fine_tune", "parameters: train.lr", ""]]
    assert "Of 60 test images, 18 are newly right and 0 newly wrong." in text
    assert 'BASE=main HEAD=workspace ARGS="--pictures' in text
    assert report(repository, capsys, "main", "idea").splitlines()[2] == verdict


def test_metrics_and_parameters_are_those_that_dvc_finds(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = git(repository, "merge-base", "main", "idea").strip()
    text = report(repository, capsys)
    listed = {row[0].replace("&lt;", "<").replace("&gt;", ">"): row for row in rows(text, "Metrics")}
    known = dvc_diff(repository, "metrics", base)
    assert "evaluate.per_class.<two>.f1" in known
    assert listed.keys() == known.keys()
    for name, (old, new) in known.items():
        if not isinstance(new, bool):
            assert [float(value) for value in listed[name][1:4]] == pytest.approx([old, new, new - old], abs=1e-4)
    assert listed["evaluate.mva_met"][1:4] == ["no", "yes", ""]
    parameters = {name: tuple(map(str, pair)) for name, pair in dvc_diff(repository, "params", base).items()}
    assert {row[0]: (row[1], row[2]) for row in rows(text, "Parameters")} == parameters == {"train.lr": ("0.1", "0.01")}


def test_a_metric_that_is_gone_or_new_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = json.loads((repository / "metrics/evaluate.json").read_text(encoding="utf-8"))
    scores["top2_accuracy"] = 0.97
    write_json(repository / "metrics/evaluate.json", scores)
    (repository / "metrics/fine_tune.json").unlink()
    found = {row[0]: row[1:4] for row in rows(report(repository, capsys), "Metrics")}
    assert found["evaluate.top2_accuracy"] == ["none", "0.9700", "new"]
    assert found["fine_tune.epochs"] == ["2", "none", "gone"]


def test_the_noise_between_seeds_is_told_where_it_is_recorded(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not recorded (experiments/seed_spread.json)" in report(repository, capsys)
    spread = {"metrics": {"accuracy": {"mean": 0.5, "std": 0.05}, "macro_f1": {"mean": 0.5, "std": 0.2}}}
    used = recipe_of(load_yaml(repository / "params.yaml"))
    seeds = list(range(60))  # as good as knowing the deviation
    write_json(repository / "experiments/seed_spread.json", {**spread, "seeds": seeds, "parameters": used})
    found = {row[0]: row[4] for row in rows(report(repository, capsys), "Metrics")}
    assert found["evaluate.accuracy"] == "beyond the noise between seeds"  # 0.3 against 0.05
    assert found["evaluate.macro_f1"] == "within"
    assert found["evaluate.mva_met"] == "not recorded"
    (repository / "experiments/seed_spread.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"experiments/seed_spread.json: not readable \(Field required\)"):
        main(repository, "main", "workspace", None, None)


def test_a_base_that_was_never_run_is_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = start(tmp_path)
    commit(folder, "Not run yet")
    write_run(folder, 48, 0.01)
    text = report(folder, capsys, "HEAD")
    assert "**No baseline yet: accuracy 80.0 %, and nothing before it to compare with.**" in text
    assert "There was no dvc.lock before." in text
    assert rows(text, "Stages that ran") == [["fine_tune", "new", ""]]
    assert {row[3] for row in rows(text, "Metrics")} == {"new"}
    commit(folder, "Run")
    assert "**No verdict: the change holds no metrics/evaluate/confusion.tsv" in report(
        folder, capsys, "HEAD", "HEAD~1"
    )


def test_a_run_that_changed_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dvc_diff(repository, "metrics", "idea") == {}
    text = report(repository, capsys, "idea")
    assert ": the same answers.**" in text
    assert "Nothing changed: all 10 figures are the same." in text
    assert "No parameter changed." in text
    assert "None: dvc.lock records the same of every stage as before." in text


def test_a_renamed_stage_is_known_by_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = start(tmp_path)
    save_resized(folder / RESIZED, digits(), 64, "cubic", "crop")
    write_run(folder, 30, 0.1)
    commit(folder, "Base")
    write_run(folder, 30, 0.1, stage="train|all")
    found = rows(report(folder, capsys, "HEAD"), "Stages that ran")
    assert found == [["train|all", "renamed, was fine_tune", ""]]


def test_other_test_images_leave_everything_but_the_pairs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(repository, 48, 0.01, test_images="xyz")
    text = report(repository, capsys)
    assert "no verdict, since the two runs were tested on different images, which cannot be paired" in text
    assert "**Accuracy 50.0 → 80.0, +30.0 points, 95 % interval " in text
    assert {row[0] for row in rows(text, "Classes")} <= {"zero|0", "*one*", "&lt;two&gt;"}
    assert rows(text, "Parameters")
    assert "Predictions that changed" not in text


def test_parameters_that_nobody_ran_with_are_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = repository / "params.yaml"
    parameters.write_text(parameters.read_text(encoding="utf-8").replace("0.01", "1e-05"), encoding="utf-8")
    text = report(repository, capsys)
    assert "Not run with the values of params.yaml: train.lr; run dvc repro." in text
    assert ["train.lr", "0.1", "1e-05"] in rows(text, "Parameters")


def test_a_shallow_clone_compares_with_the_base_itself(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shallow = tmp_path / "shallow"
    git(
        tmp_path,
        "clone",
        "--quiet",
        "--depth=1",
        "--no-single-branch",
        "--branch=idea",
        f"file://{repository}",
        "shallow",
    )
    text = report(shallow, capsys, "origin/main")
    assert "Compared with origin/main itself, " in text
    assert "is beyond this shallow clone; git fetch --unshallow (in actions/checkout: fetch-depth: 0)" in text
    assert "**Accuracy 98.3 → 80.0, −18.3 points" in text
    with pytest.raises(DataError, match=r"main: no such .*; this clone is shallow, and `git fetch --unshallow`"):
        main(shallow, "main", "workspace", None, None)
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert "the merge base of origin/main and workspace" in report(shallow, capsys, "origin/main")


def test_histories_without_a_common_commit_say_so(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "apart")
    commit(repository, "Another beginning")
    assert "is nowhere in the history." in report(repository, capsys)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("dvc.lock", "<<<<<<< HEAD\nstages: {", "dvc.lock of workspace: holds git's conflict markers"),
        ("dvc.lock", "- 1", "dvc.lock of workspace: damaged"),
        ("params.yaml", "a: [", "params.yaml of workspace: not readable"),
        ("metrics/evaluate.json", '{"accuracy": ', "metrics/evaluate.json of workspace: not readable"),
        ("metrics/evaluate.json", "{}", "metrics or dvc.lock lack or garble something"),
        ("metrics/evaluate/confusion.tsv", "cat\tdog\na\tb\n", "metrics or dvc.lock lack or garble something"),
    ],
)
def test_a_damaged_file_is_one_line(repository: Path, name: str, text: str, told: str) -> None:
    (repository / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        main(repository, "main", "workspace", None, None)


def test_names_are_shown_as_they_are(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {row[0] for row in rows(report(repository, capsys), "Classes")}
    assert {f"recall of {name}" for name in ("zero|0", "*one*", "&lt;two&gt;")} <= found


def test_a_report_of_very_much_still_fits_a_comment(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"group{i}": {"|" * 200 + str(j): "<" * 400 for j in range(20)} for i in range(100)}
    scores = json.loads((repository / "metrics/evaluate.json").read_text(encoding="utf-8"))
    write_json(repository / "metrics/evaluate.json", {**scores, **many, "x": [1] * 5000})
    parameters = load_yaml(str(repository / "params.yaml"))
    dump_yaml(str(repository / "params.yaml"), {**parameters, **many})
    text = report(repository, capsys)
    assert len(text) < LONGEST
    assert re.search(r"\(the first \d+ of 2001\)", text)
    assert "better.**" in text


def test_the_command_itself(repository: Path) -> None:
    command = [sys.executable, "-m", "commands.pr_report", "nowhere"]
    done = subprocess.run(
        command, cwd=repository, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nowhere: no such experiment or revision; ")
    assert done.stderr.count("\n") == 1
