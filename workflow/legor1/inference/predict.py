"""Inference of one shard, greedy or sampled, which resumes at the batch that was interrupted."""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from legor1.core.boxes import to_original
from legor1.core.errors import UserError
from legor1.core.files import atomic, fingerprint, locked, read_jsonl
from legor1.core.progress import Progress
from legor1.inference.batching import Picture, Prompt
from legor1.inference.prediction_file import describe
from legor1.models import loading
from legor1.models.family import Recipe
from legor1.models.lora import checked_weights
from legor1.models.registry import base_folder, family_of
from legor1.tasks.prompts import chat_messages

SECONDS_TO_LEAVE = 60  # for an earlier attempt to finish or to be killed


def predict(
    recipe: Recipe,
    conversations: Path,
    tree: Path,
    base: Path,
    adapter: Path | None,
    shard: tuple[int, int],
    out: Path,
    code: str = "",
) -> None:
    """Answer every ``count``-th conversation, from ``index`` on, and write one prediction a line.

    Answers are appended to a file beside ``out`` as they come and sorted at the end, so that a
    killed shard resumes at the batch in which it stopped, unless recipe, inputs or code changed. A
    UserError says that another process works on the shard, or that the adapter is damaged.

    Args:
        recipe, code: what the predictions depend on, and the digest of this stage's code.
        conversations, tree: ``test.jsonl``, and the dataset tree that its image paths start from.
        base, adapter: ``model.json`` of the base model; the adapter's folder, if there is one.
        shard: (index, count).
    """
    index, count = shard
    facts = ["instance_id", "task", "image", "width", "height", "box_frame", "variant"]
    rows = read_jsonl(conversations, facts)[index::count]
    weights = [checked_weights(adapter)] if adapter else []
    name = fingerprint(recipe, [conversations, base, *weights], code)
    partial = out.with_suffix(f".{name}.partial.jsonl")
    with _open_alone(partial) as file:
        done = _answered(partial)
        if len(done) < len(rows):
            predictor = Predictor(recipe, tree, base_folder(base), adapter)
            shown = {"desc": recipe["experiment"], "unit": "answers", "total": len(rows)}
            for prediction in Progress(predictor.answers(rows, done), initial=len(done), **shown):
                file.write(json.dumps(prediction, ensure_ascii=False) + "\n")
                file.flush()
        with atomic(out) as temporary:
            lines = _answered(partial)
            temporary.write_bytes(b"".join(lines[row["instance_id"]] for row in rows))
        for answered in out.parent.glob(f"{out.stem}.*.partial.jsonl"):
            answered.unlink()


def _open_alone(partial: Path) -> TextIO:
    """Open the file of the answers so far to append to it, locked against other processes."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = partial.open("a", encoding="utf-8")
        if not locked(file, SECONDS_TO_LEAVE):
            file.close()
            raise UserError(
                f"another process adds its answers to {partial}. "
                "Remedy: wait for it, or end it, and run again."
            )
        if partial.exists() and os.path.samestat(os.fstat(file.fileno()), partial.stat()):
            return file
        file.close()  # the other process has finished, and removed it


def _answered(partial: Path) -> dict[str, bytes]:
    """Return the line of each answered id; a last line that was cut off is removed."""
    if not partial.exists():
        return {}
    whole = partial.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    os.truncate(partial, len(whole))
    return {json.loads(line)["instance_id"]: line for line in whole.splitlines(keepends=True)}


class Predictor:
    """Turns conversations into predictions by the recipe's engine."""

    def __init__(self, recipe: Recipe, tree: Path, base: Path, adapter: Path | None) -> None:
        self.recipe = recipe
        self.budget = family_of(base).budget(**recipe["pixel_budget"])
        self.processor = loading.load_processor(base, self.budget, padding_side="left")
        self.context = loading.context_length(base)
        self.ends = loading.end_tokens(base)
        # Imported when asked for: vLLM's environment has other releases than that of transformers.
        engine: Any
        if recipe["engine"] == "vllm":
            from legor1.inference.vllm_engine import VllmEngine as engine
        else:
            from legor1.inference.transformers_engine import TransformersEngine as engine
        self.engine = engine(recipe, tree, base, adapter, self.processor)

    def answers(self, rows: list[dict], done: Collection[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the prediction of every conversation but those ``done``, in the engine's order.

        Before any answer a UserError names a prompt that exceeds the model's context.
        """
        answered = {number for number, row in enumerate(rows) if row["instance_id"] in done}
        for number, completion in self.engine.complete(self.prompts(rows), answered):
            if number not in answered:
                yield self._prediction(rows[number], completion)

    def prompts(self, rows: list[dict]) -> list[Prompt]:
        """Return the prompt of every conversation; raises as ``answers``."""
        demonstrations = self.recipe["demonstrations"]
        lengths = loading.check_lengths(
            rows,
            self.processor,
            self.budget,
            demonstrations=demonstrations,
            limit=self.recipe.get("max_tokens") or self.context,
            new_tokens=self.recipe["max_new_tokens"],
        )
        prompts, template = [], self.processor.apply_chat_template
        for row, tokens in zip(rows, lengths, strict=True):
            turns = chat_messages(row, self.budget, demonstrations=demonstrations)
            shown = [*(row["demonstrations"] if demonstrations else []), row]
            text = template(turns, tokenize=False, add_generation_prompt=True)
            pictures = [Picture(turn["image"], (turn["width"], turn["height"])) for turn in shown]
            prompts.append(Prompt(row["instance_id"], text, tuple(pictures), tokens))
        return prompts

    def _prediction(self, row: dict, completion: list[int]) -> dict[str, Any]:
        finished = bool(completion) and completion[-1] in self.ends
        tokens = completion[:-1] if finished else completion
        text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        converted = to_original(text, (row["width"], row["height"]), self.budget, row["box_frame"])
        counted = {"completion_tokens": len(tokens), "finished": finished}
        return describe(row, self.budget, text, converted) | counted
