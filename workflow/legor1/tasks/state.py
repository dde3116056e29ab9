"""The state task: check whether the step that the image shows was done as it should be."""

from collections.abc import Mapping

import numpy as np

from legor1.tasks import task as spec
from legor1.tasks.metrics import binary
from legor1.tasks.parsing import extract, parse_state
from legor1.tasks.rewards import reward

PARSED = ("parse_strict", "parse_lenient")
FEATURES = (*binary.CELLS, *PARSED, "counted")
CELL_METRICS: dict[str, spec.Metric] = {
    "f1_state": binary.f1,
    "fpr": binary.fpr,
    "balanced_accuracy": binary.balanced_accuracy,
    "mcc": binary.mcc,
}


def form(completion: str) -> float:
    """Return 1 for a bare yes or no, 0.5 for one that can be read."""
    strict = parse_state(completion, strict=True) is not None
    return 1.0 if strict else 0.5 * (parse_state(completion) is not None)


@reward("state")
def state_reward(completion: str, solution: str, task: str) -> float | None:
    """Return 1 if the completion says the solution's yes or no, else 0."""
    if task != "state":
        return None
    true = parse_state(solution)
    if true is None:
        raise ValueError(f"not the solution of a state task: {solution[:80]!r}")
    return float(parse_state(completion) is true)


def measure(prediction: str, reference: str) -> Mapping[str, float]:
    """Return the features of an example."""
    true, predicted = parse_state(reference), parse_state(prediction)
    if true is None:
        raise ValueError("its reference is neither yes nor no")
    return dict(zip(binary.CELLS, binary.confusion(predicted, true), strict=True)) | {
        "parse_strict": parse_state(prediction, strict=True) is not None,
        "parse_lenient": predicted is not None,
        "counted": 1,
    }


def summary(_: list[spec.Row], totals: np.ndarray) -> spec.Row:
    """Return the confusion matrix."""
    named = dict(zip(FEATURES, totals, strict=True))
    return {"confusion": {cell: int(named[cell]) for cell in binary.CELLS}}


def verdict(prediction: str, reference: str) -> spec.Verdict:
    """Return whether an answer is right."""
    answer = parse_state(prediction)
    if answer is None:
        return "unreadable"
    return "right" if answer == parse_state(extract(reference)) else "wrong"


def always_yes(train: list[spec.Row]) -> spec.Answer:
    """Return Yes, whatever is asked."""
    return lambda row: "Yes."


TASK = spec.Task(
    name="state",
    title="Check the step",
    purpose="check a step",
    answer="yes_no",
    order=3,
    rows=spec.Rows(
        files=("state_qwen.jsonl",),
        prefix="step_dataset/lego",
        classes=frozenset({"step", "eop", "fullscreeneop"}),
    ),
    prompt=spec.Prompt(directive="Just tell me Yes or No.", recalls=True),
    format=form,
    scoring=spec.Scoring(
        features=FEATURES,
        measure=measure,
        metrics=CELL_METRICS | spec.means(*PARSED),
        main="balanced_accuracy",
        secondary=("f1_state", "fpr"),
    ),
    summary=summary,
    shown=(
        spec.Shown("balanced_accuracy", "Balanced accuracy", "a coin scores 50"),
        spec.Shown(
            "f1_state",
            "F1-state",
            "of the answer Yes",
            column="f1_state",
            published="of the answer Yes; unreadable answers left out",
        ),
        spec.Shown(
            "fpr",
            "False-positive rate",
            "wrong steps passed as right",
            column="fpr",
            higher=False,
            published="wrong steps passed as right; unreadable answers left out",
        ),
    ),
    gallery=spec.Gallery(lambda text: parse_state(text) is not None, verdict=verdict),
    plan=spec.Plan(
        60, 2, turns=2, instances=10864, drawn=lambda drawn: 2 * drawn["manuals"] * drawn["steps"]
    ),
    baselines={"always_yes": always_yes},
)
