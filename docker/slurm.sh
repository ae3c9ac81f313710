#!/usr/bin/env bash
# A Ray cluster inside a Slurm allocation, then one run on it:
#   sbatch docker/slurm.sh cityscapes dataset.root=/shared/cityscapes workspace=/shared/workspaces/cityscapes
# Submit from the checkout; the checkout, the dataset and the workspace must be on a file system that all nodes share.
#SBATCH --job-name=lumen
#SBATCH --output=%x-%j.log
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=24:00:00
set -euo pipefail

source .venv/bin/activate
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Nodes of a busy allocation start minutes apart.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600
# The TMPDIR of a job is often longer than the path of a socket may be.
export RAY_TMPDIR=/tmp

# Each node starts Ray; the head then runs lumen, and all of them stop when it ends.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" -- \
    lumen run "$@" cluster=gpu
