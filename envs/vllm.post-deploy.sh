#!/usr/bin/env bash
# Snakemake runs this in the folder of the study, inside the new conda environment.
set -e
pip install --no-deps --require-hashes -r "$LEGOR1_ROOT"/envs/vllm.txt
pip install --no-deps --editable "$LEGOR1_ROOT"
