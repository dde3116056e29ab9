"""Which seed decided what."""

from legor1.report import lineage
from legor1.report.cited import Cited, cite
from legor1.report.lineage import Step
from legor1.report.study import Study

# What a stage draws by the seed in its record.
DRAWN = {
    "synthesize": "the manuals, as they are drawn",
    "split": "which manuals are for testing",
    "convert": "demonstrations, and the order of rows",
    "build-base": "the tiny base model",
    "train sft": "rows and their order, LoRA’s start, dropout",
    "train grpo": "rows and their order, LoRA’s start, dropout, rollouts",
    "predict": "answers, where they are sampled",
    "score": "the bootstrap of intervals",
    "compare": "the bootstrap and the swaps of comparisons",
}
GALLERY = "examples of the gallery that are shown at random"

Table = tuple[list[str], list[list[str]]]


def seeds(study: Study) -> Table:
    """Return what was drawn by a seed: by which seed, in which stage, for which results."""
    rows: list[list[str]] = []
    for stage, steps in lineage.by_stage(study.steps).items():
        if stage in DRAWN:
            rows += [[DRAWN[stage], seed, stage, ", ".join(of)] for seed, of in _drawn(steps)]
    gallery = cite(study.config_file, study.config, "seed")
    return ["What was drawn", "Seed", "Stage", "For"], [*rows, [GALLERY, gallery, "report", ""]]


def _drawn(steps: list[Step]) -> list[tuple[Cited, list[str]]]:
    """Return each seed of a stage, with the experiments or folders that it was used for."""
    found: dict[int, tuple[Cited, list[str]]] = {}
    for step in steps:
        if step.record["seed"] is not None:
            seed = step.cited("seed")
            names = found.setdefault(seed.value, (seed, []))[1]
            names += [name for name in [_for(step)] if name not in names]
    return list(found.values())


def _for(step: Step) -> str:
    """Return the experiment, or else the folder, that a result belongs to."""
    parts = step.result.split("/")
    return parts[1] if parts[0] in ("adapters", "predictions", "scores") else parts[0]
