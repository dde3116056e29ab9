"""GPU memory of one process by part, in bytes, at the moments when it is fullest.

What autograd keeps of a layer is read off the layer: the base is frozen, so a linear map keeps its
input only for the LoRA beside it. A test compares it with a real training step of the tiny base.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from legor1.inference.batching import room
from legor1.models.family import Architecture
from legor1.planning.machines import Machine, assumed
from legor1.planning.tokens import Load

Parts = dict[str, float]

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


def widest(load: Load, sequences: int, new: int | None = None) -> Pass:
    """Return the pass of the longest prompts of ``load``, with their answers or ``new`` tokens."""
    after = load.answer.most if new is None else new
    return Pass(sequences, load.prompt.most, load.visual.most, after, after)


def group(recipe: Mapping[str, Any]) -> int:
    """Return how many of GRPO's completions have their prompt computed once for them all.

    LoRA's dropout would be drawn once for a prompt, so there each completion has its own.
    """
    settings = recipe["training"]
    if settings.get("share_prompts", True) and not recipe["lora"]["dropout"]:
        return settings.get("generations", 1)
    return 1


def packed(passed: Pass, shared: int) -> Pass:
    """Return a pass with each prompt once, and ``shared`` completions behind it."""
    shared = min(shared, passed.sequences)
    sequences = ceil(passed.sequences / shared)
    return Pass(
        sequences, passed.prompt, passed.visual, shared * passed.new, shared * passed.scored
    )


def layer(arch: Architecture, passed: Pass, recipe: Mapping[str, Any]) -> float:
    """Return what autograd keeps of one layer of the language model."""
    h, f = arch.text.hidden_size, arch.text.intermediate_size
    e, lora = BYTES[recipe["precision"]], recipe["lora"]
    norms = 2 * FLOAT * h
    attention = e * (h + 2 * arch.text.key_value_size)  # its output is the next map's input
    gated = e * 3 * f
    for_lora = e * (3 * h + f + 7 * lora["r"])
    if lora["dropout"]:  # each adapter drops its own, and keeps what it dropped
        mask = 1 if recipe["device"] == "cuda" else e
        for_lora = e * (7 * h + f + 7 * lora["r"]) + mask * (5 * h + f)
    return passed.tokens * (norms + attention + gated + for_lora)


def kept(arch: Architecture, passed: Pass, recipe: Mapping[str, Any]) -> float:
    """Return what the forward pass leaves for the backward: layers, or their inputs alone."""
    h, e = arch.text.hidden_size, BYTES[recipe["precision"]]
    one = layer(arch, passed, recipe)
    if recipe["training"]["gradient_checkpointing"]:
        one = passed.tokens * e * h
    last = passed.tokens * (FLOAT + e) * h
    return arch.text.num_hidden_layers * one + last


def backward(arch: Architecture, passed: Pass, recipe: Mapping[str, Any]) -> float:
    """Return what the backward of one layer adds: gradients, and the layer itself if dropped."""
    h, f = arch.text.hidden_size, arch.text.intermediate_size
    gradients = passed.tokens * BYTES[recipe["precision"]] * (3 * f + 2 * h)
    again = recipe["training"]["gradient_checkpointing"]
    return gradients + (layer(arch, passed, recipe) if again else 0)


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


def next_logits(arch: Architecture, passed: Pass) -> float:
    """Return the logits of the next token, as ``generate`` copies and samples them."""
    return 3 * FLOAT * passed.sequences * arch.text.vocab_size


def standing(arch: Architecture, recipe: Mapping[str, Any]) -> Parts:
    """Return what lies there through a training under ZeRO-2.

    The frozen base is whole on every process; gradients and optimiser states are shared out.
    """
    e, processes = BYTES[recipe["precision"]], recipe["processes"]
    lora = arch.lora_parameters(recipe["lora"]["r"])
    # ZeRO-2 keeps parameters in float32 beside the two moments of AdamW.
    return {
        "weights": arch.parameters() * e,
        "LoRA parameters": lora * e,
        "LoRA gradients": lora * (e + FLOAT / processes),
        "optimiser states": lora * 3 * FLOAT / processes,
        "gradient bucket": REDUCE_BUCKET * e if recipe["device"] == "cuda" else lora * e,
    }


def training(arch: Architecture, recipe: Mapping[str, Any], load: Load) -> dict[str, Parts]:
    """Return the parts at each moment of a training step; GRPO's begins with a rollout.

    ``recipe`` is the experiment's block, with device, precision, attention and processes.
    """
    settings = recipe["training"]
    new = settings.get("max_new_tokens")
    passed = widest(load, settings["batch_size"], new)
    there = standing(arch, recipe)
    moments = update(arch, packed(passed, group(recipe)), recipe)
    if new is not None:
        # A process draws all completions of an optimiser step together, and keeps their pixels.
        drawn = widest(load, settings["batch_size"] * settings["accumulation"], new)
        moments = {name: parts | {"pixels": pixels(arch, drawn)} for name, parts in moments.items()}
        rollout = generation(arch, drawn, recipe["precision"], group(recipe))
        moments = {f"rollout's {name}": parts for name, parts in rollout.items()} | moments
    return {name: _whole(there | parts, recipe["device"]) for name, parts in moments.items()}


def update(arch: Architecture, passed: Pass, recipe: Mapping[str, Any]) -> dict[str, Parts]:
    """Return what forward and backward add to what lies there, moment by moment."""
    left = {"activations": kept(arch, passed, recipe), "pixels": pixels(arch, passed)}
    more = left["activations"] + backward(arch, passed, recipe)
    return {
        "vision": {
            "vision activations": vision(arch, passed, recipe["precision"]),
            "pixels": left["pixels"],
        },
        "loss": left | {"logits": logits(arch, passed)},
        "backward": left | {"activations": more},
    }


def inference(arch: Architecture, recipe: Mapping[str, Any], load: Load) -> dict[str, Parts]:
    """Return the parts while a batch is answered; an ``r`` of 0 in the recipe's LoRA is none."""
    e = BYTES[recipe["precision"]]
    new, sizes = recipe["max_new_tokens"], (recipe["batch_size"], recipe["batch_tokens"])
    passed = widest(load, room(load.prompt.most, new, *sizes), new)
    lora = arch.lora_parameters(recipe["lora"]["r"])
    there = {"weights": arch.parameters() * e, "LoRA parameters": lora * e}
    moments = generation(arch, passed, recipe["precision"])
    return {name: _whole(there | parts, recipe["device"]) for name, parts in moments.items()}


def generation(
    arch: Architecture, passed: Pass, precision: str, shared: int = 1
) -> dict[str, Parts]:
    """Return what generating adds to the weights: images first, then all prompts at once.

    Where ``shared`` sequences have one prompt, it is read once and its keys and values are copied.
    """
    seen = {"pixels": pixels(arch, passed)}
    read = packed(passed, shared)
    return {
        "images": seen | {"vision activations": vision(arch, read, precision)},
        "prompts": seen
        | {
            "KV cache": cache(arch, passed, precision),
            "activations": prefill(arch, read, precision),
            "logits": next_logits(arch, passed),
        },
    }


def _whole(parts: Parts, device: str) -> Parts:
    """Return the parts with what the process itself takes beside them."""
    if device == "cpu":
        return parts | {"program": assumed("program_bytes")}
    moving = sum(size for name, size in parts.items() if name not in STANDING)
    gaps = assumed("fragmentation") * moving
    return parts | {"fragmentation": gaps, "CUDA context": assumed("context_bytes")}


def fullest(moments: Mapping[str, Parts]) -> tuple[str, float]:
    """Return the moment that needs the most, and how much that is."""
    return max(
        ((name, sum(parts.values())) for name, parts in moments.items()), key=lambda one: one[1]
    )


def remedy(
    moments: Mapping[str, Parts], machine: Machine, where: str, recipe: Mapping[str, Any]
) -> str:
    """Return what to change so that the fullest moment fits: its largest part that a setting moves.

    ``where`` is the config's path of the recipe's settings, such as ``experiments.sft.training``.
    """
    parts = moments[fullest(moments)[0]]
    if sum(size for part, size in parts.items() if part in STANDING) > machine.memory:
        smaller = "precision: bfloat16" if recipe["precision"] == "float32" else "a smaller base"
        return f"the weights: take {smaller}, or a GPU with more memory"
    largest = max((part for part in parts if part in LOWERED_BY), key=parts.__getitem__)
    settings = recipe.get("training", recipe)
    if largest == "activations" and not settings.get("gradient_checkpointing", True):
        return f"the activations: set {where}.gradient_checkpointing: true"
    names = [n for n in LOWERED_BY[largest] if n == PIXELS or settings.get(n) not in (None, 1)]
    paths = [name if name == PIXELS else f"{where}.{name}" for name in names]
    return f"the {largest}: lower {' or '.join(paths) or 'nothing; take a larger GPU'}"
