#!/usr/bin/env bash
# Snakemake runs this in the repository, inside the new conda environment.
set -e
pip install --no-deps --require-hashes -r envs/vllm.txt
pip install --no-deps --editable .
