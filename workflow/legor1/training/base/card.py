"""The base model's card: what it is, how it was made, what it can do."""

from collections.abc import Mapping, Sequence

from legor1.models.family import Recipe

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# The tiny base model of legor1

A Qwen2.5-VL of {parameters:,} parameters with a tokenizer of its own, trained from scratch on drawn
brick manuals of random looks and wordings, to be adapted by SFT and GRPO to manuals of the look
`manual` and its one wording, which it never saw. It carries the pipeline's demo and tests; it knows
bricks and nothing else, and is of no other use.

- Made by `snakemake --configfile workflow/configs/demo.yaml rebuild_base`
- Recipe: `recipe.json`; training log: `training_log.jsonl`; held-out results: `heldout.jsonl`
- Data: drawn as it was trained, no third party
- {images:,} images in {minutes:.0f} minutes, by {processes} processes of one CPU thread each;
  weights in bfloat16

Its greedy answers about held-out booklets, each prompt with solved examples of the same booklet, in
percent: boxes with the right label at IoU 0.5 (F1), instructions that are right to the letter, the
share of right slots of an instruction, and balanced accuracy of the state task.

| {names} |
|{rules}|
{rows}
"""


def card(
    recipe: Recipe, last: Mapping, heldout: Sequence[Mapping[str, object]], parameters: int
) -> str:
    """Return the card, given the last line of the log and all held-out results."""
    results = [row for row in heldout if row["step"] == heldout[-1]["step"]]
    names = [*results[0]][4:]  # behind stage, step, images and seconds
    return CARD.format(
        parameters=parameters,
        images=last["images"],
        minutes=last["seconds"] / 60,
        processes=recipe["processes"],
        names=" | ".join(names),
        rules=" --- |" * len(names),
        rows="\n".join(f"| {' | '.join(map(_cell, [*row.values()][4:]))} |" for row in results),
    )


def _cell(value: object) -> str:
    return f"{100 * value:.0f}" if isinstance(value, float) else str(value)
