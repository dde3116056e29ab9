"""instances.parquet, split.json and conversations → audit.json: which defects are in the data.

Of every defect of data preparation it says what was measured, with a bootstrap interval clustered
by manual, and whether it was found. The prompts are read as they were written: that a switch is off
is no evidence. Counts of rows, labels, boxes and coordinates stand beside.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from legor1.core import files
from legor1.data.audit import leaks, shortcuts
from legor1.data.audit.finding import CONFIDENCE, REPLICATES, SEED
from legor1.data.audit.material import SIDES, Material, read
from legor1.data.instances import Record
from legor1.tasks.discovery import of_kind

SCHEMA_VERSION = 1
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
COMMONEST = 10


def write_audit(
    instances: Path,
    split: Path,
    conversations: Path,
    out: Path,
    *,
    tree: Path | None = None,
    images: Path | None = None,
) -> dict[str, int]:
    """Audit a prepared dataset and write audit.json; return how many findings have each verdict.

    Args:
        instances, split: instances.parquet and split.json.
        conversations: the folder of {plain,reasoning}/{train,test}.jsonl.
        out: audit.json.
        tree: the dataset's folder; without it the files' bytes are not measured.
        images: images.parquet of ``fingerprint``; without it duplicates are not measured, and
            images are the same if their paths are.

    Raises:
        UserError: a file is missing or is not what it should be, or they do not belong together.
    """
    material = read(instances, split, conversations, tree, images)
    findings = leaks.findings(material) + shortcuts.findings(material) + leaks.duplicates(material)
    interval = {
        "method": "percentile bootstrap, clustered by manual",
        "replicates": REPLICATES,
        "confidence": CONFIDENCE,
        "seed": SEED,
    }
    content = {
        "schema_version": SCHEMA_VERSION,
        "interval": interval,
        "defects_found": sorted({f["defect"] for f in findings if f["verdict"] == "found"}),
        "findings": findings,
        "statistics": _statistics(material),
    }
    files.write_json(out, content)
    verdicts = Counter(finding["verdict"] for finding in findings)
    return {verdict: verdicts[verdict] for verdict in ("found", "none", "not measured")}


def _statistics(material: Material) -> dict[str, object]:
    """Return the statistics of the dataset, by side where that matters."""
    rows, states, manuals = {}, {}, {}
    for side in SIDES:
        asked = material.conversations["plain"][side]
        rows[side] = dict(sorted(Counter(row["task"] for row in asked).items()))
        yes_no = [row["instance_id"] for row in asked if row["task"] in of_kind("yes_no")]
        falsified = sum(material.rows[name]["falsified"] for name in yes_no)
        states[side] = {"true": len(yes_no) - falsified, "falsified": falsified}
        manuals[side] = len({material.rows[name]["manual"] for name in material.split[side]})
    by_side = {"rows": rows, "states": states, "manuals": manuals}
    objects = [row for row in material.rows.values() if row["task"] in of_kind("boxes")]
    labels = Counter(item["label"] for row in objects for item in json.loads(row["response"]))
    commonest = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMONEST]
    named = {"labels": {"distinct": len(labels), "commonest": dict(commonest)}}
    return by_side | named | _boxes(objects)


def _boxes(objects: list[Record]) -> dict[str, object]:
    """Return boxes an image with their sides as shares of the image's, and where they end.

    Where boxes end beyond their image, their frame is not pixels.
    """
    counts, extents = [], [np.zeros((0, 2, 2))]
    for row in objects:
        boxes = [item["bbox_2d"] for item in json.loads(row["response"])]
        counts.append(len(boxes))
        corners = np.array(boxes).reshape(-1, 2, 2)
        sides_and_ends = np.stack([corners[:, 1] - corners[:, 0], corners[:, 1]], axis=1)
        extents += [sides_and_ends / (row["image_width"], row["image_height"])]
    sides, ends = np.concatenate(extents).swapaxes(0, 1)
    shares = {
        "total": len(sides),
        "per_image": _quantiles(np.array(counts)),
        "width_share": _quantiles(sides[:, 0]),
        "height_share": _quantiles(sides[:, 1]),
    }
    coordinates = {
        "right_share": _quantiles(ends[:, 0]),
        "bottom_share": _quantiles(ends[:, 1]),
        "outside": int((ends > 1).any(axis=1).sum()),
    }
    return {"boxes": shares, "coordinates": coordinates}


def _quantiles(values: np.ndarray) -> list[float] | None:
    """Return least, quartiles and greatest; None of nothing."""
    return [round(float(q), 4) for q in np.quantile(values, QUANTILES)] if len(values) else None
