"""GPU memory of one process by part, in bytes, at the moments when it is fullest.

What autograd keeps of a layer is read off the layer: the base is frozen, so a linear map keeps its
input only for the LoRA beside it. A test compares it with a real training step of the tiny base.
"""

from dataclasses import dataclass, replace
from math import ceil

from legor1.config.job_params import GrpoJob, Job, PredictionJob, TrainingJob
from legor1.inference.batching import room
from legor1.models.family import Architecture
from legor1.planning.machines import Machine, assumed
from legor1.planning.tokens import Load

Parts = dict[str, float]
Moments = dict[str, Parts]

BYTES = {"bfloat16": 2, "float32": 4}
FLOAT = 4  # bytes of what is float32 in either precision
REDUCE_BUCKET = 500_000_000  # elements that ZeRO-2 gathers gradients in: DeepSpeed's default
TILE = (4096, 32768)  # tokens × vocabulary that TRL's loss looks at together
TILE_COPIES = 9.5  # as measured on a CPU; the GPU's kernel works in place and needs fewer
# What makes a part smaller: settings of the stage, and the pixel budget.
PIXELS = "pixel_budget.max_pixels"
LOWERED_BY = {
    "activations": ("batch_size", "batch_tokens", PIXELS),
    "logits": ("batch_size", "batch_tokens"),
    "vision activations": (PIXELS, "batch_size", "batch_tokens"),
    "pixels": (PIXELS, "batch_size", "batch_tokens"),
    "KV cache": ("batch_size", "batch_tokens", "max_new_tokens", PIXELS),
}
# Parts that lie there all the time; the others come and go, and so leave gaps.
STANDING = ("weights", "LoRA parameters", "LoRA gradients", "optimiser states", "gradient bucket")


@dataclass(frozen=True)
class Pass:
    """Sequences that go through the model together, and each one's tokens, padded to the longest.

    A ``prompt`` has its ``visual`` tokens among it, ``new`` ones follow it, and the loss asks for
    the logits of those ``scored``.
    """

    sequences: int
    prompt: int
    visual: int
    new: int
    scored: int

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return self.sequences * (self.prompt + self.new)


def written(job: TrainingJob, load: Load) -> int:
    """Return the most tokens behind a prompt in training: of a completion, or of a true answer."""
    return job.training.max_new_tokens if isinstance(job, GrpoJob) else load.answer.most


def widest(load: Load, sequences: int, new: int) -> Pass:
    """Return the pass of the longest prompts of ``load``, with ``new`` tokens each."""
    return Pass(sequences, load.prompt.most, load.visual.most, new, new)


def group(job: TrainingJob) -> int:
    """Return how many of GRPO's completions have their prompt computed once for them all.

    LoRA's dropout would be drawn once for a prompt, so there each completion has its own.
    """
    if isinstance(job, GrpoJob) and job.training.share_prompts and not job.lora.dropout:
        return job.training.generations
    return 1


def packed(passed: Pass, shared: int) -> Pass:
    """Return a pass with each prompt once, and ``shared`` completions behind it."""
    shared = min(shared, passed.sequences)
    new, scored = shared * passed.new, shared * passed.scored
    return replace(passed, sequences=ceil(passed.sequences / shared), new=new, scored=scored)


def layer(arch: Architecture, passed: Pass, job: TrainingJob) -> float:
    """Return what autograd keeps of one layer of the language model."""
    h, f = arch.text.hidden_size, arch.text.intermediate_size
    e, lora = BYTES[job.precision], job.lora
    norms = 2 * FLOAT * h
    attention = e * (h + 2 * arch.text.key_value_size)  # its output is the next map's input
    gated = e * 3 * f
    for_lora = e * (3 * h + f + 7 * lora.r)
    if lora.dropout:  # each adapter drops its own, and keeps what it dropped
        mask = 1 if job.device == "cuda" else e
        for_lora = e * (7 * h + f + 7 * lora.r) + mask * (5 * h + f)
    return passed.tokens * (norms + attention + gated + for_lora)


def kept(arch: Architecture, passed: Pass, job: TrainingJob) -> float:
    """Return what the forward pass leaves for the backward: layers, or their inputs alone."""
    h, e = arch.text.hidden_size, BYTES[job.precision]
    dropped = job.training.gradient_checkpointing
    each = passed.tokens * e * h if dropped else layer(arch, passed, job)
    last = passed.tokens * (FLOAT + e) * h
    return arch.text.num_hidden_layers * each + last


def backward(arch: Architecture, passed: Pass, job: TrainingJob) -> float:
    """Return what the backward of one layer adds: gradients, and the layer itself if dropped."""
    h, f = arch.text.hidden_size, arch.text.intermediate_size
    gradients = passed.tokens * BYTES[job.precision] * (3 * f + 2 * h)
    again = job.training.gradient_checkpointing
    return gradients + (layer(arch, passed, job) if again else 0)


def logits(arch: Architecture, passed: Pass) -> float:
    """Return what TRL's loss needs: the tile, and the gradient of the hidden states."""
    scored = passed.sequences * passed.scored
    tile = min(scored, TILE[0]) * min(arch.text.vocab_size, TILE[1])
    return FLOAT * (TILE_COPIES * tile + scored * arch.text.hidden_size)


def pixels(arch: Architecture, passed: Pass) -> float:
    """Return the pixels of all images, as the processor hands them over."""
    patches = passed.sequences * passed.visual * arch.vision.merged
    return FLOAT * patches * arch.vision.patch_values


def vision(arch: Architecture, passed: Pass, precision: str) -> float:
    """Return what the frozen tower takes while it runs: its copy of the pixels, one block."""
    tower, e = arch.vision, BYTES[precision]
    patches = passed.sequences * passed.visual * tower.merged
    d, f = tower.hidden_size, tower.intermediate_size
    block = e * max(6 * d, 2 * d + 3 * f) + 4 * FLOAT * d
    return patches * (e * tower.patch_values + block)


def cache(arch: Architecture, passed: Pass, precision: str) -> float:
    """Return the keys and values of all layers, for every token."""
    layer = 2 * arch.text.key_value_size * BYTES[precision]
    return arch.text.num_hidden_layers * passed.tokens * layer


def prefill(arch: Architecture, passed: Pass, precision: str) -> float:
    """Return what a forward pass over the prompts needs, nothing kept for a backward."""
    h, f = arch.text.hidden_size, arch.text.intermediate_size
    tokens = passed.sequences * passed.prompt
    return tokens * (BYTES[precision] * (3 * f + 3 * h) + FLOAT * h)


def standing(arch: Architecture, job: TrainingJob) -> Parts:
    """Return what lies there through a training under ZeRO-2.

    The frozen base is whole on every process; gradients and optimiser states are shared out.
    """
    e, processes = BYTES[job.precision], job.processes
    lora = arch.lora_parameters(job.lora.r)
    referred = job.start_from and getattr(job.training, "beta", None)  # to a copy of that adapter
    # ZeRO-2 keeps parameters in float32 beside the two moments of AdamW.
    return {
        "weights": arch.parameters() * e,
        "LoRA parameters": (2 if referred else 1) * lora * e,
        "LoRA gradients": lora * (e + FLOAT / processes),
        "optimiser states": lora * 3 * FLOAT / processes,
        "gradient bucket": REDUCE_BUCKET * e if job.device == "cuda" else lora * e,
    }


def training(arch: Architecture, job: TrainingJob, load: Load) -> Moments:
    """Return the parts at each moment of a training step; GRPO's begins with a rollout."""
    settings, there, shared = job.training, standing(arch, job), group(job)
    new = written(job, load)
    moments = update(arch, packed(widest(load, settings.batch_size, new), shared), job)
    if isinstance(job, GrpoJob):
        # A process draws all completions of an optimiser step together, and keeps their pixels.
        drawn = widest(load, settings.batch_size * settings.accumulation, new)
        moments = {name: parts | {"pixels": pixels(arch, drawn)} for name, parts in moments.items()}
        rollout = generation(arch, drawn, job.precision, shared)
        moments = {f"rollout's {name}": parts for name, parts in rollout.items()} | moments
    return {name: _whole(there | parts, job) for name, parts in moments.items()}


def update(arch: Architecture, passed: Pass, job: TrainingJob) -> Moments:
    """Return what forward and backward add to what lies there, moment by moment."""
    left = {"activations": kept(arch, passed, job), "pixels": pixels(arch, passed)}
    more = left["activations"] + backward(arch, passed, job)
    seen = {"vision activations": vision(arch, passed, job.precision), "pixels": left["pixels"]}
    return {
        "vision": seen,
        "loss": left | {"logits": logits(arch, passed)},
        "backward": left | {"activations": more},
    }


def inference(arch: Architecture, job: PredictionJob, load: Load, rank: int = 0) -> Moments:
    """Return the parts while a batch is answered, with LoRA of ``rank``, 0 for none."""
    e, new = BYTES[job.precision], job.max_new_tokens
    sequences = room(load.prompt.most, new, job.batch_size, job.batch_tokens)
    moments = generation(arch, widest(load, sequences, new), job.precision)
    lora = arch.lora_parameters(rank)
    there = {"weights": arch.parameters() * e, "LoRA parameters": lora * e}
    return {name: _whole(there | parts, job) for name, parts in moments.items()}


def generation(arch: Architecture, passed: Pass, precision: str, shared: int = 1) -> Moments:
    """Return what generating adds to the weights: images first, then all prompts at once.

    Where ``shared`` sequences have one prompt, it is read once and its keys and values are copied.
    """
    seen, read = {"pixels": pixels(arch, passed)}, packed(passed, shared)
    answering = {
        "KV cache": cache(arch, passed, precision),
        "activations": prefill(arch, read, precision),
        # Of the next token alone, as ``generate`` copies and samples them.
        "logits": 3 * FLOAT * passed.sequences * arch.text.vocab_size,
    }
    images = seen | {"vision activations": vision(arch, read, precision)}
    return {"images": images, "prompts": seen | answering}


def _whole(parts: Parts, job: Job) -> Parts:
    """Return the parts with what the process itself takes beside them."""
    if job.device == "cpu":
        return parts | {"program": assumed("program_bytes")}
    moving = sum(size for name, size in parts.items() if name not in STANDING)
    gaps = assumed("fragmentation") * moving
    return parts | {"fragmentation": gaps, "CUDA context": assumed("context_bytes")}


def fullest(moments: Moments) -> tuple[str, float]:
    """Return the moment that needs the most, and how much that is."""
    needed = {name: sum(parts.values()) for name, parts in moments.items()}
    name = max(needed, key=needed.__getitem__)
    return name, needed[name]


def remedy(moments: Moments, machine: Machine, where: str, job: Job) -> str:
    """Return what to change so that the fullest moment fits: its largest part that a setting moves.

    ``where`` is the config's path of the job's settings, such as ``experiments.sft.training``.
    """
    parts = moments[fullest(moments)[0]]
    if sum(size for part, size in parts.items() if part in STANDING) > machine.memory:
        smaller = "precision: bfloat16" if job.precision == "float32" else "a smaller base"
        return f"the weights: take {smaller}, or a GPU with more memory"
    largest = max((part for part in parts if part in LOWERED_BY), key=parts.__getitem__)
    settings = job.training if isinstance(job, TrainingJob) else job
    if largest == "activations" and not getattr(settings, "gradient_checkpointing", True):
        return f"the activations: set {where}.gradient_checkpointing: true"
    moved = {name: getattr(settings, name, None) for name in LOWERED_BY[largest]}
    names = [name for name, now in moved.items() if name == PIXELS or now not in (None, 1)]
    paths = [name if name == PIXELS else f"{where}.{name}" for name in names]
    return f"the {largest}: lower {' or '.join(paths) or 'nothing; take a larger GPU'}"
