"""How long prompts and answers are: counted where conversations exist, else assumed.

Visual tokens are exact: the pixel budget fixes them. Text is counted by the base's own tokenizer
where that is here, else by ``estimate``, which a test compares with Qwen's real vocabulary.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legor1.config.models import Dataset
from legor1.core.boxes import PixelBudget
from legor1.tasks.discovery import TASKS
from legor1.tasks.prompts import answer, chat_messages

Count = Callable[[str], int]
Rows = list[dict[str, Any]]

# What the chat template adds: the system turn and the opening of the answer; around each turn.
SYSTEM, OPENING, TURN, AROUND_IMAGE = 11, 3, 5, 2
SAMPLE = 2000  # conversations of a file whose text is counted; their images are counted all
LONGEST = 2  # the longest assumed text is so many times the mean

_TOKEN = re.compile(
    r"<\|\w+\|>|\d| (?=\d)|[^\W\d_]+|(?:(?!<\|)[^\s\w])+\n*|_+|\n+"  # a word, a digit, signs
)


def estimate(text: str) -> int:
    """Return about how many tokens Qwen's vocabulary makes of an English text."""
    return sum(1 for _ in _TOKEN.finditer(text))


def counter(folder: Path | None) -> Count:
    """Return what counts a text's tokens: the tokenizer in the base's folder, else the estimate."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return estimate
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True)
class Spread:
    """A length in tokens: its mean and its largest value."""

    mean: float
    most: int


@dataclass(frozen=True)
class Load:
    """Rows that a model is to read: how many, and the tokens and mean images of one of them.

    A prompt has ``visual`` and ``text`` tokens; the true answer follows it.
    """

    rows: int
    visual: Spread
    text: Spread
    answer: Spread
    images: float = 1.0

    @property
    def prompt(self) -> Spread:
        """Tokens of a prompt, visual ones included."""
        return Spread(self.visual.mean + self.text.mean, self.visual.most + self.text.most)


def measured(
    rows: Rows, budget: PixelBudget, count: Count, *, demonstrations: bool
) -> dict[str, Load]:
    """Return each task's load in the given conversations."""
    by_task: dict[str, Rows] = defaultdict(list)
    for row in rows:
        by_task[row["task"]].append(row)
    return {
        task: _load(of_task, budget, count, demonstrations)
        for task, of_task in sorted(by_task.items())
    }


def _load(rows: Rows, budget: PixelBudget, count: Count, demonstrations: bool) -> Load:
    images = [[row, *(row["demonstrations"] if demonstrations else [])] for row in rows]
    visual = [
        sum(budget.visual_tokens((row["width"], row["height"])) for row in shown)
        for shown in images
    ]
    sampled = rows[:: -(-len(rows) // SAMPLE)]
    turns = [chat_messages(row, budget, demonstrations=demonstrations) for row in sampled]
    return Load(
        rows=len(rows),
        visual=_spread(visual),
        text=_spread([text_tokens(prompt, count) for prompt in turns]),
        answer=_spread([count(answer(row, budget)) for row in sampled]),
        images=_spread([len(shown) for shown in images]).mean,
    )


def text_tokens(turns: Rows, count: Count) -> int:
    """Return the tokens of a prompt's chat turns but for its visual ones."""
    parts = [part for turn in turns for part in turn["content"]]
    text = sum(count(part["text"]) if part["type"] == "text" else AROUND_IMAGE for part in parts)
    return SYSTEM + text + TURN * len(turns) + OPENING


def _spread(values: list[int]) -> Spread:
    return Spread(sum(values) / len(values), max(values))


def assumed(
    dataset: Dataset, share: float, budget: PixelBudget, *, demonstrations: bool
) -> dict[str, Load]:
    """Return each task's load where nothing is there to count.

    Images of LEGO-ARTA are taken to fill the pixel budget, the most that they can. ``share`` is of
    all instances, such as the test fraction.
    """
    instances, visual = _instances(dataset, budget)
    loads = {}
    for task in TASKS.values():
        plan = task.plan
        before = plan.turns if demonstrations else 0
        each = plan.prompt + TURN + AROUND_IMAGE
        text = SYSTEM + each + before * (each + plan.answer + TURN) + OPENING
        images = 1 + before
        loads[task.name] = Load(
            rows=round(instances[task.name] * share),
            visual=Spread(images * visual.mean, images * visual.most),
            text=Spread(text, LONGEST * text),
            answer=Spread(plan.answer, LONGEST * plan.answer),
            images=images,
        )
    return loads


def _instances(dataset: Dataset, budget: PixelBudget) -> tuple[dict[str, int], Spread]:
    """Return how many instances each task has, and the visual tokens of an image."""
    if dataset.source != "synthetic":
        most = budget.max_tokens
        return {name: task.plan.instances for name, task in TASKS.items()}, Spread(most, most)
    sizes = [tuple(map(int, size.split("x"))) for size in dataset.synthetic.image_sizes]
    visual = [budget.visual_tokens((width, height)) for width, height in sizes]
    scenes = dataset.synthetic.as_mapping()
    return {name: task.plan.drawn(scenes) for name, task in TASKS.items()}, _spread(visual)


def together(loads: Iterable[Load]) -> Load:
    """Return the load of all rows: means over them, the largest of the largest."""
    some = [load for load in loads if load.rows]
    rows = sum(load.rows for load in some)

    def mean(values: Iterable[float]) -> float:
        pairs = zip(values, some, strict=True)
        return sum(value * load.rows for value, load in pairs) / max(rows, 1)

    def spread(name: str) -> Spread:
        values = [getattr(load, name) for load in some]
        most = max((value.most for value in values), default=0)
        return Spread(mean(value.mean for value in values), most)

    images = mean(load.images for load in some)
    return Load(rows, spread("visual"), spread("text"), spread("answer"), images)
