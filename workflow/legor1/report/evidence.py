"""Why to trust the numbers, or not: differences, free baselines, box frames, the data audit."""

import math
from dataclasses import dataclass
from typing import Any

from legor1 import baselines, protocols, provenance
from legor1.publishing import outputs
from legor1.report.facts import size
from legor1.report.study import Study
from legor1.report.tables import METRICS, TASKS, percent

Table = tuple[list[str], list[list[str]]]  # headings and rows
VERDICTS = {"found": "▲ found", "none": "○ none", "not measured": "not measured"}
FRAMES = {
    "original": "as they are",
    "processed": "× original / processed",
    "converted_twice": "× processed / original",
}


@dataclass(frozen=True)
class Audit:
    """The audit of one protocol of data preparation: its switches that are on, and the findings."""

    protocol: str
    switches: str
    found: list[str]
    table: Table


def differences(study: Study) -> Table:
    """Return how each experiment differs from the baseline on the same examples, in points."""
    comparison = study.comparison
    headings = ["Experiment", "Task", "Metric", "Difference, points", "Interval", "p (Holm)"]
    rows = []
    for one in comparison.get("comparisons", []):
        for task, found in one["tasks"].items():
            metric = found["metrics"][found["main"]]
            interval = f"{_signed(metric['low'])} to {_signed(metric['high'])}"
            label = _label(found["main"])
            cells = [_signed(metric["difference"]), interval, _p(found["p_holm"])]
            rows.append([one["experiment"], TASKS[task], label, *cells])
    return headings, rows


def free_baselines(study: Study, protocol: str) -> Table:
    """Return the scores of the baselines that need no model, in percent, beside the best model's.

    A metric of which no baseline has a number is left out.
    """
    rows = []
    for one in METRICS:
        keys = [(protocol, one.task, one.name, name) for name in baselines.NAMES]
        scores = [study.scores.get(key) for key in keys]
        if not any(scores):
            continue
        known = [study.score(protocol, one.task, one.name, e) for e in study.experiments]
        values = [score.value for score in known if score]
        best = (max if one.higher else min)(values) if values else math.nan
        cells = [percent(score.value) if score else "–" for score in scores]
        rows.append([one.label, *cells, percent(best)])
    names = [name.replace("_", " ") for name in baselines.NAMES]
    return ["Metric", *names, "best experiment"], rows


def frames(study: Study) -> Table:
    """Return the frame diagnostic of each experiment that has one.

    Mean IoU, in percent, of the same boxes taken as they are and rescaled, and the slopes of
    predicted over true coordinates, which are 1 where the frame is right.
    """
    rows = []
    for name, scores in study.scoring.items():
        frame = scores.get("tasks", {}).get("object", {}).get("frame")
        if frame:
            ious = [percent(frame["iou"][kind]) for kind in FRAMES]
            slopes = [_slope(frame["all"][axis]["slope"]) for axis in "xy"]
            rows.append([name, *ious, *slopes, f"{frame['all']['pairs']:,}"])
    kinds = [f"IoU, boxes {text}" for text in FRAMES.values()]
    return ["Experiment", *kinds, "Slope x", "Slope y", "Pairs of boxes"], rows


def audits(study: Study) -> list[Audit]:
    """Return the audit of each protocol of data preparation that has one."""
    made = []
    for name, audit in study.audits.items():
        if audit:
            on = protocols.chosen(study.config["protocols"][name]["defects"])
            said = ", ".join(sorted(on)) or "none"
            made.append(Audit(name, said, audit["defects_found"], _findings(audit)))
    return made


def defects(study: Study) -> Table:
    """Return every defect of the published protocol and where this run has it, or has not."""
    used = list(study.audits)
    headings = ["Defect", "What happens", *(f"Data: {name}" for name in used)]
    rows = []
    for name, defect in protocols.DEFECTS.items():
        if defect.stage == "prepare":
            on = [name in protocols.chosen(study.config["protocols"][p]["defects"]) for p in used]
            cells = ["on" if one else "off" for one in on]
        else:
            where = "its own settings" if defect.stage == "training" else "its protocol"
            cells = [f"{defect.stage}: by {where}"] * len(used)
        rows.append([name, defect.meaning, *cells])
    return headings, rows


def hashes(study: Study) -> Table:
    """Return the DVC hash of every output that the report was made from.

    Once the run is published, ``published/<run>.dvc`` has the same.
    """
    beside = (".html", provenance.RECORD)  # made from the outputs, or of how they were made
    names = [name for name in outputs.listed(study.folder) if not name.endswith(beside)]
    rows = [
        [name, f"{len(one.files):,}", size(one.size), one.md5]
        for name, one in outputs.hashed(study.folder, names).items()
    ]
    return ["Output", "Files", "Size", "DVC hash (MD5)"], rows


def _findings(audit: dict[str, Any]) -> Table:
    headings = ["Defect", "What was measured", "Prompts", "Value, %", "Interval", "n", "Verdict"]
    rows = []
    for one in audit["findings"]:
        ends = [_percent(one[end]) for end in ("low", "high")]
        chance = f" (chance {_percent(one['chance'])})" if one["chance"] else ""
        rows.append(
            [
                one["defect"],
                one["measured"] + chance,
                one["variant"] or "both",
                _percent(one["value"]),
                "–" if one["low"] is None else " to ".join(ends),
                f"{one['n']:,}",
                VERDICTS[one["verdict"]],
            ]
        )
    return headings, rows


def _label(name: str) -> str:
    return next((one.label for one in METRICS if one.name == name), name)


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else percent(fraction)


def _signed(fraction: float | None) -> str:
    sign = "+" if fraction is not None and fraction > 0 else ""
    return sign + _percent(fraction)


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _slope(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
