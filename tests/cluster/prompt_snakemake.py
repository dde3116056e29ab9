"""Snakemake, asking SLURM every two seconds: the plugin asks ever more rarely, and tests wait."""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)

if __name__ == "__main__":
    sys.exit(main())
