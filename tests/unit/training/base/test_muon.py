import pytest
import torch

from legor1.training.base.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_the_singular_values_become_nearly_one(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert values.min() > 0.5 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert (
        torch.cosine_similarity((left @ right).flatten(), orthogonalize(matrix).flatten(), 0) > 0.9
    )


def test_it_steps_as_pytorchs_does_within_the_rounding_of_bfloat16():
    torch.manual_seed(2)
    ours, theirs = (torch.nn.Parameter(torch.ones(16, 8)) for _ in range(2))
    optimizers = [
        Muon([{"params": [ours]}], 0.1),
        torch.optim.Muon([{"params": [theirs]}], 0.1, 0.01, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(4):
        gradient = torch.randn(16, 8)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - 1).abs().max()
    assert (ours - theirs).abs().max() < 0.05 * moved
