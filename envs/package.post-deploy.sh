#!/usr/bin/env bash
# Snakemake runs this in the repository, inside the new conda environment.
pip install --no-deps --editable .
