"""What a task is: the parts of the one object, ``TASK``, that a module of this folder defines.

The other modules of the package read these parts and never ask which task it is, so a further task
is one further module; ``docs/task.md`` shows one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Row = dict[str, Any]
Sums = Mapping[str, np.ndarray]
Metric = Callable[[Sums], np.ndarray]
Answer = Callable[[Row], str]  # a conversation → a baseline's answer to it
Kind = Literal["boxes", "words", "yes_no", "number"]
Verdict = Literal["right", "wrong", "unreadable"]
PREVIOUS = "Previous instruction: "  # begins the first line of a prompt that has one


@dataclass(frozen=True)
class Rows:
    """How the dataset's reader recognises a task's rows.

    Attributes:
        files: names of the dialogue files below ``qwen_data``.
        prefix: folder of the tree that their images lie in.
        classes: the classes of steps that the task asks about.
    """

    files: tuple[str, ...]
    prefix: str
    classes: frozenset[str]


@dataclass(frozen=True)
class Prompt:
    """What is said around the dataset's question.

    Attributes:
        directive: how to answer; it follows the question.
        tags: the directive where boxes are to be written as tags; empty for the same.
        recalls: whether the previous step's instruction stands before the question.
    """

    directive: str = ""
    tags: str = ""
    recalls: bool = False


@dataclass(frozen=True)
class Scoring:
    """How a task is scored under a protocol.

    Attributes:
        features: the names of an example's numbers. ``counted`` is 1 for an example that stands in
            the denominators and 0 for one that is left out.
        measure: those numbers, by name, from (prediction, reference); raises ValueError for a
            reference that is no answer to the task.
        metrics: name → the metric from sums of the features; NaN where it is undefined. The same
            function gives the metric of one example, of all, and of every bootstrap replicate.
        main: the metric that comparisons test first.
        secondary: the other metrics of which the report says that one experiment is better.
        undefined: what a metric of all examples is where it is undefined.
    """

    features: tuple[str, ...]
    measure: Callable[[str, str], Mapping[str, float]]
    metrics: Mapping[str, Metric]
    main: str
    secondary: tuple[str, ...] = ()
    undefined: float = np.nan

    def statistics(self, sums: np.ndarray) -> np.ndarray:
        """Return the metrics (..., m) from sums of features (..., k)."""
        named = dict(zip(self.features, np.moveaxis(sums, -1, 0), strict=True))
        return np.stack([metric(named) for metric in self.metrics.values()], axis=-1)


@dataclass(frozen=True)
class Shown:
    """A metric as the report shows it.

    Attributes:
        name: as in ``table.csv``.
        label, meaning: as the report writes them.
        column: its column in ``published_results.csv``, or empty.
        note: what must be known to read the published number.
        higher: whether more is better.
        published: what the thesis's protocol means by it, where that is something else.
        task: the task's name; ``discovery`` fills it in.
    """

    name: str
    label: str
    meaning: str
    column: str = ""
    note: str = ""
    higher: bool = True
    published: str = ""
    task: str = ""

    def worth(self, value: float) -> float:
        """Return ``value``, negated where less is better: the greater, the better."""
        return value if self.higher else -value


@dataclass(frozen=True)
class Gallery:
    """How examples are shown.

    Attributes:
        scores: the metrics of an example beside its answer.
        verdict: (prediction, reference) → whether the answer is right; None to call an answer right
            whose main metric is at least a half.
        readable: whether there is an answer in a completion at all.
    """

    readable: Callable[[str], bool]
    scores: tuple[str, ...] = ()
    verdict: Callable[[str, str], Verdict] | None = None


@dataclass(frozen=True)
class Plan:
    """What a plan assumes where there are no conversations to count.

    Attributes:
        prompt, answer: mean lengths, in tokens of text.
        turns: demonstrations before a query.
        instances: how many LEGO-ARTA has.
        drawn: how many a drawn manual has, from ``dataset.synthetic``.
    """

    prompt: int
    answer: int
    turns: int = 1
    instances: int = 0
    drawn: Callable[[Mapping[str, int]], int] = lambda scenes: 0


def no_summary(rows: list[Row], totals: np.ndarray) -> Row:
    """Return nothing: the task's metrics say it all."""
    return {}


@dataclass(frozen=True)
class Task:
    """One task, wholly.

    Attributes:
        name: as rows and the config name it.
        title: the report's heading; ``purpose`` says the same within a sentence.
        answer: what kind of answer is wanted.
        format: how well a completion has the form that was asked for: 1, 0.5 or 0.
        is_solution: whether a true answer is one to this task; None for the task that has all
            that no other claims.
        summary: (rows, sums of the features) → what ``scores.json`` says besides metrics.
        baselines: name → from the train conversations, a baseline that needs no model.
        order: its place in tables, before the name.
    """

    name: str
    title: str
    purpose: str
    answer: Kind
    rows: Rows
    prompt: Prompt
    format: Callable[[str], float]
    scoring: Scoring
    shown: tuple[Shown, ...]
    gallery: Gallery
    plan: Plan
    is_solution: Callable[[str], bool] | None = None
    summary: Callable[[list[Row], np.ndarray], Row] = no_summary
    baselines: Mapping[str, Callable[[list[Row]], Answer]] = field(default_factory=dict)
    order: int = 100


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotients, NaN where nothing stands in the denominator."""
    undefined = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0)


def means(*names: str) -> dict[str, Metric]:
    """Return, for each feature, its mean over the examples that count."""

    def mean(name: str) -> Metric:
        return lambda sums: ratio(sums[name], sums["counted"])

    return {name: mean(name) for name in names}


def from_counts(names: tuple[str, ...], measure: Callable[[np.ndarray], np.ndarray]) -> Metric:
    """Return a metric that is a function of some features, stacked (..., len(names))."""
    return lambda sums: measure(np.stack([sums[name] for name in names], axis=-1))
