"""The GPUs that a run may be planned for, and the assumptions of every plan: ``machines.yaml``."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

GIB = 2**30
# What the rules ask for, where no GPU is named.
TRAIN_ON, PREDICT_ON = "A100-80", "A40"


@dataclass(frozen=True)
class Machine:
    """A GPU or CPU: bytes of memory, matrix-multiply operations and bytes moved a second."""

    name: str
    memory: float
    speed: float
    bandwidth: float


_KNOWN = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
GPUS = {
    name: Machine(name, facts["memory"] * GIB, facts["speed"], facts["bandwidth"])
    for name, facts in _KNOWN["gpus"].items()
}
ASSUMPTIONS = _KNOWN["assumptions"]  # name → its value, its unit, and why


def cpu(threads: int) -> Machine:
    """Return this machine's CPU: its memory is asked for, its speed assumed."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine("CPU", memory, 50e9 * threads, 10e9)


def assumed(name: str) -> float:
    """Return the value of an assumption."""
    return float(ASSUMPTIONS[name]["value"])
