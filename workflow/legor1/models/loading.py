"""Loading the base model and its processor, the same for training, rollouts and inference.

``PixelBudget`` alone decides an image's processed size; the processor must agree, or boxes are in
the wrong frame. And no prompt is ever cut: one too long is an error.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.utils import is_flash_attn_2_available

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.models.family import Model, Processor, Recipe
from legor1.models.registry import family_of, family_of_model
from legor1.tasks.prompts import answer, assistant, chat_messages

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Large, small, portrait, landscape and long: they reach each branch of the rule under any budget.
PROBE_SIZES = ((480, 360), (360, 480), (1920, 1080), (90, 700), (60, 40), (1700, 2200))


def load_processor(folder: Path, budget: PixelBudget, *, padding_side: str) -> Processor:
    """Return the processor of the model in ``folder``, bound to the pixel budget and checked."""
    family = family_of(folder)
    processor = AutoProcessor.from_pretrained(folder)
    for name, value in family.image_settings(budget).items():
        setattr(processor.image_processor, name, value)
    processor.tokenizer.padding_side = padding_side
    check_frames(processor.image_processor, budget)
    return processor


def context_length(folder: Path) -> int:
    """Return how many tokens the model in ``folder`` can read and write in one go."""
    return AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings


def usable_attention(wanted: str) -> str:
    """Return the attention to use: SDPA, with a notice, where Flash-Attention-2 cannot be used."""
    if wanted != "flash_attention_2" or is_flash_attn_2_available():
        return wanted
    print(
        "flash_attention_2 cannot be used here, so attention is sdpa, which is slower. Remedy: "
        "pip install flash-attn --no-build-isolation on a machine with a GPU, or set "
        "`attention: sdpa`.",
        file=sys.stderr,
    )
    return "sdpa"


def end_tokens(folder: Path) -> list[int]:
    """Return the tokens with which the model in ``folder`` ends its answers."""
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return ends if isinstance(ends, list) else [ends]


def load_model(folder: Path, recipe: Recipe) -> Model:
    """Return the base model in the recipe's precision, with its attention or else SDPA.

    Of the checkpoint's generation settings it keeps only the special tokens: transformers would
    fill in the others wherever a caller leaves one open.
    """
    family_of(folder)
    model = AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=DTYPES[recipe["precision"]],
        attn_implementation=usable_attention(recipe["attention"]),
    )
    kept = ("bos_token_id", "eos_token_id", "pad_token_id")
    own = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(own, name) for name in kept})
    return model


def without_adapter(model: Model) -> Model:
    """Return the base model inside ``model``, which PEFT may have been put around."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def is_frozen(module: torch.nn.Module) -> bool:
    """Return whether nothing in ``module`` is trained."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def freeze_vision(model: Model) -> Model:
    """Return ``model`` with its vision tower kept out of training altogether.

    The trainers make every embedding's output need a gradient and every block checkpoint its
    activations, so that the tower's, too, would be recomputed in the backward pass, for nothing.
    """
    tower: Model = family_of_model(model).tower(model.model)
    tower.requires_grad_(False)
    tower.eval()
    tower.train = lambda mode=True: tower  # blocks checkpoint in training mode alone
    tower.forward = torch.no_grad()(tower.forward)
    return model


def check_frames(image_processor: Processor, budget: PixelBudget) -> None:
    """Check that an image processor resizes the probes to the sizes of ``budget``.

    A RuntimeError says that it does not: every box would be in the wrong frame.
    """
    patch = image_processor.patch_size
    for size in PROBE_SIZES:
        expected = budget.processed_size(size)
        inputs = image_processor(images=[Image.new("RGB", size)], return_tensors="pt")
        _, rows, columns = inputs["image_grid_thw"][0].tolist()
        if (columns * patch, rows * patch) != expected:
            raise RuntimeError(
                f"the image processor resizes {size} to {columns * patch, rows * patch}, the pixel "
                f"budget says {expected}: boxes would be in the wrong frame"
            )


def with_visual_tokens(ids: Iterable[int], image: int, counts: Iterable[int]) -> list[int]:
    """Return a text's token ids, the n-th ``image`` token repeated ``counts[n]`` times."""
    visual = iter(counts)
    return [copy for token in ids for copy in [token] * (next(visual) if token == image else 1)]


def check_lengths(
    rows: Sequence[dict],
    processor: Processor,
    budget: PixelBudget,
    *,
    demonstrations: bool,
    limit: int,
    new_tokens: int | None,
) -> list[int]:
    """Return the number of tokens of each conversation's prompt.

    ``limit`` is the model's context, or fewer; ``new_tokens`` is room for the completion, None if
    the true answer follows the prompt and is counted with it. Others are those of ``lengths``. A
    UserError names the longest that, with what follows it, exceeds ``limit``.
    """
    room = new_tokens or 0
    tokens = [*lengths(rows, processor, budget, demonstrations, answered=new_tokens is None)]
    totals = [(n + room, row["instance_id"]) for n, row in zip(tokens, rows, strict=True)]
    long = sorted((total for total in totals if total[0] > limit), reverse=True)
    if long:
        most, name = long[0]
        others = f" (and {len(long) - 1} more are too long)" if len(long) > 1 else ""
        follows = f"room for {room} new ones" if new_tokens else "its answer"
        raise UserError(
            f"{name} takes {most} tokens with {follows}, the limit is {limit}{others}; prompts are "
            "never cut. Remedy: lower pixel_budget.max_pixels, show no demonstrations, or raise "
            "max_tokens."
        )
    return tokens


def lengths(
    rows: Sequence[dict],
    processor: Processor,
    budget: PixelBudget,
    demonstrations: bool,
    *,
    answered: bool,
) -> Iterator[int]:
    """Yield the number of tokens of each row's prompt, without opening its images.

    With ``answered`` the true answer follows as the assistant's turn, otherwise its opening.
    """
    template = processor.apply_chat_template
    for row in rows:
        turns = chat_messages(row, budget, demonstrations=demonstrations)
        if answered:
            turns.append(assistant(answer(row, budget)))
        text = template(turns, tokenize=False, add_generation_prompt=not answered)
        shown = [row, *(row["demonstrations"] if demonstrations else [])]
        visual = sum(budget.visual_tokens((turn["width"], turn["height"])) for turn in shown)
        # The text has one token for each image, which its visual tokens replace.
        yield len(processor.tokenizer(text)["input_ids"]) - len(shown) + visual
