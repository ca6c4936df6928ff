#!/bin/bash
# One experiment as a Slurm job, put back into the queue when its node fails or is taken. From the project's folder:
#   sbatch jobs/slurm.sh lower -S train.lr=1e-5
# Add what your cluster wants: --gpus=1, --partition=..., --account=...
#SBATCH --job-name=experiment
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
clone=$(mktemp -d)
git clone --quiet "$(git -C "$SLURM_SUBMIT_DIR" remote get-url origin)" "$clone"
git -C "$clone" checkout --quiet "$(git -C "$SLURM_SUBMIT_DIR" rev-parse HEAD)"
cd "$clone/$(git -C "$SLURM_SUBMIT_DIR" rev-parse --show-prefix)"        # the project's folder in a monorepo
STATE=$SLURM_SUBMIT_DIR/state/jobs/$1 jobs/experiment.sh "$@"
rm -rf "$clone"
