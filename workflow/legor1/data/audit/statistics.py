"""Counts that a reader wants beside the findings: rows, labels, boxes, coordinates."""

import json
from collections import Counter
from typing import Any

import numpy as np

from legor1.data.audit.material import SIDES, Material, Record
from legor1.tasks.discovery import of_kind

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
COMMONEST = 10


def statistics(material: Material) -> dict[str, Any]:
    """Return the statistics of the dataset, by side where that matters."""
    objects = [row for row in material.rows.values() if row["task"] in of_kind("boxes")]
    boxes, coordinates = _boxes(objects)
    return {
        "rows": {side: _rows(material, side) for side in SIDES},
        "states": {side: _states(material, side) for side in SIDES},
        "manuals": {
            side: len({material.rows[name]["manual"] for name in material.split[side]})
            for side in SIDES
        },
        "labels": _labels(objects),
        "boxes": boxes,
        "coordinates": coordinates,
    }


def _rows(material: Material, side: str) -> dict[str, int]:
    tasks = Counter(row["task"] for row in material.conversations["plain"][side])
    return dict(sorted(tasks.items()))


def _states(material: Material, side: str) -> dict[str, int]:
    asked = [row["instance_id"] for row in material.conversations["plain"][side]]
    states = [
        row for row in map(material.rows.__getitem__, asked) if row["task"] in of_kind("yes_no")
    ]
    falsified = [row["falsified"] for row in states]
    return {"true": len(falsified) - sum(falsified), "falsified": sum(falsified)}


def _labels(objects: list[Record]) -> dict[str, Any]:
    labels = Counter(item["label"] for row in objects for item in json.loads(row["response"]))
    commonest = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMONEST]
    return {"distinct": len(labels), "commonest": dict(commonest)}


def _boxes(objects: list[Record]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return boxes an image with their sides as shares of the image's, and where they end.

    Where boxes end beyond their image, their frame is not pixels.
    """
    counts, found = [], []
    for row in objects:
        boxes = [item["bbox_2d"] for item in json.loads(row["response"])]
        counts.append(len(boxes))
        corners = np.array(boxes).reshape(-1, 2, 2)
        extents = np.stack([corners[:, 1] - corners[:, 0], corners[:, 1]], axis=1)
        found += [extents / (row["image_width"], row["image_height"])]
    sides, ends = np.concatenate([*found, np.zeros((0, 2, 2))]).swapaxes(0, 1)
    return {
        "total": len(sides),
        "per_image": _quantiles(np.array(counts)),
        "width_share": _quantiles(sides[:, 0]),
        "height_share": _quantiles(sides[:, 1]),
    }, {
        "right_share": _quantiles(ends[:, 0]),
        "bottom_share": _quantiles(ends[:, 1]),
        "outside": int((ends > 1).any(axis=1).sum()),
    }


def _quantiles(values: np.ndarray) -> list[float] | None:
    """Return least, quartiles and greatest; None of nothing."""
    return [round(float(q), 4) for q in np.quantile(values, QUANTILES)] if len(values) else None
