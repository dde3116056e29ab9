"""The shipped base model: a real Qwen2.5-VL of 1.6 million parameters, trained from scratch.

It has all that the large model has (byte-level BPE with Qwen's special tokens and chat template,
multimodal rotary positions, windowed vision attention), only smaller.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, share, write_json, write_jsonl, write_text
from legor1.core.images import open_image
from legor1.core.seeding import generator
from legor1.models.family import Model, Processor, Recipe
from legor1.models.qwen2_5_vl_tiny import make_model, make_processor, make_tokenizer
from legor1.models.registry import DEFAULT
from legor1.tasks.discovery import TASKS
from legor1.tasks.prompts import REASONING, answer, assistant, chat_messages, image_paths

NUMBERS = 512  # coordinates and counts below this are one token each
DIRECTIVES = [task.prompt.directive for task in TASKS.values()]
# So are the fixed phrases of prompts and answers: a third of the tokens, and so of the time.
SINGLE_TOKENS = [
    "You are a helpful assistant.",
    *(f" {text}" for text in [*DIRECTIVES, REASONING] if text),
    *('[{"bbox_2d": [', '"}, {"bbox_2d": [', '], "label": "', '"}]', ", "),
    *(str(number) for number in range(10, NUMBERS)),
]
CHAT = ("You are a helpful assistant.", "system user assistant")  # what the chat template adds
IMAGE = "<|image_pad|>"
IGNORED = -100
# Manuals are printed on light paper. Unless that is the zero of the pixel values, it drowns all
# else, and a small model stays blind for its first thousand steps.
BACKGROUND, CONTRAST = 0.85, 0.25
DARKEST = 0.7  # of a colour channel of the paper; other images keep nearly their own colours


class Examples:
    """Conversations as token batches; every image is tinted and processed once, and cached."""

    def __init__(
        self, rows: list[dict], tree: Path, processor: Processor, budget: PixelBudget, seed: int
    ) -> None:
        self.tree, self.processor, self.budget, self.seed = tree, processor, budget, seed
        self.images: dict[str, tuple[Tensor, Tensor]] = {}
        self.pools: dict[str, list[dict]] = defaultdict(list)
        for row in rows:
            self.pools[row["task"]].append(row)
        self.start = processor.tokenizer("<|im_start|>assistant\n")["input_ids"]
        self.end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def batch(self, rows: list[dict], *, demonstrations: bool) -> dict[str, Tensor]:
        """Return model inputs with labels on every assistant turn (demonstrations too)."""
        texts, images = [], []
        for row in rows:
            turns = chat_messages(row, self.budget, demonstrations=demonstrations)
            shown = [self._image(path) for path in image_paths(turns)]
            turns.append(assistant(answer(row, self.budget)))
            first, *rest = self.processor.apply_chat_template(turns, tokenize=False).split(IMAGE)
            merged = self.processor.image_processor.merge_size**2
            pads = [IMAGE * int(grid.prod() // merged) for _, grid in shown]
            texts.append(first + "".join(map("".join, zip(pads, rest, strict=True))))
            images += shown
        tokenizer = self.processor.tokenizer
        inputs = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        ids = inputs["input_ids"]
        return {
            "input_ids": ids,
            "attention_mask": inputs["attention_mask"],
            "mm_token_type_ids": (ids == self.processor.image_token_id).long(),
            "pixel_values": torch.cat([pixels for pixels, _ in images]).float(),
            "image_grid_thw": torch.cat([grid for _, grid in images]),
            "labels": self._labels(ids),
        }

    def _image(self, name: str) -> tuple[Tensor, Tensor]:
        if name not in self.images:
            picture = _tinted(open_image(self.tree / name), generator(self.seed, "tint", name))
            processed = self.processor.image_processor(images=[picture], return_tensors="pt")
            self.images[name] = (processed["pixel_values"].half(), processed["image_grid_thw"])
        return self.images[name]

    def _labels(self, ids: Tensor) -> Tensor:
        """Return labels that are the ids inside assistant turns, end token included."""
        labels = torch.full_like(ids, IGNORED)
        for row, tokens in enumerate(ids.tolist()):
            inside, width = False, len(self.start)
            for position, token in enumerate(tokens):
                if inside:
                    labels[row, position] = token
                    inside = token != self.end
                elif tokens[position - width + 1 : position + 1] == self.start:
                    inside = True
        return labels


def _tinted(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the picture on paper of another tint, strong or faint.

    One paper alone would be all that the model can read; strong tints alone hide the colours.
    """
    lost = (1 - DARKEST) * random.random() * random.random(3)
    paper = tuple(np.rint(255 * (1 - lost)).astype(int).tolist())
    return ImageChops.multiply(picture, Image.new("RGB", picture.size, paper))


def build(recipe: Recipe, conversations: Path, tree: Path, out: Path) -> None:
    """Make tokenizer, processor and model, train the model, and write all into ``out``.

    Args:
        recipe: ``base.rebuild.training`` of the config.
        conversations, tree: ``train.jsonl``, and the dataset tree that its image paths start from.
        out: the model's folder; loads with ``AutoProcessor`` and ``from_pretrained``.

    Raises:
        UserError: the recipe's sizes fit no model of the family.
    """
    torch.manual_seed(recipe["seed"])
    torch.set_num_threads(recipe["threads"])
    budget = DEFAULT.budget(**recipe["pixel_budget"])
    rows = read_jsonl(conversations, ["instance_id", "task", "response", "box_frame"])
    texts = [text for row in rows for text in (row["prompt"], row["response"])]
    tokenizer = make_tokenizer([*texts, *CHAT], recipe["vocabulary"], SINGLE_TOKENS)
    processor = make_processor(tokenizer, DEFAULT.image_settings(budget), BACKGROUND, CONTRAST)
    try:
        model = make_model(tokenizer, recipe["model"])
    except Exception as error:  # the sizes are transformers' own, and so is what it raises
        raise UserError(
            f"no model of the family has the sizes of the recipe's model: {error!r}. "
            "Remedy: correct `text` and `vision`; config.yaml has an example."
        ) from error
    examples = Examples(rows, tree, processor, budget, recipe["seed"])
    history = _train(model, examples, recipe)
    out.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(out)
    model.bfloat16().save_pretrained(out)
    share(out)
    write_jsonl(out / "training_log.jsonl", history)
    write_json(out / "recipe.json", recipe)
    write_text(out / "README.md", card(recipe, history, sum(p.numel() for p in model.parameters())))


def card(recipe: Recipe, history: list[dict[str, float]], parameters: int) -> str:
    """Return the model card: what the model is, how it was made, what it is good for."""
    last = history[-1]
    losses = "\n".join(f"| {k.partition('/')[2]} | {v:.3f} |" for k, v in last.items() if "/" in k)
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# The tiny base model of legor1

A Qwen2.5-VL of {parameters:,} parameters with a tokenizer of its own, trained from scratch on drawn
brick manuals (look `sketch`), to be adapted by SFT and GRPO to manuals of another look. It carries
the pipeline's demo and tests; it knows bricks and nothing else, and is of no other use.

- Made by `snakemake --configfile workflow/configs/demo.yaml rebuild_base`
- Recipe: `recipe.json`; training log: `training_log.jsonl` (loss on the answers, by task)
- Data: drawn by `legor1 synthesize` (`base.rebuild.scenes` in `config.yaml`), no third party
- {recipe["steps"]} steps of {recipe["batch_size"]} rows on {recipe["threads"]} CPU threads,
  {last["seconds"] / 60:.0f} minutes; weights in bfloat16

| task | training loss at the end |
| --- | --- |
{losses}
"""


def _train(model: Model, examples: Examples, recipe: Recipe) -> list[dict[str, float]]:
    steps, warmup = recipe["steps"], recipe["warmup"]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe["learning_rate"], betas=(0.9, 0.98), weight_decay=0.01
    )

    def rate(step: int) -> float:
        return min((step + 1) / warmup, 0.5 * (1 + np.cos(np.pi * step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    history, losses, started = [], defaultdict(list), time.monotonic()
    for step in range(1, steps + 1):
        task, batch = _draw(examples, recipe, step)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses[task].append(loss.item())
        if step % 25 == 0 or step == steps:
            means = {f"loss/{name}": float(np.mean(values)) for name, values in losses.items()}
            history.append({"step": step, "seconds": round(time.monotonic() - started, 1)} | means)
            line = "  ".join(f"{name} {value:.3g}" for name, value in history[-1].items())
            print(f"tiny base  {line}", file=sys.stderr, flush=True)
            losses.clear()
    return history


def _draw(examples: Examples, recipe: Recipe, step: int) -> tuple[str, dict[str, Tensor]]:
    """Return the step's task and batch: one task a step, with demonstrations or without."""
    random = generator(recipe["seed"], "batch", str(step))
    tasks, weights = list(recipe["mixture"]), np.array(list(recipe["mixture"].values()))
    task = tasks[random.choice(len(tasks), p=weights / weights.sum())]
    shown = bool(random.random() < recipe["demonstrations"])
    pool = examples.pools[task]
    rows = [pool[i] for i in random.choice(len(pool), (recipe["batch_size"],))]
    return task, examples.batch(rows, demonstrations=shown)
