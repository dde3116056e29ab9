"""How well the state label is told by what is no picture: words, file, size, place in the file.

Each classifier sees one of these alone and is cross-validated by manual; 0.5 is chance.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from legor1.data.audit.evidence import Finding, Material, accuracy
from legor1.data.instances import SIDES, Record
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.binary import confusion

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.base import ClassifierMixin

FOLDS = 5
Features = Union[np.ndarray, "csr_matrix"]  # (n, d)


def findings(material: Material) -> list[Finding]:
    """Return the finding of each classifier; without a tree, the file is not measured."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    linear = LogisticRegression(class_weight="balanced", max_iter=1000)
    tree = DecisionTreeClassifier(min_samples_leaf=5, class_weight="balanced", random_state=0)
    rows = material.every("plain", *of_kind("yes_no"))
    sizes = np.array([[row["width"], row["height"], row["width"] / row["height"]] for row in rows])
    files = _files(material.tree, rows, sizes) if material.tree else None
    source = "state_source_shortcut"
    return [
        _finding("state_label_in_prompt", "the query's words", rows, _words(rows), linear),
        _finding(source, "the image's width and height", rows, sizes, tree),
        _finding(source, "the file's bytes and format, width and height", rows, files, tree),
        _finding(source, "the place in the file of conversations", rows, _places(material), tree),
    ]


def _finding(
    defect: str,
    seen: str,
    rows: list[Record],
    features: Features | None,
    classifier: "ClassifierMixin",
) -> Finding:
    """Return how often a classifier is right about rows of manuals that it has not seen."""
    from sklearn.model_selection import GroupKFold, cross_val_predict

    labels = np.array(["Yes" in row["response"] for row in rows])
    manuals = [row["manual"] for row in rows]
    measured = f"balanced accuracy on the state label from {seen} alone"
    folds = min(FOLDS, len(set(manuals)))
    if features is None or folds < 2 or labels.all() or not labels.any():
        return accuracy(defect, measured, [], [])
    parts = GroupKFold(folds)
    try:
        predicted = cross_val_predict(classifier, features, labels, groups=manuals, cv=parts)
    except ValueError:  # where a part is left out, one label alone remains
        return accuracy(defect, measured, [], [])
    pairs = zip(predicted.tolist(), labels.tolist(), strict=True)
    return accuracy(defect, measured, [confusion(*pair) for pair in pairs], manuals)


def _words(rows: list[Record]) -> Features | None:
    """Return the presence of the commonest words and pairs of words in each query, sparse."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(binary=True, ngram_range=(1, 2), max_features=5000)
    return vectorizer.fit_transform([row["prompt"] for row in rows]) if rows else None


def _places(material: Material) -> Features:
    """Return (n, 4): how far down its file a row stands, and its number modulo 2, 3 and 4."""
    places = [
        [number / len(lines), number % 2, number % 3, number % 4]
        for lines in (material.conversations["plain"][side] for side in SIDES)
        for number, row in enumerate(lines)
        if row["task"] in of_kind("yes_no")
    ]
    return np.array(places)


def _files(tree: Path, rows: list[Record], sizes: np.ndarray) -> Features:
    """Return (n, 6): each image's bytes, bytes a pixel and whether it is a JPEG, with ``sizes``."""
    seen = []
    for row in rows:
        bytes = (tree / row["image"]).stat().st_size
        suffix = row["image"].rpartition(".")[2].lower()
        seen.append([bytes, bytes / (row["width"] * row["height"]), suffix in ("jpg", "jpeg")])
    return np.hstack([np.array(seen, dtype=float).reshape(-1, 3), sizes.reshape(-1, 3)])
