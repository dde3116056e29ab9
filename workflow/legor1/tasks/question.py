"""Any other question about an image, answered in a few words: what is none of the study's tasks."""

from legor1.tasks import task as spec
from legor1.tasks.metrics import text
from legor1.tasks.parsing import extract
from legor1.tasks.rewards import reward

FEATURES = ("exact_answer", "f1_answer")


def form(completion: str) -> float:
    """Return 1 if there is an answer at all."""
    return float(bool(extract(completion).strip()))


@reward("question")
def question_reward(completion: str, solution: str, task: str) -> float | None:
    """Return the mean of exactness and of the F1 of the words."""
    if task != "question":
        return None
    return sum(measure(completion, solution)[name] for name in FEATURES) / len(FEATURES)


def measure(prediction: str, reference: str) -> dict[str, float]:
    """Return the features of an example."""
    predicted, true = extract(prediction), extract(reference)
    found = text.exact(predicted, true), text.token_f1(predicted, true)
    return dict(zip(FEATURES, found, strict=True)) | {"counted": 1}


TASK = spec.Task(
    name="question",
    title="Answer the question",
    purpose="answer questions",
    answer="words",
    order=4,
    rows=spec.Rows(files=(), prefix="", classes=frozenset()),  # LEGO-ARTA has none
    prompt=spec.Prompt(),
    format=form,
    scoring=spec.Scoring(
        features=(*FEATURES, "counted"),
        measure=measure,
        metrics=spec.means(*FEATURES),
        main="exact_answer",
        secondary=("f1_answer",),
    ),
    shown=(
        spec.Shown("exact_answer", "Exact answer", "the same words in the same order"),
        spec.Shown("f1_answer", "F1 of the answer", "words of the answer"),
    ),
    gallery=spec.Gallery(lambda text: bool(extract(text)), scores=("f1_answer",)),
    plan=spec.Plan(60, 10),
)
