"""Snakemake, for many plans: a process that has loaded it forks for each.

A program of its own, which loads no module of the package: a study has a copy of it.
"""

import os
import sys

import docutils.core
import jsonschema
import PIL.Image
import pydantic
import snakemake.cli
import snakemake.report.html_reporter
from loaded import run_fork, serve

LOADED = (docutils.core, jsonschema, PIL.Image, pydantic, snakemake.report.html_reporter)


def run(request) -> int:
    """Run Snakemake in a folder; return its exit status."""

    def call() -> None:
        os.chdir(request["folder"])
        sys.argv = ["snakemake", *request["arguments"]]
        snakemake.cli.main()

    return run_fork(call, request["log"], request["environment"])


if __name__ == "__main__":
    serve(run)
