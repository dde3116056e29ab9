"""The tests of the cluster start one of their own."""

from site_study import slurm

__all__ = ["slurm"]
