"""The real architectures at work, with random weights: `make test-large`.

They take gigabytes and many minutes, so neither `make test` nor `make test-slow` runs them.
"""

import json
import math
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from qwen_files import LARGER, SMALLER, processor
from real_models import FIXTURE, random_model, recipe, train, write_base
from safetensors import safe_open

from legor1.core.files import read_json, read_jsonl
from legor1.models.registry import DEFAULT
from legor1.tasks.prompts import chat_messages
from legor1.training.adapter import peak_memory_mib

GIB = 2**20  # in the unit of /proc/meminfo
pytestmark = pytest.mark.large
# A CPU without the instructions for it multiplies bfloat16 over 40 times slower than float32 in
# the backward pass: a step would take hours. The weights on disk are bfloat16 in either case.
PRECISION, NEEDED = (
    ("bfloat16", 11) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("float32", 19)
)


def need_memory(gib: float) -> None:
    """Skip unless so much memory is free: a machine that swaps would take days."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (free,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    if free < gib * GIB:
        pytest.skip(f"needs {gib} GiB of free memory, {free / GIB:.1f} are")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    need_memory(NEEDED)
    return write_base(tmp_path_factory.mktemp("base") / "model", SMALLER)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_the_3b_model_takes_a_training_step_by_the_command_of_the_rules(base, method, tmp_path):
    need_memory(NEEDED)
    train(recipe(method, precision=PRECISION), base, tmp_path, 4)
    facts = read_json(tmp_path / "out/run.json")
    arch = DEFAULT.architecture(SMALLER, DEFAULT.known[SMALLER])
    assert facts["trainable_parameters"] == arch.lora_parameters(8)
    assert facts["total_parameters"] == arch.parameters() + arch.lora_parameters(8)
    assert (facts["steps"], facts["processes"]) == (1, 1)
    logged = read_jsonl(tmp_path / "out/history.jsonl")[0]
    assert all(math.isfinite(value) for value in logged.values())
    if method == "sft":
        # Of a model that knows nothing: the logarithm of its vocabulary, or a little more.
        assert 11.5 < logged["loss"] < 14 and logged["grad_norm"] > 0
        with safe_open(tmp_path / "out/adapter/adapter_model.safetensors", "pt") as weights:
            names = weights.keys()
            moved = [name for name in names if weights.get_tensor(name).any()]
        assert len([name for name in moved if "lora_B" in name]) == 7 * 36
        assert all("language_model" in name for name in moved)
    else:
        assert logged["completions/mean_length"] == 4
    print(f"\n3B, {method}, {PRECISION}: {facts['seconds']} s, {facts['peak_memory_mib']} MiB")


def test_the_7b_model_reads_a_prompt_of_real_length():
    need_memory(18)
    prompt = json.loads((FIXTURE / "prompts.json").read_text(encoding="utf-8"))["prompts"][0]
    row, made = prompt["conversation"], processor(3136, 2038400)
    turns = chat_messages(row, DEFAULT.budget(3136, 2038400), demonstrations=False)
    text = made.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    image = Image.new("RGB", (row["width"], row["height"]), "white")
    inputs = made(text=[text], images=[image], return_tensors="pt")
    assert inputs["input_ids"].shape[1] == prompt["tokens"] > 2000
    model = random_model(LARGER)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == DEFAULT.architecture(LARGER, DEFAULT.known[LARGER]).parameters()
    started = time.monotonic()
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=1).logits
    print(f"\n7B: {time.monotonic() - started:.0f} s, {peak_memory_mib()} MiB")
    assert logits.shape == (1, 1, 152064)
    assert torch.isfinite(logits).all() and logits.std() > 0
