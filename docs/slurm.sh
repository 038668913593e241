#!/bin/bash
# Prediction of a trajectory on two nodes of four GPUs each, one process per GPU. Submit with sbatch.
# After a failure submit it again: it resumes.
#SBATCH --job-name=efg-jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%j.log

set -eu
source "$HOME/efg/bin/activate"  # the environment with efg-jax[cuda]

# The processes find each other by gRPC, which must not use the proxies of the site.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

# Compiled programs on a file system that all nodes see: rank 0 writes them, and the next job starts without compiling.
export EFG_JAX_CACHE="${SCRATCH:-$HOME}/efg_jax-compiled"

srun --kill-on-bad-exit=1 --label \
    efg-jax predict li.npz trajectory.extxyz --species Li --dtype float32 --distributed --out predicted.extxyz
