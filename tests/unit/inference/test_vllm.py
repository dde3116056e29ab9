"""vLLM against transformers; runs where vLLM is: see envs/vllm.yaml."""

import importlib.util
from itertools import combinations
from pathlib import Path

import pytest
import torch
from inference_cases import HOSTILE, RECIPE, base_with, draw_mixed_rows
from peft import LoraConfig, get_peft_model

from legor1.core.errors import UserError
from legor1.inference.predict import Predictor
from legor1.models.loading import load_model
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE

HERE = importlib.util.find_spec("vllm") is not None
BOTH = ("transformers", "vllm")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter that changes the answers."""
    torch.manual_seed(1)
    config = LoraConfig(
        r=8,
        lora_alpha=8,
        target_modules=DEFAULT.lora_targets,
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    model = get_peft_model(load_model(TINY_BASE, RECIPE), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data *= 0.5
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="vLLM is not installed here: it has envs/vllm.yaml")
def test_vllm_answers_as_transformers_do(adapter, tmp_path):
    base = base_with(HOSTILE, tmp_path / "base")  # of which nothing may act
    rows = [
        row | {"instance_id": f"{row['instance_id']}/{shown}", "demonstrations": demonstrations}
        for row in draw_mixed_rows(tmp_path)
        for shown, demonstrations in enumerate([[], row["demonstrations"]])
    ]
    said, different = {}, []
    for case in ((None, 1.0), (None, 1.3), (adapter, 1.05)):
        for engine in BOTH:
            recipe = RECIPE | {"engine": engine, "repetition_penalty": case[1]}
            predictor = Predictor(recipe, tmp_path, base, case[0])
            said[engine] = sorted(predictor.answers(rows), key=lambda one: one["instance_id"])
        assert said["vllm"] == said["transformers"], case
        different.append(said["vllm"])
    assert all(one != other for one, other in combinations(different, 2))


@pytest.mark.skipif(HERE, reason="vLLM is installed here")
def test_without_vllm_the_error_names_its_environment(tmp_path):
    with pytest.raises(UserError, match=r"vLLM cannot be used here.*Remedy: .*envs/vllm\.yaml"):
        Predictor(RECIPE | {"engine": "vllm"}, tmp_path, TINY_BASE, None)
