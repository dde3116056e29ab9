"""What the processor makes of prompts, compared with the pixel budget before any work begins.

``PixelBudget`` alone decides an image's processed size; whatever else resizes images must come to
the same, or boxes are in the wrong frame. And no prompt is ever cut: one too long is an error.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.models.family import ModelFamily
from legor1.tasks.prompts import answer, chat_messages

# Large, small, upright, lengthwise, and long: each side of the rule is met under any budget.
PROBE_SIZES = ((480, 360), (360, 480), (1920, 1080), (90, 700), (60, 40), (1700, 2200))


def check_frames(image_processor: Any, budget: PixelBudget, family: ModelFamily) -> None:
    """Stop unless whatever resizes images resizes the probes as ``budget`` says.

    Args:
        image_processor: the model's, bound to the budget.
        budget: of training, rollouts and inference.
        family: the model's.

    Raises:
        RuntimeError: one does otherwise, so that every box would be in the wrong frame.
    """
    edges = {"min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels}
    for size in PROBE_SIZES:
        expected = budget.processed_size(size)
        realised = family.realised_sizes(image_processor, Image.new("RGB", size), **edges)
        for name, got in realised.items():
            if got != expected:
                raise RuntimeError(
                    f"{name} resizes {size} to {got}, the pixel budget says {expected}: "
                    "boxes would be in the wrong frame"
                )


def with_visual_tokens(ids: Iterable[int], image: int, counts: Iterable[int]) -> list[int]:
    """Return a text's tokens with each image's one token as often as it has visual tokens.

    Args:
        ids: of the text.
        image: the token that stands for an image.
        counts: visual tokens of each image, in order.
    """
    visual = iter(counts)
    return [copy for token in ids for copy in [token] * (next(visual) if token == image else 1)]


def check_lengths(
    rows: Sequence[Mapping[str, Any]],
    processor: Any,
    budget: PixelBudget,
    *,
    demonstrations: bool,
    limit: int,
    new_tokens: int | None,
) -> list[int]:
    """Return the tokens of each prompt; stop if one with what follows it exceeds ``limit``.

    Args:
        rows: conversations.
        processor: the model's.
        budget: of its images.
        demonstrations: whether solved examples are shown.
        limit: the model's context, or fewer.
        new_tokens: room for the completion; None where the true answer follows the prompt, and
            is counted with it.

    Raises:
        UserError: names the longest such instance, and how many there are.
    """
    room = new_tokens or 0
    tokens = [*lengths(rows, processor, budget, demonstrations, answered=new_tokens is None)]
    long = [(n + room, row["instance_id"]) for n, row in zip(tokens, rows, strict=True)]
    long = sorted((one for one in long if one[0] > limit), reverse=True)
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
    rows: Sequence[Mapping[str, Any]],
    processor: Any,
    budget: PixelBudget,
    demonstrations: bool,
    *,
    answered: bool,
) -> Iterator[int]:
    """Yield the tokens of each row's prompt, without opening its images.

    With ``answered`` the true answer follows as the assistant's turn; else its opening.
    """
    for row in rows:
        turns = chat_messages(dict(row), budget, demonstrations=demonstrations)
        if answered:
            said = [{"type": "text", "text": answer(dict(row), budget)}]
            turns.append({"role": "assistant", "content": said})
        text = processor.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=not answered
        )
        shown = [row, *(row["demonstrations"] if demonstrations else [])]
        visual = sum(budget.visual_tokens((one["width"], one["height"])) for one in shown)
        # Each image is one token of the text, in whose place its visual tokens come.
        yield len(processor.tokenizer(text)["input_ids"]) - len(shown) + visual
