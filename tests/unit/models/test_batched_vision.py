import copy

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from legor1.models.qwen2_5_vl_batched import batch_images
from legor1.planning.preflight import TINY_BASE


@pytest.fixture(scope="module")
def towers():
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY_BASE, dtype=torch.float32)
    fast = copy.deepcopy(stock.model.visual)
    batch_images(fast)
    return stock.model.visual, fast


@pytest.mark.parametrize(
    "grids",
    [[(1, 12, 8)] * 3, [(1, 8, 12), (1, 12, 8)], [(1, 12, 8), (1, 8, 8)]],
    ids=["one size", "one length", "two lengths"],
)
def test_it_equals_transformers_own_forward_and_backward(towers, grids):
    torch.manual_seed(1)
    patches, grids = torch.randn(sum(h * w for _, h, w in grids), 1176), torch.tensor(grids)
    outputs, gradients = [], []
    for tower in towers:
        tower.zero_grad()
        features = tower(patches, grid_thw=grids).pooler_output
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        outputs.append(features)
        gradients.append([p.grad for p in tower.parameters()])
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for stock, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(stock, fast, rtol=1e-3, atol=1e-3)


def test_it_equals_it_in_bfloat16_as_far_as_that_goes(towers):
    torch.manual_seed(2)
    patches, grids = torch.randn(2 * 96, 1176), torch.tensor([(1, 12, 8)] * 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        stock, fast = (tower(patches, grid_thw=grids).pooler_output.float() for tower in towers)
    assert ((stock - fast).norm() / stock.norm()).item() < 0.02
