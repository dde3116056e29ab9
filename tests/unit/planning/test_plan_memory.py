"""The memory model, against what a training step of the tiny base really takes."""

import json
import os

import pytest
import torch
from loaded import Loaded

from legor1.config.job_params import GrpoJob, PredictionJob, SftJob
from legor1.config.models import GrpoTraining, Lora, SftTraining
from legor1.models.loading import load_model
from legor1.models.registry import DEFAULT
from legor1.planning import memory
from legor1.planning.machines import GIB, GPUS
from legor1.planning.preflight import TINY_BASE
from legor1.planning.tokens import Load, Spread
from legor1.training.job import DEEPSPEED

TINY = DEFAULT.architecture("tiny", json.loads((TINY_BASE / "config.json").read_text()))
QWEN = DEFAULT.architecture("7B", DEFAULT.known["Qwen/Qwen2.5-VL-7B-Instruct"])
# What is measured is resident memory of a whole process: pages, not tensors.
TOLERANCE = 0.25
PAGES = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
LORA = {"r": 8, "alpha": 16, "dropout": 0.0}


STEP = {"batch_size": 1, "accumulation": 8, "gradient_checkpointing": True}


def job(training=None, method=SftTraining, **changes):
    """A training's settings, as far as they matter here."""
    on_gpu = {"device": "cuda", "precision": "bfloat16", "attention": "flash_attention_2"}
    settings = method.model_construct(**training or STEP)
    rest = on_gpu | {"processes": 1, "lora": Lora(**LORA)} | changes
    kind = GrpoJob if method is GrpoTraining else SftJob
    return kind.model_construct(**rest, training=settings)


def load(visual=5200, text=300, answer=200):
    return Load(500, *(Spread(n, n) for n in (visual, text, answer)))


@pytest.fixture(scope="module")
def measure():
    """What measures the memory of a step: it has loaded all but the model."""
    return Loaded("measure_step.py", os.environ | PAGES)


@pytest.mark.parametrize(
    ("head", "checkpointing", "dropout", "text", "visual"),
    [
        (True, False, 0.0, 240, 16),  # fullest in the loss
        (True, True, 0.0, 240, 16),
        (False, False, 0.05, 240, 16),  # in the backward
        (False, True, 0.0, 240, 16),
        (False, True, 0.0, 16, 100),  # in the tower
    ],
)
def test_a_step_takes_what_the_model_says(
    measure, head, checkpointing, dropout, text, visual, tmp_path
):
    lora = LORA | {"dropout": dropout}
    given = {"sequences": 32, "text": text, "visual": visual, "head": head, "lora": lora}
    files = {name: str(tmp_path / name) for name in ("result", "log")}
    status = measure.ask(given | {"checkpointing": checkpointing} | files)
    assert status == 0, (tmp_path / "log").read_text()
    measured = int((tmp_path / "result").read_text())
    passed = memory.Pass(32, text + visual, visual, new=0, scored=text + visual)
    on_cpu = {"device": "cpu", "precision": "float32", "lora": Lora(**lora)}
    step = {"gradient_checkpointing": checkpointing}
    moments = memory.update(TINY, passed, job(step, **on_cpu))
    if not head:
        del moments["loss"]
    _, expected = memory.fullest(moments)
    assert expected == pytest.approx(measured, rel=TOLERANCE)


def test_the_cache_is_as_large_as_the_models_own():
    model = load_model(TINY_BASE, {"precision": "float32", "attention": "sdpa"})
    with torch.inference_mode():
        out = model(input_ids=torch.ones(3, 20, dtype=torch.long), use_cache=True)
    tensors = [t for layer in out.past_key_values.layers for t in (layer.keys, layer.values)]
    passed = memory.Pass(3, 15, 0, new=5, scored=0)
    assert memory.cache(TINY, passed, "float32") == sum(t.nbytes for t in tensors)


def test_zero_2_shares_out_gradients_and_optimiser_states_and_no_weights():
    one, four = (memory.standing(QWEN, job(processes=n)) for n in (1, 4))
    assert one["weights"] == four["weights"] == 2 * 8_292_166_656
    assert one["optimiser states"] == 4 * four["optimiser states"] == 12 * 20_185_088
    assert four["LoRA gradients"] < one["LoRA gradients"]


def test_the_gradient_bucket_is_deepspeeds():
    bucket = DEEPSPEED["zero_optimization"].get("reduce_bucket_size", memory.REDUCE_BUCKET)
    assert bucket == memory.REDUCE_BUCKET
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    assert DeepSpeedZeroConfig(stage=2).reduce_bucket_size == memory.REDUCE_BUCKET


def test_one_layer_of_the_7b_model_worked_by_hand():
    # A token, bfloat16, in bytes: two norms in float32, 8 × 3584; query, output and inputs of LoRA,
    # 2 × 4 × 3584; keys and values, 2 × 2 × 512; 4 × 18944 numbers of the gated network, 2 bytes
    # each; 7 LoRAs of rank 8.
    token = 8 * 3584 + 8 * 3584 + 4 * 512 + 8 * 18944 + 2 * 7 * 8
    assert memory.layer(QWEN, memory.Pass(1, 1000, 0, 0, 0), job()) == 1000 * token


def test_a_rollout_holds_the_completions_of_a_whole_step():
    # each completion reads its prompt, as it would with dropout
    settings = STEP | {"batch_size": 4, "accumulation": 2, "max_new_tokens": 164}
    settings |= {"share_prompts": False}
    moments = memory.training(QWEN, job(settings, GrpoTraining), load())
    assert list(moments) == ["rollout's images", "rollout's prompts", "vision", "loss", "backward"]
    tokens = 8 * (5200 + 300 + 164)
    assert moments["rollout's prompts"]["KV cache"] == tokens * 28 * 2 * 512 * 2


def test_parts_of_a_moment_make_up_the_whole():
    moments = memory.training(QWEN, job(), load())
    name, needed = memory.fullest(moments)
    assert needed == sum(moments[name].values()) == max(sum(p.values()) for p in moments.values())
    assert 20 * GIB < needed < 30 * GIB


@pytest.mark.parametrize(
    ("changes", "gpu", "said"),
    [
        ({"precision": "float32"}, "L4", "the weights: take precision: bfloat16"),
        (
            {"training": {"batch_size": 4, "gradient_checkpointing": False}},
            "A100-80",
            "the activations: set experiments.sft.training.gradient_checkpointing: true",
        ),
        (
            {"training": {"batch_size": 64, "gradient_checkpointing": True}},
            "A100-40",
            "the activations: lower experiments.sft.training.batch_size or pixel_budget.max_pixels",
        ),
        (
            {"training": {"batch_size": 1, "gradient_checkpointing": True}},
            "L4",
            "the activations: lower pixel_budget.max_pixels",
        ),
    ],
)
def test_what_does_not_fit_names_the_setting_to_change(changes, gpu, said):
    it = job(**changes)
    moments = memory.training(QWEN, it, load(visual=7800))
    assert memory.fullest(moments)[1] > GPUS[gpu].memory
    assert memory.remedy(moments, GPUS[gpu], "experiments.sft.training", it).startswith(said)


def test_a_budget_of_tokens_is_planned_as_the_batch_that_it_makes():
    answering = PredictionJob.model_construct(
        device="cuda", precision="bfloat16", max_new_tokens=128, batch_size=None, batch_tokens=32768
    )
    longest = load().prompt.most + 128
    sized = {"batch_size": 32768 // longest, "batch_tokens": None}
    as_size = answering.model_copy(update=sized)
    assert memory.inference(QWEN, answering, load()) == memory.inference(QWEN, as_size, load())
    larger = answering.model_copy(update={"batch_tokens": 10**6})
    moments = memory.inference(QWEN, larger, load())
    said = memory.remedy(moments, GPUS["A40"], "inference", answering)
    assert "inference.batch_tokens" in said and "inference.batch_size" not in said
