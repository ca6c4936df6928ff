"""The git revision that a stage sees, in a real repository: clean, changed, without git, and inside another's."""

import json
import os
import subprocess
import sys

import pytest

from commands.demo import copy_pipeline
from stages import fine_tune, train_head
from tests.stages.conftest import FILES, Arena
from transfer.network.classifier import load_card, load_head
from transfer.runtime.files import md5_of

# One process for all, because it takes its time to start. Each step is a change, and then the revision is read.
SCRIPT = """
import json, os, subprocess, sys
from pathlib import Path
from transfer.network.make_provenance import read_revision

used = [Path("params.yaml"), Path("transfer/runtime/command.py"), Path("transfer/runtime/files.py")]
found = {}

def note(step, files=used):
    found[step] = read_revision(files)

def put(name, text):
    Path(name).write_text(text)

def git(*arguments):
    subprocess.run(["git", *arguments], check=True, capture_output=True)

note("no git")
git("init", "--quiet")
note("no commit")
(parameters := Path("params.yaml").read_text())
git("add", "--all"), git("commit", "--quiet", "--message", "all")
note("clean")
put("stages/embed.py", "# not used here")
put("dvc.lock", "stages: {}")
note("other files changed")
put("params.yaml", parameters.replace("seed: 0", "seed: 1"))
os.utime("params.yaml", ns=(0, 0))
git("update-index", "--assume-unchanged", "params.yaml")  # git status no longer sees it
note("a parameter of the same length changed")
put("params.yaml", parameters)
note("changed back")
put("transfer/more.py", "")
note("a new module", [*used, Path("transfer/more.py")])
note("parameters from elsewhere", [*used, Path(sys.argv[1])])
put("params.yaml", parameters + "# more")
git("add", "params.yaml")
note("a change staged")
git("rm", "-r", "--quiet", "--cached", "stages"), git("commit", "--quiet", "--message", "another project")
note("a copy inside another repository")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str | None], str]:
    """What was read at each step, and the commit."""
    folder = tmp_path_factory.mktemp("copy")
    copy_pipeline(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "params.yaml"
    elsewhere.write_text("seed: 0")
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    variables = {**os.environ, **dict.fromkeys(names, "tester"), "PYTHONPATH": str(folder)}
    variables.pop("GIT_DIR", None)
    command = [sys.executable, "-c", SCRIPT, str(elsewhere)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    log = subprocess.run(["git", "rev-list", "--max-parents=0", "HEAD"], cwd=folder, capture_output=True, text=True)
    return json.loads(done.stdout), log.stdout.strip()


@pytest.mark.parametrize(
    ("step", "ends"),
    [
        ("no git", None),
        ("no commit", None),
        ("clean", ""),
        ("other files changed", ""),
        ("a parameter of the same length changed", "-dirty"),
        ("changed back", ""),
        ("a new module", "-dirty"),
        ("parameters from elsewhere", "-dirty"),
        ("a change staged", "-dirty"),
        ("a copy inside another repository", None),
    ],
)
def test_the_revision(revisions: tuple[dict[str, str | None], str], step: str, ends: str | None) -> None:
    found, commit = revisions
    assert len(commit) == 40
    assert found[step] == (None if ends is None else commit + ends)


def test_trainers_write_the_digests_of_their_inputs(arena: Arena) -> None:
    head, card = load_head(arena.file("head.safetensors")), load_card(arena.file("model.safetensors"))
    for provenance, stage in ((head.provenance, train_head), (card.provenance, fine_tune)):
        outputs = {"head", "metrics", "curves"} if stage is train_head else {"model", "metrics", "curves"}
        inputs = {name: file for name, file in FILES[stage].items() if name not in outputs}
        assert provenance.stage == stage.__name__.removeprefix("stages.")
        assert provenance.inputs == {name: md5_of(arena.file(file)) for name, file in inputs.items()}
    assert head.provenance.lock_sha256 != card.provenance.lock_sha256
