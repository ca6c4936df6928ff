"""What `dvc repro` runs again after a change, and that it runs nothing else.

For every parameter of params.yaml DVC's own status says which stages see the change, and its graph
which may follow; real runs show that those which do follow are the ones whose inputs changed.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import networkx
import pytest
from dvc.repo import Repo

from tests.pipeline.workspace import ROOT, commit, dvc, graph_of, read_yaml, set_parameter, stages_of, stages_run
from transfer.report.evidence import leaves
from transfer.runtime.files import sha256_of

RESIZE = ["resize@train", "resize@val", "resize@test"]
FROM_EVALUATE = ["evaluate", "unknown", "export", "grad_cam", "robustness", "report"]
FROM_FINE_TUNE = ["fine_tune", *FROM_EVALUATE, "audit"]
FROM_HEAD = ["train_head", *FROM_FINE_TUNE]
FROM_EMBED = ["embed", "label_errors", *FROM_HEAD]
FROM_SUBSAMPLE = ["subsample", "explore", "leakage", *RESIZE, *FROM_EMBED]

# Parameter or group: stages that read it beside report, which shows all, and all that may have to run again.
RERUNS = {
    "seed": (
        [
            "subsample",
            "label_errors",
            "train_head",
            "fine_tune",
            "evaluate",
            "unknown",
            "export",
            "robustness",
            "audit",
        ],
        FROM_SUBSAMPLE,
    ),
    "groups": (["subsample", "fine_tune", "evaluate", "robustness"], FROM_SUBSAMPLE),
    "label_errors": (["label_errors"], ["label_errors", *FROM_FINE_TUNE]),
    "download": (["download"], ["download", *FROM_SUBSAMPLE]),
    "backbone": (["backbone"], ["backbone", *FROM_EMBED]),
    "subsample": (["subsample"], FROM_SUBSAMPLE),
    "explore": (["explore"], ["explore", "report"]),
    "resize.size_px": (
        ["backbone", "explore", *RESIZE],
        ["backbone", "explore", "leakage", *RESIZE, *FROM_EMBED],
    ),
    "resize": (RESIZE, ["explore", "leakage", *RESIZE, *FROM_EMBED]),
    "embed": (["embed"], FROM_EMBED),
    "train.deterministic": (["train_head", "fine_tune"], FROM_HEAD),
    "train.precision": (["embed", "fine_tune"], FROM_EMBED),
    "train.lr": (["fine_tune"], FROM_FINE_TUNE),
    "train.batch_size": (["backbone", "fine_tune"], ["backbone", *FROM_EMBED]),
    "train.head": (["train_head"], FROM_HEAD),
    "train.fine_tune": (["fine_tune"], FROM_FINE_TUNE),
    "train.fine_tune.small_images.size_px": (["backbone", "fine_tune"], ["backbone", *FROM_EMBED]),
    "train.augment": (["fine_tune"], FROM_FINE_TUNE),
    "evaluate": (["evaluate"], FROM_EVALUATE),
    "evaluate.expected_pairs": (["subsample", "evaluate"], FROM_SUBSAMPLE),
    "unknown": (["unknown"], ["unknown", "export", "report"]),
    "export": (["export"], ["export", "report"]),
    "leakage": (["leakage"], ["leakage", *FROM_EVALUATE]),
    "robustness": (["robustness"], ["robustness", "report"]),
    "explain": (["grad_cam", "audit"], ["grad_cam", "audit", "report"]),
    "grad_cam": (["grad_cam"], ["grad_cam", "report"]),
    "audit": (["audit"], ["audit", "report"]),
}
PARAMETERS = sorted(dict(leaves(read_yaml(ROOT / "params.yaml"))))


def rows_of(name: str) -> list[str]:
    """The row that names the parameter, or else the closest group of it."""
    rows = [row for row in RERUNS if name == row or name.startswith(f"{row}.")]
    return sorted(rows, key=len)[-1:]


def changed_and_following(workspace: Path) -> tuple[set[str], set[str]]:
    """Stages that DVC finds changed, and these with all that come after them in its graph."""
    with Repo(str(workspace)) as repo, repo.lock:
        graph = graph_of(repo)
        changed = {name for name, stage in stages_of(repo).items() if stage.status()}
        return changed, {*changed, *(after for name in changed for after in networkx.ancestors(graph, name))}


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, copy_of_finished: Callable[[Path], Path]) -> Path:
    """One workspace for all tests that only ask DVC what it would do, and put back what they change."""
    return copy_of_finished(tmp_path_factory.mktemp("unchanged"))


def test_a_second_run_runs_nothing(finished: Path) -> None:
    again = dvc(finished, "repro")
    assert stages_run(again.stdout) == []
    assert "up to date" in again.stdout
    assert "up to date" in dvc(finished, "status").stdout


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_reaches_the_stages_that_read_it_and_what_follows(unchanged: Path, name: str) -> None:
    (row,) = rows_of(name)  # a new group needs a row in the table
    parameters = (unchanged / "params.yaml").read_bytes()
    try:
        set_parameter(unchanged, name, "another value")
        changed, following = changed_and_following(unchanged)
    finally:
        (unchanged / "params.yaml").write_bytes(parameters)
    readers, reruns = RERUNS[row]
    assert changed == {*readers, "report"}
    assert following == set(reruns)


def append_comment(path: Path) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write("# touched\n")


@pytest.mark.parametrize(
    ("module", "readers"),
    [
        ("transfer/explanation/cam.py", ["robustness", "grad_cam", "audit"]),
        ("transfer/report/claims.py", ["report"]),
        ("transfer/deployment/predictor.py", ["export"]),
        ("transfer/training/loop.py", ["train_head", "fine_tune"]),
        ("transfer/comparison/paired.py", []),
        ("stages/embed.py", ["embed"]),
    ],
)
def test_a_room_reaches_the_stages_that_enter_it(finished: Path, module: str, readers: list[str]) -> None:
    append_comment(finished / module)
    changed, _ = changed_and_following(finished)
    assert changed == set(readers)


def test_a_touched_module_reruns_the_stages_of_its_room(finished: Path) -> None:
    append_comment(finished / "transfer/explanation/objects.py")
    assert stages_run(dvc(finished, "repro").stdout) == ["robustness", "grad_cam", "audit"]


def test_a_comment_in_training_reruns_both_trainers_and_nothing_after_them(finished: Path) -> None:
    """A commit or a comment changes no weight, so heads and models keep their bytes."""
    append_comment(finished / "transfer/training/loop.py")
    commit(finished, "A comment")
    assert stages_run(dvc(finished, "repro").stdout) == ["train_head", "fine_tune"]


def test_an_edit_of_what_only_reads_results_trains_and_evaluates_nothing(finished: Path) -> None:
    append_comment(finished / "transfer/comparison/paired.py")
    assert stages_run(dvc(finished, "repro").stdout) == []
    append_comment(finished / "transfer/report/templates/report.md.j2")
    assert stages_run(dvc(finished, "repro").stdout) == ["report"]


def test_changed_parameters_really_rerun_their_stages_and_no_others(finished: Path) -> None:
    changes = {"download.timeout_s": 31, "grad_cam.examples": 2, "robustness.images": 4, "evaluate.mirror": False}
    for name, value in changes.items():
        set_parameter(finished, name, value)
    assert {*stages_run(dvc(finished, "repro").stdout)} == {"download", "robustness", *FROM_EVALUATE}


def test_another_batch_size_reruns_training_only_if_features_differ(finished: Path) -> None:
    features = [finished / f"data/features/{split}.npz" for split in ("train", "val")]
    before = [path.read_bytes() for path in features]
    set_parameter(finished, "embed.batch_size", 5)
    assert stages_run(dvc(finished, "repro", "embed").stdout) == ["embed"]
    differ = before != [path.read_bytes() for path in features]
    changed, _ = changed_and_following(finished)
    assert changed - {"report"} == ({"train_head"} if differ else set())


def test_the_same_images_in_another_container_rerun_no_work_on_them(finished: Path, tmp_path: Path) -> None:
    archive = Path(read_yaml(finished / "params.yaml")["download"]["url"])
    mirror = tmp_path / "images.tar"
    mirror.write_bytes(gzip.decompress(archive.read_bytes()))
    set_parameter(finished, "download.url", str(mirror))
    set_parameter(finished, "download.sha256", sha256_of(mirror))
    # Of what follows only the report, which names the archive's digest.
    assert stages_run(dvc(finished, "repro").stdout) == ["download", "report"]
