"""The grounding task: say what to do in the step that the image shows."""

import re

import numpy as np

from legor1.tasks.metrics import slots, text
from legor1.tasks.parsing import extract
from legor1.tasks.rewards import reward
from legor1.tasks.task import (
    PREVIOUS,
    Answer,
    Gallery,
    Plan,
    Prompt,
    Row,
    Rows,
    Scoring,
    Shown,
    Task,
    from_counts,
    means,
)

FEATURES = ("exact", "f1_theme", *text.ROUGE, "bleu")

_MARKUP = re.compile(r"[\[\]{}<>]")


def form(completion: str) -> float:
    """Return 1 for words without JSON or tags, else 0: prose has no half."""
    prose = extract(completion)
    return float(bool(re.search(r"\w", prose)) and not _MARKUP.search(prose))


@reward("grounding")
def grounding_reward(completion: str, solution: str, task: str) -> float | None:
    """Return the mean of ROUGE-L (F, stemmed) and of the F1 of the words."""
    if task != "grounding":
        return None
    predicted, true = extract(completion), extract(solution)
    rouge = text.rouge(predicted, true, ("rougeL",))["rougeL"]
    return (rouge + text.token_f1(predicted, true)) / 2


def measure(prediction: str, reference: str) -> dict[str, float]:
    """Return the features of an example."""
    predicted, true = extract(prediction), extract(reference)
    bleu, counts = text.bleu(predicted, true)
    measures = {"exact": text.exact(predicted, true), "f1_theme": text.token_f1(predicted, true)}
    measures |= text.rouge(predicted, true) | slots.compare(predicted, true)
    return measures | {"bleu": bleu, **counts, "counted": 1}


def summary(_: list[Row], __: np.ndarray) -> Row:
    """Return how BLEU was computed."""
    return {"bleu_signature": text.bleu_signature()}


def previous_instruction(train: list[Row]) -> Answer:
    """Return the instruction of the step before; empty where the prompt has none."""

    def answer(row: Row) -> str:
        first, _, _ = row["prompt"].partition("\n")
        return first.removeprefix(PREVIOUS) if first.startswith(PREVIOUS) else ""

    return answer


TASK = Task(
    name="grounding",
    title="Say what to do",
    purpose="say exactly what to do",
    answer="words",
    order=2,
    rows=Rows(files=("grounding_qwen.jsonl",), prefix="lego", classes=frozenset({"step"})),
    prompt=Prompt(recalls=True),
    format=form,
    scoring=Scoring(
        features=(*FEATURES, *slots.FEATURES, *text.BLEU_COUNTS, "counted"),
        measure=measure,
        metrics=means(*FEATURES)
        | slots.metrics()
        | {"bleu_corpus": from_counts(text.BLEU_COUNTS, text.corpus_bleu)},
        main="exact",
        secondary=("f1_theme", "rouge1", "rougeL", "bleu"),
    ),
    summary=summary,
    shown=(
        Shown("exact", "Exact instruction", "the same words in the same order"),
        Shown("f1_theme", "F1-theme", "words of the instruction", column="f1_theme"),
        Shown("rouge1", "ROUGE-1", "single words", column="rouge", note="kind not stated"),
        Shown(
            "rougeL", "ROUGE-L", "longest common sequence", column="rouge", note="kind not stated"
        ),
        Shown("bleu", "BLEU", "runs of one to four words", column="bleu"),
    ),
    gallery=Gallery(lambda text: bool(extract(text)), scores=("f1_theme",)),
    slots=tuple(slots.PATTERNS),
    plan=Plan(55, 50, instances=5612, drawn=lambda drawn: drawn["manuals"] * drawn["steps"]),
    baselines={"previous_instruction": previous_instruction},
)
