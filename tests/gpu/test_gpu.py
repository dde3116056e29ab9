"""What only a GPU can show: `make test-gpu`. Without one, or without FlashAttention, tests skip."""

import math
from types import SimpleNamespace

import pytest
import torch
from plain_mask import plain_mask
from real_models import recipe, train, write_rows
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils import is_flash_attn_2_available

from legor1.core.files import read_json, read_jsonl
from legor1.data.sources import describe_model
from legor1.inference.predict import predict
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.training.fast.attention import Layout, attend

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
ATTENTION = [
    "sdpa",
    pytest.param(
        "flash_attention_2",
        marks=pytest.mark.skipif(
            not is_flash_attn_2_available(), reason="FlashAttention is not installed"
        ),
    ),
]
LAYOUTS = {
    "shorter than the prompt": [(900, [48, 12, 77, 1])],
    "longer than the prompt": [(40, [120, 64, 200])],
    "several groups": [(130, [30, 75]), (1, [64, 3]), (700, [48] * 8)],
}


def attended(groups, width, heads=(8, 2)):
    """Attend in bfloat16; return the output, its gradients, and both in float32, as the oracle."""
    layout = Layout(groups, torch.device("cuda"))
    drawn = torch.Generator("cuda").manual_seed(layout.length)
    shapes = [(1, n, layout.length, width) for n in (heads[0], heads[1], heads[1])]
    inputs = [torch.randn(s, generator=drawn, device="cuda").bfloat16() for s in shapes]
    layer = torch.nn.Module()
    layer.projection = torch.nn.Linear(1, 1, dtype=torch.bfloat16, device="cuda")
    layer.num_key_value_groups, layer.is_causal = heads[0] // heads[1], True
    layer.config = SimpleNamespace(_attn_implementation="sdpa", dtype=torch.bfloat16)
    given = {"dropout": 0.0, "scaling": width**-0.5}

    def both(function, tensors, mask):
        tensors = [tensor.requires_grad_() for tensor in tensors]
        output = function(layer.eval(), *tensors, mask, **given)[0]
        weights = torch.linspace(-1, 1, output.numel(), device="cuda").view_as(output)
        return [output, *torch.autograd.grad((output.float() * weights).sum(), tensors)]

    found = both(attend, [x.detach().clone() for x in inputs], layout)
    exact = [x.detach().float() for x in inputs]
    return found, both(sdpa_attention_forward, exact, plain_mask(groups).cuda())


@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
def test_attention_in_a_packed_row_is_that_under_the_plain_mask(groups):
    found, exact = attended(groups, width=128)
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        difference = (ours.float() - theirs).norm() / theirs.norm()
        assert difference < 0.01  # bfloat16 keeps eight bits


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    note = tmp_path_factory.mktemp("base") / "model.json"
    describe_model(TINY_BASE, "workflow/base/tiny", None, note)
    return note


def results(given, base, folder):
    """Train; return the facts of the training and its first logged line."""
    train(given, base, folder, 6)
    return read_json(folder / "out/run.json"), read_jsonl(folder / "out/history.jsonl")[0]


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_training_by_the_command_of_the_rules(method, attention, base, tmp_path):
    given = recipe(method, device="cuda", attention=attention)
    given["training"] |= {"check_sharing": True, "max_new_tokens": 24} if method == "grpo" else {}
    facts, logged = results(given, base, tmp_path)
    assert facts["attention"] == attention
    assert all(math.isfinite(value) for value in logged.values())


def test_a_training_on_the_gpu_is_that_on_the_cpu(base, tmp_path):
    losses = {}
    for device in ("cpu", "cuda"):
        given = recipe("sft", device=device, precision="float32")
        losses[device] = results(given, base, tmp_path / device)[1]["loss"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


def test_predictions_on_the_gpu_are_those_on_the_cpu(base, tmp_path):
    conversations, tree = write_rows(tmp_path, 6)
    budget = DEFAULT.budget(9408, 15680)
    common = {"experiment": "few_shot", "engine": "transformers", "precision": "float32"}
    common |= {"attention": "sdpa", "threads": 1, "demonstrations": False, "max_new_tokens": 40}
    common |= {"repetition_penalty": 1.0}
    common |= {"pixel_budget": vars(budget), "batch_size": None, "batch_tokens": 2048}
    said = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.jsonl"
        predict(common | {"device": device}, conversations, tree, base, None, (0, 1), out)
        said[device] = [row["completion"] for row in read_jsonl(out)]
    assert said["cuda"] == said["cpu"]
