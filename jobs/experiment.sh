#!/bin/bash
# One experiment on a machine that may be taken away, in a clone of the repository:
#   STATE=/mnt/state/lower jobs/experiment.sh lower -S train.lr=1e-5
# STATE is a folder of this job that outlives the machine. DVC's cache and the saved state of the trainings lie there, so
# that the same command in another clone goes on where this one was cut off. What it makes goes to the DVC remote and, as
# an experiment, to origin: git and the DVC remote need their credentials.
set -euo pipefail
name=$1
shift
mkdir -p "$STATE"
STATE=$(cd "$STATE" && pwd)
export TRANSFER_STATE=$STATE/training
make --silent install
export PATH=${UV_PROJECT_ENVIRONMENT:-$PWD/.venv}/bin:$PATH
dvc config --local cache.dir "$STATE/cache"
dvc pull --run-cache --allow-missing
dvc exp run --name "$name" "$@"
dvc push --run-cache
dvc exp push --force origin "$name"
