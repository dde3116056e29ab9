"""Batched inference of one shard, greedy or sampled, resumable at the next example."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from legor1.boxes import PixelBudget, to_original
from legor1.files import atomic, read_jsonl
from legor1.inference.sampling import processors
from legor1.modeling import (
    base_folder,
    context_length,
    load_adapted,
    load_processor,
    open_image,
)
from legor1.processing import check_lengths
from legor1.progress import Progress
from legor1.prompts import chat_messages
from legor1.resume import fingerprint


def predict(
    recipe: dict[str, Any],
    conversations: Path,
    tree: Path,
    base: Path,
    adapter: Path | None,
    shard: tuple[int, int],
    out: Path,
    code: Sequence[Path] = (),
) -> None:
    """Answer every ``count``-th conversation, from ``index`` on, and write one prediction a line.

    Answers are appended to a file beside ``out`` as they come and moved into place at the end,
    so that a killed shard goes on where it stopped; unless its recipe, inputs or code changed.

    Args:
        recipe: experiment, device, precision, attention, pixel_budget, demonstrations,
            batch_size, max_new_tokens; sampling and seed where answers are drawn.
        conversations: ``test.jsonl``.
        tree: the dataset tree that image paths start from.
        base: ``model.json`` of the base model.
        adapter: folder of the trained adapter, or None for the base model itself.
        shard: (index, count).
        out: the shard's predictions.
        code: the files of the package that do it.
    """
    index, count = shard
    facts = ["instance_id", "task", "image", "width", "height", "box_frame", "variant"]
    rows = read_jsonl(conversations, facts)[index::count]
    weights = [adapter / "adapter_model.safetensors"] if adapter else []
    name = fingerprint(recipe, [conversations, base, *weights, *code])
    partial = out.with_suffix(f".{name}.partial.jsonl")
    done = _answered(partial)
    todo = [row for row in rows if row["instance_id"] not in done]
    if todo:
        engine = Engine(recipe, tree, base_folder(base), adapter)
        engine.check_lengths(todo)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("a", encoding="utf-8") as file:
            shown = {"desc": recipe["experiment"], "unit": "answers", "total": len(rows)}
            for prediction in Progress(engine.answers(todo), initial=len(done), **shown):
                file.write(json.dumps(prediction, ensure_ascii=False) + "\n")
                file.flush()
    with atomic(out) as temporary:
        if partial.exists():
            temporary.write_bytes(partial.read_bytes())
    for answered in out.parent.glob(f"{out.stem}.*.partial.jsonl"):
        answered.unlink()


def _answered(partial: Path) -> set[str]:
    """Return the ids already answered; a last line that was cut off is dropped from the file."""
    if not partial.exists():
        return set()
    whole = partial.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    os.truncate(partial, len(whole))
    return {json.loads(line)["instance_id"] for line in whole.splitlines()}


class Engine:
    """Decoding with left padding, batch by batch, the longest prompts first."""

    def __init__(
        self, recipe: dict[str, Any], tree: Path, base: Path, adapter: Path | None
    ) -> None:
        """Load the model in the folder ``base``, with the LoRA adapter in ``adapter`` if given."""
        if recipe["device"] == "cpu":
            torch.set_num_threads(recipe["threads"])
        self.recipe, self.tree = recipe, tree
        self.budget = PixelBudget(**recipe["pixel_budget"])
        self.processor = load_processor(base, self.budget, padding_side="left")
        self.context = context_length(base)
        self.model = load_adapted(base, adapter, recipe)

    def check_lengths(self, rows: list[dict[str, Any]]) -> None:
        """Stop if the model cannot read one of the prompts whole and answer it.

        Raises:
            UserError: names the longest such instance.
        """
        check_lengths(
            rows,
            self.processor,
            self.budget,
            demonstrations=self.recipe["demonstrations"],
            limit=self.recipe.get("max_tokens") or self.context,
            new_tokens=self.recipe["max_new_tokens"],
        )

    def answers(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the prediction of every conversation; an early out-of-memory beats a late one."""
        rows = sorted(rows, key=self._length, reverse=True)
        size = self.recipe["batch_size"]
        for start in range(0, len(rows), size):
            yield from self._answer_batch(rows[start : start + size])

    def _length(self, row: dict[str, Any]) -> tuple[int, str]:
        shown = row["demonstrations"] if self.recipe["demonstrations"] else []
        length = sum(
            len(one["prompt"]) + 4 * self.budget.visual_tokens((one["width"], one["height"]))
            for one in [row, *shown]
        )
        return length, row["instance_id"]

    @torch.inference_mode()
    def _answer_batch(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        messages = [
            chat_messages(row, self.budget, demonstrations=self.recipe["demonstrations"])
            for row in rows
        ]
        texts = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        images = [
            open_image(self.tree / part["image"])
            for turns in messages
            for turn in turns
            for part in turn["content"]
            if part["type"] == "image"
        ]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=self.recipe["max_new_tokens"],
            logits_processor=processors(self.recipe, [row["instance_id"] for row in rows]),
        )
        completions = tokens[:, inputs["input_ids"].shape[1] :].cpu()
        for row, completion in zip(rows, completions, strict=True):
            yield self._prediction(row, completion)

    def _prediction(self, row: dict[str, Any], completion: torch.Tensor) -> dict[str, Any]:
        tokenizer = self.processor.tokenizer
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
        length = next((i for i, t in enumerate(completion.tolist()) if t in ends), len(completion))
        text = tokenizer.decode(completion[:length], skip_special_tokens=True)
        size = (row["width"], row["height"])
        seen = self.budget.processed_size(size)
        facts = ("instance_id", "task", "manual", "image", "width", "height")
        return {
            "schema_version": 1,
            **{name: row[name] for name in facts},
            "processed_width": seen[0],
            "processed_height": seen[1],
            "box_frame": row["box_frame"],
            "variant": row["variant"],
            "completion": text,
            "prediction": to_original(text, size, self.budget, row["box_frame"]),
            "reference": row["response"],
            "completion_tokens": length,
            "finished": length < len(completion),
        }
