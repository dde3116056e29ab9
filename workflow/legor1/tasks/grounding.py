"""The grounding task: say what to do in the step that the image shows."""

import re

import numpy as np

from legor1.tasks import task as spec
from legor1.tasks.metrics import slots, text
from legor1.tasks.parsing import extract
from legor1.tasks.rewards import reward

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
    measures = {"exact": text.exact(predicted, true), "f1_theme": text.token_f1(predicted, true)}
    measures |= text.rouge(predicted, true) | slots.compare(predicted, true)
    return measures | {"bleu": text.bleu(predicted, true), "counted": 1}


def summary(_: list[spec.Row], __: np.ndarray) -> spec.Row:
    """Return how BLEU was computed."""
    return {"bleu_signature": text.bleu_signature()}


def previous_instruction(train: list[spec.Row]) -> spec.Answer:
    """Return the instruction of the step before; empty where the prompt has none."""

    def answer(row: spec.Row) -> str:
        first, _, _ = row["prompt"].partition("\n")
        return first.removeprefix(spec.PREVIOUS) if first.startswith(spec.PREVIOUS) else ""

    return answer


TASK = spec.Task(
    name="grounding",
    title="Say what to do",
    purpose="say exactly what to do",
    answer="words",
    order=2,
    rows=spec.Rows(files=("grounding_qwen.jsonl",), prefix="lego", classes=frozenset({"step"})),
    prompt=spec.Prompt(recalls=True),
    format=form,
    scoring=spec.Scoring(
        features=(*FEATURES, *slots.FEATURES, "counted"),
        measure=measure,
        metrics=spec.means(*FEATURES) | slots.metrics(),
        main="exact",
        secondary=("f1_theme", "rouge1", "rougeL", "bleu"),
    ),
    summary=summary,
    shown=(
        spec.Shown("exact", "Exact instruction", "the same words in the same order"),
        spec.Shown("f1_theme", "F1-theme", "words of the instruction", column="f1_theme"),
        spec.Shown("rouge1", "ROUGE-1", "single words", column="rouge", note="kind not stated"),
        spec.Shown(
            "rougeL", "ROUGE-L", "longest common sequence", column="rouge", note="kind not stated"
        ),
        spec.Shown("bleu", "BLEU", "runs of one to four words", column="bleu"),
    ),
    gallery=spec.Gallery(lambda text: bool(extract(text)), scores=("f1_theme",)),
    slots=tuple(slots.PATTERNS),
    plan=spec.Plan(55, 50, instances=5612, drawn=lambda drawn: drawn["manuals"] * drawn["steps"]),
    baselines={"previous_instruction": previous_instruction},
)
