"""The rehearsal may run on the cluster of the cluster's tests."""

from site_study import slurm

__all__ = ["slurm"]
