"""What the benchmarks measure with: memory, work done, the machine's speed; and their main loop."""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def memory(field: str) -> float:
    """Return a field of this process's memory, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(field + ":")[2].split()[0]) / 1024


def work_counter() -> Any:
    """Return torch's counter of floating-point work, which knows the attention of CPUs too."""
    import torch
    from torch.utils.flop_counter import (
        FlopCounterMode,
        sdpa_backward_flop_count,
        sdpa_flop_count,
    )

    aten = torch.ops.aten
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
            q, k, v
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda g, q, k, v, *_, **__: (
            sdpa_backward_flop_count(g, q, k, v)
        ),
    }
    return FlopCounterMode(display=False, custom_mapping=attention)


def matrix_speed() -> float:
    """Return the speed of a float32 matrix product here and now, FLOP a CPU second."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    left, right = torch.randn(512, 512), torch.randn(512, 1536)
    left @ right
    started = time.process_time()
    for _ in range(100):
        left @ right
    return 100 * 2 * 512 * 512 * 1536 / (time.process_time() - started)


def run(purpose: str, head: str, cases: Sequence[Any], show: Callable[[Any], None]) -> None:
    """Print the table: its head, then what ``show`` prints of each case that is asked for.

    Args:
        purpose: of the benchmark, in a line.
        head: of the table.
        cases: each with a ``name``.
        show: runs a case and prints its rows.
    """
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--only", choices=[case.name for case in cases])
    chosen = parser.parse_args().only
    started = time.monotonic()
    print(head.strip("\n"))
    for case in cases:
        if chosen in (None, case.name):
            show(case)
    print(f"{os.environ['OMP_NUM_THREADS']} thread, {time.monotonic() - started:.0f} s in all")
