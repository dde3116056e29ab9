"""Few-shot predictions on CPU: the engine against the plain loop.

    make benchmark-inference        some minutes on one core

The plain loop takes three conversations at a time in the file's order, has the processor read and
resize their images, and calls ``generate``. Both must say the same, token by token. They take
turns on the same test conversations, one after the other, warm, in float32. The conversations are
the demo's, with fewer manuals: demonstrations come from one pool, so images are shown again.

- tiny: the shipped base model, trained; images and limits as in the demo.
- middle: text 512 × 8 layers, images of about 336 × 336 pixels, random weights. Its answers are
  ended where the true ones end, in tokens of Qwen's vocabulary.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import models
from drawing import draw
from measuring import matrix_speed, run, work_counter

Rows = list[dict[str, Any]]
TARGET = 3.0
WARM = 3  # conversations


@dataclass(frozen=True)
class Case:
    """A model and a workload.

    Attributes:
        pixels: the budget of an image, least and most.
        tokens: answers end here at the latest.
        rows: conversations.
        rounds: of both, timed.
    """

    name: str
    pixels: tuple[int, int]
    tokens: int
    rows: int
    rounds: int


CASES = [Case("tiny", (9408, 15680), 80, 72, 2), Case("middle", (80000, 130000), 128, 24, 1)]


class TrueLengths:
    """Ends each answer where the true one ends: a logits processor that knows prompts by sight."""

    def __init__(self, predictor: Any, rows: Rows) -> None:
        import torch

        from legor1.planning.tokens import estimate

        self.ends, self.pad = predictor.ends, predictor.processor.tokenizer.pad_token_id
        self.weights = torch.randint(1, 2**40, (8192,), generator=torch.Generator().manual_seed(0))
        self.lengths = {}
        engine = predictor.engine
        for row, prompt in zip(rows, predictor.prompts(rows), strict=True):
            ids, _ = engine.padded([prompt])
            self.lengths[self.keys(ids)[0]] = estimate(row["response"])
        self.width = 0

    def keys(self, ids: Any) -> list[int]:
        """Return a number for each padded prompt that does not depend on its padding."""
        seen = (ids * (ids != self.pad)).cpu()
        return (seen.flip(1) * self.weights[: ids.size(1)]).sum(1).tolist()

    def __call__(self, ids: Any, scores: Any) -> Any:
        """Return the scores, the end token's alone where the answer is long enough."""
        if self.width == 0:
            self.width = ids.size(1)
        said = ids.size(1) - self.width
        over = [self.lengths[key] <= said for key in self.keys(ids[:, : self.width])]
        scores[:, self.ends] = -1e9
        scores[over] = -1e9
        for row, ended in enumerate(over):
            if ended:
                scores[row, self.ends[0]] = 0.0
        return scores


class Stages:
    """CPU seconds in the parts of a model, since the last reading."""

    def __init__(self, model: Any) -> None:
        self.spent = dict.fromkeys(("tower", "prompts", "answers"), 0.0)
        text = model.model.language_model
        model.model.visual.forward = self._timed(model.model.visual.forward, lambda _: "tower")
        text.forward = self._timed(
            text.forward,
            lambda given: "answers" if given["inputs_embeds"].size(1) == 1 else "prompts",
        )

    def _timed(self, forward: Any, part: Any) -> Any:
        def timed(*args: Any, **given: Any) -> Any:
            started = time.process_time()
            result = forward(*args, **given)
            self.spent[part(given)] += time.process_time() - started
            return result

        return timed

    def read(self) -> dict[str, float]:
        """Return the seconds of each part, and begin anew."""
        spent, self.spent = self.spent, dict.fromkeys(self.spent, 0.0)
        return spent


def load(case: Case, tree: Path, folder: Path, rows: Rows) -> Any:
    """Return what predicts with the case's model, saved in ``folder`` as a base model is."""
    import shutil

    from legor1.inference.predict import Predictor

    if case.name != "tiny":
        own = shutil.ignore_patterns("*.safetensors", "config.json")
        shutil.copytree(models.TINY, folder, ignore=own)
        models.middle().save_pretrained(folder)
    recipe = {"engine": "transformers", "device": "cpu", "precision": "float32"}
    recipe |= {"attention": "sdpa", "threads": int(os.environ["OMP_NUM_THREADS"])}
    recipe |= {"pixel_budget": dict(zip(("min_pixels", "max_pixels"), case.pixels, strict=True))}
    recipe |= {"demonstrations": True, "max_new_tokens": case.tokens}
    recipe |= {"repetition_penalty": 1.0}
    recipe |= {"batch_tokens": 16384, "batch_size": None}
    predictor = Predictor(recipe, tree, models.TINY if case.name == "tiny" else folder, None)
    if case.name != "tiny":
        end_as_the_true_answers(predictor, rows)
    return predictor


def end_as_the_true_answers(predictor: Any, rows: Rows) -> None:
    """Let a model of random weights end its answers where the true ones end."""
    model, lengths = predictor.engine.model, TrueLengths(predictor, rows)
    generate = model.generate

    def ending(**given: Any) -> Any:
        lengths.width = 0
        return generate(**given, logits_processor=[lengths])

    model.generate = ending


def plainly(predictor: Any, tree: Path, rows: Rows) -> Iterator[tuple[str, list[int]]]:
    """Yield what the plain loop answers to each conversation, up to the end token."""
    import torch

    from legor1.core.images import open_image
    from legor1.tasks.prompts import chat_messages

    processor, model, ends = predictor.processor, predictor.engine.model, predictor.ends
    for at in range(0, len(rows), 3):
        three = rows[at : at + 3]
        chats = [chat_messages(row, predictor.budget, demonstrations=True) for row in three]
        texts = processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        shown = [turn for row in three for turn in (*row["demonstrations"], row)]
        images = [open_image(tree / turn["image"]) for turn in shown]
        inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
        inputs = inputs.to(model.device)
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, do_sample=False, max_new_tokens=predictor.recipe["max_new_tokens"]
            )
        answers = tokens[:, inputs["input_ids"].size(1) :].tolist()
        for row, answer in zip(three, answers, strict=True):
            end = next((i for i, token in enumerate(answer, 1) if token in ends), len(answer))
            yield row["instance_id"], answer[:end]


def engine(predictor: Any, tree: Path, rows: Rows) -> Iterator[tuple[str, list[int]]]:
    """Yield what the engine answers, its tokens counted and its prompts made on the way."""
    for number, answer in predictor.engine.complete(predictor.prompts(rows)):
        yield rows[number]["instance_id"], answer


SIDES = {"plain": plainly, "engine": engine}


def compare(case: Case, tree: Path, rows: Rows) -> dict[str, list[dict[str, float]]]:
    """Return what the timed rounds of both sides took.

    Raises:
        RuntimeError: they said different things.
    """
    took: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        predictor = load(case, tree, Path(folder) / "base", rows)
    stages = Stages(predictor.engine.model)
    flops = {side: count(answer, predictor, tree, rows) for side, answer in SIDES.items()}
    stages.read()
    for _ in range(case.rounds):
        said = {}
        for side, answer in SIDES.items():
            wall, cpu = time.perf_counter(), time.process_time()
            said[side] = dict(answer(predictor, tree, rows))
            facts = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            facts |= stages.read() | {"flops": flops[side], "speed": matrix_speed()}
            took[side].append(facts)
        differ = [row for row, answer in said["plain"].items() if said["engine"][row] != answer]
        if differ:
            raise RuntimeError(f"{len(differ)} of {len(rows)} answers differ, first {differ[0]}")
    return took


def count(answer: Any, predictor: Any, tree: Path, rows: Rows) -> float:
    """Return the operations of an example, over so many as warm up a side: counting takes time."""
    with work_counter() as counter:
        counted = len([*answer(predictor, tree, rows[:WARM])])
    return counter.get_total_flops() / counted


def line(case: Case, side: str, rounds: list[dict[str, float]], rows: int) -> str:
    """Return one row of the table: medians over the rounds, CPU seconds by conversation."""
    m = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    parts = {name: m[name] for name in ("tower", "prompts", "answers")}
    parts["rest"] = m["cpu"] - sum(parts.values())
    times = "  ".join(f"{value / rows * 1000:7.1f}" for value in parts.values())
    share = statistics.median(rows * one["flops"] / one["cpu"] / one["speed"] for one in rounds)
    return (
        f"{case.name:7} {side:7} {rows / m['wall']:6.2f} {rows / m['cpu']:6.2f}  {times}"
        f"  {m['flops'] / 1e9:7.2f}  {share:6.0%}"
    )


HEAD = """
                 examples/s       CPU milliseconds of an example          GFLOP      of
                 clock    CPU    tower  prompts  answers     rest   an example  matmul
"""


def show(folder: Path, drawn: Rows, case: Case) -> None:
    """Run a case and print its rows."""
    rows = drawn[: case.rows]
    took = compare(case, folder / "tree", rows)
    for side, rounds in took.items():
        print(line(case, side, rounds, len(rows)))
    print(summary(took, rows), flush=True)


def main() -> None:
    """Draw the data, run the cases and print the table."""
    from legor1.core.files import read_jsonl

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = draw(folder, manuals=8, steps=4, objects=24)
        rows = read_jsonl(drawn / "test.jsonl", ["instance_id"])
        run(__doc__.partition("\n")[0], HEAD, CASES, partial(show, folder, rows))


def summary(took: dict[str, list[dict[str, float]]], rows: Rows) -> str:
    """Return what the pairs say, and how often images and prompts' beginnings come again."""
    pairs = [*zip(took["plain"], took["engine"], strict=True)]
    wall, cpu = (statistics.median(a[k] / b[k] for a, b in pairs) for k in ("wall", "cpu"))
    shown = [one["image"] for row in rows for one in [row, *row["demonstrations"]]]
    return (
        f"        × {cpu:.2f} by CPU time (target {TARGET}), × {wall:.2f} by the clock; "
        f"same answers to {len(rows)} prompts; {len(shown)} images shown, "
        f"{len(set(shown))} distinct\n"
    )


if __name__ == "__main__":
    main()
