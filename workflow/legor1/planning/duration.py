"""How long the stages take, in seconds on one machine, from operations and bytes.

Reading (prompts, training) is bound by the speed of matrix multiplication, writing one token after
the other by memory bandwidth and by the host that launches the kernels.
"""

from collections.abc import Mapping
from math import ceil

from legor1.config.job_params import GrpoJob, Job, PredictionJob, TrainingJob
from legor1.config.models import GrpoTraining, Training
from legor1.inference.batching import room
from legor1.models.family import Architecture
from legor1.planning import memory
from legor1.planning.machines import Machine, assumed
from legor1.planning.memory import BYTES, Pass
from legor1.planning.tokens import Load

Seconds = dict[str, float]


def language_operations(arch: Architecture, tokens: float, length: float) -> float:
    """Return the operations of a forward pass over ``tokens`` in sequences of mean ``length``."""
    layers, h = arch.text.num_hidden_layers, arch.text.hidden_size
    weights = 2 * arch.text.matrix_parameters()
    attention = 2 * layers * h * length  # causal: half of the keys, for scores and for values
    return tokens * (weights + attention)


def vision_operations(arch: Architecture, visual: float) -> float:
    """Return the operations of the tower over so many visual tokens, its attention left out."""
    tower = arch.vision
    patches = visual * tower.merged
    blocks = tower.depth * tower.block_parameters() + tower.patch_values * tower.hidden_size
    return 2 * (patches * blocks + visual * tower.merger_parameters())


def language(arch: Architecture, tokens: float, length: float, machine: Machine) -> float:
    """Return the seconds of a forward pass through the language model."""
    return language_operations(arch, tokens, length) / (machine.speed * assumed("language_mfu"))


def vision(arch: Architecture, visual: float, machine: Machine) -> float:
    """Return the seconds of the tower."""
    return vision_operations(arch, visual) / (machine.speed * assumed("vision_mfu"))


def cache_passes(job: Job, sequences: int) -> int:
    """Return how often all keys and values are read or written for one further token.

    vLLM reads them where they lie. transformers copies them all to add the token, and again
    for FlashAttention, which wants sequences of unequal length without their padding.
    """
    if isinstance(job, PredictionJob) and job.engine == "vllm":
        return 1
    return 5 if job.attention == "flash_attention_2" and sequences > 1 else 3


def writing(arch: Architecture, passed: Pass, job: Job, machine: Machine) -> float:
    """Return the seconds of ``passed.new`` further tokens of all sequences together."""
    read = BYTES[job.precision] * (arch.parameters() - arch.vision.parameters())
    kept = cache_passes(job, passed.sequences) * memory.cache(arch, passed, job.precision)
    by_bandwidth = (read + kept) / (machine.bandwidth * assumed("bandwidth_use"))
    by_host = arch.text.num_hidden_layers * assumed("host_seconds")
    return passed.new * max(by_bandwidth, by_host)


def starting(arch: Architecture, precision: str) -> float:
    """Return the seconds until a job begins to work."""
    weights = arch.parameters() * BYTES[precision]
    return assumed("start_seconds") + weights / assumed("load_bandwidth")


def steps(training: Training, processes: int, rows: int) -> int:
    """Return the optimiser steps of a training: as told, or whole epochs over ``rows``.

    SFT ends an epoch with a step of the rows that are left; TRL's GRPO leaves them out.
    """
    if training.steps:
        return training.steps
    together = training.batch_size * training.accumulation * processes
    if isinstance(training, GrpoTraining):
        return ceil(rows // (together // training.generations) * training.epochs)
    return ceil(ceil(rows / together) * training.epochs)


def training(arch: Architecture, job: TrainingJob, load: Load, machine: Machine) -> Seconds:
    """Return the seconds of a training, by part."""
    number = steps(job.training, job.processes, load.rows)
    drawn = number * job.training.batch_size * job.training.accumulation
    # Each as long as a forward pass: that itself, the backward, since a frozen base has no weight
    # gradients but LoRA's, and another forward where activations are not kept.
    passes = 2 + job.training.gradient_checkpointing
    start = {"start": starting(arch, job.precision)}
    if isinstance(job, GrpoJob):
        return start | _grpo(arch, job, load, machine, number, passes)
    length = load.prompt.mean + load.answer.mean
    return start | {
        "images": _images(drawn, load, job.threads),
        "vision": vision(arch, drawn * load.visual.mean, machine),
        "update": passes * language(arch, drawn * length, length, machine),
    }


def _grpo(
    arch: Architecture, job: GrpoJob, load: Load, machine: Machine, number: int, passes: int
) -> Seconds:
    """Return the seconds of ``number`` steps of GRPO, by part.

    Each completion reads its prompt anew, or a group reads it once, and then its images are
    encoded in the rollout alone. Rollouts are taken to run to their limit.
    """
    settings, prompt = job.training, load.prompt.mean
    new = settings.max_new_tokens
    drawn = settings.batch_size * settings.accumulation
    completions = number * drawn
    rollout = Pass(drawn, round(prompt), round(load.visual.mean), new, new)
    prompts = completions / memory.group(job)
    scored = language(arch, prompts * prompt + completions * new, prompt + new, machine)
    seen = vision(arch, prompts * load.visual.mean, machine)
    again = 0.0 if prompts < completions else seen
    return {
        "images": _images(completions / settings.generations, load, job.threads),
        "rollout": seen
        + language(arch, prompts * prompt, prompt, machine)
        + number * writing(arch, rollout, job, machine),
        "reference": again + scored if settings.beta else 0.0,
        "update": again + passes * scored,
    }


def predict(
    arch: Architecture, job: PredictionJob, shards: int, loads: Mapping[str, Load], machine: Machine
) -> Seconds:
    """Return the seconds of all shards of an experiment's predictions, by part.

    Answers are taken to be as long as the true ones, and a batch runs to its longest.
    """
    parts = {"start": shards * starting(arch, job.precision)}
    parts |= dict.fromkeys(("images", "vision", "prompts", "answers"), 0.0)
    for load in loads.values():
        prompt = load.prompt.mean
        batch = room(round(prompt), job.max_new_tokens, job.batch_size, job.batch_tokens)
        new = min(job.max_new_tokens, load.answer.most)
        passed = Pass(batch, round(prompt), round(load.visual.mean), new, 0)
        parts["images"] += _images(load.rows, load, job.threads)
        parts["vision"] += vision(arch, load.rows * load.visual.mean, machine)
        parts["prompts"] += language(arch, load.rows * prompt, prompt, machine)
        parts["answers"] += ceil(load.rows / batch) * writing(arch, passed, job, machine)
    return parts


def _images(rows: float, load: Load, threads: int) -> float:
    """Return the seconds that the CPU takes for the images of so many rows."""
    decoded = load.images * assumed("decode_seconds")
    return rows * (decoded + load.visual.mean * assumed("resize_seconds") / threads)
