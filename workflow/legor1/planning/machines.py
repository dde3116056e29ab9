"""The GPUs that a run may be planned for, and the assumptions of every plan, each with its reason.

Peak speeds and bandwidths are the vendors' (dense bfloat16); memory is what the driver leaves to
programs, with ECC on.
"""

import os
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """A GPU or CPU: bytes of memory, matrix-multiply operations and bytes moved a second."""

    name: str
    memory: float
    speed: float
    bandwidth: float


_KNOWN = (
    Machine("A100-80", 79.1 * GIB, 312e12, 2039e9),
    Machine("A100-40", 39.4 * GIB, 312e12, 1555e9),
    Machine("A40", 44.4 * GIB, 149.7e12, 696e9),
    Machine("H100", 79.1 * GIB, 989e12, 3350e9),
    Machine("L4", 21.9 * GIB, 121e12, 300e9),
)
GPUS = {gpu.name: gpu for gpu in _KNOWN}
# What the rules ask for, where no GPU is named.
TRAIN_ON, PREDICT_ON = "A100-80", "A40"


def cpu(threads: int) -> Machine:
    """Return this machine's CPU: its memory is asked for, its speed assumed."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine("CPU", memory, 50e9 * threads, 10e9)


@dataclass(frozen=True)
class Assumption:
    """A number that a plan rests on and that nothing here can measure."""

    value: float
    unit: str
    why: str


ASSUMPTIONS = {
    "language_mfu": Assumption(0.40, "of peak speed", "long sequences, Flash-Attention-2"),
    "vision_mfu": Assumption(0.25, "of peak speed", "narrow layers, attention in windows"),
    "bandwidth_use": Assumption(0.60, "of peak bandwidth", "reading all weights for each token"),
    "host_seconds": Assumption(0.001, "s a layer and token", "kernels are launched one by one"),
    "decode_seconds": Assumption(0.022, "s an image", "a PNG of 1,654 × 2,339 on one CPU"),
    "resize_seconds": Assumption(30e-6, "s a visual token and thread", "0.077 s a page, likewise"),
    "load_bandwidth": Assumption(1e9, "B/s", "reading weights from disk when a job starts"),
    "start_seconds": Assumption(60, "s a job", "starting Python, DeepSpeed and the GPU"),
    "context_bytes": Assumption(1.0 * GIB, "B", "CUDA context, cuBLAS and cuDNN workspaces"),
    "program_bytes": Assumption(0.7 * GIB, "B", "Python and torch, where there is no GPU"),
    "fragmentation": Assumption(0.10, "of what comes and goes", "gaps between allocations"),
}


def assumed(name: str) -> float:
    """Return the value of an assumption."""
    return ASSUMPTIONS[name].value
