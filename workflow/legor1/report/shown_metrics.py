"""The metrics that the report shows: how it calls them, and what they are held against."""

from dataclasses import dataclass

from legor1.report.study import Score


@dataclass(frozen=True)
class Metric:
    """A row of the results table.

    Attributes:
        name: as in ``table.csv``.
        label, meaning: as the report writes them.
        column: its column in ``published_results.csv``, or empty.
        note: what must be known to read the published number.
    """

    task: str
    name: str
    label: str
    meaning: str
    column: str = ""
    note: str = ""
    higher: bool = True

    def worth(self, score: Score) -> float:
        """Return the value, turned round where less is better: the greater, the better."""
        return score.value if self.higher else -score.value


TASKS = {"object": "Find the parts", "grounding": "Say what to do", "state": "Check the step"}
METRICS = (
    Metric("object", "iou", "Mean IoU", "overlap of matched boxes; missing and extra ones count 0",
           "iou", "sum over boxes"),
    Metric("object", "f1_50", "F1 at IoU 0.5", "boxes of all images that overlap by half"),
    Metric("object", "f1_object", "F1-object", "words of the labels", "f1_object"),
    Metric("grounding", "f1_theme", "F1-theme", "words of the instruction", "f1_theme"),
    Metric("grounding", "rouge1", "ROUGE-1", "single words", "rouge", "kind not stated"),
    Metric("grounding", "rougeL", "ROUGE-L", "longest common sequence", "rouge",
           "kind not stated"),
    Metric("grounding", "bleu", "BLEU", "runs of one to four words", "bleu"),
    Metric("state", "f1_state", "F1-state", "of the answer Yes", "f1_state"),
    Metric("state", "fpr", "False-positive rate", "wrong steps passed as right", "fpr",
           higher=False),
    Metric("state", "balanced_accuracy", "Balanced accuracy", "a coin scores 50"),
)  # fmt: skip
# The published evaluation gives these names to something else.
THESIS_MEANINGS = {
    "iou": "overlaps of matched boxes, summed over an image: can exceed 100",
    "f1_object": "set of common words over lists of words",
    "f1_state": "of the answer Yes; unreadable answers left out",
    "fpr": "wrong steps passed as right; unreadable answers left out",
}
MAIN = {"object": "iou", "grounding": "f1_theme", "state": "balanced_accuracy"}
ADAPTATIONS = {"few_shot": "few-shot", "sft": "SFT", "grpo": "GRPO", "lora": "LoRA", "none": "none"}


def metric(name: str) -> Metric:
    """Return the metric of this name."""
    return next(one for one in METRICS if one.name == name)
