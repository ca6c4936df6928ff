"""A pipeline of three quick stages in a git repository, with a DVC remote, for commands that need no real one."""

import subprocess
from pathlib import Path

PIPELINE = """\
stages:
  draw:
    cmd: sh draw.sh params.yaml > numbers.txt
    params: [seed]
    deps: [draw.sh]
    outs: [numbers.txt]
  train:
    cmd: sh train.sh params.yaml numbers.txt
    params: [train]
    deps: [numbers.txt, train.sh]
    outs: [model.txt]
    metrics:
      - metrics/train_head.json: {cache: false}
      - metrics/fine_tune.json: {cache: false}
      - metrics/evaluate.json: {cache: false}
  show:
    cmd: cat model.txt metrics/evaluate.json > report.md
    deps: [model.txt, metrics/evaluate.json]
    outs: [report.md: {cache: false}]
"""
PARAMETERS = "seed: 1\ntrain:\n  lr: 0.25\n  layers: [4, 2]\n"
# The validation accuracy is the rate, the test accuracy 1 minus it; a rate below 0 is refused as a stage refuses it.
TRAIN = """\
rate=$(sed -n 's/^  lr: //p' "$1")
case "$rate" in -*) echo "error: train.lr = $rate: must be greater than 0" >&2; exit 1;; esac
cat "$1" "$2" > model.txt
mkdir -p metrics
echo '{"val": {"accuracy": 0.1}}' > metrics/train_head.json
echo "{\\"val\\": {\\"accuracy\\": $rate}}" > metrics/fine_tune.json
echo "{\\"accuracy\\": $(awk "BEGIN {print 1 - $rate}"), \\"macro_f1\\": 0.5}" > metrics/evaluate.json
"""


def command(folder: Path, *arguments: str) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    return command(folder, "git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org", *arguments)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def make(folder: Path, store: Path, top: Path | None = None) -> None:
    """Write the pipeline, run it, commit it and push its outputs to a remote in the folder `store`.

    With `top` the git repository is that folder, and `folder` a project in it.
    """
    folder.mkdir(parents=True)
    git(top or folder, "init", "--quiet", "--initial-branch=main")
    command(folder, "dvc", "init", "--quiet", *(["--subdir"] if top else []))
    command(folder, "dvc", "remote", "add", "--quiet", "--default", "store", str(store))
    for name, text in {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMETERS,
        "draw.sh": 'grep seed "$1"\n',
        "train.sh": TRAIN,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    command(folder, "dvc", "repro", "--quiet")
    commit(folder, "The first run")
    command(folder, "dvc", "push", "--quiet", "--run-cache")
