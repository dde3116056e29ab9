"""How each task is scored under each protocol.

A task says which numbers of an example are summed (its features), and how its metrics follow from
such sums. The same function so gives a metric of one example, of all, and of every replicate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from legor1.published import thesis_metrics
from legor1.tasks.metrics import binary, detection, text
from legor1.tasks.parsing import extract, parse_objects, parse_state

Sums = Mapping[str, np.ndarray]
Metric = Callable[[Sums], np.ndarray]


@dataclass(frozen=True)
class Task:
    """How a task is scored under a protocol.

    Attributes:
        features: the names of an example's numbers. ``counted`` is 1 for an example that stands in
            the denominators and 0 for one that is left out.
        measure: those numbers, by name, from (prediction, reference); raises ValueError for a
            reference that is no answer to the task.
        metrics: name → the metric from sums of the features; NaN where it is undefined.
        main: the metric that comparisons test first.
        secondary: the other metrics of which the report says that one experiment is better.
        undefined: what a metric of all examples is where it is undefined.
    """

    features: tuple[str, ...]
    measure: Callable[[str, str], Mapping[str, float]]
    metrics: Mapping[str, Metric]
    main: str
    secondary: tuple[str, ...]
    undefined: float = np.nan

    def statistics(self, sums: np.ndarray) -> np.ndarray:
        """Return the metrics (..., m) from sums of features (..., k)."""
        named = dict(zip(self.features, np.moveaxis(sums, -1, 0), strict=True))
        return np.stack([metric(named) for metric in self.metrics.values()], axis=-1)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotients, NaN where nothing stands in the denominator."""
    undefined = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0)


def _mean(name: str) -> Metric:
    return lambda sums: ratio(sums[name], sums["counted"])


def _means(*names: str) -> dict[str, Metric]:
    return {name: _mean(name) for name in names}


def _micro(suffix: str) -> dict[str, Metric]:
    """Return precision, recall and F1 of the boxes of all images together."""
    matched = f"matched_{suffix}"
    measures: tuple[Metric, ...] = (
        lambda sums: ratio(sums[matched], sums["predicted_boxes"]),
        lambda sums: ratio(sums[matched], sums["true_boxes"]),
        lambda sums: ratio(2 * sums[matched], sums["predicted_boxes"] + sums["true_boxes"]),
    )
    named = zip(detection.RATES, measures, strict=True)
    return {f"{rate}_{suffix}": measure for rate, measure in named}


def _from_counts(names: tuple[str, ...], measure: Callable[[np.ndarray], np.ndarray]) -> Metric:
    return lambda sums: measure(np.stack([sums[name] for name in names], axis=-1))


def _state_metrics(**measures: Callable[[np.ndarray], np.ndarray]) -> dict[str, Metric]:
    return {name: _from_counts(binary.CELLS, measure) for name, measure in measures.items()}


def _object(prediction: str, reference: str) -> Mapping[str, float]:
    true = parse_objects(reference)
    if true is None:
        raise ValueError("its reference is no list of boxes")
    predicted = parse_objects(prediction)
    return detection.counts(predicted, true) | {
        "f1_object": detection.label_f1(predicted, true),
        "parse_strict": parse_objects(prediction, strict=True) is not None,
        "parse_lenient": predicted is not None,
        "counted": 1,
    }


def _grounding(prediction: str, reference: str) -> dict[str, float]:
    said, meant = extract(prediction), extract(reference)
    bleu, counts = text.bleu(said, meant)
    return {
        "f1_theme": text.token_f1(said, meant),
        **text.rouge(said, meant),
        "bleu": bleu,
        **counts,
        "counted": 1,
    }


def _state(prediction: str, reference: str) -> Mapping[str, float]:
    true, predicted = parse_state(reference), parse_state(prediction)
    if true is None:
        raise ValueError("its reference is neither yes nor no")
    return dict(zip(binary.CELLS, binary.confusion(predicted, true), strict=True)) | {
        "parse_strict": parse_state(prediction, strict=True) is not None,
        "parse_lenient": predicted is not None,
        "counted": 1,
    }


def _thesis_object(prediction: str, reference: str) -> dict[str, float]:
    iou, f1 = thesis_metrics.object_scores(prediction, reference)
    return {"iou": iou, "f1_object": f1, "counted": 1}


def _thesis_grounding(prediction: str, reference: str) -> dict[str, float]:
    scores = thesis_metrics.grounding_scores(prediction, reference)
    return dict(zip(_GROUNDING, scores, strict=True)) | {"counted": 1}


def _thesis_state(prediction: str, reference: str) -> Mapping[str, float]:
    predicted, true = (
        thesis_metrics.state_answer(prediction),
        thesis_metrics.state_answer(reference),
    )
    if predicted is None or true is None:
        return dict.fromkeys((*binary.CELLS, "counted"), 0)
    return dict(zip(binary.CELLS, binary.confusion(predicted, true), strict=True)) | {"counted": 1}


_GROUNDING = ("f1_theme", *text.ROUGE, "bleu")
_PARSED = ("parse_strict", "parse_lenient")
_AT = [f"{name}{kind}" for kind in detection.KINDS for name in detection.THRESHOLDS]
_MACRO = [f"{rate}_{at}_macro" for at in _AT for rate in detection.RATES]
_OVERLAPS = [f"iou{kind}" for kind in detection.KINDS]

SOUND = {
    "object": Task(
        features=(
            *_OVERLAPS,
            "f1_object",
            *_MACRO,
            *(f"matched_{at}" for at in _AT),
            "true_boxes",
            "predicted_boxes",
            *_PARSED,
            "counted",
        ),
        measure=_object,
        metrics=_means(*_OVERLAPS, "f1_object")
        | {name: metric for at in _AT for name, metric in _micro(at).items()}
        | _means(*_MACRO, *_PARSED),
        main="iou",
        secondary=("f1_50", "f1_object"),
    ),
    "grounding": Task(
        features=(*_GROUNDING, *text.BLEU_COUNTS, "counted"),
        measure=_grounding,
        metrics=_means(*_GROUNDING)
        | {"bleu_corpus": _from_counts(text.BLEU_COUNTS, text.corpus_bleu)},
        main="f1_theme",
        secondary=("rouge1", "rougeL", "bleu"),
    ),
    "state": Task(
        features=(*binary.CELLS, *_PARSED, "counted"),
        measure=_state,
        metrics=_state_metrics(
            f1_state=binary.f1,
            fpr=binary.fpr,
            balanced_accuracy=binary.balanced_accuracy,
            mcc=binary.mcc,
        )
        | _means(*_PARSED),
        main="balanced_accuracy",
        secondary=("f1_state", "fpr"),
    ),
}
THESIS = {
    "object": Task(
        features=("iou", "f1_object", "counted"),
        measure=_thesis_object,
        metrics=_means("iou", "f1_object"),
        main="iou",
        secondary=("f1_object",),
    ),
    "grounding": Task(
        features=(*_GROUNDING, "counted"),
        measure=_thesis_grounding,
        metrics=_means(*_GROUNDING),
        main="f1_theme",
        secondary=("rouge1", "rougeL", "bleu"),
    ),
    "state": Task(
        features=(*binary.CELLS, "counted"),
        measure=_thesis_state,
        metrics=_state_metrics(f1_state=binary.f1, fpr=binary.fpr),
        main="f1_state",
        secondary=("fpr",),
        undefined=0.0,
    ),
}
PROTOCOLS = {"sound": SOUND, "thesis": THESIS}
