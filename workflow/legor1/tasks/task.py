"""What a task is: the parts of the one object, ``TASK``, that a module of this folder defines.

The other modules of the package read these parts and never ask which task it is, so a further task
is one further module; ``docs/task.md`` shows one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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
    """How the dataset's reader recognises a task's rows."""

    files: tuple[str, ...]  # names of the dialogue files below ``qwen_data``
    prefix: str  # folder of the tree that their images lie in
    classes: frozenset[str]  # of the steps that the task asks about


@dataclass(frozen=True)
class Prompt:
    """The text around the dataset's question."""

    directive: str = ""  # how to answer; it follows the question
    tags: str = ""  # the directive where boxes are to be written as tags; empty for the same
    recalls: bool = False  # whether the previous step's instruction stands before the question


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
        main: the strictest sensible metric, by which the report says what was learnt; comparisons
            test it first.
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

    def values(self, sums: np.ndarray) -> np.ndarray:
        """Return ``statistics``, those that are not finite as ``undefined``."""
        values = self.statistics(sums)
        return np.where(np.isfinite(values), values, self.undefined)


@dataclass(frozen=True)
class Shown:
    """A metric as the report shows it."""

    name: str  # as in ``table.csv``
    label: str
    meaning: str
    column: str = ""  # in ``published_results.csv``, or empty
    note: str = ""  # what must be known to read the published number
    higher: bool = True  # whether more is better
    published: str = ""  # what the thesis's protocol means by it, where that is something else
    task: str = ""  # ``discovery`` fills it in

    def worth(self, value: float) -> float:
        """Return ``value``, negated where less is better: the greater, the better."""
        return value if self.higher else -value


@dataclass(frozen=True)
class Gallery:
    """How examples are shown."""

    readable: Callable[[str], bool]  # whether there is an answer in a completion at all
    # The metrics of an example beside its answer; the first decides which examples are chosen.
    scores: tuple[str, ...] = ()
    # Of (prediction, reference); without it, an answer is right if its main metric is 1.
    verdict: Callable[[str, str], Verdict] | None = None


@dataclass(frozen=True)
class Plan:
    """What a plan assumes where there are no conversations to count."""

    prompt: int  # mean length, in tokens of text
    answer: int  # mean length, in tokens
    turns: int = 1  # demonstrations before a query
    instances: int = 0  # how many LEGO-ARTA has
    # How many a drawn manual has, from ``dataset.synthetic``.
    drawn: Callable[[Mapping[str, int]], int] = lambda scenes: 0


@dataclass(frozen=True)
class Task:
    """One task, wholly."""

    name: str  # in rows and the config
    title: str  # the report's heading
    purpose: str  # the same within a sentence
    answer: Kind
    rows: Rows
    prompt: Prompt
    format: Callable[[str], float]  # whether a completion has the form asked for: 1, 0.5 or 0
    scoring: Scoring
    shown: tuple[Shown, ...]
    gallery: Gallery
    plan: Plan
    slots: tuple[str, ...] = ()  # of an answer; each has a metric ``<slot>_right``
    # From (rows, sums of the features), what ``scores.json`` says besides metrics.
    summary: Callable[[list[Row], np.ndarray], Row] = lambda rows, totals: {}
    # By name, from the train conversations: those that need no model.
    baselines: Mapping[str, Callable[[list[Row]], Answer]] = field(default_factory=dict)
    order: int = 100  # in tables, before the name


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotients, NaN where nothing stands in the denominator."""
    undefined = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0)


def means(*names: str) -> dict[str, Metric]:
    """Return, for each feature, its mean over the examples that count."""
    return {name: partial(_mean, name) for name in names}


def _mean(name: str, sums: Sums) -> np.ndarray:
    return ratio(sums[name], sums["counted"])
