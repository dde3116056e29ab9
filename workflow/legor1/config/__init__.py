"""The settings of a run, and the part of them that each job depends on."""
