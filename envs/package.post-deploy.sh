#!/usr/bin/env bash
# Snakemake runs this in the folder of the study, inside the new conda environment.
pip install --no-deps --editable "$LEGOR1_ROOT"
