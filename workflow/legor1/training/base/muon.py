"""Muon as in ``torch.optim``, but orthogonalised in float32.

PyTorch's does that in bfloat16, which takes forty times as long on a CPU that does not know it.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS, ITERATIONS = (3.4445, -4.775, 2.0315), 5  # Keller Jordan's quintic
MOMENTUM, DECAY = 0.95, 0.01


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, its singular values all near 1."""
    a, b, c = COEFFICIENTS
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.size(0) > matrix.size(1) else wide


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised; a step is as long as AdamW's at the same rate."""

    def __init__(self, matrices: Iterable[dict], lr: float) -> None:
        super().__init__(matrices, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                momentum = state.setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonalize(matrix.grad.lerp(momentum, MOMENTUM))
                matrix.mul_(1 - group["lr"] * DECAY)
                matrix.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(matrix.shape)))
