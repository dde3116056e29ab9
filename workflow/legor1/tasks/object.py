"""The object task: find the parts that the step needs, each with its box and label."""

import functools
from collections import Counter
from collections.abc import Mapping

import numpy as np

from legor1.core.boxes import as_json, iou_matrix
from legor1.core.errors import UserError
from legor1.tasks import task as spec
from legor1.tasks.metrics import box_frame, detection
from legor1.tasks.metrics.text import token_f1
from legor1.tasks.parsing import Detection, parse_objects
from legor1.tasks.rewards import reward

LABEL_SHARE = 0.2  # of a matched pair's IoU: what a wrong label costs
SIZES = ("width", "height", "processed_width", "processed_height")
PARSED = ("parse_strict", "parse_lenient")
AT = [f"{name}{kind}" for kind in detection.KINDS for name in detection.THRESHOLDS]
OVERLAPS = [f"iou{kind}" for kind in detection.KINDS]

_label_f1 = functools.lru_cache(maxsize=4096)(token_f1)


@functools.lru_cache(maxsize=256)  # two rewards read a completion, and a group has one solution
def _objects(text: str) -> tuple[list[Detection] | None, bool]:
    """Return the boxes in a text, and whether they stand there as the prompt asks."""
    strict = parse_objects(text, strict=True)
    return (strict, True) if strict is not None else (parse_objects(text), False)


def form(completion: str) -> float:
    """Return 1 for the list that is asked for, 0.5 for boxes that can be read."""
    items, strict = _objects(completion)
    return 1.0 if strict else 0.5 * (items is not None)


@reward("object")
def object_reward(completion: str, solution: str, task: str) -> float | None:
    """Return the matched pairs' IoU, weighed by label agreement, / max(number true, predicted).

    Labels count only where boxes overlap, and every box too many or too few divides the sum, so
    neither an empty list nor a thousand boxes, nor labels without boxes, gain anything.
    """
    if task != "object":
        return None
    true, predicted = _objects(solution)[0], _objects(completion)[0]
    if true is None:
        raise ValueError(f"not the solution of an object task: {solution[:80]!r}")
    if predicted is None:
        return 0.0
    if not predicted and not true:
        return 1.0
    gain = _agreement(predicted, true)
    return float(gain[detection.match(gain)].sum()) / max(gain.shape)


def _agreement(predicted: list[Detection], true: list[Detection]) -> np.ndarray:
    ious = iou_matrix([item.box for item in predicted], [item.box for item in true])
    for row, column in zip(*(places.tolist() for places in ious.nonzero()), strict=True):
        labels = _label_f1(predicted[row].label, true[column].label)
        ious[row, column] *= 1 - LABEL_SHARE * (1 - labels)
    return ious


def measure(prediction: str, reference: str) -> Mapping[str, float]:
    """Return the features of an example."""
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


def _micro(suffix: str) -> dict[str, spec.Metric]:
    """Return precision, recall and F1 of the boxes of all images together."""
    matched, predicted, true = f"matched_{suffix}", "predicted_boxes", "true_boxes"
    return {
        f"precision_{suffix}": lambda sums: spec.ratio(sums[matched], sums[predicted]),
        f"recall_{suffix}": lambda sums: spec.ratio(sums[matched], sums[true]),
        f"f1_{suffix}": lambda sums: spec.ratio(2 * sums[matched], sums[predicted] + sums[true]),
    }


def summary(rows: list[spec.Row], _: np.ndarray) -> spec.Row:
    """Return the frame diagnostic of the rows that have both image sizes."""
    frame = box_frame.diagnose_frame(
        box_frame.Image(
            parse_objects(row["prediction"]) or (),
            parse_objects(row["reference"]) or (),
            (row["width"], row["height"]),
            (row["processed_width"], row["processed_height"]),
            row.get("manual"),
        )
        for row in rows
        if all(type(row.get(name)) is int and row[name] > 0 for name in SIZES)
    )
    return {"frame": frame} if frame else {}


def mean_box(train: list[spec.Row]) -> spec.Answer:
    """Return one box: the mean of all train boxes relative to their images' sides.

    Its label is the most frequent, of equally frequent ones the first by name.
    """
    boxes, labels = [], Counter[str]()
    for row in train:
        for item in parse_objects(row["response"]) or []:
            boxes.append(np.array(item.box) / _sides(row))
            labels[item.label] += 1
    if not boxes:
        return _no_box
    mean = np.mean(boxes, axis=0)
    label = min(labels, key=lambda name: (-labels[name], name))

    def answer(row: spec.Row) -> str:
        box = (mean * _sides(row)).round().astype(int).tolist()
        return as_json([box], [label])

    return answer


def _no_box(row: spec.Row) -> str:
    raise UserError(
        f"{row['instance_id']} asks for boxes, but the train conversations have none to take a "
        "mean of. Remedy: give the train.jsonl that belongs to this test.jsonl."
    )


def _sides(row: spec.Row) -> np.ndarray:
    return np.array([row["width"], row["height"]] * 2, dtype=float)


SCORING = spec.Scoring(
    features=(
        *(*OVERLAPS, "f1_object", *(f"matched_{at}" for at in AT)),
        *("true_boxes", "predicted_boxes", *PARSED, "counted"),
    ),
    measure=measure,
    metrics=spec.means(*OVERLAPS, "f1_object")
    | {name: metric for at in AT for name, metric in _micro(at).items()}
    | spec.means(*PARSED),
    main="f1_50_labelled",
    secondary=("f1_50", "iou", "f1_object"),
)
TASK = spec.Task(
    name="object",
    title="Find the parts",
    purpose="find and name the parts",
    answer="boxes",
    order=1,
    rows=spec.Rows(
        files=("object_qwen_new.jsonl", "object_qwen.jsonl"),
        prefix="object_dataset/lego",
        classes=frozenset({"eop"}),
    ),
    # The directives are experimental constants of the thesis: another one is another experiment.
    prompt=spec.Prompt(
        directive='Providing the positions in the format: [{"bbox_2d": [x1, y1, x2, y2], "label": '
        '"1 object name"}]x1 and y1 for the top-left corner. x2 and y2 for the bottom-right '
        "corner.",
        tags="Providing the positions in the format: <p>object</p> {<Xleft><Ytop><Xright><Ybottom>}"
        " with X and Y coordinates normalized to [0,100].<Xleft> and <Ytop> for the top-left corner"
        ". <Xright> and <Ybottom> for the bottom-right corner.",
    ),
    format=form,
    scoring=SCORING,
    summary=summary,
    shown=(
        spec.Shown("f1_50_labelled", "F1 of box and label", "IoU 0.5 or more and the right label"),
        spec.Shown("f1_50", "F1 of the box alone", "IoU 0.5 or more, whatever the label"),
        spec.Shown(
            "iou",
            "Mean IoU",
            "overlap of matched boxes; missing and extra ones count 0",
            column="iou",
            note="sum over boxes",
            published="overlaps of matched boxes, summed over an image: can exceed 100",
        ),
        spec.Shown(
            "f1_object",
            "F1-object",
            "words of the labels",
            column="f1_object",
            published="set of common words over lists of words",
        ),
    ),
    gallery=spec.Gallery(
        lambda text: parse_objects(text) is not None, scores=("iou", "f1_50_labelled")
    ),
    # Prompts were counted with Qwen's vocabulary; a box with its label takes 39 tokens, and four
    # are taken for typical, since the thesis cut answers at 164.
    plan=spec.Plan(
        75, 156, instances=19136, drawn=lambda drawn: drawn["manuals"] * drawn["objects"]
    ),
    baselines={"mean_box": mean_box},
)
