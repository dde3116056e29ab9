"""What the benchmarks of training measure with: memory, work done, the machine's speed."""

import os
import time
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
